// Command spillway carries telemetry from a node into ClickHouse and loses nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// A program is what the commands share. Tests make their own.
type program struct {
	env    func(string) (string, bool)
	stdout io.Writer
	stderr io.Writer
}

// run is the whole program: 0 for success, 2 for a mistake of the caller, 1 for any other failure.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	p := &program{env: env, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "spillway: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "spillway: %v\n", err)
	return 1
}

// root is the command line.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "spillway",
		Short:         "carries telemetry from a node into ClickHouse and loses nothing",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(p.agentCommand(), p.collectorCommand(), p.standaloneCommand(), p.schemaCommand(), p.checkCommand(), p.demoCommand(), p.walCommand(), p.verifyCommand(), p.teeCommand(), p.statusCommand(), p.doctorCommand(), p.installCommand(), p.versionCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

// A usageError is the caller's: a flag or a configuration file that is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// logger writes what operators read, as JSON, to stderr. It repeats no line more often than the cap allows,
// and remembers the last warnings and errors for the status page.
func (p *program) logger() *slog.Logger {
	return slog.New(newRecalling(newCapped(slog.NewJSONHandler(p.stderr, nil))))
}

// version is set by the linker for releases.
var version = ""

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(p.stdout, "spillway", versionString())
		return err
	}}
}
