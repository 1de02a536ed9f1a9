package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/tail"
)

const (
	testUID = "3f1c2f0e-7a65-4f0e-9d5c-0a3b1c2d4e5f"
	testID  = "4c1d0b5e6f7a8b9c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e"
)

// whereabouts are what /proc says in the places where an agent runs.
var whereabouts = map[string]struct {
	cgroup, mountinfo string
	env               map[string]string
	want              Self
}{
	"a service": {
		cgroup: "0::/system.slice/spillway.service\n",
		env:    map[string]string{"INVOCATION_ID": "8b2f"},
		want:   Self{Unit: "spillway.service", Invocation: "8b2f"},
	},
	"a service in a delegated group, cgroup v1": {
		cgroup: "12:pids:/system.slice/spillway.service\n1:name=systemd:/system.slice/spillway.service/payload\n",
		want:   Self{Unit: "spillway.service"},
	},
	"a user's service": {
		cgroup: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/spillway.service\n",
		want:   Self{Unit: "user@1000.service", UserUnit: "spillway.service"},
	},
	"a shell": {cgroup: "0::/user.slice/user-1000.slice/session-3.scope\n"},
	"containerd, cgroup v2": {
		cgroup: "0::/\n",
		mountinfo: `1042 1031 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw
1043 1028 259:1 /var/lib/kubelet/pods/` + testUID + `/etc-hosts /etc/hosts rw,relatime - ext4 /dev/root rw,discard
1044 1029 259:1 /var/lib/kubelet/pods/` + testUID + `/containers/agent/0f93d2aa /dev/termination-log rw,relatime - ext4 /dev/root rw,discard
1045 1028 259:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/` + strings.Repeat("ab", 32) + `/hostname /etc/hostname rw,relatime - ext4 /dev/root rw
1046 1028 259:1 /var/log /var/log ro,relatime - ext4 /dev/root rw,discard
`,
		env:  map[string]string{"HOSTNAME": "spillway-x2x9k"},
		want: Self{Pod: testUID, PodName: "spillway-x2x9k", Container: "agent"},
	},
	"containerd, cgroup v1, the kubelet's directory on a disk of its own, host network": {
		cgroup: "11:memory:/kubepods/burstable/pod" + testUID + "/" + testID + "\n1:name=systemd:/kubepods/burstable/pod" + testUID + "/" + testID + "\n",
		mountinfo: `1043 1028 8:17 /pods/` + testUID + `/etc-hosts /etc/hosts rw,relatime - xfs /dev/sdb1 rw
1044 1029 8:17 /pods/` + testUID + `/containers/agent/11 /dev/termination-log rw,relatime - xfs /dev/sdb1 rw
`,
		env:  map[string]string{"HOSTNAME": "node-7", "POD_NAME": "spillway-x2x9k"},
		want: Self{Pod: testUID, PodName: "spillway-x2x9k", Container: "agent", ID: testID},
	},
	"CRI-O": {
		cgroup: "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f1c2f0e_7a65.slice/crio-" + testID + ".scope\n",
		mountinfo: `3050 3040 0:52 /var/lib/kubelet/pods/` + testUID + `/etc-hosts /etc/hosts rw,relatime - overlay overlay rw
3051 3040 253:0 /ostree/deploy/rhcos/var/lib/kubelet/pods/` + testUID + `/containers/agent/9bc0 /dev/termination-log rw,relatime - xfs /dev/mapper/root rw
3052 3040 0:25 /containers/storage/overlay-containers/` + testID + `/userdata/hostname /etc/hostname rw,nosuid - tmpfs tmpfs rw
`,
		env:  map[string]string{"HOSTNAME": "spillway-x2x9k"},
		want: Self{Pod: testUID, PodName: "spillway-x2x9k", Container: "agent", ID: testID},
	},
	"docker, cgroup v1": {
		cgroup: "5:cpuset:/docker/" + testID + "\n1:name=systemd:/docker/" + testID + "\n0::/system.slice/containerd.service\n",
		want:   Self{ID: testID, Unit: "containerd.service"},
	},
	"docker, cgroup v2": {
		cgroup: "0::/\n",
		mountinfo: `731 715 8:1 /var/lib/docker/containers/` + testID + `/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
732 715 8:1 /var/lib/docker/containers/` + testID + `/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw
733 715 8:1 /var/lib/docker/containers/` + testID + `/hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
`,
		want: Self{ID: testID},
	},
	"docker with systemd's cgroups": {
		cgroup: "0::/system.slice/docker-" + testID + ".scope\n",
		want:   Self{ID: testID},
	},
}

