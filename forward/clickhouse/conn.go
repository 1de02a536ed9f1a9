package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// A Conn is a pool of connections to one ClickHouse, by name of a DSN.
type Conn struct {
	conn   driver.Conn
	opts   *driver.Options
	method compress.Method // of blocks
	tables schema.Options

	clock forward.Clock // the server's
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
	if strings.HasPrefix(dsn, "https://") && !strings.Contains(dsn, "secure=") {
		// The library wants to be told what the scheme says.
		if strings.Contains(dsn, "?") {
			dsn += "&secure=true"
		} else {
			dsn += "?secure=true"
		}
	}
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
	opts.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) { return framed{t}, nil }
	opts.DialTimeout = 5 * time.Second
	opts.ReadTimeout = socketTime
	if opts.Settings == nil {
		opts.Settings = driver.Settings{}
	}
	// A block is one INSERT, decided by us: the server must not queue or split it.
	opts.Settings["async_insert"] = 0
	opts.Settings["max_execution_time"] = int(statementTime / time.Second)
	// A Keeper that is away is an error soon: the server would wait for it longer than anybody
	// waits for the server.
	opts.Settings["insert_keeper_max_retries"] = 2
	return opts, nil
}

// Open does not connect yet. The DSN's addresses are replicas of one another: what one does not
// take, the next one gets. secure is nil, or what to use with an https DSN instead of the
// system's certificates. The tables' database is the DSN's.
func Open(dsn string, tables schema.Options, secure *tls.Config) (*Conn, error) {
	opts, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		if opts.TLS == nil {
			return nil, errors.New("dsn: tls is configured, but the DSN is http://: write https:// and port 8443")
		}
		opts.TLS = secure
	}
	tables.Database = opts.Auth.Database
	if tables.Cluster != "" {
		opts.Settings["insert_quorum"] = "auto" // OK only when a majority of the shard's replicas has it
	}
	conn, err := driver.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	return &Conn{conn: conn, opts: opts, method: blockMethods[opts.Compression.Method], tables: tables}, nil
}

// Close ends the connections.
func (c *Conn) Close() error { return c.conn.Close() }

// Addr is where the server is, for messages.
func (c *Conn) Addr() string { return strings.Join(c.opts.Addr, ",") }

// Driver is the clickhouse-go connection, for queries.
func (c *Conn) Driver() driver.Conn { return c.conn }

// Tables is how the tables are made.
func (c *Conn) Tables() schema.Options { return c.tables }

// Database is the one that holds the tables.
func (c *Conn) Database() string { return c.tables.Database }

// Ping asks the server for its time; the fence is stated on that clock. It fails when the server
// is older than the oldest that is supported.
func (c *Conn) Ping(ctx context.Context) error {
	if v, err := c.conn.ServerVersion(); err != nil {
		return err
	} else if err := (schema.State{Version: fmt.Sprintf("%d.%d", v.Version.Major, v.Version.Minor)}).CheckVersion(); err != nil {
		return err
	}
	var at time.Time
	asked := time.Now()
	if err := c.conn.QueryRow(ctx, "SELECT now64(9)").Scan(&at); err != nil {
		return err
	}
	c.clock.Set(at, asked)
	return nil
}

// Clock is the server's. Ping sets it.
func (c *Conn) Clock() *forward.Clock { return &c.clock }

// undated hides a deadline from the library, which would tell the server to work on until five
// seconds after it, whatever max_execution_time says. It still ends what it is the context of.
type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// insert sends one encoded block.
func (c *Conn) insert(ctx context.Context, table *schema.Table, block []byte, token string) error {
	ctx = driver.Context(undated{ctx}, driver.WithSettings(driver.Settings{
		"insert_deduplication_token": token,
		"insert_deduplicate":         1,
	}))
	body := newFrames(block, c.method)
	defer body.free()
	return c.conn.InsertFormat(ctx, "Native", table.InsertSQL(c.tables), body)
}
