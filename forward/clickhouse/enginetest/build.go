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

// binary returns the path of the program, built once per test process. It lies in the user's cache, where the next process finds it
// up to date and need not link it again.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("SPILLWAY_ENGINE_BIN"); path != "" {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build spillway-engine: %w", err)
	}
	dir := filepath.Join(cache, "spillway", "enginetest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build spillway-engine: %w", err)
	}
	// go test runs packages side by side, and each of them comes here.
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("build spillway-engine: %w", err)
	}
	defer unlock()
	path := filepath.Join(dir, "spillway-engine")
	build := exec.Command("go", "build", "-o", path, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build spillway-engine: %w\n%s", err, out)
	}
	// A name of this process's own, so that a later build does not pull the file from under it; the file goes when the last name does.
	own, err := os.MkdirTemp("", "enginetest-bin-")
	if err != nil {
		return "", fmt.Errorf("build spillway-engine: %w", err)
	}
	return link(path, filepath.Join(own, "spillway-engine"))
})
