package tail

import (
	"fmt"
	"io"
	"math/bits"
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

// Rungs are the lower halves of the hashes of a file's first 16, 32, 64 and so on bytes, up to half of what
// a fingerprint covers, as far as the file is that long: a copy that is shorter than what the fingerprint of
// its original covers is told by them.
type rungs [6]uint32

const firstRung = 16 // bytes

func rungsOf(head []byte) (r rungs) {
	sum, at := uint64(fnvOffset), 0
	for i := range countRungs(len(head)) {
		n := firstRung << i
		sum = fnv(sum, head[at:n])
		r[i], at = uint32(sum), n
	}
	return r
}

// countRungs is how many there are of a beginning of n bytes.
func countRungs(n int) int {
	return min(bits.Len(uint(n/firstRung)), len(rungs{}))
}

// begin says whether head, which is shorter, is a beginning of what the rungs are of, as far as they say:
// at least half of it is, unless it is shorter than the first of them.
func (r rungs) begin(head []byte) bool {
	n := countRungs(len(head))
	return n == 0 || rungsOf(head)[n-1] == r[n-1]
}

// A seam is a hash of the n bytes before end: a file that goes on there has them still. The zero
// seam is that of every file.
type seam struct {
	end int64
	n   int
	sum uint64
}

func newSeam(end int64, b []byte) seam {
	if len(b) == 0 {
		return seam{}
	}
	return seam{end: end, n: len(b), sum: fnv(fnvOffset, b)}
}

// holds says whether the file has the seam. What is shorter has not.
func (s seam) holds(file io.ReaderAt) (bool, error) {
	if s.n == 0 {
		return true, nil
	}
	var buf [seamBytes]byte
	n, err := file.ReadAt(buf[:s.n], s.end-int64(s.n))
	if n == s.n {
		return fnv(fnvOffset, buf[:n]) == s.sum, nil
	}
	if err == io.EOF {
		return false, nil
	}
	return false, fmt.Errorf("read %d bytes before %d: %w", s.n, s.end, err)
}

// A status is what the file system says of a file at the moment.
type status struct {
	inode
	size     int64
	modified time.Time
	links    uint64 // 0: removed, and only the handle keeps it
	regular  bool
}

// statusOf is the status that a directory's entry has.
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
	return newStatus(&st), nil
}

// lookAt asks for the status of what a path leads to.
func lookAt(path string) (status, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return status{}, fmt.Errorf("stat %s: %w", path, err)
	}
	return newStatus(&st), nil
}

func newStatus(st *unix.Stat_t) status {
	return status{
		inode: inode{dev: uint64(st.Dev), ino: uint64(st.Ino)},
		size:  st.Size,
		links: uint64(st.Nlink),

		modified: time.Unix(st.Mtim.Unix()),
		regular:  uint32(st.Mode)&unix.S_IFMT == unix.S_IFREG,
	}
}

// readHead reads the beginning of a file into buf, which has room for fingerprintBytes.
func readHead(h io.ReaderAt, buf []byte) ([]byte, error) {
	n, err := h.ReadAt(buf[:fingerprintBytes], 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the beginning: %w", err)
	}
	return buf[:n], nil
}
