package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsnotify/fsnotify"

	"github.com/spillway-io/spillway/forward"
)

// doctorOf is a doctor for a file of an agent.
func doctorOf(t *testing.T, text string) *doctor {
	t.Helper()
	d := &doctor{p: &program{env: noEnv, stdout: io.Discard, stderr: io.Discard}, file: writeConfig(t, text), proc: "/proc", sample: time.Millisecond, patience: 5 * time.Second}
	var err error
	if d.cfg, err = loadAny(d.file, "agent", noEnv); err != nil {
		t.Fatal(err)
	}
	return d
}

// want holds one finding, and forgets all.
func (d *doctor) want(t *testing.T, check string, s severity, measured, mend string) {
	t.Helper()
	for _, f := range d.findings {
		if f.Check == check && f.Severity == s && strings.Contains(f.Measured, measured) && strings.Contains(f.Mend, mend) {
			if s != fine && (f.Why == "" || f.Mend == "") {
				t.Errorf("%+v does not say why, or what mends it", f)
			}
			d.findings = nil
			return
		}
	}
	t.Errorf("no %s %s: %q, %q among %+v", s, check, measured, mend, d.findings)
	d.findings = nil
}

func TestTheDoctorLooksAtTheLogsDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	memory, err := os.MkdirTemp("/dev/shm", "spillway-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(memory)
	d := doctorOf(t, fmt.Sprintf("wal: {dir: %q, min_free_mib: 1, max_size_mib: 64}\n", filepath.Join(dir, "not", "yet")))
	d.fileSystem()
	d.want(t, "wal.dir", fine, "not/yet", "")
	d.space(t.Context())
	if len(d.findings) != 2 || d.findings[0].Check != "space" || d.findings[0].Severity != fine {
		t.Errorf("%+v", d.findings)
	}
	d.want(t, "time to loss", warn, "no agent answers", "spillway agent --config")
	if _, err := os.Stat(filepath.Join(dir, "not")); err == nil {
		t.Error("the doctor has made a directory")
	}
	d = doctorOf(t, fmt.Sprintf("wal: {dir: %q}\n", memory))
	d.fileSystem()
	d.want(t, "wal.dir", warn, "is in memory, tmpfs", "local/disk")
	d = doctorOf(t, fmt.Sprintf("wal: {dir: %q, min_free_mib: 1, max_size_mib: 1000000000}\n", dir))
	d.space(t.Context())
	d.want(t, "space", warn, "the disk has room for", "max_size_mib")
	d = doctorOf(t, fmt.Sprintf("wal: {dir: %q, min_free_mib: 1000000000}\n", dir))
	d.space(t.Context())
	d.want(t, "space", fail, "left to others", "du -xh")
}

// The rate is measured at a node that runs.
func TestTheDoctorMeasuresTheTimeToLoss(t *testing.T) {
	t.Parallel()
	n := onlyNode(t, slog.New(slog.DiscardHandler), "")
	defer n.admin.start(n.log)()
	d := doctorOf(t, fmt.Sprintf("wal: {dir: %q, min_free_mib: 1}\nadmin: {endpoint: %q}\n", n.cfg.WAL.Dir, n.admin.addr()))
	d.admin(t.Context())
	d.want(t, "running", fine, "Nothing has come in yet", "")
	d.space(t.Context())
	d.want(t, "time to loss", warn, "nothing came in", "try again")
	n.doors.grpc.bytes.Store(1 << 20)
	d.admin(t.Context())
	d.findings = nil
	d.space(t.Context())
	d.want(t, "time to loss", warn, "until the log is full and new data is refused, at", "max_size_mib")
	n.doors.grpc.bytes.Store(1 << 40)
	d.space(t.Context())
	d.want(t, "time to loss", fail, "without delivery", "max_size_mib")
	d.user()
	d.want(t, "user", fine, "uid ", "")
	d.openFiles()
	d.want(t, "open files", fine, "may be open", "")
}

func TestTheDoctorLooksAtGlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.log", "b.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := doctorOf(t, fmt.Sprintf("receivers: {tail: [{include: [\"%[1]s/*.log\"]}, {include: [\"%[1]s/*.txt\"]}]}\n", dir))
	d.globs()
	if len(d.findings) != 3 {
		t.Errorf("%+v", d.findings)
	}
	d.want(t, "receivers.tail[0]", fine, "2 files match", "")
	d.globs()
	d.want(t, "receivers.tail[1]", warn, "no file matches", "ls -l")
	if os.Geteuid() != 0 {
		t.Fatal("this test takes rights away from itself: run it as root")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	asNobody(t, d.globs)
	d.want(t, "receivers.tail[0]", fail, "2 files or directories cannot be read; the first: open: open "+dir+"/a.log: permission denied", "setfacl -m u:")
}

// asNobody does something with the rights of nobody on files. The thread that had them is thrown away.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}

