package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/tee"
)

// teeFlags are in the units of the command line.
type teeFlags struct {
	maxSizeMiB, bufferMiB int64
	maxFiles              int
	maxBlock, grace       time.Duration
}

func (f *teeFlags) validate() error {
	var errs []error
	if f.maxSizeMiB < 1 || f.maxSizeMiB > 1<<20 {
		errs = append(errs, errors.New("--max-size-mib: must be between 1 and 1048576"))
	}
	if f.bufferMiB < 1 || f.bufferMiB > 1024 {
		errs = append(errs, errors.New("--buffer-mib: must be between 1 and 1024"))
	}
	if f.maxFiles < 0 || f.maxFiles > 1000 {
		errs = append(errs, errors.New("--max-files: must be between 0 and 1000"))
	}
	if f.maxBlock < 0 || f.grace < 0 {
		errs = append(errs, errors.New("--max-block and --grace cannot be negative"))
	}
	return errors.Join(errs...)
}

func (p *program) teeCommand() *cobra.Command {
	var f teeFlags
	c := &cobra.Command{Use: "tee FILE", Short: "pass stdin on to stdout, and write it to a file that rotates, for a sidecar to tail", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := f.validate(); err != nil {
				return usageError{err}
			}
			// While this hears them no signal ends the process: the end of stdin does.
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			defer signal.Stop(signals)
			return tee.Run(tee.Config{In: os.Stdin, Out: os.Stdout, Errors: p.stderr, File: args[0], MaxSize: f.maxSizeMiB << 20, MaxFiles: f.maxFiles,
				MaxBlock: f.maxBlock, Buffer: int(f.bufferMiB << 20), Grace: f.grace}, signals)
		}}
	c.Flags().Int64Var(&f.maxSizeMiB, "max-size-mib", 10, "FILE becomes FILE.1 before it is larger")
	c.Flags().IntVar(&f.maxFiles, "max-files", 5, "how many of FILE.1, FILE.2 and so on are kept")
	c.Flags().Int64Var(&f.bufferMiB, "buffer-mib", 8, "what may wait for stdout, and as much for FILE")
	c.Flags().DurationVar(&f.maxBlock, "max-block", time.Second, "how long a stall of stdout or FILE may hold up the program; then lines are dropped and counted")
	c.Flags().DurationVar(&f.grace, "grace", 30*time.Second, "how long the program may go on after SIGTERM, and how long to write what is left")
	return c
}
