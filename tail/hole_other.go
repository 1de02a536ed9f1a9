//go:build !linux

package tail

import "io"

// nextData is where behind pos the file has bytes; elsewhere holes are read as NULs.
func nextData(_ io.ReaderAt, pos, _ int64) int64 { return pos }
