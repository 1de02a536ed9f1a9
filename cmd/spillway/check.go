package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	var as string
	c := &cobra.Command{Use: "check FILE", Short: "say whether a configuration file is right, all errors at once", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r := role(as)
			if as == "" {
				src, err := os.ReadFile(args[0])
				if err != nil {
					return usageError{err}
				}
				r = guessRole(string(src))
			}
			switch r {
			case roleAgent, roleCollector, roleStandalone:
			default:
				return usageError{fmt.Errorf("--as %s: use agent, collector or standalone", as)}
			}
			if _, err := load(r, args[0], p.env); err != nil {
				return usageError{err}
			}
			_, err := fmt.Fprintf(p.stdout, "%s: good, for spillway %s\n", args[0], r)
			return err
		}}
	c.Flags().StringVar(&as, "as", "", "agent, collector or standalone; by default the file's keys decide")
	return c
}

// guessRole goes by the top-level keys that only one role has.
func guessRole(src string) role {
	r := roleAgent
	for line := range strings.Lines(src) {
		switch {
		case strings.HasPrefix(line, "collector:"):
			return roleStandalone
		case strings.HasPrefix(line, "schema:"), strings.HasPrefix(strings.TrimSpace(line), "clickhouse:"):
			r = roleCollector
		}
	}
	return r
}
