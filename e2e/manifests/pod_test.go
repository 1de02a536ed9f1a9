package manifests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	core "k8s.io/api/core/v1"
)

// A pod here has what a kubelet and a runtime would give it, of this kernel: a network of its own, for each container a root
// with its image and its mounts, and its user, capabilities and read-only root. What it has not: cgroups, seccomp, a name
// server, and a network to other pods.
type pod struct {
	t       *testing.T
	c       *cluster
	w       workload
	dir     string
	network *os.File
	volumes map[string]string // by name, where each is on this machine
}

// A container's spec is handed to a process that makes it and becomes its program.
type spec struct {
	Network  string
	Dir      string
	System   bool // the image is this machine's system; otherwise it is empty but for /spillway
	Binary   string
	Mounts   []mount
	User     int
	Group    int
	Groups   []int
	ReadOnly bool
	Drop     bool
	Args     []string
	Env      []string
}

type mount struct {
	From, To string
	ReadOnly bool
}

const becomes = "SPILLWAY_TEST_CONTAINER"

func newPod(t *testing.T, c *cluster, w workload) *pod {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may make namespaces and mounts")
	}
	p := &pod{t: t, c: c, w: w, dir: t.TempDir(), volumes: map[string]string{}}
	if err := os.Chmod(p.dir, 0o755); err != nil { // other users walk through it
		t.Fatal(err)
	}
	inside(t, nil, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("%s%w", out, err)
		}
		var err error
		p.network, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	t.Cleanup(func() { p.network.Close() })
	return p
}

// inside runs f in a network; nil is the one that f makes. The thread goes back: a container is killed with the thread that started it.
func inside(t testing.TB, network *os.File, f func() error) {
	t.Helper()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if network != nil {
		err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
	}
	if err == nil {
		err = f()
	}
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err) // the thread stays locked: nobody else gets this network
	}
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
}

// volume is where a volume of the pod is, made as the kubelet makes it.
func (p *pod) volume(name string) string {
	if dir, ok := p.volumes[name]; ok {
		return dir
	}
	dir := filepath.Join(p.dir, "volumes", name)
	p.volumes[name] = dir
	group := 0
	if s := p.w.pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		group = int(*s.FSGroup)
	}
	mode := os.FileMode(0o755) // of a hostPath
	for _, v := range p.w.pod.Spec.Volumes {
		if v.Name == name && v.EmptyDir != nil {
			mode = 0o777 | os.ModeSetgid
		}
	}
	for _, v := range p.w.claims {
		if v.Name == name {
			mode = 0o775 | os.ModeSetgid
		}
	}
	p.makeDir(dir, group, mode)
	for _, v := range p.w.pod.Spec.Volumes {
		if v.Name != name {
			continue
		}
		bits := os.FileMode(0o644)
		if v.Projected != nil && v.Projected.DefaultMode != nil {
			bits = os.FileMode(*v.Projected.DefaultMode)
		}
		file := func(path, text string) {
			path = filepath.Join(dir, path)
			write(p.t, path, text)
			if err := errors.Join(os.Chown(path, 0, group), os.Chmod(path, bits)); err != nil {
				p.t.Fatal(err)
			}
		}
		for m := range configMaps(v) {
			for key, text := range named[*core.ConfigMap](p.c, m).Data {
				file(key, text)
			}
		}
		for s, items := range volumeSecrets(v) {
			for _, i := range items {
				file(i.Path, secret(p.t, s, i.Key))
			}
		}
	}
	return dir
}

func (p *pod) makeDir(dir string, group int, mode os.FileMode) {
	p.t.Helper()
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, 0, group), os.Chmod(dir, mode)); err != nil {
		p.t.Fatal(err)
	}
}

