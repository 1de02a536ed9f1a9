package embedded

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:0": true, "127.1.2.3:9000": true, "[::1]:0": true,
		"0.0.0.0:8123": false, ":8123": false, "localhost:8123": false, "10.0.0.1:8123": false, "[::]:0": false, "127.0.0.1": false,
	} {
		if err := checkLoopback(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestAMissingLibrarySaysWhatToDo(t *testing.T) {
	t.Setenv("SPILLWAY_ENGINE_LIB", "")
	t.Setenv("SPILLWAY_CACHE", t.TempDir())
	if _, err := FindLibrary(""); err == nil || !strings.Contains(err.Error(), "run `make engine`, or name a ClickHouse server with --clickhouse") {
		t.Errorf("error %v", err)
	}
	here := filepath.Join(t.TempDir(), "libchdb.so")
	t.Setenv("SPILLWAY_ENGINE_LIB", here)
	if _, err := FindLibrary(""); err == nil || !strings.Contains(err.Error(), here) {
		t.Errorf("error %v does not name %s", err, here)
	}
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := FindLibrary(""); err != nil || got != here {
		t.Errorf("found %q, %v; want %q", got, err, here)
	}
}

func TestADataDirectoryIsOneEngines(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, err := lockDataDir(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lockDataDir(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "another engine uses it") {
			t.Errorf("a second engine: %v", err)
		}
		time.AfterFunc(lockWait/2, func() { first.Close() })
		second, err := lockDataDir(t.Context(), dir)
		if err != nil {
			t.Fatalf("after the first has ended: %v", err)
		}
		defer second.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lockDataDir(ctx, dir); err == nil {
			t.Error("a third engine got the directory")
		}
	})
}
