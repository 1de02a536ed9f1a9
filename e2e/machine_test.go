package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A machine is this one's system in namespaces of its own: what is written goes to memory and is gone with
// it, ports are its own, and so are processes. It is as clean as this system is of spillway.
type machine struct {
	t    *testing.T
	root *exec.Cmd // unshare, which ends with all that is in it
	init string    // process id of its first process, as seen from here
	log  *logBuffer
}

const boot = `set -e
umask 022
mount -t tmpfs tmpfs "$DIR"
mkdir "$DIR/upper" "$DIR/work" "$DIR/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
cd "$DIR/root"
mkdir -p packages
mount --bind "$PACKAGES" packages
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup 2>/dev/null || true
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	mount -t cgroup2 cgroup2 sys/fs/cgroup
else
	mkdir sys/fs/cgroup/systemd
	mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
for d in run tmp var/log dev; do mount -t tmpfs tmpfs "$d"; done
chmod 1777 tmp
for d in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9"; do
	set -- $d
	mknod -m 666 "dev/$1" c "$2" "$3"
done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
# What is not in a namespace is only looked at, and nothing starts that nobody asks for.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
rm -rf usr/lib/systemd/system/*.target.wants etc/systemd/system/*.wants
ip link set lo up
mkdir -p old
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin $INIT`

// startMachine runs init in a new machine, which finds packages below /packages.
func startMachine(t *testing.T, packages, init string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may make namespaces and mounts")
	}
	groups := "/sys/fs/cgroup/systemd"
	if exists("/sys/fs/cgroup/cgroup.controllers") {
		groups = "/sys/fs/cgroup"
	}
	group, err := os.MkdirTemp(groups, "spillway-test-")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &machine{t: t, log: &logBuffer{}}
	m.root = exec.Command("sh", "-c", `echo $$ >"$GROUP/cgroup.procs" && exec unshare --cgroup --pid --mount --ipc --uts --net --fork --kill-child --propagation private sh -c "$BOOT"`)
	m.root.Env = append(os.Environ(), "GROUP="+group, "BOOT="+boot, "DIR="+dir, "PACKAGES="+packages, "INIT="+init)
	m.root.Stdout, m.root.Stderr = m.log, m.log
	m.root.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.root.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the machine said:\n%s", tail(m.log.String(), 60))
		}
		m.root.Process.Kill()
		m.root.Wait()
		// Groups can be removed when the last process has left them.
		until(t, "the machine's groups are gone", func() bool {
			exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
			return !exists(group)
		})
	})
	until(t, "the machine is up", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.root.Process.Pid))
		m.init = strings.TrimSpace(string(b))
		return m.init != "" && exists(filepath.Join("/proc", m.init, "root/packages")) && len(entriesOf(filepath.Join("/proc", m.init, "root/old"))) == 0
	})
	return m
}

func entriesOf(dir string) []os.DirEntry {
	all, _ := os.ReadDir(dir)
	return all
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// try runs a shell line in the machine.
func (m *machine) try(line string) (string, error) {
	cmd := exec.Command("nsenter", "-t", m.init, "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--root",
		"env", "-i", "-C", "/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", line)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

// run is try, which has to succeed.
func (m *machine) run(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// is runs a line that has to say want.
func (m *machine) is(line, want string) {
	m.t.Helper()
	if got := m.run(line); got != want {
		m.t.Errorf("%s: got %q, want %q", line, got, want)
	}
}

// serve has an address in the machine lead to an HTTP server of this one, until stop.
func (m *machine) serve(t *testing.T, addr, server string) (stop func()) {
	t.Helper()
	runtime.LockOSThread()
	var nets [2]*os.File
	for i, name := range []string{"/proc/thread-self/ns/net", "/proc/" + m.init + "/ns/net"} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		nets[i] = f
	}
	if err := unix.Setns(int(nets[1].Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", addr)
	if err := errors.Join(err, unix.Setns(int(nets[0].Fd()), unix.CLONE_NEWNET)); err != nil {
		t.Fatal(err) // the thread stays locked: nobody else gets that network
	}
	runtime.UnlockOSThread()
	s := &http.Server{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server})}
	go s.Serve(lis)
	t.Cleanup(func() { s.Close() })
	return func() { s.Close() }
}

// until runs a line again and again until it says want.
func (m *machine) until(line, want string) {
	m.t.Helper()
	var got string
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("%s: last %q, want %q", line, got, want)
		}
	})
	until(m.t, line+" says "+want, func() bool {
		got, _ = m.try(line)
		return strings.Contains(got, want)
	})
}

// gone are the files of which nothing is left.
func (m *machine) gone(files ...string) {
	m.t.Helper()
	for _, f := range files {
		if out, err := m.try("ls -d " + f); err == nil {
			m.t.Errorf("%s is still there: %s", f, out)
		}
	}
}
