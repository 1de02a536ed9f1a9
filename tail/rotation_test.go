package tail

import (
	"strings"
	"testing"
	"time"
)

func TestARenamedFileIsReadToItsEndWhileTheNewOneIsReadAtOnce(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.rename("a.log", "a.log.1")
	r.write("a.log.1", "two\nhal") // the program has not noticed yet
	r.write("a.log", "new\n")
	r.want(r.scan(), "two", "new")
	r.write("a.log.1", "f\n")
	r.want(r.look(), "half")
	r.want(r.pass(time.Minute))
	if s := r.balanced(); s.Rotations != 1 || s.FilesKnown != 2 || s.FilesOpen != 1 {
		t.Fatalf("got %+v", s)
	}
	r.write("a.log.1", "late\n") // and much later, the handle being closed
	r.want(r.scan(), "late")
}

func TestChunksOfARenamedFileKeepItsFirstName(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.rename("a.log", "a.log.1")
	r.write("a.log.1", "two\n")
	r.tailer.scan(r.now)
	c := r.next()
	if c.Path != r.path("a.log") {
		t.Fatalf("got %s", c.Path)
	}
	r.tailer.Done(c, false)
	r.restart()
	if c = r.next(); c.Path != r.path("a.log") {
		t.Fatalf("after a restart: got %s", c.Path)
	}
	r.want(r.take(c), "two")
}

func TestTwoRotationsBetweenTwoLooksLoseNothing(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.write("a.log", "two\n")
	r.rename("a.log", "a.log.1")
	r.write("a.log", "three\n")
	r.rename("a.log.1", "a.log.2")
	r.rename("a.log", "a.log.1")
	r.write("a.log", "four\n")
	r.want(sorted(r.scan()), "four", "three", "two")
	r.want(r.pass(time.Minute))
}

func TestAFileThatIsRenamedBackIsTheSameFile(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Include[0] = strings.TrimSuffix(c.Include[0], "*") })
	r.write("a.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	for _, name := range []string{"a.log.20260102-030405", "../elsewhere"} {
		r.rename("a.log", name)
		r.want(r.pass(30 * time.Second))
		r.rename(name, "a.log")
		r.want(r.pass(30 * time.Second))
	}
	r.write("a.log", "two\n")
	r.want(r.look(), "two")
}

func TestAFileRenamedOutsideTheGlobsIsReadOn(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Include[0] = strings.TrimSuffix(c.Include[0], "*") })
	r.write("0.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.rename("0.log", "0.log.20260102-030405")
	r.write("0.log.20260102-030405", "two\n")
	r.want(r.scan(), "two")
	r.want(r.pass(time.Minute)) // its handle is closed now
	r.write("0.log.20260102-030405", "three\n")
	r.rename("0.log.20260102-030405", "0.log.20260102-030406")
	r.want(r.scan(), "three")
	r.write("0.log.20260102-030406", "four\n")
	r.restart() // its name is found again by its inode
	r.want(r.read(), "four")

	r.remove("0.log.20260102-030406") // the kubelet has compressed it
	r.want(r.pass(61 * time.Minute))
	if s := r.balanced(); s.FilesKnown != 0 || s.BytesMissed != 0 {
		t.Fatalf("got %+v", s)
	}
	if n := len(r.pos.all()); n != 0 {
		t.Fatalf("%d positions are left", n)
	}
}

func TestARemovedFileIsReadToItsEndAndForgotten(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.write("a.log", "two\nthe end")
	r.remove("a.log")
	r.want(r.scan(), "one", "two")
	r.want(r.pass(4 * time.Second))
	r.want(r.pass(3*time.Second), "the end+")
	r.pass(3 * time.Second)
	if s := r.balanced(); s.FilesKnown != 0 || s.FilesOpen != 0 || s.Partial != 1 || s.BytesMissed != 0 {
		t.Fatalf("got %+v", s)
	}
	if n := len(r.pos.all()); n != 0 {
		t.Fatalf("%d positions are left", n)
	}
}

func TestARotatedFilesUnfinishedLineComesOutWhenItIsStill(t *testing.T) {
	r := newRig(t)
	r.write("a.log", cri("stderr", "F", "one")+cri("stdout", "P", "never ")+"2026-01-02T03:04:05Z stdout P ended")
	r.start()
	r.want(r.read(), "one (stderr)")
	r.rename("a.log", "a.log.1")
	r.want(r.scan())
	r.want(r.pass(4 * time.Second))
	r.want(r.pass(2*time.Second), "never ended (stdout)+")
	r.restart()
	r.want(r.pass(time.Minute))
}

func TestOneLookIsNotEnoughToGiveUpOnARotatedFile(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\ntwo")
	r.start()
	r.want(r.read(), "one")
	r.want(r.look())
	r.rename("a.log", "a.log.1")
	r.want(r.scan())
	r.now = r.now.Add(time.Hour) // the machine slept
	r.want(r.look())
	r.want(r.look(), "two+")
}

