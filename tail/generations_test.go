package tail

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A pass of the kubelet comes between the listing of a directory and the look at what is in it: the
// generation that nobody has seen has another name by then.
func TestAGenerationThatIsCompressedWhileItIsLookedFor(t *testing.T) {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path("0.log")}
	at := time.Now().Add(time.Hour) // of lines: none is older than the tailer
	line := func(text string) string {
		at = at.Add(time.Second)
		return fmt.Sprintf("%s stdout F %s\n", at.UTC().Format(time.RFC3339Nano), text)
	}
	r.write("0.log", line("one"))
	r.start()
	r.want(r.read(), "one (stdout)")
	r.rename("0.log", "0.log.20260102-030405")
	r.write("0.log", line("two"))
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", line("three"))

	places := make(directories)
	places.list(r.dir)
	const name = "0.log.20260102-030406"
	text, err := os.ReadFile(r.path(name))
	r.must(err)
	r.must(os.WriteFile(r.path(name+".gz"), compressed(text), 0o600))
	r.remove(name)
	r.must(r.tailer.discover(r.path("0.log"), r.now))
	r.tailer.mu.Lock()
	r.tailer.catchUp(places)
	r.tailer.mu.Unlock()
	r.want(sorted(append(r.read(), r.pass(20*time.Second)...)), "three (stdout)", "two (stdout)")
	if s := r.balanced(); s.BytesMissed != 0 {
		t.Errorf("%d bytes missed", s.BytesMissed)
	}
}

// What had the path at the first scan is renamed before it is opened, and nothing else is left of what
// was known of the path: it is the next scan's.
func TestAGenerationThatIsRenamedBeforeItIsOpened(t *testing.T) {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path("0.log")}
	r.write("0.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.must(r.tailer.Close())
	r.remove("0.log")
	r.restart() // which finds nothing there
	r.want(r.read())
	r.write("0.log", "two\n")
	r.tailer.began = time.Now() // "two" was there before
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", "three\n")
	r.want(sorted(append(r.scan(), r.pass(20*time.Second)...)), "three", "two")
}

// The same at the very first start, when nothing is known of any log.
func TestALogThatIsRenamedBeforeTheFirstStartOpensIt(t *testing.T) {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path("0.log")}
	r.write("0.log", cri("stdout", "F", "one"))
	r.tick()
	r.create()
	seen, dirs := r.tailer.see()
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", printed("two"))
	r.tailer.compare(seen, dirs, r.now)
	r.want(sorted(append(r.scan(), r.pass(20*time.Second)...)), "one (stdout)", "two (stdout)")
}

// The agent is killed when it has read the file that is written, and not yet those that were rotated
// while it was away before. At its next start the file is renamed before it is opened, so that the one after it
// is the first that has the path: what is looked for is older than the newest that is known.
func TestGenerationsThatACrashCameBefore(t *testing.T) {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path("0.log")}
	at := time.Now()
	line := func(text string) string {
		at = at.Add(10 * time.Millisecond)
		return fmt.Sprintf("%s stdout F %s\n", at.UTC().Format(time.RFC3339Nano), text)
	}
	r.write("0.log", line("one"))
	r.start()
	r.want(r.read(), "one (stdout)")
	r.must(r.tailer.Close())
	r.rename("0.log", "0.log.20260102-030405")
	r.write("0.log", line("two"))
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", line("three"))
	r.restart()
	var others []*Chunk
	for c := r.next(); c != nil; c = r.next() {
		if lines := texts(c); len(lines) != 1 || lines[0] != "three (stdout)" {
			others = append(others, c)
			continue
		}
		r.take(c)
	}
	for _, c := range others {
		r.tailer.Done(c, false)
	}
	r.must(r.tailer.Close())
	r.rename("0.log", "0.log.20260102-030407")
	r.write("0.log", line("four"))

	r.create()
	seen, dirs := r.tailer.see()
	r.rename("0.log", "0.log.20260102-030408")
	r.write("0.log", line("five"))
	r.tailer.compare(seen, dirs, r.now)
	r.want(sorted(append(r.scan(), r.pass(20*time.Second)...)), "five (stdout)", "four (stdout)", "two (stdout)")
}

// printed is a line of a container, of now.
func printed(text string) string {
	return fmt.Sprintf("%s stdout F %s\n", time.Now().UTC().Format(time.RFC3339Nano), text)
}

// rotatedOnce is a rig whose log was read and rotated since, and has a successor that is empty and that nobody has seen.
func rotatedOnce(t *testing.T, include string) *rig {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path(include)}
	r.write("0.log", printed("one"))
	r.start()
	r.want(r.read(), "one (stdout)")
	r.rename("0.log", "0.log.20260102-030405")
	r.write("0.log", "")
	return r
}

