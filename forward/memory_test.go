package forward

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheSmallestLimitAroundUsIsWhatIsAvailable(t *testing.T) {
	const machine = "MemTotal:        8388608 kB\nMemFree: 1 kB\n" // 8 GiB
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known":       {nil, 1 << 30},
		"a machine":              {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n"}, 8 << 30},
		"version 2, a container": {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20},
		"version 2, no limit":    {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 8 << 30},
		"version 2, a unit": {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/spillway-agent.service\n",
			"sys/fs/cgroup/system.slice/spillway-agent.service/memory.max": "2147483648\n"}, 2 << 30},
		"version 2, the slice around it": {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/spillway-agent.service\n",
			"sys/fs/cgroup/system.slice/spillway-agent.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "1073741824\n"}, 1 << 30},
		"version 1": {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/kubepods/pod1/c1\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":                  "9223372036854771712\n",
			"sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes":    "268435456\n",
			"sys/fs/cgroup/memory/kubepods/pod1/c1/memory.limit_in_bytes": "9223372036854771712\n"}, 256 << 20},
		"a path outside of what is mounted": {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/../../other\n", "sys/fs/cgroup/memory.max": "134217728\n"}, 128 << 20},
		"garbage":                           {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "x\n0::\n", "sys/fs/cgroup/memory.max": "-1\n"}, 8 << 30},
	} {
		root := t.TempDir()
		for file, text := range test.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := availableMemory(root); got != test.want {
			t.Errorf("%s: %d bytes, want %d", name, got, test.want)
		}
	}
}

func TestAPercentageLeavesSomethingToTheProgram(t *testing.T) {
	for total, want := range map[int64]int64{40: 20, 64: 32, 100: 68, 128: 95, 2048: 1535} {
		if hard, soft := DefaultLimiterConfig().Limits(total << 20); hard>>20 != want || soft >= hard {
			t.Errorf("of %d MiB %d, soft %d; want %d", total, hard>>20, soft>>20, want)
		}
	}
}