func TestWhoWeAreIsReadFromProc(t *testing.T) {
	for name, c := range whereabouts {
		proc := t.TempDir()
		if err := os.Mkdir(filepath.Join(proc, "self"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"cgroup": c.cgroup, "mountinfo": c.mountinfo} {
			if err := os.WriteFile(filepath.Join(proc, "self", file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := WhoAmI(proc, func(k string) (string, bool) { v, ok := c.env[k]; return v, ok })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheOwnContainersLogIsNotTailed(t *testing.T) {
	other := strings.Repeat("0", 64)
	in := Self{Pod: testUID, PodName: "spillway-x2x9k", Container: "agent", ID: testID}
	for _, c := range []struct {
		self         Self
		include      string
		own, foreign []string
	}{
		{in, "/var/log/pods/*/*/*.log",
			[]string{"/var/log/pods/ops_spillway-x2x9k_" + testUID + "/agent/0.log", "/var/log/pods/ops_spillway-x2x9k_" + testUID + "/agent/17.log"},
			[]string{"/var/log/pods/ops_spillway-x2x9k_" + testUID + "/sidecar/0.log", "/var/log/pods/ops_web-0_" + strings.Replace(testUID, "3", "4", 1) + "/agent/0.log"}},
		{in, "/host/log/pods/ops_*/*/*.log",
			[]string{"/host/log/pods/ops_spillway-x2x9k_" + testUID + "/agent/0.log"},
			[]string{"/host/log/pods/ops_web-0_" + strings.Replace(testUID, "3", "4", 1) + "/agent/0.log"}},
		{Self{Pod: testUID, PodName: "spillway-x2x9k", Container: "agent"}, "/var/log/containers/*.log",
			[]string{"/var/log/containers/spillway-x2x9k_ops_agent-" + testID + ".log"},
			[]string{"/var/log/containers/spillway-x2x9k_ops_agent-two-" + testID + ".log", "/var/log/containers/web-0_ops_agent-" + other + ".log"}},
		{Self{ID: testID}, "/var/log/containers/*.log",
			[]string{"/var/log/containers/spillway-x2x9k_ops_agent-" + testID + ".log"},
			[]string{"/var/log/containers/spillway-x2x9k_ops_agent-" + other + ".log"}},
		{Self{ID: testID}, "/var/lib/docker/containers/*/*.log*",
			[]string{"/var/lib/docker/containers/" + testID + "/" + testID + "-json.log", "/var/lib/docker/containers/" + testID + "/" + testID + "-json.log.1"},
			[]string{"/var/lib/docker/containers/" + other + "/" + other + "-json.log"}},
		{Self{}, "/var/log/pods/*/*/*.log", nil, []string{"/var/log/pods/ops_spillway-x2x9k_" + testUID + "/agent/0.log"}},
	} {
		globs := c.self.OwnLogs([]string{c.include})
		if err := (tail.Config{Include: []string{c.include}, Exclude: globs, Format: tail.FormatAuto, StartAt: tail.StartAtEnd}).Validate(); err != nil {
			t.Error(err)
		}
		excluded := func(path string) bool {
			for _, g := range globs {
				byPath, _ := filepath.Match(g, path)
				byName, _ := filepath.Match(g, filepath.Base(path))
				if byPath || byName {
					return true
				}
			}
			return false
		}
		for _, path := range c.own {
			if !excluded(path) {
				t.Errorf("%s is tailed", path)
			}
		}
		for _, path := range c.foreign {
			if excluded(path) {
				t.Errorf("%s is not tailed, by %q", path, globs)
			}
		}
	}
}

func TestTheJournalOfTheAgentItselfIsNotRead(t *testing.T) {
	service := Self{PID: "42", Unit: "spillway.service", Invocation: "aa"}
	user := Self{PID: "42", Unit: "user@1000.service", UserUnit: "spillway.service"}
	shell := Self{PID: "42"}
	docker := Self{ID: testID, Unit: "docker.service"}
	for _, c := range []struct {
		self  Self
		entry string
		own   bool
	}{
		{service, `{"_SYSTEMD_UNIT":"spillway.service","_PID":"7"}`, true},
		{service, `{"_SYSTEMD_UNIT":"web.service","_PID":"42"}`, false},
		{service, `{"_SYSTEMD_UNIT":"init.scope","UNIT":"spillway.service","_PID":"1"}`, false}, // systemd speaks of us
		{service, `{"_SYSTEMD_INVOCATION_ID":"aa"}`, true},
		{service, `{"_PID":"42"}`, true},
		{service, `{"_PID":"43"}`, false},
		{user, `{"_SYSTEMD_UNIT":"user@1000.service","_SYSTEMD_USER_UNIT":"spillway.service"}`, true},
		{user, `{"_SYSTEMD_UNIT":"user@1000.service","_SYSTEMD_USER_UNIT":"web.service"}`, false},
		{user, `{"_SYSTEMD_UNIT":"user@1001.service","_SYSTEMD_USER_UNIT":"spillway.service"}`, false},
		{shell, `{"_SYSTEMD_UNIT":"session-3.scope","_PID":"42"}`, true},
		{shell, `{"_SYSTEMD_UNIT":"session-3.scope","_PID":"43"}`, false},
		{docker, `{"_SYSTEMD_UNIT":"docker.service","CONTAINER_ID_FULL":"` + testID + `","_PID":"900"}`, true},
		{docker, `{"_SYSTEMD_UNIT":"docker.service","CONTAINER_ID_FULL":"ff","_PID":"900"}`, false},
		{docker, `{"_PID":"1","_SYSTEMD_UNIT":"init.scope"}`, false},
		{docker, `{"_PID":"1"}`, false},
	} {
		e, err := parseEntry([]byte(`{"__CURSOR":"x",` + c.entry[1:]))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.self.wrote(e); got != c.own {
			t.Errorf("%+v wrote %s: %v", c.self, c.entry, got)
		}
	}
}