// A generation is found when it has just been compressed: that file is younger than the next generation, which nobody
// has seen yet, and which is renamed before anybody does.
func TestAGenerationBehindOneThatWasFoundCompressed(t *testing.T) {
	r := rotatedOnce(t, "0.log")
	r.write("0.log", printed("two"))
	r.must(r.tailer.discover(r.path("0.log"), r.now)) // what is between is looked for at the next look
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", printed("three"))
	r.rename("0.log", "0.log.20260102-030407")
	r.write("0.log", printed("four"))
	r.tick()
	r.compress("0.log.20260102-030407")
	r.want(sorted(r.look()), "three (stdout)", "two (stdout)")
	r.rename("0.log", "0.log.20260102-030408")
	r.write("0.log", printed("five"))
	r.must(r.tailer.discover(r.path("0.log"), r.now))
	r.want(sorted(append(r.read(), r.pass(20*time.Second)...)), "five (stdout)", "four (stdout)")
	if s := r.balanced(); s.BytesMissed != 0 {
		t.Errorf("%d bytes missed", s.BytesMissed)
	}
}

// A log begins while nobody looks, and the first scan sees it, or the moment in which it is rotated, and never opens
// what it saw.
func TestGenerationsOfALogThatBeganBeforeTheTailer(t *testing.T) {
	for _, seen := range []bool{true, false} {
		r := newRig(t)
		r.cfg[0].Include = []string{r.path("*.log")}
		r.write("0.log", printed("zero"))
		r.start()
		r.want(r.read(), "zero (stdout)")
		r.must(r.tailer.Close())
		r.write("1.log", printed("one"))
		r.rename("1.log", "1.log.20260102-030405")
		r.write("1.log", printed("two"))
		r.tick()
		r.create()
		r.tailer.began = time.Now()
		if !seen {
			r.rename("1.log", "1.log.20260102-030406")
		}
		found, dirs := r.tailer.see()
		if seen {
			r.rename("1.log", "1.log.20260102-030406")
		}
		r.write("1.log", printed("three"))
		r.tailer.compare(found, dirs, r.now)
		r.want(sorted(append(r.scan(), r.pass(20*time.Second)...)), "one (stdout)", "three (stdout)", "two (stdout)")
	}
}

// A generation that nobody has seen has the inode of one that was compressed, whose turn is about to find that out when
// it is looked for.
func TestAGenerationWithTheInodeOfAFileWhoseTurnItIs(t *testing.T) {
	r := newRig(t)
	r.maxOpen = 1
	r.cfg[0].Include = []string{r.path("*.log")}
	r.write("0.log", "one\n")
	r.write("1.log", "other\n")
	r.start()
	r.want(r.read(), "one", "other") // the first is closed now
	f := r.tailer.files[r.inode("0.log")]
	r.rename("0.log", "0.log.20260102-030405")
	r.compress("0.log.20260102-030405")
	r.tick()
	r.write("0.log", "two\n")
	if r.inode("0.log") != f.id.inode {
		t.Log("this file system did not use the inode again")
	}
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", "three\n")

	r.tailer.mu.Lock()
	f.busy = true // as poll has it, before the turn has opened it
	r.tailer.mu.Unlock()
	r.must(r.tailer.discover(r.path("0.log"), r.now))
	got := r.scan()
	r.tailer.mu.Lock()
	r.tailer.release(f)
	r.tailer.mu.Unlock()
	r.want(sorted(append(got, r.pass(20*time.Second)...)), "three", "two")
	if s := r.balanced(); s.BytesMissed != 0 {
		t.Errorf("%d bytes missed", s.BytesMissed)
	}
}

// Rotated files move on between a look at a directory and what follows from it: each name that was seen
// leads to another file by then, and the last one nowhere.
func TestRotatedFilesThatMoveOnDuringAScan(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Exclude = nil })
	var want []string
	r.write("app.log", "0\n")
	r.start()
	const files = 5
	for i := range files {
		want = append(want, fmt.Sprint(i))
		for n := i; n > 0; n-- {
			r.rename(fmt.Sprintf("app.log.%d.gz", n), fmt.Sprintf("app.log.%d.gz", n+1))
		}
		r.rename("app.log", "app.log.1")
		text, err := os.ReadFile(r.path("app.log.1"))
		r.must(err)
		r.must(os.WriteFile(r.path("app.log.1.gz"), compressed(text), 0o600))
		r.remove("app.log.1")
		r.write("app.log", fmt.Sprintf("%d\n", i+1))
		r.tick()
	}
	want = append(want, fmt.Sprint(files))
	r.want(sorted(append(r.read(), r.pass(30*time.Second)...)), want...)

	shift := func() {
		for n := 20; n > 0; n-- {
			if from := fmt.Sprintf("app.log.%d.gz", n); exists(r.path(from)) {
				r.rename(from, fmt.Sprintf("app.log.%d.gz", n+1))
			}
		}
	}
	for range 3 {
		shift()
		seen, dirs := r.tailer.see()
		shift()
		r.tailer.compare(seen, dirs, r.now)
		r.want(r.pass(30 * time.Second))
	}
	r.restart()
	r.want(r.pass(time.Minute))
}

