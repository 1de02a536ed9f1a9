package tail

import (
	"os"

	"golang.org/x/sys/unix"
)

// birth is when the file was made, in ns since 1970, or 0 when the file system does not keep it.
func birth(h *os.File) int64 {
	_, at, _ := birthOf(int(h.Fd()), "", unix.AT_EMPTY_PATH)
	return at
}

// birthAt is birth for the file that a path leads to, and which that is; links are followed.
func birthAt(path string) (id inode, at int64, ok bool) { return birthOf(unix.AT_FDCWD, path, 0) }

func birthOf(fd int, path string, flags int) (id inode, at int64, ok bool) {
	var st unix.Statx_t
	if err := unix.Statx(fd, path, flags, unix.STATX_BTIME|unix.STATX_INO, &st); err != nil {
		return inode{}, 0, false
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		at = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return inode{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino}, at, true
}
