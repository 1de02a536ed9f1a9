package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A uvicorn is the real server with testdata/uvicorn/app.py in it, unconfigured.
type uvicorn struct {
	addr   string
	cmd    *exec.Cmd
	copied sync.WaitGroup
}

// startUvicorn has every line that it prints given to out, one at a time of each stream. It runs until stop.
func startUvicorn(t *testing.T, out func(stream, line string)) *uvicorn {
	t.Helper()
	const python = "/usr/bin/python3" // the distribution's, which its uvicorn belongs to
	if out, err := exec.Command(python, "-c", "import uvicorn").CombinedOutput(); err != nil {
		t.Fatalf("%s has no uvicorn: apt-get install python3-uvicorn: %v: %s", python, err, out)
	}
	u := &uvicorn{addr: port(t)}
	host, number, _ := strings.Cut(u.addr, ":")
	u.cmd = exec.Command(python, "-B", "-m", "uvicorn", "--app-dir", filepath.Join("testdata", "uvicorn"), "--host", host, "--port", number, "app:app")
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for stream, pipe := range map[string]func() (io.ReadCloser, error){"stdout": u.cmd.StdoutPipe, "stderr": u.cmd.StderrPipe} {
		from, err := pipe()
		if err != nil {
			t.Fatal(err)
		}
		u.copied.Go(func() {
			for s := bufio.NewScanner(from); s.Scan(); {
				out(stream, s.Text())
			}
		})
	}
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.stop)
	until(t, "uvicorn listens", func() bool {
		conn, err := http.Get("http://" + u.addr + "/")
		if err == nil {
			conn.Body.Close()
		}
		return err == nil
	})
	return u
}

// get asks for a page, and returns the status.
func (u *uvicorn) get(path string) (int, error) {
	resp, err := http.Get("http://" + u.addr + path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// stop returns when all that it printed was given to out.
func (u *uvicorn) stop() {
	if u.cmd.ProcessState != nil {
		return
	}
	u.cmd.Process.Signal(syscall.SIGTERM)
	u.copied.Wait()
	u.cmd.Wait()
}

// What uvicorn prints, as it is, means what it says: a request has its attributes, and a traceback
// is one record with its exception, from a container's log and from a plain file.
func TestUvicornArrivesWithItsMeaning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "site.log")
	pods := filepath.Join(dir, "pods")
	engine, c, a := both(t, fmt.Sprintf(", tail: [{include: [%q, %q]}]", filepath.Join(pods, "*/*/*.log"), plain))

	container := newCRILog(t, filepath.Join(pods, "shop_web-0_6f1e9a52-7d1c-4c40-9a3f-0d8a5b6c7d8e", "web", "0.log"))
	file, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var mu sync.Mutex // both streams, as a shell's 2>&1 has them
	u := startUvicorn(t, func(stream, line string) {
		mu.Lock()
		defer mu.Unlock()
		if err := container.appendTo(time.Now(), stream, "F", line); err != nil {
			t.Error(err)
		}
		fmt.Fprintln(file, line)
	})
	for _, r := range []struct {
		path   string
		status int
	}{{"/orders?id=7&sort=price", 200}, {"/fail?fail=" + url.QueryEscape("order-8812"), 500}, {"/", 200}} {
		if got, err := u.get(r.path); got != r.status || err != nil {
			t.Fatalf("%s: status %d, %v", r.path, got, err)
		}
	}
	u.stop()

	conn := connect(t, engine.DSN())
	const traced = "LogAttributes['exception.type'] = 'app.Unpaid'"
	until(t, "everything stored", func() bool {
		return one(t, conn, "SELECT uniqExact(ServiceName) FROM otel_logs WHERE Body LIKE '%Finished server process%'") == 2
	})
	a.drained()
	c.equation()
	for _, service := range []string{"web", "site"} {
		t.Run(service, func(t *testing.T) {
			rows := selected(t, engine, fmt.Sprintf(`SELECT SeverityText, SeverityNumber,
				mapFilter((k, v) -> k NOT IN ('client.port', 'log.iostream'), LogAttributes) AS Attributes FROM otel_logs
				WHERE ServiceName = '%s' AND LogAttributes['url.path'] NOT IN ('', '/') ORDER BY Attributes['url.path']`, service))
			same(t, "requests", rows, []row{
				{"SeverityText": "INFO", "SeverityNumber": 9, "Attributes": row{"client.address": "127.0.0.1", "http.request.method": "GET", "url.path": "/fail",
					"url.query": "fail=order-8812", "network.protocol.version": "1.1", "http.response.status_code": "500"}},
				{"SeverityText": "INFO", "SeverityNumber": 9, "Attributes": row{"client.address": "127.0.0.1", "http.request.method": "GET", "url.path": "/orders",
					"url.query": "id=7&sort=price", "network.protocol.version": "1.1", "http.response.status_code": "200"}},
			})
			where := fmt.Sprintf(" FROM otel_logs WHERE ServiceName = '%s' AND ", service)
			if n := one(t, conn, "SELECT count()"+where+traced+` AND LogAttributes['exception.message'] = 'order-8812'
				AND startsWith(LogAttributes['exception.stacktrace'], 'Traceback (most recent call last):\n  File "')
				AND endsWith(LogAttributes['exception.stacktrace'], '    raise Unpaid(order)\napp.Unpaid: order-8812')`); n != 1 {
				t.Errorf("%d whole tracebacks, want 1", n)
			}
			if n := one(t, conn, "SELECT count()"+where+"(Body LIKE '%Unpaid%' OR Body LIKE '  %')"); n > 1 {
				t.Errorf("%d records have something of the traceback, want 1", n)
			}
			if n := one(t, conn, "SELECT count()"+where+"SeverityNumber = 17 AND startsWith(Body, 'ERROR:    Exception in ASGI application')"); n != 1 {
				t.Errorf("%d errors, want 1", n)
			}
		})
	}
	if t.Failed() {
		t.Log(engine.SQL("SELECT ServiceName, SeverityText, Body, LogAttributes FROM otel_logs ORDER BY ServiceName, ObservedTimestamp FORMAT Vertical"))
	}
}
