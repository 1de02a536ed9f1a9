package forward

import (
	"bufio"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// AvailableMemory is what this process may use, in bytes: the smallest limit of its cgroup (version 2
// or 1) and of those around it, else the machine's memory, else 1 GiB.
func AvailableMemory() int64 { return availableMemory("/") }

// availableMemory is that below a root directory, which is another one only in tests.
func availableMemory(root string) int64 {
	total := machineMemory(root)
	for _, file := range cgroupLimits(root) {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // a group that is not there, or not ours to see
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // "max" is none
		if err == nil && n > 0 && n < total {
			total = n
		}
	}
	return total
}

// cgroupLimits are the files that may hold a limit: of this process's own group, as far as it can be seen,
// and of those around it. In a container the root that is mounted is its own group, whatever
// /proc/self/cgroup says (cgroup_namespaces(7)), so that is among them.
func cgroupLimits(root string) (files []string) {
	const (
		v2, v1         = "sys/fs/cgroup", "sys/fs/cgroup/memory"
		v2File, v1File = "memory.max", "memory.limit_in_bytes"
	)
	files = []string{filepath.Join(root, v2, v2File), filepath.Join(root, v1, v1File)}
	b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3) // cgroups(7): number, controllers, path
		if len(part) != 3 {
			continue
		}
		mount, file := v2, v2File
		if part[0] != "0" || part[1] != "" {
			if !strings.Contains(","+part[1]+",", ",memory,") {
				continue
			}
			mount, file = v1, v1File
		}
		for group := path.Clean("/" + part[2]); group != "/"; group = path.Dir(group) {
			files = append(files, filepath.Join(root, mount, group, file))
		}
	}
	return files
}

func machineMemory(root string) int64 {
	const unknown = 1 << 30
	f, err := os.Open(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return unknown
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) >= 2 && fields[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return unknown
}
