package forward

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack collects, and returns to the system what is free and what it can bring again at once.
func giveBack() {
	debug.FreeOSMemory()
	if maps, err := os.ReadFile("/proc/self/smaps"); err == nil {
		dropProgram(maps)
	}
}

// dropProgram unmaps the program's own code and constants. They stay in the page cache, from where the kernel maps
// what is used again, a few dozen pages at a time and without reading the disk; what start-up and the last burst used
// and nobody has since is no longer held in memory in our name.
func dropProgram(smaps []byte) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range clean(bytes.NewReader(smaps), exe) {
		unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED) // an error leaves it mapped
	}
}

// A mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// clean are the mappings of exe that hold exactly what is in the file: not what can be written, and not
// what a debugger or a probe of the kernel has put a breakpoint into, which would be lost.
func clean(smaps io.Reader, exe string) (found []mapping) {
	var m mapping
	ours := false
	for s := bufio.NewScanner(smaps); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), " ")
		switch {
		case key == "Anonymous:":
			if ours && strings.TrimSpace(value) == "0 kB" {
				found = append(found, m)
			}
			ours = false
		case !strings.HasSuffix(key, ":"):
			_, path, _ := strings.Cut(value, "/")
			ours = "/"+path == exe && value[1] == '-' && value[3] == 'p' && m.parse(key) // value begins with rwxp
		}
	}
	return found
}

// parse takes a range as the kernel writes it.
func (m *mapping) parse(s string) bool {
	from, to, _ := strings.Cut(s, "-")
	a, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return false
	}
	b, err := strconv.ParseUint(to, 16, 64)
	m.from, m.to = uintptr(a), uintptr(b)
	return err == nil && a < b
}
