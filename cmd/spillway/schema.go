package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward/clickhouse"
	"github.com/spillway-io/spillway/schema"
)

func (p *program) schemaCommand() *cobra.Command {
	var s schemaCommand
	s.p = p
	c := &cobra.Command{Use: "schema", Short: "print, plan or apply the tables, and say how they are"}
	c.PersistentFlags().StringVar(&s.file, "config", "", "collector configuration file")
	c.PersistentFlags().StringVar(&s.dsn, "clickhouse", "", "DSN, instead of the file's")
	apply := &cobra.Command{Use: "apply", Short: "make what is missing, adopt what others made, apply the configured retention", Args: cobra.NoArgs, RunE: s.connected(s.apply)}
	apply.Flags().BoolVar(&s.destructive, "allow-destructive", false, "also take the steps that remove rows, such as a shorter retention")
	status := &cobra.Command{Use: "status", Short: "say how the tables are: version, engine, durability, retention, storage", Args: cobra.NoArgs, RunE: s.connected(s.status)}
	status.Flags().BoolVar(&s.json, "json", false, "for programs")
	c.AddCommand(
		&cobra.Command{Use: "print", Short: "print the statements that make the tables, without a server", Args: cobra.NoArgs, RunE: s.print},
		&cobra.Command{Use: "plan", Short: "print what apply would do", Args: cobra.NoArgs, RunE: s.connected(s.plan)},
		apply, status)
	return c
}

type schemaCommand struct {
	p                 *program
	file, dsn         string
	destructive, json bool
}

// open reads the configuration and does not connect yet.
func (s *schemaCommand) open() (*clickhouse.Conn, error) {
	cfg, err := load(roleCollector, s.file, s.p.env)
	if err != nil {
		return nil, usageError{err}
	}
	if s.dsn != "" {
		cfg.Forward.ClickHouse.DSN = s.dsn
	}
	conn, err := cfg.openClickHouse()
	if err != nil {
		return nil, usageError{err}
	}
	return conn, nil
}

func (s *schemaCommand) connected(run func(context.Context, *clickhouse.Conn) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		conn, err := s.open()
		if err != nil {
			return err
		}
		if err = run(c.Context(), conn); err != nil {
			err = fmt.Errorf("%s: %w", conn.Addr(), err)
		}
		return errors.Join(err, conn.Close())
	}
}

func (s *schemaCommand) print(*cobra.Command, []string) error {
	conn, err := s.open()
	if err != nil {
		return err
	}
	for _, sql := range schema.Statements(conn.Tables()) {
		fmt.Fprintf(s.p.stdout, "%s;\n\n", sql)
	}
	return conn.Close()
}

func (s *schemaCommand) plan(ctx context.Context, conn *clickhouse.Conn) error {
	plan, err := conn.Plan(ctx)
	if err != nil {
		return err
	}
	s.notes(plan.Notes)
	if len(plan.Steps) == 0 {
		fmt.Fprintf(s.p.stdout, "-- nothing to do: database %s is as it should be\n", conn.Database())
	}
	for _, step := range plan.Steps {
		s.step(step)
	}
	return plan.Blocked()
}

func (s *schemaCommand) step(step schema.Step) {
	mark := ""
	if step.Destructive {
		mark = " (removes rows: only with --allow-destructive)"
	}
	fmt.Fprintf(s.p.stdout, "-- %s%s\n%s;\n\n", strings.TrimPrefix(step.Table+": "+step.Why, ": "), mark, step.SQL)
}

func (s *schemaCommand) notes(notes []schema.Note) {
	for _, n := range notes {
		fmt.Fprintf(s.p.stdout, "-- note: %s\n", strings.TrimPrefix(n.Table+": "+n.Text, ": "))
	}
}

func (s *schemaCommand) apply(ctx context.Context, conn *clickhouse.Conn) error {
	m, err := conn.Migrate(ctx, s.destructive)
	s.notes(m.Notes)
	for _, step := range m.Done {
		fmt.Fprintf(s.p.stdout, "done: %s\n", strings.TrimPrefix(step.Table+": "+step.Why, ": "))
	}
	if err = errors.Join(err, errors.Join(m.Failed...)); err != nil {
		return err
	}
	for _, step := range m.Left {
		fmt.Fprintf(s.p.stdout, "left: %s: %s; rows would be removed: --allow-destructive\n", step.Table, step.Why)
	}
	fmt.Fprintf(s.p.stdout, "database %s at %s: %d steps done, %d left\n", conn.Database(), conn.Addr(), len(m.Done), len(m.Left))
	return nil
}

func (s *schemaCommand) status(ctx context.Context, conn *clickhouse.Conn) error {
	state, err := conn.State(ctx)
	if err != nil {
		return err
	}
	status := schema.NewStatus(state, conn.Tables())
	if s.json {
		enc := json.NewEncoder(s.p.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(status)
	}
	fmt.Fprintf(s.p.stdout, "ClickHouse %s, time zone %s, at %s\ndatabase %s, schema version %d of %d\n\n", status.Server, status.Timezone, conn.Addr(), conn.Database(), status.Version, schema.CurrentVersion)
	w := tabwriter.NewWriter(s.p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "table\tengine\tdurable\twindow\tstorage\tretention")
	for _, t := range status.Tables {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.Name, t.Engine, t.Durable, t.Window, t.StoragePolicy, t.TTL)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, why := range status.NotDurable {
		fmt.Fprintf(s.p.stdout, "\nnot durable: %s", why)
	}
	fmt.Fprintln(s.p.stdout)
	for _, n := range status.Problems {
		fmt.Fprintf(s.p.stdout, "%s\n", n)
	}
	return nil
}
