package tail

import (
	"os"

	"golang.org/x/sys/unix"
)

// birth is when the file was made, in ns since 1970, or 0 when the file system does not keep it.
func birth(h *os.File) int64 {
	var st unix.Statx_t
	if err := unix.Statx(int(h.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}
