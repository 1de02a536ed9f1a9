package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	lib "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/schema"
)

// admin opens a connection for statements about tables, not about rows: on no database, which
// may not exist yet, and with time for what Keeper or a rewrite takes.
func (c *Conn) admin() (driver.Conn, error) {
	opts := *c.opts
	opts.Auth.Database = ""
	opts.MaxOpenConns, opts.MaxIdleConns = 1, 1
	opts.Settings = driver.Settings{"max_execution_time": 300}
	if c.tables.Cluster != "" {
		// A node that is down gets its statements later, and does not hold up the others'.
		opts.Settings["distributed_ddl_task_timeout"] = 20
		opts.Settings["distributed_ddl_output_mode"] = "null_status_on_timeout"
	}
	opts.ReadTimeout = 5 * time.Minute
	conn, err := driver.Open(&opts)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	return conn, nil
}

// State reads what the server has.
func (c *Conn) State(ctx context.Context) (schema.State, error) {
	conn, err := c.admin()
	if err != nil {
		return schema.State{}, err
	}
	defer conn.Close()
	return readState(ctx, conn, c.tables.Database)
}

func readState(ctx context.Context, conn driver.Conn, database string) (schema.State, error) {
	s := schema.State{Tables: make(map[string]schema.Existing), Policies: make(map[string][]string), Macros: make(map[string]string)}
	var cloud string
	err := conn.QueryRow(ctx, "SELECT version(), timezone(), (SELECT anyOrDefault(value) FROM system.settings WHERE name = 'cloud_mode')").Scan(&s.Version, &s.Timezone, &cloud)
	if err != nil {
		return s, fmt.Errorf("version: %w", err)
	}
	s.Cloud = cloud == "1"
	r := reader{ctx: ctx, conn: conn}
	r.each("SELECT engine FROM system.databases WHERE name = ?", func(v []string) { s.Database = v[0] }, database)
	r.each("SELECT policy_name, volume_name FROM system.storage_policies ORDER BY volume_priority", func(v []string) { s.Policies[v[0]] = append(s.Policies[v[0]], v[1]) })
	r.each("SELECT macro, substitution FROM system.macros", func(v []string) { s.Macros[v[0]] = v[1] })
	r.each("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster", func(v []string) { s.Clusters = append(s.Clusters, v[0]) })
	r.each("SELECT name, engine, engine_full, partition_key, sorting_key, primary_key FROM system.tables WHERE database = ?", func(v []string) {
		s.Tables[v[0]] = schema.Existing{Engine: v[1], EngineFull: v[2], PartitionKey: v[3], SortingKey: v[4], PrimaryKey: v[5]}
	}, database)
	part := func(table string, change func(*schema.Existing)) {
		t := s.Tables[table]
		change(&t)
		s.Tables[table] = t
	}
	r.each("SELECT table, name, type, default_kind, default_expression FROM system.columns WHERE database = ? ORDER BY table, position", func(v []string) {
		part(v[0], func(t *schema.Existing) {
			t.Columns = append(t.Columns, schema.ExistingColumn{Name: v[1], Type: v[2], Kind: v[3], Expression: v[4]})
		})
	}, database)
	r.each("SELECT table, name, expr, type_full FROM system.data_skipping_indices WHERE database = ? ORDER BY table, name", func(v []string) {
		part(v[0], func(t *schema.Existing) {
			t.Indexes = append(t.Indexes, schema.ExistingIndex{Name: v[1], Expression: v[2], Type: v[3]})
		})
	}, database)
	r.each("SELECT name, arrayJoin(dependencies_table) AS view FROM system.tables WHERE database = ? ORDER BY view", func(v []string) {
		part(v[0], func(t *schema.Existing) { t.Dependents = append(t.Dependents, v[1]) })
	}, database)
	if _, ok := s.Tables[schema.MigrationsTable]; ok {
		r.each(fmt.Sprintf("SELECT DISTINCT toString(version), name FROM %s.%s ORDER BY version", schema.Ident(database), schema.MigrationsTable), func(v []string) {
			version, err := strconv.ParseUint(v[0], 10, 32)
			r.err = errors.Join(r.err, err)
			s.Applied = append(s.Applied, schema.Applied{Version: uint32(version), Name: v[1]})
		})
	}
	return s, r.err
}

// A reader runs queries until one fails.
type reader struct {
	ctx  context.Context
	conn driver.Conn
	err  error
}

// each hands on the rows of a query, whose columns are all strings.
func (r *reader) each(query string, row func([]string), args ...any) {
	if r.err != nil {
		return
	}
	err := eachRow(r.ctx, r.conn, query, func(rows lib.Rows) error {
		values := make([]string, len(rows.Columns()))
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		err := rows.Scan(into...)
		if err == nil {
			row(values)
		}
		return err
	}, args...)
	if err != nil {
		r.err = fmt.Errorf("%s: %w", query, err)
	}
}

// eachRow hands on the rows of a query, one at a time.
func eachRow(ctx context.Context, conn driver.Conn, query string, row func(lib.Rows) error, args ...any) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
