package forward

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// AvailableMemory is what this process may use, in bytes: the limit of its cgroup (version 2
// or 1), else the machine's memory, else 1 GiB.
func AvailableMemory() int64 {
	total := machineMemory()
	for _, file := range cgroupLimits() {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && n > 0 && n < total {
			total = n
		}
	}
	return total
}

// cgroupLimits are the files that may hold a limit: those of this process's own group and
// those of the root that a container sees.
func cgroupLimits() []string {
	files := []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		switch {
		case part[0] == "0":
			files = append(files, "/sys/fs/cgroup"+part[2]+"/memory.max")
		case strings.Contains(part[1], "memory"):
			files = append(files, "/sys/fs/cgroup/memory"+part[2]+"/memory.limit_in_bytes")
		}
	}
	return files
}

func machineMemory() int64 {
	const unknown = 1 << 30
	f, err := os.Open("/proc/meminfo")
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
