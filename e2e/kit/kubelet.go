package kit

import (
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Kubelet rotates the log of a container in the kubelet's own order.
type Kubelet struct {
	Log      *CRILog
	MaxFiles int // with the one that is written, at least 2
	// Collide has rotations in one second give the same name, as the kubelet's do, where the file that
	// had it was evicted before. Else every name is used once.
	Collide bool

	second string // of the last rotation
	within int    // it, how many came before
}

// Pass is one rotation. Without evict the oldest files stay, unlike the kubelet's. If the runtime does
// not reopen its log, the file is renamed back.
//
// The order is that of pkg/kubelet/logs/container_log_manager.go: leftovers go, the oldest files go, what
// was rotated before is compressed, and only then the file is renamed and the runtime is told. So the
// newest rotated file is always plain, and is still written to until the runtime has heard.
func (k *Kubelet) Pass(evict, reopens bool) error {
	rotated, err := k.rotated()
	if err != nil {
		return err
	}
	if excess := len(rotated) - max(0, k.MaxFiles-2); evict && excess > 0 {
		for _, name := range rotated[:excess] {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		rotated = rotated[excess:]
	}
	for _, name := range rotated {
		if strings.HasSuffix(name, gz) {
			continue
		}
		if err := Compress(name); err != nil {
			return err
		}
	}
	to, err := k.next(evict)
	if err != nil {
		return err
	}
	if err := os.Rename(k.Log.Name(), to); err != nil {
		return err
	}
	if !reopens {
		return os.Rename(to, k.Log.Name())
	}
	return k.Log.Reopen()
}

const (
	gz  = ".gz"
	tmp = ".tmp"
)

// rotated is the files that were rotated before, oldest first. What an earlier pass left behind is
// removed: halves of compressed files, and files that are compressed already.
func (k *Kubelet) rotated() ([]string, error) {
	all, err := filepath.Glob(k.Log.Name() + ".*")
	if err != nil {
		return nil, err
	}
	kept := all[:0:0]
	for _, name := range all {
		if strings.HasSuffix(name, tmp) || slices.Contains(all, name+gz) {
			if err := os.Remove(name); err != nil {
				return nil, err
			}
			continue
		}
		kept = append(kept, name)
	}
	slices.SortFunc(kept, func(a, b string) int { return cmp.Compare(strings.TrimSuffix(a, gz), strings.TrimSuffix(b, gz)) })
	return kept, nil
}

// next is the name for the next rotated file.
func (k *Kubelet) next(evicted bool) (string, error) {
	second := time.Now().UTC().Format("20060102-150405")
	switch {
	case second != k.second:
		k.second, k.within = second, 0
	case !k.Collide || !evicted:
		k.within++
	}
	for ; ; k.within++ {
		name := fmt.Sprintf("%s.%s", k.Log.Name(), second)
		if k.within > 0 {
			name += fmt.Sprintf("-%03d", k.within)
		}
		plain, err := exists(name)
		if err != nil {
			return "", err
		}
		compressed, err := exists(name + gz)
		if err != nil {
			return "", err
		}
		if !plain && !compressed {
			return name, nil
		}
	}
}

func exists(name string) (bool, error) {
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Compress makes name.gz of a file, which is whole when it has that name.
func Compress(name string) (err error) {
	from, err := os.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(name+tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(to)
	_, err = io.Copy(z, from)
	if err = errors.Join(err, z.Close(), to.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+tmp, name+gz); err != nil {
		return err
	}
	return os.Remove(name)
}
