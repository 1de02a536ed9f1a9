// Command spillway-engine serves ClickHouse, loaded as a library, on loopback. `spillway standalone` and the tests start it as a
// child process; it can be run by hand as well:
//
//	spillway-engine --data-dir /var/lib/spillway/engine
//
// When it is ready it prints one line to stdout, for the parent to read:
//
//	ready http=127.0.0.1:8123 native=127.0.0.1:9000
//
// On SIGTERM or SIGINT it takes no new statements, lets running ones end for five seconds, and exits with 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse/embedded"
)

// shutdownTimeout is how long running statements may take to end.
const shutdownTimeout = 5 * time.Second

func main() {
	// The signal of a parent's death is tied to the thread that asked for it; this one lives as long as the process.
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "spillway-engine:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var (
		config        embedded.Config
		readyFile     string
		dieWithParent bool
		debug         bool
	)
	flags := flag.NewFlagSet("spillway-engine", flag.ContinueOnError)
	flags.StringVar(&config.DataDir, "data-dir", "", "directory of tables and configuration (required)")
	flags.StringVar(&config.HTTPAddr, "http", "127.0.0.1:8123", "address of ClickHouse's HTTP protocol; port 0 picks a free one")
	flags.StringVar(&config.NativeAddr, "native", "127.0.0.1:9000", "address of ClickHouse's native protocol")
	flags.StringVar(&config.Database, "database", embedded.DefaultDatabase, "database to make, and to use where a client names none")
	flags.StringVar(&config.Library, "engine-lib", "", "path of libchdb.so (default SPILLWAY_ENGINE_LIB, then what `make engine` fetched)")
	flags.IntVar(&config.MemoryLimitMiB, "memory-limit-mib", embedded.DefaultMemoryLimitMiB, "memory of all statements and merges together")
	flags.IntVar(&config.MaxStatements, "max-statements", embedded.DefaultMaxStatements, "statements that run at the same time")
	flags.BoolVar(&config.InsecureListen, "insecure-listen", false, "allow addresses other than loopback, without any authentication")
	flags.StringVar(&readyFile, "ready-file", "", "file to write the ready line to as well")
	flags.BoolVar(&dieWithParent, "die-with-parent", false, "end at once when the parent process ends (Linux)")
	flags.BoolVar(&debug, "debug", false, "log failed statements")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if dieWithParent {
		if err := followParent(); err != nil {
			return err
		}
	}
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	config.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server, err := embedded.Start(ctx, config)
	if err != nil {
		return err
	}
	if err := announce(server, readyFile); err != nil {
		return err
	}
	<-ctx.Done()
	stop() // a second signal ends the process at once

	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		// What is in the tables is whole, whenever the process ends.
		config.Log.Warn("ending with statements still running", "err", err)
	}
	return nil
}

// announce tells the parent that statements can come. When nobody is there to be told, there is nobody to serve.
func announce(s *embedded.Server, file string) error {
	line := fmt.Sprintf("ready http=%s native=%s\n", s.HTTPAddr(), s.NativeAddr())
	if file != "" {
		temp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".tmp")
		if err := os.WriteFile(temp, []byte(line), 0o644); err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
		if err := os.Rename(temp, file); err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
	}
	if _, err := os.Stdout.WriteString(line); err != nil {
		return fmt.Errorf("ready line: %w", err)
	}
	return nil
}
