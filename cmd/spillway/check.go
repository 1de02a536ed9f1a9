package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	var as string
	c := &cobra.Command{Use: "check FILE", Short: "say whether a configuration file is right, all errors at once", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := loadAny(args[0], as, p.env)
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprintf(p.stdout, "%s: good, for spillway %s\n", args[0], l.role)
			return err
		}}
	c.Flags().StringVar(&as, "as", "", "agent, collector or standalone; by default the file's keys decide")
	return c
}

// guessRole goes by the keys that only one role has. What is wrong with the file, load says.
func guessRole(file string, src []byte) role {
	l := &loaded{config: defaults(roleStandalone), named: make(map[string]bool), at: make(map[string]string)}
	decodeYAML(file, src, l, func(string) (string, bool) { return "", false })
	switch {
	case l.named["collector"]:
		return roleStandalone
	case l.named["schema"], l.named["forward.clickhouse"]:
		return roleCollector
	}
	return roleAgent
}
