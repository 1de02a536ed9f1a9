package embedded

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"text/template"
	"time"
)

// Defaults of Config.
const (
	DefaultDatabase = "otel"
	// DefaultMemoryLimitMiB leaves a small machine room for the rest of the pipeline. The library itself takes 200 MiB idle.
	DefaultMemoryLimitMiB = 2048
	// DefaultMaxStatements is more than a pipeline and some dashboards run at a time, and few enough threads for two cores.
	DefaultMaxStatements = 64
)

// Config says what to serve, and where.
type Config struct {
	Library  string // path of the engine library; "" is where FindLibrary finds it
	DataDir  string // of this engine alone; made when missing. Files *.xml in its config.d are merged into ClickHouse's configuration
	Database string // made at start; unqualified table names are looked up here. "" is DefaultDatabase

	HTTPAddr   string // "127.0.0.1:8123"; port 0 picks a free one
	NativeAddr string // "127.0.0.1:9000"
	// InsecureListen allows addresses other than loopback. There is no authentication: whoever reaches the port owns the data.
	InsecureListen bool

	MemoryLimitMiB int // ClickHouse's max_server_memory_usage; 0 is DefaultMemoryLimitMiB
	MaxStatements  int // that run at the same time; 0 is DefaultMaxStatements
	Log            *slog.Logger
}

func (c *Config) complete() error {
	if c.DataDir == "" {
		return errors.New("no data directory")
	}
	var err error
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if c.Library, err = FindLibrary(c.Library); err != nil {
		return err
	}
	if c.Database == "" || c.Database == "default" {
		c.Database = DefaultDatabase // the engine's own "default" also shows files of the directory it runs in
	}
	if c.MemoryLimitMiB <= 0 {
		c.MemoryLimitMiB = DefaultMemoryLimitMiB
	}
	if c.MaxStatements <= 0 {
		c.MaxStatements = DefaultMaxStatements
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, addr := range []string{c.HTTPAddr, c.NativeAddr} {
		if err := checkLoopback(addr); err != nil && !c.InsecureListen {
			return err
		}
	}
	return nil
}

// checkLoopback wants an address that only this machine can reach. A name is refused too, even localhost: where it points to is
// decided elsewhere.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listen address %s is not a loopback address, and the engine asks nobody for a password: use 127.0.0.1, or allow it with --insecure-listen", addr)
	}
	return nil
}

// lockWait is how long to wait for an engine before us to leave the data directory: one that was killed needs a moment to give
// its memory back before its lock goes.
const lockWait = 10 * time.Second

// lockDataDir makes the directory and takes it for this process. The kernel drops the lock with the process, however it ends.
func lockDataDir(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(dir, "config.d"), 0o750); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("data directory: lock: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, errors.New("another engine uses it"))
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("data directory %s: lock: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("data directory %s: %w", dir, context.Cause(ctx))
		case <-again.C:
		}
	}
}

// engineConfig is ClickHouse's configuration for a telemetry store beside other things: small caches, few background threads.
var engineConfig = template.Must(template.New("config.xml").Parse(`<!-- Written at every start. Put changes into config.d/*.xml beside this file. -->
<clickhouse>
    <logger><level>none</level></logger>
    <max_server_memory_usage>{{.MemoryBytes}}</max_server_memory_usage>
    <mark_cache_size>{{.CacheBytes}}</mark_cache_size>
    <index_mark_cache_size>{{.CacheBytes}}</index_mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <mmap_cache_size>64</mmap_cache_size>
    <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
    <query_cache><max_size_in_bytes>16777216</max_size_in_bytes></query_cache>
    <max_thread_pool_free_size>10</max_thread_pool_free_size>
    <background_pool_size>{{.MergeThreads}}</background_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
    <merge_tree>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
    <tmp_path>{{.Dir}}/tmp/</tmp_path>
    <user_files_path>{{.Dir}}/user_files/</user_files_path>
    <custom_local_disks_base_directory>{{.Dir}}/disks/</custom_local_disks_base_directory>
</clickhouse>
`))

// writeEngineConfig writes config.xml and returns the arguments that make the engine use it. Without --config-file it would read
// whatever config.xml lies in the directory we were started from.
func writeEngineConfig(c Config) ([]string, error) {
	memory := int64(c.MemoryLimitMiB) << 20
	var text bytes.Buffer
	err := engineConfig.Execute(&text, struct {
		MemoryBytes, CacheBytes int64
		MergeThreads            int
		Dir                     string
	}{memory, memory / 16, max(2, runtime.NumCPU()/2), xmlText(c.DataDir)})
	if err != nil {
		return nil, fmt.Errorf("engine configuration: %w", err)
	}
	for _, sub := range []string{"tmp", "user_files", "disks"} {
		if err := os.MkdirAll(filepath.Join(c.DataDir, sub), 0o750); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	path := filepath.Join(c.DataDir, "config.xml")
	if err := os.WriteFile(path, text.Bytes(), 0o640); err != nil {
		return nil, fmt.Errorf("engine configuration: %w", err)
	}
	return []string{
		"--path=" + filepath.Join(c.DataDir, "store"),
		"--config-file=" + path,
		"--implicit_select=0",                           // a shell's convenience that a server does not have
		"--output_format_native_write_json_as_string=1", // the only form of JSON that native.go can walk
	}, nil
}

func xmlText(s string) string {
	var b bytes.Buffer
	// A bytes.Buffer takes every write.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