func TestALineThatGrowsAtTheLastMomentIsNotBrokenOff(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\nha")
	r.start()
	r.want(r.pass(time.Second), "one")
	r.rename("a.log", "a.log.1")
	r.want(r.scan())
	r.now = r.now.Add(settleFor)
	r.want(r.look())
	r.tailer.look(r.now) // decides that it has settled
	r.write("a.log.1", "lf")
	r.want(r.read())
	r.write("a.log.1", "\n")
	r.want(r.look(), "half")
}

func TestARestartDoesNotKeepARotatedFilesLastLineForever(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\ntwo")
	r.start()
	r.want(r.read(), "one")
	r.rename("a.log", "a.log.1")
	r.restart()
	r.want(r.pass(20*time.Second), "two+")
}

func TestAFileOfOneUnfinishedLineComesOutWhenItIsRemoved(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "too short for a fingerprint")
	r.start()
	r.want(r.read())
	r.remove("a.log")
	r.tailer.scan(r.now)
	r.want(r.pass(20*time.Second), "too short for a fingerprint+")
}

func TestAFileThatVanishesUnreadIsCounted(t *testing.T) {
	r := newRig(t)
	r.maxOpen = 1
	r.write("a.log", "one\n")
	r.write("b.log", "two\n")
	r.start()
	r.remove("a.log") // its handle was closed for that of b
	r.want(r.read(), "two")
	r.want(r.pass(61 * time.Minute))
	if s := r.balanced(); s.BytesMissed != 4 || s.FilesKnown != 1 {
		t.Fatalf("got %+v", s)
	}
}

func TestATruncatedFileIsReadFromItsStart(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\ntwo\nhalf")
	r.start()
	r.want(r.read(), "one", "two")
	r.truncate("a.log")
	r.want(r.look())
	r.write("a.log", "new\n")
	r.want(r.look(), "new")
	if s := r.balanced(); s.Restarts != 1 || s.BytesMissed != 4 {
		t.Fatalf("got %+v", s)
	}
	r.restart()
	r.want(r.read())
	r.write("a.log", "newer\n")
	r.want(r.look(), "newer")
}

func TestAFileThatWasOverwrittenWithMoreIsReadFromItsStart(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.truncate("a.log")
	r.write("a.log", "another\nand longer\n")
	r.want(r.look(), "another", "and longer")
}

func TestAFileThatBeginsAsBeforeButIsShorterIsReadFromItsStart(t *testing.T) {
	r := newRig(t)
	banner := strings.Repeat("banner\n", fingerprintBytes/6)
	r.write("a.log", banner+"one\n")
	r.start()
	r.read()
	r.truncate("a.log")
	r.write("a.log", banner)
	if got := r.look(); len(got) != fingerprintBytes/6 {
		t.Fatalf("%d lines", len(got))
	}
}

func TestATruncationDuringARestartIsNoticed(t *testing.T) {
	for _, text := range []string{"new\n", "one\n", "another and longer\n"} {
		r := newRig(t)
		r.write("a.log", "one\ntwo\n")
		r.start()
		r.want(r.read(), "one", "two")
		r.truncate("a.log")
		r.write("a.log", text)
		r.restart()
		r.want(r.read(), strings.TrimSpace(text))
	}
}

func TestAnInodeThatIsUsedAgainIsAnotherFile(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "same beginning\n")
	r.start()
	r.want(r.read(), "same beginning")
	ino := r.inode("a.log")
	r.must(r.tailer.Close())
	r.remove("a.log")
	r.write("a.log", "same beginning\nand more\n")
	if r.inode("a.log") != ino {
		t.Log("this file system did not use the inode again")
	}
	r.restart()
	r.want(r.read(), "same beginning", "and more")
}

func TestFilesThatBeginAlikeAreDifferentFiles(t *testing.T) {
	r := newRig(t)
	head := strings.Repeat("the same\n", 200)
	r.write("a.log", head+"a\n")
	r.write("b.log", head+"b\n")
	r.start()
	if got := r.read(); len(got) != 402 {
		t.Fatalf("%d lines", len(got))
	}
	r.restart()
	r.want(r.read())
	r.write("b.log", "more\n")
	r.want(r.look(), "more")
}

func TestPositionsOfFilesThatNeverTurnUpAreForgottenInTheEnd(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	r.want(r.read(), "one")
	r.remove("a.log")
	r.restart()
	r.want(r.pass(30 * time.Minute))
	if n := len(r.pos.all()); n != 1 {
		t.Fatalf("%d positions after half an hour", n)
	}
	r.want(r.pass(31 * time.Minute))
	if n := len(r.pos.all()); n != 0 {
		t.Fatalf("%d positions are left", n)
	}
}

func TestNothingIsForgottenBeforeItsPositionIsSafe(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "one\n")
	r.start()
	c := r.next()
	late := append([]byte(nil), c.Cursor...)
	r.tailer.Done(c, true) // in the log, but not yet durable
	r.remove("a.log")
	r.scan()
	r.pass(time.Minute)
	r.pos.Apply(late)
	r.pass(2 * time.Second)
	if n := len(r.pos.all()); n != 0 {
		t.Fatalf("%d positions are left", n)
	}
}
