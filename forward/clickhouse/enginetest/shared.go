package enginetest

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
)

// shared is the engine that the tests of this process share.
var shared struct {
	mu      sync.Mutex // guards what follows
	main    bool       // Main runs, and will stop it
	dir     string
	process *process // nil until a test asks for it
}

// Main runs the tests of a package that uses Shared, and stops the shared engine after them. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }
func Main(m *testing.M) int {
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()
	defer func() {
		shared.mu.Lock()
		defer shared.mu.Unlock()
		if shared.process != nil {
			shared.process.kill()
		}
		if shared.dir != "" {
			os.RemoveAll(shared.dir)
		}
	}()
	return m.Run()
}

// Shared returns an engine that all tests of the process share, with a new and empty database, which is dropped at the end of the
// test. Tests may run in parallel on it. It cannot be stopped.
func Shared(t testing.TB) *Engine {
	t.Helper()
	p, dir, err := sharedProcess()
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, dataDir: dir, database: "test_" + strings.ToLower(rand.Text()), shared: true, process: p}
	if _, err := post(context.Background(), p.http, "", "CREATE DATABASE "+e.database); err != nil {
		t.Fatalf("create a database: %v\n%s", err, p.stderr)
	}
	t.Cleanup(func() {
		if _, err := post(context.Background(), p.http, "", "DROP DATABASE "+e.database); err != nil {
			t.Errorf("drop the database: %v\n%s", err, p.stderr)
		}
	})
	return e
}

func sharedProcess() (*process, string, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.main {
		return nil, "", errors.New("enginetest.Shared needs a TestMain that calls enginetest.Main")
	}
	if shared.process != nil {
		return shared.process, shared.dir, nil
	}
	var err error
	if shared.dir == "" {
		if shared.dir, err = os.MkdirTemp("", "enginetest-"); err != nil {
			return nil, "", err
		}
	}
	shared.process, err = startProcess(shared.dir, "127.0.0.1:0", "127.0.0.1:0", nil, nil)
	return shared.process, shared.dir, err
}
