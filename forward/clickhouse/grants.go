package clickhouse

import (
	"context"
	"errors"
	"fmt"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spillway-io/spillway/schema"
)

// systemTables are those that a writer reads.
var systemTables = []string{"processes", "databases", "tables", "columns", "data_skipping_indices", "settings", "storage_policies", "macros", "clusters"}

// notAllowed is the code of what the user has no right to.
const notAllowed = 497

// MissingGrants are the rights that the user of the DSN lacks, of those of deploy/clickhouse/grants.sql: to write, and,
// with create, to make and change tables. Each is what stands behind GRANT. Rights on table engines are asked for by
// the server's configuration only, and not looked at.
func (c *Conn) MissingGrants(ctx context.Context, create bool) (missing []string, err error) {
	conn, err := c.admin()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, table := range systemTables { // whether they need a right is the server's configuration: try
		err := conn.Exec(ctx, "SELECT 1 FROM system."+table+" LIMIT 0")
		if e, ok := errors.AsType[*driver.Exception](err); ok && e.Code == notAllowed {
			missing = append(missing, "SELECT ON system."+table)
		} else if err != nil {
			return nil, err
		}
	}
	for _, grant := range grants(c.tables, create) {
		var has uint8
		if err := conn.QueryRow(ctx, "CHECK GRANT "+grant).Scan(&has); err != nil {
			return nil, fmt.Errorf("CHECK GRANT %s: %w", grant, err)
		}
		if has == 0 {
			missing = append(missing, grant)
		}
	}
	return missing, nil
}

// grants are the rights on what is ours.
func grants(o schema.Options, create bool) (all []string) {
	database := schema.Ident(o.Database)
	add := func(right, format string, args ...any) {
		all = append(all, right+" ON "+database+"."+fmt.Sprintf(format, args...))
	}
	for _, t := range schema.Tables() {
		name := schema.Ident(t.Name())
		add("INSERT", "%s", name)
		if !t.Identified() {
			continue
		}
		look := fmt.Sprintf("SELECT(IngestStream, IngestSeq, %s)", t.TimeColumn())
		add(look, "%s", name)
		if local := t.LocalName(o); local != t.Name() {
			add(look, "%s", schema.Ident(local))
		}
	}
	add("SELECT", "%s", schema.MigrationsTable)
	if o.Cluster != "" {
		all = append(all, "REMOTE ON *.*")
	}
	if !create {
		return all
	}
	add("CREATE DATABASE", "*")
	for _, t := range schema.Tables() {
		add("CREATE TABLE, ALTER ADD COLUMN, ALTER ADD INDEX, ALTER SETTINGS, ALTER TTL", "%s", schema.Ident(t.LocalName(o)))
	}
	add("CREATE TABLE, SELECT, INSERT", "%s", schema.MigrationsTable)
	add("CREATE TABLE, DROP TABLE", "%s", lockTable)
	if o.Cluster != "" {
		all = append(all, "CLUSTER ON *.*")
	}
	return all
}
