package tail

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// nextData is where behind pos the file has bytes, when it has a large hole there; else pos.
// A program that did not notice that its file was truncated leaves such a hole: it reads as NULs.
func nextData(file io.ReaderAt, pos, size int64) int64 {
	f, ok := file.(*os.File)
	if !ok || size-pos <= windowBytes {
		return pos
	}
	data, err := unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO:
		data = size
	case err != nil:
		return pos
	}
	if data = min(data, size); data-pos <= windowBytes {
		return pos
	}
	return data
}
