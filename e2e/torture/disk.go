package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A disk is what an agent's log lies on: a small file system of its own that can be filled to the
// last block, where the process may mount one.
type disk struct {
	dir  string
	kind string // "ext4", "tmpfs", or "directory", which cannot be filled
}

// mountDisk mounts ext4 from a file, else tmpfs, else it is a plain directory.
func mountDisk(dir string, mib int) (*disk, error) {
	d := &disk{dir: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, err
	}
	image := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		return nil, err
	}
	for _, way := range []struct {
		kind     string
		commands [][]string
	}{
		{"ext4", [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, d.dir}}},
		{"tmpfs", [][]string{{"mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "none", d.dir}}},
		{"directory", nil},
	} {
		if d.kind = way.kind; all(way.commands) {
			break
		}
	}
	return d, nil
}

// all runs the commands until one fails.
func all(commands [][]string) bool {
	for _, c := range commands {
		if exec.Command(c[0], c[1:]...).Run() != nil {
			return false
		}
	}
	return true
}

func (d *disk) canFill() bool { return d.kind != "directory" }

func (d *disk) junk() string { return filepath.Join(d.dir, "somebody-elses") }

// fill takes every block that is left.
func (d *disk) fill() error {
	f, err := os.Create(d.junk())
	if err != nil {
		return err
	}
	defer f.Close()
	// Blocks are set aside and not written: the device has better things to do.
	at := int64(0)
	for step := int64(64 << 20); step >= 1<<12; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, at, step); {
		case err == nil:
			at += step
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		case !errors.Is(err, syscall.EINTR):
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
	}
	return nil
}

func (d *disk) empty() error {
	if err := os.Remove(d.junk()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// close unmounts. Lazily, for a process that was killed may take a moment to let go of its files.
func (d *disk) close() error {
	if !d.canFill() {
		return nil
	}
	if out, err := exec.Command("umount", "--lazy", d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("umount %s: %w: %s", d.dir, err, out)
	}
	return nil
}
