package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A real pipeline, as in a container: a program that writes as fast as it can, the tee, and a
// reader. Both get SIGTERM in the middle, as a container's processes do. What the reader got is what
// is in the files, and the tee ends well.
func TestATeeInAPipelineLosesNothingOnSIGTERM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "app.log")
	program := exec.Command("seq", "1", "1000000000")
	tee := exec.Command(bin, "tee", file, "--max-size-mib", "4", "--max-files", "1000")
	var err error
	if tee.Stdin, err = program.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := tee.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	tee.Stderr = &said
	for _, c := range []*exec.Cmd{program, tee} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	read := make(chan error, 1)
	grown := make(chan struct{})
	go func() {
		_, err := io.CopyN(&got, out, 20<<20)
		close(grown)
		if err == nil {
			_, err = io.Copy(&got, out)
		}
		read <- err
	}()
	<-grown
	tee.Process.Signal(syscall.SIGTERM)
	program.Process.Signal(syscall.SIGTERM)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	program.Process.Wait()
	if err := tee.Wait(); err != nil || said.Len() > 0 {
		t.Errorf("the tee ended with %v and said %s", err, said.String())
	}
	var files []byte
	n := 0
	for ; ; n++ {
		if _, err := os.Stat(fmt.Sprintf("%s.%d", file, n+1)); err != nil {
			break
		}
	}
	for i := n; i >= 0; i-- {
		name := file
		if i > 0 {
			name = fmt.Sprintf("%s.%d", file, i)
		}
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, part...)
	}
	if !bytes.Equal(files, got.Bytes()) {
		t.Errorf("%d bytes passed on, %d in %d files", got.Len(), len(files), n+1)
	}
	t.Logf("%d bytes in %d files", len(files), n+1)
}

// A program that ignores SIGTERM is given up after the grace; one that ends by itself is not waited for.
func TestATeeEndsWithItsGrace(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tee := exec.Command(bin, "tee", filepath.Join(t.TempDir(), "app.log"), "--grace", "300ms")
	tee.Stdin = r
	out, err := tee.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tee.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, "ready")
	line := make([]byte, 6)
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	tee.Process.Signal(syscall.SIGTERM)
	if err := tee.Wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("it ended after %s", took)
	}
}
