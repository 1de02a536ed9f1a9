package manifests

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Below the root of the project.
const (
	root       = "../.."
	kubernetes = root + "/deploy/kubernetes"
	docker     = root + "/deploy/docker"
)

// bin is where TestMain built spillway.
var bin string

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(becomes); ok { // this process is to be a container's
		var s spec
		err := json.Unmarshal([]byte(text), &s)
		fmt.Fprintln(os.Stderr, errors.Join(err, become(s)))
		os.Exit(125)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "spillway-manifests-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = filepath.Join(dir, "spillway")
		build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/spillway")
		build.Dir = root
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
			return 1
		}
		return m.Run()
	}())
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
