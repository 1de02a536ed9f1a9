package tail

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAGrowingFileIsReadAsItGrows(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\ntwo\r\n")
	r.start()
	r.want(r.read(), "one", "two")
	r.write("a.log", "\nthree\n")
	r.want(r.look(), "", "three")
	r.want(r.look())
	if s := r.balanced(); s.BytesRead != 16 || s.LinesEmitted != 4 || s.BytesUnread != 0 {
		t.Fatalf("got %+v", s)
	}
}

func TestAnUnterminatedLineIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\nhal")
	r.start()
	r.want(r.read(), "one")
	r.want(r.pass(time.Minute))
	r.write("a.log", "f")
	r.want(r.pass(time.Minute))
	r.write("a.log", " a line\n")
	r.want(r.look(), "half a line")
}

func TestAFileThatAppearsLaterIsReadFromItsBeginning(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StartAt = StartAtEnd })
	r.start()
	r.write("a.log", "one\n")
	r.want(r.scan(), "one")
}

func TestStartAtEndSkipsWhatWasThere(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StartAt = StartAtEnd })
	r.write("a.log", "old\nhal")
	r.start()
	r.want(r.read())
	r.write("a.log", "f\nnew\n")
	r.want(r.look(), "half", "new")
}

func TestStartAtEndIsRememberedBeforeTheFirstLine(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StartAt = StartAtEnd })
	r.write("a.log", "old\n")
	r.start()
	r.want(r.read())
	r.restart()
	r.write("a.log", "new\n")
	r.restart()
	r.want(r.read(), "new")
}

func TestStartAtEndReadsTheSuccessorOfAKnownFile(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StartAt = StartAtEnd })
	r.write("a.log", "old\n")
	r.start()
	r.want(r.read())
	r.rename("a.log", "a.log.1")
	r.write("a.log", "new\n")
	r.restart()
	r.want(r.read(), "new")
}

func TestExcludedFilesAreNotRead(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Exclude = []string{"*.gz", "/*/b.log", "secret*"} })
	r.write("a.log", "one\n")
	r.write("a.log.gz", "two\n")
	r.write("secret.log", "three\n")
	r.start()
	r.want(r.read(), "one")

	r.cfg[0].Exclude = []string{r.path("b.log")}
	r.write("b.log", "four\n")
	r.want(r.scan(), "four")
	r.cfg[0].Exclude = []string{r.path("c.log")}
	r.write("c.log", "five\n")
	r.restart()
	r.want(sorted(r.read()), "three", "two")
}

func TestTheFirstConfigurationThatMatchesDecides(t *testing.T) {
	r := newRig(t)
	first := r.cfg[0]
	first.Include, first.MaxLineBytes = []string{r.path("a.log")}, 2
	r.cfg = []Config{first, r.cfg[0]}
	r.write("a.log", "long\n")
	r.write("b.log", "long\n")
	r.start()
	got := r.read()
	if strings.Join(got, " ") != "lo! long" && strings.Join(got, " ") != "long lo!" {
		t.Fatalf("got %q", got)
	}
}

func TestOneFileWithTwoNamesIsReadOnce(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.must(os.Link(r.path("a.log"), r.path("b.log")))
	r.must(os.Symlink(r.path("a.log"), r.path("c.log")))
	r.must(os.Symlink(r.path("loop.log"), r.path("loop.log")))
	r.must(os.Symlink(r.dir, r.path("up.log")))
	r.start()
	r.want(r.read(), "one")
	r.write("c.log", "two\n")
	r.want(r.look(), "two")
	r.want(r.scan())
}

func TestALongLineIsCutAndItsRestIsNotALine(t *testing.T) {
	for _, size := range []int{11, 300, windowBytes, 3*windowBytes + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.MaxLineBytes = 10 })
			r.write("a.log", "one\n"+strings.Repeat("x", size)+"\ntwo\n")
			r.start()
			r.want(r.read(), "one", "xxxxxxxxxx!", "two")
			s := r.balanced()
			if s.Truncated != 1 || s.BytesDropped != uint64(size-10) || s.BytesUnread != 0 {
				t.Fatalf("got %+v", s)
			}
			r.restart()
			r.want(r.read())
		})
	}
}

func TestALongLineThatGrowsIsNotKeptBeyondTheLimit(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxLineBytes = 1000 })
	r.start()
	for range 50 {
		r.write("a.log", strings.Repeat("x", 100_000))
		r.want(r.scan())
	}
	if kept := unfinishedBytes - r.tailer.budget.Load(); kept > 1000+markup {
		t.Fatalf("%d bytes are kept of a line of which 1000 are wanted", kept)
	}
	r.write("a.log", "\nshort\n")
	r.want(r.look(), strings.Repeat("x", 1000)+"!", "short")
	if left := r.tailer.budget.Load(); left != unfinishedBytes {
		t.Fatalf("%d bytes are still kept", unfinishedBytes-left)
	}
}

