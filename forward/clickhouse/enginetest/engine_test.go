package enginetest

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestSharedGivesEachTestADatabaseOfItsOwn(t *testing.T) {
	first, second := Shared(t), Shared(t)
	if first.PID() != second.PID() || first.Database() == second.Database() {
		t.Errorf("processes %d and %d, databases %s and %s", first.PID(), second.PID(), first.Database(), second.Database())
	}
	first.SQL("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	if got := second.SQL("SHOW TABLES"); got != "" {
		t.Errorf("the second test sees %s", got)
	}
	var name string
	t.Run("dropped at its end", func(t *testing.T) { name = Shared(t).Database() })
	if got := first.SQL("EXISTS DATABASE " + name); got != "0" {
		t.Errorf("database %s is left", name)
	}
}

func TestStartLeavesNothingBehind(t *testing.T) {
	var dir, addr string
	t.Run("a test with an engine", func(t *testing.T) {
		engine := Start(t)
		dir, addr = engine.DataDir(), engine.HTTPAddr()
		engine.Kill9()
		engine.Restart()
		if got := engine.SQL("SELECT 1"); got != "1" {
			t.Errorf("got %s", got)
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("data directory: %v", err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the engine still listens")
	}
}

func TestTheEngineDiesWithItsParent(t *testing.T) {
	var parent *exec.Cmd
	var stdout io.ReadCloser
	err := startProgram(func(path string) error {
		parent = exec.Command("sh", "-c", `"$0" --data-dir "$1" --http 127.0.0.1:0 --native 127.0.0.1:0 --die-with-parent; exit 7`, path, t.TempDir())
		var err error
		if stdout, err = parent.StdoutPipe(); err != nil {
			return err
		}
		return parent.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready http=127.0.0.1:") {
		t.Fatalf("%q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The engine holds the other end of the pipe for as long as it lives.
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	_ = parent.Wait() // killed
}

func TestAnEngineThatCannotStartSaysWhy(t *testing.T) {
	t.Setenv("SPILLWAY_ENGINE_LIB", "")
	t.Setenv("SPILLWAY_CACHE", t.TempDir())
	_, err := startProcess(t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "run `make engine`") {
		t.Errorf("error %v", err)
	}
}
