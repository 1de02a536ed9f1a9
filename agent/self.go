package agent

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Self is what this process is called by those who log for it. Nobody reads his own output: each
// line of it would be the cause of another one.
type Self struct {
	PID        string // as the node counts; empty where it is not known
	Unit       string // of systemd, if it runs as a service
	UserUnit   string // of a user's systemd
	Invocation string // systemd's id of this run
	Pod        string // uid
	PodName    string
	Container  string // its name in the pod
	ID         string // of the container
}

// WhoAmI reads what proc/self says; env are variables of the process.
func WhoAmI(proc string, env func(string) (string, bool)) Self {
	s := Self{}
	if ns, _ := os.Readlink(filepath.Join(proc, "self", "ns", "pid")); ns == nodePIDs {
		s.PID, _ = os.Readlink(filepath.Join(proc, "self"))
	}
	s.Invocation, _ = env("INVOCATION_ID")
	for line := range fileLines(filepath.Join(proc, "self", "cgroup")) {
		s.readCgroup(line)
	}
	for line := range fileLines(filepath.Join(proc, "self", "mountinfo")) {
		s.readMount(line)
	}
	if s.Pod != "" {
		var ok bool
		if s.PodName, ok = env("POD_NAME"); !ok {
			s.PodName, _ = env("HOSTNAME")
		}
	}
	return s
}

// nodePIDs is the namespace in which the kernel counts processes unless somebody asks for another one.
const nodePIDs = "pid:[4026531836]"

// fileLines are the lines of a file, none if it cannot be read.
func fileLines(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		f, err := os.Open(name)
		if err != nil {
			return
		}
		defer f.Close()
		for in := bufio.NewScanner(f); in.Scan() && yield(in.Text()); {
		}
	}
}

var (
	containerID = regexp.MustCompile(`(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:/|$)`)
	podLog      = regexp.MustCompile(`/pods/([0-9a-f-]{32,36})/containers/([^/]+)/[^/]+$`)
	podHosts    = regexp.MustCompile(`/pods/([0-9a-f-]{32,36})/etc-hosts$`)
	dockerFile  = regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:resolv\.conf|hostname|hosts)$`)
)

// readCgroup takes a line of /proc/self/cgroup: hierarchy:controllers:path. The unit is in
// that of systemd or in the only one, the container in any.
func (s *Self) readCgroup(line string) {
	part := strings.SplitN(line, ":", 3)
	if len(part) != 3 {
		return
	}
	if m := containerID.FindStringSubmatch(part[2]); m != nil && s.ID == "" {
		s.ID = m[1]
	}
	if part[1] != "" && part[1] != "name=systemd" {
		return
	}
	for name := range strings.SplitSeq(part[2], "/") {
		switch {
		case !strings.HasSuffix(name, ".service"):
		case s.Unit == "":
			s.Unit = name
		case strings.HasPrefix(s.Unit, "user@") && s.UserUnit == "":
			s.UserUnit = name
		}
	}
}

// readMount takes a line of /proc/self/mountinfo. Of the runtimes' mounts the root, the fourth
// field, is a path on the node: the kubelet's termination log and /etc/hosts, Docker's files in /etc.
// The root counts from the file system's own, so only its end is known.
func (s *Self) readMount(line string) {
	field := strings.Fields(line)
	if len(field) < 5 {
		return
	}
	root, at := field[3], field[4]
	if m := podLog.FindStringSubmatch(root); m != nil && s.Container == "" {
		s.Pod, s.Container = m[1], m[2]
	}
	if m := podHosts.FindStringSubmatch(root); m != nil && s.Pod == "" && at == "/etc/hosts" {
		s.Pod = m[1]
	}
	if m := dockerFile.FindStringSubmatch(root); m != nil && s.ID == "" && strings.HasPrefix(at, "/etc/") {
		s.ID = m[1]
	}
}

// OwnLogs are globs for the log of our own container, as it would be found by a glob of include:
// beside it where it is below pods, or Docker's containers, wherever these are mounted, and by its name.
func (s Self) OwnLogs(include []string) (exclude []string) {
	if s.ID != "" {
		exclude = append(exclude, "*-"+s.ID+".log", s.ID+"-json.log*")
	}
	if s.Pod != "" && s.Container != "" && s.PodName != "" {
		exclude = append(exclude, s.PodName+"_*_"+s.Container+"-"+strings.Repeat("[0-9a-f]", 64)+".log")
	}
	for _, glob := range include {
		dir := filepath.Dir(filepath.Dir(filepath.Clean(glob)))
		if s.ID != "" {
			exclude = append(exclude, filepath.Join(dir, s.ID, "*"))
		}
		if s.Pod != "" && s.Container != "" {
			exclude = append(exclude, filepath.Join(filepath.Dir(dir), "*_"+s.Pod, s.Container, "*"))
		}
	}
	return exclude
}

// wrote says whether an entry of the journal is our own.
func (s Self) wrote(e entry) bool {
	if is(s.Invocation, e.one("_SYSTEMD_INVOCATION_ID")) || is(s.ID, e.one("CONTAINER_ID_FULL")) {
		return true
	}
	unit, user := e.one("_SYSTEMD_UNIT"), e.one("_SYSTEMD_USER_UNIT")
	if s.UserUnit != "" {
		return unit == s.Unit && user == s.UserUnit
	}
	if strings.HasPrefix(s.Unit, "user@") || s.Unit == "" || unit == "" {
		return is(s.PID, e.one("_PID"))
	}
	return unit == s.Unit && s.ID == "" // a container's unit is its runtime's
}

func is(own, theirs string) bool { return own != "" && own == theirs }
