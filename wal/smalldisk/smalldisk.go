// Package smalldisk gives a test a file system that it can fill to the last block.
package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// On runs the test on a file system of its own: ext4 in a file where the process may
// mount that, else tmpfs. Without the rights for either the test runs itself again in a user and
// mount namespace of its own, which has those for tmpfs.
func On(t *testing.T, mib int, test func(t *testing.T, disk string)) {
	t.Helper()
	dir := t.TempDir()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	kind := "ext4"
	if _, err := exec.Command("sh", "-c", fmt.Sprintf("mkfs.ext4 -q -m 0 %s && mount -o loop %s %s", image, image, dir)).CombinedOutput(); err != nil {
		kind = "tmpfs"
		out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "none", dir).CombinedOutput()
		if err != nil && os.Getenv("SPILLWAY_OWN_NAMESPACE") == "" {
			again := exec.Command("unshare", "--map-root-user", "--mount", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
			again.Env = append(os.Environ(), "SPILLWAY_OWN_NAMESPACE=1")
			if out, err := again.CombinedOutput(); err != nil {
				t.Fatalf("in a namespace of its own: %v: %s", err, out)
			}
			return
		}
		if err != nil {
			t.Fatalf("mount: %v: %s: run as root, or allow user namespaces", err, out)
		}
	}
	t.Logf("on %s", kind)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	test(t, dir)
}

// Fill writes until the disk has no block left, and returns how to undo it.
func Fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "somebody-elses")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			block = block[:len(block)/2]
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