func TestTheDoctorLooksAtInotify(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	limits := filepath.Join(proc, "sys/fs/inotify")
	if err := os.MkdirAll(limits, 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(instances, watches int) {
		for name, n := range map[string]int{"max_user_instances": instances, "max_user_watches": watches} {
			if err := os.WriteFile(filepath.Join(limits, name), []byte(strconv.Itoa(n)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := doctorOf(t, "")
	d.proc = proc
	set(128, 65536)
	d.inotify(10)
	d.want(t, "inotify", fine, "10 directories", "")
	set(128, 1000)
	d.inotify(10)
	d.want(t, "inotify max_user_watches", warn, "10 directories are to be watched", "fs.inotify.max_user_watches=524288")
	set(0, 65536)
	d.inotify(10)
	d.want(t, "inotify max_user_instances", warn, "0 of 0 instances", "fs.inotify.max_user_instances=1024")

	// What is in use is counted, of real processes.
	d.proc = "/proc"
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 3 {
		dir := filepath.Join(proc, strconv.Itoa(i)+".watched")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(dir); err != nil {
			t.Fatal(err)
		}
	}
	all, watches := d.inotifyUse()
	d.running = &status{PID: os.Getpid()}
	others, othersWatches := d.inotifyUse()
	if all <= others || watches < othersWatches+3 {
		t.Errorf("%d instances and %d watches, without this process %d and %d", all, watches, others, othersWatches)
	}
}

func TestTheDoctorLooksAtWhoAsks(t *testing.T) {
	t.Parallel()
	d := doctorOf(t, "admin: {endpoint: \"0.0.0.0:1\"}\n")
	d.admin(t.Context())
	d.want(t, "admin", warn, "0.0.0.0:1", "127.0.0.1:1")
	d.admin(t.Context())
	d.want(t, "running", warn, "no process answers", "spillway agent --config")
	d = doctorOf(t, "admin: {endpoint: \"\"}\n")
	d.admin(t.Context())
	d.want(t, "admin", warn, "the port is off", "admin:")

	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	d.running = &status{Host: host, PID: other.Process.Pid}
	d.user()
	d.want(t, "user", warn, "uid 65534", "sudo -u '#65534'")
}

// What is between an agent and its collector, each with what is really there.
func TestTheDoctorLooksAtEndpoints(t *testing.T) {
	t.Parallel()
	l, err := load(roleCollector, writeConfig(t, "receivers: {otlp: {grpc: {endpoint: \"127.0.0.1:0\", auth: {tokens: [right]}}, http: {endpoint: \"\"}}}\nadmin: {endpoint: \"127.0.0.1:0\"}\nforward: {clickhouse: {dsn: \"http://127.0.0.1:9/otel\"}}\n"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newTier(l.config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.run(ctx) }()
	defer func() { stop(); <-ended }()
	collector := c.listening.GRPC.String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	for _, e := range []struct {
		to, more string
		severity severity
		says     string
	}{
		{closed.Addr().String(), "", fail, "nobody listens there"},
		{"unix:///no/such/socket", "", fail, "no such file"},
		{collector, "", fail, "it wants another token"},
		{collector, ", auth: {token: right}", warn, "connected to"},
		{collector, ", tls: {insecure_skip_verify: true}", fail, "it speaks plain text"},
		{secure.Listener.Addr().String(), ", tls: {insecure: false}", fail, "an authority that is not known here"},
		{secure.Listener.Addr().String(), "", fail, ""},
	} {
		d := doctorOf(t, fmt.Sprintf("forward: {otlp: {endpoints: [%q]%s}}\n", e.to, e.more))
		d.endpoints(t.Context())
		d.want(t, "forward.otlp "+e.to, e.severity, e.says, "")
	}
	d := doctorOf(t, "")
	for ahead, s := range map[time.Duration]severity{time.Second: fine, -time.Minute: warn, -2 * time.Hour: fail} {
		d.clock("clock", ahead)
		d.want(t, "clock", s, "clock is", "")
	}
	if forward.ClockError != skewed {
		t.Errorf("the doctor takes %s for the error of clocks, and fences %s", skewed, forward.ClockError)
	}
}

// The command: a file that is wrong is a finding, and nothing else is looked at; JSON has the same.
func TestTheDoctorCommand(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "forward: {otlp: {endpoints: [\"127.0.0.1:9\"], tls: {ca_file: /no/such/ca}}}\n")
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"doctor", "--config", file}, noEnv, &out, &errs); code != 1 || !strings.Contains(out.String(), "FAIL  configuration: "+file+":1:52: forward.otlp.tls.ca_file") ||
		!strings.Contains(out.String(), "mend  spillway check "+file) || !strings.Contains(errs.String(), "1 of 1 checks failed") {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
	out.Reset()
	if code := run(t.Context(), []string{"doctor", "--json", "--config", file}, noEnv, &out, &errs); code != 1 {
		t.Errorf("exit %d", code)
	}
	var got struct{ Findings []finding }
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || len(got.Findings) != 1 || got.Findings[0].Severity != fail {
		t.Errorf("%v: %s", err, out.String())
	}
	if code := run(t.Context(), []string{"doctor"}, noEnv, &out, &errs); code != 2 {
		t.Errorf("exit %d without a file", code)
	}
}

// A shell that may open few files.
func TestTheDoctorLooksAtOpenFiles(t *testing.T) {
	t.Parallel()
	if os.Getenv("SPILLWAY_FEW_FILES") != "" {
		d := doctorOf(t, "")
		d.openFiles()
		d.want(t, "open files", warn, "at most 1000 files", "LimitNOFILE")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", `ulimit -n 1000; exec "$0" -test.run '^TestTheDoctorLooksAtOpenFiles$' -test.v`, self)
	c.Env = append(os.Environ(), "SPILLWAY_FEW_FILES=1")
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}
