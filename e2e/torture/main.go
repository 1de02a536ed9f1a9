// Command torture is the hostile proof of what docs/guarantees.md promises: every acknowledged
// record is in ClickHouse, once.
//
//	make torture T=10m SEED=1
//
// It starts two agents, two collectors and a real engine, with TCP proxies between them, and has
// writers send numbered records of every signal to the agents, by OTLP and by files that rotate.
// Meanwhile a random schedule, which follows from the seed, kills and suspends processes, fills a
// disk, damages the log of an agent that is down, and cuts, stalls, delays and half-closes
// connections. Then it heals everything, waits until the agents hold nothing more, and asks
// ClickHouse which number is there how often. The last line says what came of it:
//
//	torture: seed S, kills K, records N, lost L, duplicated D
//
// The exit code is 0 only if both are 0 and nothing else went wrong. It runs on Linux, within the
// module's tree, as root if the disk is to be a file system of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	ossignal "os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := ossignal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

// options say what a run is to be.
type options struct {
	duration         time.Duration // of the faults; healing and counting come after
	seed             uint64
	spillway, engine string // built programs; "" builds them
	tags             string // build tags of spillway
	keep             bool   // the working directory, also of a run that went well
	onlyRepeats      bool   // only faults after which something is sent again
	out              io.Writer
}

// run is the program: 0 for a proof, 1 for a failure, 2 for a mistake of the caller.
func run(ctx context.Context, args []string, out io.Writer) int {
	o := options{out: out}
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "t", 10*time.Minute, "how long faults go on")
	flags.Uint64Var(&o.seed, "seed", 0, "of the schedule; 0 picks one")
	flags.StringVar(&o.spillway, "bin", "", "built spillway; empty builds it")
	flags.StringVar(&o.engine, "engine", "", "built spillway-engine; empty builds it")
	flags.StringVar(&o.tags, "tags", "", "build tags of the spillway that is built")
	flags.BoolVar(&o.keep, "keep", false, "keep the working directory in any case")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(out, "torture: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	r, err := torture(ctx, o)
	if err != nil {
		fmt.Fprintf(out, "torture: seed %d: %v\n", o.seed, err)
		return 1
	}
	r.print(out)
	if !r.good() {
		return 1
	}
	return 0
}