// Files that were evicted are not remembered for as long as their log goes on.
func TestFilesThatAreGoneAreBounded(t *testing.T) {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path("0.log")}
	r.write("0.log", "first\n")
	r.start()
	var want, got []string
	got = append(got, r.read()...)
	want = append(want, "first")
	for i := range 3 * maxAway {
		rotated := fmt.Sprintf("0.log.20260102-0304%02d", i)
		r.rename("0.log", rotated)
		line := fmt.Sprint("line ", i)
		r.write("0.log", line+"\n")
		want = append(want, line)
		r.tick()
		got = append(got, r.scan()...)
		got = append(got, r.pass(9*time.Second)...) // its handle is closed
		r.remove(rotated)
		got = append(got, r.scan()...)
	}
	got = append(got, r.pass(time.Minute)...)
	r.want(got, want...)
	if s := r.balanced(); s.FilesKnown > maxAway+1 || s.BytesMissed > 0 {
		t.Errorf("%d files are known, %d bytes missed", s.FilesKnown, s.BytesMissed)
	}
	if n := len(r.pos.all()); n > maxAway+1 {
		t.Errorf("%d positions", n)
	}
	r.restart()
	r.want(r.pass(time.Minute))
}

// Copies of a log from before the first start are nobody's business, not at the next start either, though the file that
// they were made of is older than they are.
func TestCopiesFromBeforeTheFirstStartAreLeftAlone(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Include = []string{c.Include[0][:len(c.Include[0])-1]} })
	r.write("app.log", "old\n")
	r.ago(20 * time.Millisecond)
	r.write("app.log.1", "old\n")
	r.truncate("app.log")
	r.write("app.log", "new\n")
	r.ago(20 * time.Millisecond)
	r.start()
	r.want(r.pass(10*time.Second), "new")
	for range 2 {
		r.restart()
		r.want(r.pass(40 * time.Second))
	}
	r.write("app.log", "newer\n")
	r.want(r.pass(10*time.Second), "newer")
}

// A generation that the globs match is there when what was between is looked for, and compressed when the next scan comes.
func TestAGenerationInTheGlobsThatIsCompressedBeforeTheScan(t *testing.T) {
	r := rotatedOnce(t, "*.log*")
	r.write("0.log", printed("two"))
	r.rename("0.log", "0.log.20260102-030406")
	r.write("0.log", printed("three"))
	r.must(r.tailer.discover(r.path("0.log"), r.now))
	r.want(r.look(), "three (stdout)")
	r.compress("0.log.20260102-030406")
	r.want(append(r.scan(), r.pass(20*time.Second)...), "two (stdout)")
}

// A file is seen while it is empty, and closed. It is known when its successor asks for what was between; then it is
// compressed, and another one has its inode before anybody sees that.
func TestAnEmptyFileWhoseInodeIsUsedAgain(t *testing.T) {
	r := rotatedOnce(t, "*.log")
	r.tailer.maxOpen = 1
	r.must(r.tailer.discover(r.path("0.log"), r.now))
	r.write("1.log", printed("other"))
	r.want(r.scan(), "other (stdout)") // the empty one is closed now
	r.write("0.log", printed("two"))
	was := r.inode("0.log")
	r.rename("0.log", "0.log.20260102-030406")
	r.tick()
	r.write("0.log", printed("three"))
	r.must(r.tailer.discover(r.path("0.log"), r.now))
	r.want(r.look(), "three (stdout)")
	r.compress("0.log.20260102-030406")
	r.rename("0.log", "0.log.20260102-030407")
	r.tick()
	r.write("0.log", printed("four"))
	if r.inode("0.log") != was {
		t.Log("this file system did not use the inode again")
	}
	r.want(sorted(append(r.scan(), r.pass(20*time.Second)...)), "four (stdout)", "two (stdout)")
}

// What one search for unseen generations did not see, the one that the next rotation asks for does.
func TestAGenerationThatOneSearchMissed(t *testing.T) {
	r := rotatedOnce(t, "0.log")
	r.write("0.log", printed("two"))
	r.rename("0.log", "away") // as if no listing had it
	r.write("0.log", printed("three"))
	r.want(append(r.scan(), r.pass(time.Minute)...), "three (stdout)")
	r.rename("away", "0.log.20260102-030406")
	r.want(r.pass(20 * time.Second))
	r.rename("0.log", "0.log.20260102-030407")
	r.write("0.log", printed("four"))
	r.want(sorted(append(r.scan(), r.pass(20*time.Second)...)), "four (stdout)", "two (stdout)")
}

// Compressed generations that begin alike are not each other's copies, though none of them was read yet.
func TestCompressedGenerationsThatBeginAlike(t *testing.T) {
	r := newRig(t)
	r.cfg[0].Include = []string{r.path("app.log")}
	banner := strings.Repeat("a banner that every generation begins with\n", 30)
	r.write("app.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	var want []string
	for i, name := range []string{"app.log.1", "app.log.2", "app.log.3"} {
		text := fmt.Sprintf("generation %d\n", i) // of the same length
		r.write(name, banner+text)
		r.compress(name)
		want = append(want, strings.TrimSpace(text))
	}
	r.rename("app.log", "app.log.4")
	r.write("app.log", "two\n")
	var got []string
	for _, line := range append(r.scan(), r.pass(2*time.Minute)...) {
		if !strings.HasPrefix(line, "a banner") {
			got = append(got, line)
		}
	}
	r.want(sorted(got), append(want, "two")...)
}
