//go:build !linux

package tail

import "os"

func birth(*os.File) int64 { return 0 }

// birthAt is not known here either.
func birthAt(string) (id inode, at int64, ok bool) { return inode{}, 0, false }