// A running is a container whose program runs.
type running struct {
	p      *pod
	name   string
	spec   core.Container
	cmd    *exec.Cmd
	output lockedBuffer // of stdout and stderr
	done   chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a container of the pod; env comes after its own.
func (p *pod) start(name string, env ...string) *running {
	p.t.Helper()
	r := &running{p: p, name: name, done: make(chan error, 1)}
	for _, c := range p.w.containers() {
		if c.Name == name {
			r.spec = c
		}
	}
	s := spec{Network: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.network.Fd()), Binary: bin, System: r.spec.Image != "spillway",
		Args: append(append([]string{}, r.spec.Command...), r.spec.Args...), Env: append(append(environment(r.spec), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"), env...)}
	var err error
	if s.Dir, err = os.MkdirTemp(p.dir, name+"-"); err != nil {
		p.t.Fatal(err)
	}
	if !s.System {
		s.Args = append([]string{"/spillway"}, s.Args...)
	}
	if c := p.w.pod.Spec.SecurityContext; c != nil {
		s.User, s.Group = int(*c.RunAsUser), int(*c.RunAsGroup)
		if c.FSGroup != nil {
			s.Groups = []int{int(*c.FSGroup)}
		}
	}
	if c := r.spec.SecurityContext; c != nil {
		if c.RunAsUser != nil {
			s.User, s.Group = int(*c.RunAsUser), int(*c.RunAsGroup)
		}
		s.ReadOnly = c.ReadOnlyRootFilesystem != nil && *c.ReadOnlyRootFilesystem
		s.Drop = len(c.Capabilities.Drop) == 1 && c.Capabilities.Drop[0] == "ALL" && !*c.AllowPrivilegeEscalation
	}
	hosts := filepath.Join(p.dir, "hosts") // in place of a name server
	write(p.t, hosts, "127.0.0.1 localhost spillway-collector-headless spillway-collector-headless.spillway\n")
	s.Mounts = []mount{{From: hosts, To: "/etc/hosts", ReadOnly: true}, {From: "/proc", To: "/proc"}}
	for _, m := range r.spec.VolumeMounts {
		from := p.volume(m.Name)
		if m.SubPath != "" {
			from = filepath.Join(from, m.SubPath)
			if _, err := os.Stat(from); err != nil {
				p.makeDir(from, s.Groups[0], 0o775|os.ModeSetgid)
			}
		}
		s.Mounts = append(s.Mounts, mount{From: from, To: m.MountPath, ReadOnly: m.ReadOnly})
	}
	text, err := json.Marshal(s)
	if err != nil {
		p.t.Fatal(err)
	}
	r.cmd = exec.Command("/proc/self/exe")
	r.cmd.Env = []string{becomes + "=" + string(text)}
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { r.done <- r.cmd.Wait() }()
	p.t.Cleanup(func() {
		r.cmd.Process.Kill()
		if p.t.Failed() {
			p.t.Logf("%s:\n%s", name, r.output.String())
		}
	})
	return r
}

// become makes the container of s in a mount namespace of its own, and runs its program in this process.
func become(s spec) error {
	runtime.LockOSThread()
	network, err := os.Open(s.Network)
	if err != nil {
		return err
	}
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", s.Dir, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(s.Dir, name) }
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			return err
		}
	}
	var readOnly uintptr
	if s.ReadOnly {
		readOnly = unix.MS_RDONLY
	}
	if s.System {
		s.Mounts = append(s.Mounts, mount{From: "/dev/null", To: "/dev/null"})
		// What is mounted on has to be there before the root cannot be written to.
		for _, m := range s.Mounts {
			if err := point(in("upper"), m); err != nil {
				return err
			}
		}
		err = unix.Mount("overlay", in("root"), "overlay", readOnly, "lowerdir=/,upperdir="+in("upper")+",workdir="+in("work"))
	} else {
		if err := errors.Join(point(in("root"), mount{From: s.Binary, To: "/spillway"}), unix.Mount(in("root"), in("root"), "", unix.MS_BIND, "")); err != nil {
			return err
		}
		s.Mounts = append(s.Mounts, mount{From: s.Binary, To: "/spillway", ReadOnly: true})
		for _, m := range s.Mounts {
			if err := point(in("root"), m); err != nil {
				return err
			}
		}
		err = unix.Mount("", in("root"), "", unix.MS_REMOUNT|unix.MS_BIND|readOnly, "")
	}
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	for _, m := range s.Mounts {
		to := filepath.Join(in("root"), m.To)
		if err := unix.Mount(m.From, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("%s: %w", m.To, err)
		}
		if m.ReadOnly {
			if err := unix.Mount("", to, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
				return fmt.Errorf("%s: %w", m.To, err)
			}
		}
	}
	if err := errors.Join(unix.Chroot(in("root")), unix.Chdir("/")); err != nil {
		return err
	}
	if s.Drop {
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
				return err
			}
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	if err := errors.Join(syscall.Setgroups(s.Groups), syscall.Setgid(s.Group), syscall.Setuid(s.User)); err != nil {
		return err
	}
	return unix.Exec(s.Args[0], s.Args, s.Env)
}

// point makes what m is mounted on.
func point(root string, m mount) error {
	to := filepath.Join(root, m.To)
	st, err := os.Stat(m.From)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return os.MkdirAll(to, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// probe asks what the kubelet would ask, in the pod's network.
func (r *running) probe(p *core.Probe) (int, string) {
	for _, port := range r.spec.Ports {
		if port.Name == p.HTTPGet.Port.StrVal {
			return r.p.get(int(port.ContainerPort), p.HTTPGet.Path)
		}
	}
	r.p.t.Fatalf("%s has no port %s", r.name, p.HTTPGet.Port.StrVal)
	return 0, ""
}

// client speaks from inside of the pod's network.
func (p *pod) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, addr string) (conn net.Conn, err error) {
		inside(p.t, p.network, func() error { conn, err = net.Dial(network, addr); return nil })
		return conn, err
	}}}
}

func (p *pod) get(port int, path string) (int, string) {
	return answer(p.client().Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path)))
}

// answer is the code and the body of a response, or 0 and why there is none.
func answer(resp *http.Response, err error) (int, string) {
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// started waits for the startup probe, as the kubelet does before it goes on.
func (r *running) started() {
	r.p.t.Helper()
	until(r.p.t, r.name+" has started", func() bool {
		code, _ := r.probe(r.spec.StartupProbe)
		return code == http.StatusOK
	})
}

// stop is SIGTERM, and the exit code.
func (r *running) stop() int {
	r.p.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.p.t.Fatalf("%s: %v", r.name, err)
	}
	return r.ended()
}

// ended waits for the exit code, and no longer than the grace period.
func (r *running) ended() int {
	r.p.t.Helper()
	grace := time.NewTimer(time.Duration(*r.p.w.pod.Spec.TerminationGracePeriodSeconds) * time.Second)
	defer grace.Stop()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-grace.C:
		r.p.t.Fatalf("%s would be killed: its grace period is over", r.name)
		return -1
	}
}

// until asks ok again and again until it says yes.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// A taker stands for the collectors: it takes log records over gRPC, and knows how often each came.
type taker struct {
	mu   sync.Mutex
	came map[string]int // by body, and the attributes that are asked for
}

func (k *taker) count(body string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.came[body]
}

func (k *taker) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprint(k.came)
}

// all waits until each body came, and says what came otherwise than once.
func (k *taker) all(t *testing.T, bodies ...string) {
	t.Helper()
	until(t, strings.Join(bodies, ", "), func() bool {
		for _, b := range bodies {
			if k.count(b) == 0 {
				return false
			}
		}
		return true
	})
	for _, b := range bodies {
		if n := k.count(b); n != 1 {
			t.Errorf("%s came %d times", b, n)
		}
	}
}
