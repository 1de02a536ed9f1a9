package tail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// open starts a Tailer that looks by itself, but only when it is notified.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.tailer, err = newTailer(r.cfg, r.pos, nil, nil); err != nil {
		r.t.Fatal(err)
	}
	r.tailer.lookEvery, r.tailer.scanEvery = time.Hour, time.Hour
	r.tailer.start()
}

// await is the lines of the next chunk.
func (r *rig) await() []string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := r.tailer.Next(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if lines := r.take(c); len(lines) > 0 {
			return lines
		}
	}
}

func (r *rig) mkdir(name string) { r.t.Helper(); r.must(os.MkdirAll(r.path(name), 0o700)) }
func (r *rig) link(to, name string) {
	r.t.Helper()
	r.must(os.Symlink(to, r.path(name)))
}

func TestNotificationsWakeNext(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Include[0] = filepath.Join(filepath.Dir(c.Include[0]), "*/*/*.log") })
	r.mkdir("pod1/app")
	r.write("pod1/app/0.log", "one\n")
	r.open()
	r.want(r.await(), "one")
	r.write("pod1/app/0.log", "two\n")
	r.want(r.await(), "two")
	r.rename("pod1/app/0.log", "pod1/app/0.log.1")
	r.write("pod1/app/0.log", "new file\n")
	r.want(r.await(), "new file")
	r.mkdir("pod2/app")
	r.write("pod2/app/0.log", "new directory\n")
	r.want(r.await(), "new directory")
	r.must(os.RemoveAll(r.path("pod2")))
	r.mkdir("pod2/app")
	r.write("pod2/app/0.log", "again\n")
	r.want(r.await(), "again")
	r.write("pod2/app/0.log", "and on\n")
	r.want(r.await(), "and on")
}

func TestAFileBelowADirectoryThatWasNotThereIsFoundAtOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Include[0] = filepath.Join(filepath.Dir(c.Include[0]), "var/log/pods/*/*.log") })
	r.open()
	r.mkdir("var/log/pods/a")
	r.write("var/log/pods/a/0.log", "one\n")
	r.want(r.await(), "one")
}

// The file system of processes is one that notifies of nothing.
func TestADirectoryThatDoesNotNotifyIsLookedAt(t *testing.T) {
	var log bytes.Buffer
	w := newWatcher(slog.New(slog.NewTextHandler(&log, nil)))
	defer w.close()
	dir := t.TempDir()
	w.follow(map[string]bool{"/proc/self": true, dir: true})
	if w.works() || w.covers(&file{name: "/proc/self/status"}) || !w.covers(&file{name: filepath.Join(dir, "a.log")}) {
		t.Fatalf("watched %v, blind %v", w.dirs, w.blind)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "file_system=proc") {
		t.Fatalf("logged %q", log.String())
	}
	w.follow(map[string]bool{dir: true})
	if !w.works() {
		t.Fatal("it is over when the directory is")
	}
}

func TestNotificationsAreHeardThroughLinks(t *testing.T) {
	r := newRig(t)
	r.mkdir("target")
	r.write("target/0", "one\n")
	r.link(r.path("target/0"), "a.log")
	r.open()
	r.want(r.await(), "one")
	r.write("target/0", "two\n")
	r.want(r.await(), "two")
	r.rename("target/0", "target/1")
	r.write("target/0", "new\n")
	r.want(r.await(), "new")
}

func TestWithoutNotificationsTheLooksSuffice(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	var err error
	if r.tailer, err = newTailer(r.cfg, r.pos, nil, nil); err != nil {
		t.Fatal(err)
	}
	r.tailer.lookEvery, r.tailer.scanEvery = time.Millisecond, 2*time.Millisecond
	r.tailer.running.Go(r.tailer.run)
	r.want(r.await(), "one")
	r.write("a.log", "two\n")
	r.want(r.await(), "two")
	r.rename("a.log", "a.log.1")
	r.write("a.log", "three\n")
	r.want(r.await(), "three")
}

func TestRotationUnderLoadLosesNothing(t *testing.T) {
	r := newRig(t)
	const rotations, lines = 20, 300
	r.open()
	var want []string
	var writer sync.WaitGroup
	for i := range rotations * lines {
		want = append(want, strings.Repeat("x", i%50)+" line "+string(rune('a'+i%26))+" "+time.Duration(i).String())
	}
	writer.Go(func() {
		for i := range rotations {
			f, err := os.Create(r.path("a.log"))
			if err != nil {
				t.Error(err)
				return
			}
			for j, l := range want[i*lines : (i+1)*lines] {
				if j == lines/2 && i < rotations-1 {
					// The program writes on for a while.
					if err := os.Rename(r.path("a.log"), r.path("a.log.")+time.Duration(i).String()); err != nil {
						t.Error(err)
					}
				}
				if _, err := f.WriteString(l + "\n"); err != nil {
					t.Error(err)
				}
			}
			f.Close()
		}
	})
	var got []string
	for len(got) < len(want) {
		got = append(got, r.await()...)
	}
	writer.Wait()
	r.want(sorted(got), sorted(want)...)
	r.balanced()
}

func TestManyMayCallNext(t *testing.T) {
	r := newRig(t)
	const files = 50
	for i := range files {
		r.write(time.Duration(i).String()+".log", "one\n")
	}
	r.open()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	left := make(chan struct{}, files)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				c, err := r.tailer.Next(ctx)
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				for range c.Lines {
					left <- struct{}{}
				}
				r.pos.Apply(c.Cursor)
				r.tailer.Done(c, true)
			}
		})
	}
	for range files {
		<-left
	}
	r.must(r.tailer.Close())
	workers.Wait()
	r.must(r.tailer.Close())
}

func TestNextReturnsTheCauseOfItsContext(t *testing.T) {
	r := newRig(t)
	r.open()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := r.tailer.Next(ctx); !errors.Is(err, why) {
		t.Fatalf("got %v", err)
	}
}

func TestAChunkOutlivesClose(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	c := r.next()
	r.must(r.tailer.Close())
	r.want(texts(c), "one")
	r.tailer.Done(c, true)
	if _, err := r.tailer.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
	if s := r.balanced(); s.FilesOpen != 0 {
		t.Fatalf("%d files are open", s.FilesOpen)
	}
}

func TestAFileThatCouldNotBeReadIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.must(r.tailer.files[r.inode("a.log")].handle.Close()) // as if the device had failed
	r.want(r.read())
	if s := r.balanced(); s.ReadErrors != 1 {
		t.Fatalf("got %+v", s)
	}
	r.want(r.look(), "one")
}

func TestWhatIsNotARegularFileIsNotRead(t *testing.T) {
	r := newRig(t)
	r.mkdir("a.log")
	r.must(syscall.Mkfifo(r.path("b.log"), 0o600))
	r.start()
	r.want(r.read())
	r.remove("a.log")
	r.write("a.log", "one\n")
	r.want(r.scan(), "one")
}