func TestWhenTooMuchIsUnfinishedLinesAreCutButComeOut(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Format = FormatPlain })
	r.start()
	r.tailer.budget.Store(150)
	r.write("a.log", strings.Repeat("a", 100))
	r.write("b.log", strings.Repeat("b", 100))
	r.want(r.scan())
	r.write("a.log", "\n")
	r.write("b.log", "\n")
	got := r.look()
	if len(got) != 2 || !strings.Contains(got[0]+got[1], "!") {
		t.Fatalf("got %q", got)
	}
	if left := r.tailer.budget.Load(); left != 150 {
		t.Fatalf("%d of 150 bytes came back", left)
	}
	r.balanced()
}

func TestAChunkThatIsNotTakenIsOfferedAgain(t *testing.T) {
	r := newRig(t)
	r.write("a.log", cri("stdout", "P", "o1 ")+cri("stderr", "F", "e1")+cri("stdout", "P", "o2 "))
	r.start()
	for range 3 {
		c := r.next()
		r.want(texts(c), "e1 (stderr)")
		r.tailer.Done(c, false)
	}
	r.write("a.log", cri("stdout", "F", "o3")+cri("stderr", "F", "e2"))
	r.want(r.look(), "e1 (stderr)", "o1 o2 o3 (stdout)", "e2 (stderr)")
	if s := r.balanced(); s.LinesEmitted != 3 || s.LinesJoined != 2 {
		t.Fatalf("got %+v", s)
	}
}

func TestWhatIsSafeAfterAllIsNotOfferedAgain(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	c := r.next()
	r.pos.Apply(c.Cursor)
	r.tailer.Done(c, false)
	r.write("a.log", "two\n")
	r.want(r.look(), "two")
}

func TestAFileWhoseChunkIsOutIsNotHandedOut(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	c := r.next()
	r.write("a.log", "two\n")
	r.tailer.look(r.now)
	r.tailer.scan(r.now)
	if other := r.next(); other != nil {
		t.Fatalf("got %q", texts(other))
	}
	r.want(r.take(c), "one")
	r.tailer.Done(c, true) // has no meaning
	r.want(r.read(), "two")
}

func TestABusyFileDoesNotStarveTheOthers(t *testing.T) {
	const files = 500
	r := newRig(t)
	r.maxOpen = 100
	big := strings.Repeat(strings.Repeat("x", 99)+"\n", 3*windowBytes/100)
	r.write("a.log", big)
	for i := range files {
		r.write(fmt.Sprintf("b%03d.log", i), fmt.Sprintf("line of %d\n", i))
	}
	r.start()
	r.tailer.scan(r.now)
	turns, seen := 0, make(map[string]int)
	for c := r.next(); c != nil; c = r.next() {
		turns++
		if c.Bytes > windowBytes+100 { // one line more, that began in the turn before
			t.Fatalf("%d bytes in a turn", c.Bytes)
		}
		if seen[c.Path] > 0 && len(seen) < files+1 {
			t.Fatalf("%s has its second turn when only %d files had one", c.Path, len(seen))
		}
		seen[c.Path]++
		r.take(c)
		if len(seen) <= files {
			r.write("a.log", "and more\n")
			r.tailer.look(r.now)
		}
	}
	if len(seen) != files+1 {
		t.Fatalf("%d files had their turn in %d turns", len(seen), turns)
	}
	if s := r.balanced(); s.FilesOpen > 100 || s.FilesKnown != files+1 || s.BytesUnread != 0 {
		t.Fatalf("got %+v", s)
	}
}

func TestClosedFilesAreReadOn(t *testing.T) {
	r := newRig(t)
	r.maxOpen = 2
	for i := range 10 {
		r.write(fmt.Sprintf("%d.log", i), "one\nha")
	}
	r.start()
	if got := r.read(); len(got) != 10 {
		t.Fatalf("got %q", got)
	}
	for i := range 10 {
		r.write(fmt.Sprintf("%d.log", i), "lf\n")
	}
	if got := strings.Join(r.scan(), " "); got != strings.TrimSpace(strings.Repeat("half ", 10)) {
		t.Fatalf("got %q", got)
	}
	if s := r.balanced(); s.FilesOpen != 2 {
		t.Fatalf("%d files are open", s.FilesOpen)
	}
}

func TestAClosedFileWhoseInodeIsUsedAgainIsAnotherFile(t *testing.T) {
	for _, first := range []string{"new", "one"} {
		r := newRig(t)
		r.maxOpen = 1
		r.write("a.log", "one\n")
		r.write("b.log", "two\n")
		r.start()
		r.want(r.read(), "one", "two") // a is closed now
		ino := r.inode("a.log")
		r.remove("a.log")
		r.write("a.log", first+"\nfile\n")
		if r.inode("a.log") != ino {
			t.Log("this file system did not use the inode again")
		}
		r.want(r.scan(), first, "file")
	}
}

func (r *rig) inode(name string) inode {
	r.t.Helper()
	info, err := os.Stat(r.path(name))
	r.must(err)
	st, _ := statusOf(info)
	return st.inode
}
