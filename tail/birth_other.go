//go:build !linux

package tail

import "os"

func birth(*os.File) int64 { return 0 }
