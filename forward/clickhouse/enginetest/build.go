package enginetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

const program = "github.com/spillway-io/spillway/cmd/spillway-engine"

// build makes the program, once per test process, and returns where it is: in the user's cache, where the next process finds it up
// to date and need not link it again.
var build = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "spillway", "enginetest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "spillway-engine")
	return path, locked(path, syscall.LOCK_EX, func() error {
		build := exec.Command("go", "build", "-o", path, program)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
})

// startProgram runs start with the path of the program, while no other test process replaces the file.
func startProgram(start func(path string) error) error {
	if path := os.Getenv("SPILLWAY_ENGINE_BIN"); path != "" {
		return start(path)
	}
	path, err := build()
	if err != nil {
		return fmt.Errorf("build spillway-engine: %w", err)
	}
	return locked(path, syscall.LOCK_SH, func() error { return start(path) })
}

// locked runs f under a lock of the file path + ".lock": go test runs packages side by side, and they share the program.
func locked(path string, how int, f func() error) error {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), how); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}
