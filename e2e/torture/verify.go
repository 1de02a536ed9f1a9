package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// verifyTime is far above what spillway verify takes for the rows of a run.
const verifyTime = 10 * time.Minute

// verify asks spillway itself. It must see what the count sees.
func (c *cluster) verify(ctx context.Context, r *report) {
	args := []string{"verify", "--clickhouse", "http://default:@" + c.engine.http + "/" + databaseName, "--since", "24h", "--settle", "0s"}
	for _, a := range c.agents {
		args = append(args, "--ledger", a.wal)
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.spillway, args...).CombinedOutput()
	said := strings.TrimSpace(string(out))
	switch clean := r.tally.lost == 0 && r.tally.duplicated == 0; {
	case err != nil && clean:
		r.finding("nothing is lost or duplicated, and spillway verify does not agree: %v\n%s", err, said)
	case err == nil && r.tally.duplicated > 0:
		r.finding("%d rows are duplicated, and spillway verify does not see it:\n%s", r.tally.duplicated, said)
	case err != nil:
		fmt.Fprintf(c.out, "spillway verify: %v\n%s\n", err, said)
	default:
		fmt.Fprintf(c.out, "spillway verify: %s\n", said[strings.LastIndexByte(said, '\n')+1:])
	}
}
