package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spillway-io/spillway/schema"
)

// A Conn is a pool of connections to one ClickHouse, by name of a DSN.
type Conn struct {
	conn     driver.Conn
	opts     *driver.Options
	method   compress.Method // of blocks
	Database string

	offset atomic.Int64 // server clock less ours, in nanoseconds
}

const (
	// statementTime is what the server may take for one INSERT; the socket waits a little longer.
	statementTime = 10 * time.Second
	socketTime    = 15 * time.Second
	// maxConns lets every table have all its INSERTs under way at once.
	maxConns = 8 * tableInserts
)

var blockMethods = map[driver.CompressionMethod]compress.Method{
	driver.CompressionNone: compress.None,
	driver.CompressionLZ4:  compress.LZ4,
	driver.CompressionZSTD: compress.ZSTD,
}

// ParseDSN reads http://user:password@host:8123,host2:8123/database, or https for TLS.
func ParseDSN(dsn string) (*driver.Options, error) {
	opts, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("dsn: %w", err)
	}
	if opts.Protocol != driver.HTTP {
		return nil, errors.New("dsn: blocks are sent over ClickHouse's HTTP interface: write http://user:password@host:8123/otel, or https:// and port 8443")
	}
	if opts.Auth.Database == "" {
		opts.Auth.Database = schema.DefaultOptions().Database
	}
	if opts.Compression == nil {
		opts.Compression = &driver.Compression{Method: driver.CompressionLZ4}
	}
	if _, ok := blockMethods[opts.Compression.Method]; !ok {
		return nil, fmt.Errorf("dsn: compress=%s: use lz4 (the default), zstd or none", opts.Compression.Method)
	}
	opts.MaxOpenConns, opts.MaxIdleConns = maxConns, maxConns
	opts.HttpMaxConnsPerHost = maxConns
	opts.DialTimeout = 5 * time.Second
	opts.ReadTimeout = socketTime
	if opts.Settings == nil {
		opts.Settings = driver.Settings{}
	}
	// A block is one INSERT, decided by us: the server must not queue or split it.
	opts.Settings["async_insert"] = 0
	opts.Settings["max_execution_time"] = int(statementTime / time.Second)
	return opts, nil
}

// Open does not connect yet.
func Open(dsn string) (*Conn, error) {
	opts, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := driver.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	return &Conn{conn: conn, opts: opts, method: blockMethods[opts.Compression.Method], Database: opts.Auth.Database}, nil
}

// Close ends the connections.
func (c *Conn) Close() error { return c.conn.Close() }

// Addr is where the server is, for messages.
func (c *Conn) Addr() string { return strings.Join(c.opts.Addr, ",") }

// Driver is the clickhouse-go connection, for queries.
func (c *Conn) Driver() driver.Conn { return c.conn }

// Ping asks the server for its time; the fence is stated on that clock.
func (c *Conn) Ping(ctx context.Context) error {
	before := time.Now()
	var at time.Time
	if err := c.conn.QueryRow(ctx, "SELECT now64(9)").Scan(&at); err != nil {
		return err
	}
	half := time.Since(before) / 2
	c.offset.Store(int64(at.Sub(before.Add(half))))
	return nil
}

// fence states a time of our clock on the server's, cut to the second that the column holds.
func (c *Conn) fence(t time.Time) time.Time {
	return t.Add(time.Duration(c.offset.Load())).UTC().Truncate(time.Second)
}

// insert sends one encoded block.
func (c *Conn) insert(ctx context.Context, table *schema.Table, block []byte, token string) error {
	settings := driver.Settings{
		"insert_deduplication_token": token,
		"insert_deduplicate":         1,
	}
	if c.method != compress.None {
		// InsertFormat sends what it is given. That the body comes in ClickHouse's own
		// compressed frames is told to the server like a setting.
		settings["decompress"] = 1
	}
	body := newFrames(block, c.method)
	defer body.free()
	return c.conn.InsertFormat(driver.Context(ctx, driver.WithSettings(settings)), "Native", table.InsertSQL(c.Database), body)
}

// Apply makes the database and every table that is missing.
func (c *Conn) Apply(ctx context.Context, o schema.Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	opts := *c.opts
	opts.Auth.Database = "" // the one that may not exist yet
	opts.MaxOpenConns, opts.MaxIdleConns = 1, 1
	conn, err := driver.Open(&opts)
	if err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	defer conn.Close()
	for _, sql := range schema.Statements(o) {
		if err := conn.Exec(ctx, sql); err != nil {
			name, _, _ := strings.Cut(sql, "(")
			return fmt.Errorf("%s: %w", strings.TrimSpace(name), err)
		}
	}
	return nil
}
