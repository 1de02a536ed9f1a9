package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward/clickhouse"
	"github.com/spillway-io/spillway/schema"
)

func (p *program) schemaCommand() *cobra.Command {
	var file, dsn string
	options := func() (schema.Options, string, error) {
		cfg, err := load(roleCollector, file, p.env)
		if err != nil {
			return schema.Options{}, "", usageError{err}
		}
		if dsn == "" {
			dsn = cfg.Forward.ClickHouse.DSN
		}
		opts, err := clickhouse.ParseDSN(dsn)
		if err != nil {
			return schema.Options{}, "", usageError{err}
		}
		return cfg.schema(opts.Auth.Database), dsn, nil
	}
	c := &cobra.Command{Use: "schema", Short: "print or apply the tables"}
	c.PersistentFlags().StringVar(&file, "config", "", "collector configuration file")
	c.PersistentFlags().StringVar(&dsn, "clickhouse", "", "DSN, instead of the file's")
	c.AddCommand(
		&cobra.Command{Use: "print", Short: "print the statements that make the tables", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			o, _, err := options()
			if err != nil {
				return err
			}
			for _, sql := range schema.Statements(o) {
				if _, err := fmt.Fprintf(p.stdout, "%s;\n\n", sql); err != nil {
					return err
				}
			}
			return nil
		}},
		&cobra.Command{Use: "apply", Short: "make what is missing", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) (err error) {
			o, dsn, err := options()
			if err != nil {
				return err
			}
			conn, err := clickhouse.Open(dsn)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, conn.Close()) }()
			if err := conn.Apply(c.Context(), o); err != nil {
				return fmt.Errorf("%s: %w", conn.Addr(), err)
			}
			_, err = fmt.Fprintf(p.stdout, "database %s at %s has all %d tables\n", o.Database, conn.Addr(), len(schema.Tables()))
			return err
		}})
	return c
}
