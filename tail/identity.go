package tail

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An inode is a file's number on its device. The file system gives it to another file when
// this one is removed and nobody has it open any more.
type inode struct{ dev, ino uint64 }

// An identity is what makes a file the same file.
type identity struct {
	inode
	birth int64 // ns since 1970; 0: the file system does not say
	head  fingerprint
}

// fingerprintBytes is how much of a file's beginning its fingerprint covers. The first line
// usually has a time in it, so it is what tells two files apart.
const fingerprintBytes = 1024

// A fingerprint is a hash of a file's first n bytes, at most fingerprintBytes. It holds while
// the file grows, and is extended with it. The zero fingerprint is that of every file.
type fingerprint struct {
	n   int
	sum uint64
}

// FNV-1a, whose hash of a longer text goes on from that of its beginning.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func fnv(sum uint64, b []byte) uint64 {
	for _, c := range b {
		sum = (sum ^ uint64(c)) * fnvPrime
	}
	return sum
}

// extend is the fingerprint of head, if that begins with what fp was made of.
func (fp fingerprint) extend(head []byte) (fingerprint, bool) {
	if len(head) < fp.n {
		return fp, false
	}
	sum := fnv(fnvOffset, head[:fp.n])
	if fp.n > 0 && sum != fp.sum {
		return fp, false
	}
	return fingerprint{n: len(head), sum: fnv(sum, head[fp.n:])}, true
}

// A status is what the file system says of a file at the moment.
type status struct {
	inode
	size     int64
	modified time.Time
	links    uint64 // 0: removed, and only the handle keeps it
	regular  bool
}

func statusOf(info os.FileInfo) (status, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return status{}, false
	}
	// The width of the numbers differs between systems.
	return status{
		inode:    inode{dev: uint64(st.Dev), ino: uint64(st.Ino)},
		size:     info.Size(),
		modified: info.ModTime(),
		links:    uint64(st.Nlink),
		regular:  info.Mode().IsRegular(),
	}, true
}

// look asks for the status of an open file. It does not allocate.
func look(h *os.File) (status, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(h.Fd()), &st); err != nil {
		return status{}, fmt.Errorf("stat %s: %w", h.Name(), err)
	}
	return status{
		inode:   inode{dev: uint64(st.Dev), ino: uint64(st.Ino)},
		size:    st.Size,
		links:   uint64(st.Nlink),
		regular: uint32(st.Mode)&unix.S_IFMT == unix.S_IFREG,
	}, nil
}

// readHead reads the beginning of a file into buf, which has room for fingerprintBytes.
func readHead(h io.ReaderAt, buf []byte) ([]byte, error) {
	n, err := h.ReadAt(buf[:fingerprintBytes], 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the beginning: %w", err)
	}
	return buf[:n], nil
}
