package tail

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// linger is how long after its first notification a file waits for its turn. A program that
// writes line by line would otherwise make a chunk of each.
const linger = 50 * time.Millisecond

// scanPause is the least time between two scans that notifications ask for, and scanShare
// the part of the time that they may take.
const (
	scanPause = 100 * time.Millisecond
	scanShare = 20
)

// watchedScanEvery is how often everything is looked at all the same while every directory is watched:
// something may be mounted over one.
const watchedScanEvery = time.Minute

// A watcher says which directories have changed. It is a hint: a nil one says nothing.
type watcher struct {
	notify *fsnotify.Watcher
	dirs   map[string]bool // watched
	blind  map[string]bool // not watched: their file system does not notify of what others write
	log    *slog.Logger
	failed bool // a directory could not be watched, which was logged
}

// newWatcher is nil when the system has no notifications to give.
func newWatcher(log *slog.Logger) *watcher {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no file notifications, looking for new lines every second and for new files every 10 s: raise fs.inotify.max_user_instances", "err", err)
		return nil
	}
	return &watcher{notify: n, dirs: make(map[string]bool), blind: make(map[string]bool), log: log}
}

// works says whether every directory is watched.
func (w *watcher) works() bool { return w != nil && !w.failed && len(w.blind) == 0 }

// covers says whether a write to f is notified.
func (w *watcher) covers(f *file) bool {
	if w == nil {
		return false
	}
	name := f.real
	if name == "" {
		name = f.name
	}
	return w.dirs[filepath.Dir(name)]
}

// follow watches these directories and no others. It says whether there was a new one: what
// appeared in it before is not notified.
func (w *watcher) follow(dirs map[string]bool) (fresh bool) {
	if w == nil || dirs == nil {
		return false
	}
	for dir := range w.dirs {
		if !dirs[dir] {
			w.leave(dir)
		}
	}
	for dir := range w.blind {
		if !dirs[dir] {
			delete(w.blind, dir)
		}
	}
	var failed error
	for dir := range dirs {
		if w.dirs[dir] || w.blind[dir] {
			continue
		}
		if kind := silentFileSystem(dir); kind != "" {
			if len(w.blind) == 0 {
				w.log.Warn("file system does not notify, looking for new lines every second and for new files every 10 s", "dir", dir, "file_system", kind)
			}
			w.blind[dir] = true
			continue
		}
		switch err := w.notify.Add(dir); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR):
			continue // lately removed, or never there
		case err != nil:
			failed = err
			continue
		}
		w.dirs[dir] = true
		fresh = true
	}
	if failed != nil && !w.failed {
		advice := "see err"
		if errors.Is(failed, syscall.ENOSPC) {
			advice = "raise fs.inotify.max_user_watches" // of inotify, it is not the disk that is full
		}
		w.log.Warn("not every directory is watched, looking there for new lines every second and for new files every 10 s", "watched", len(w.dirs), "of", len(dirs), "err", failed, "advice", advice)
	}
	w.failed = failed != nil
	return fresh
}

// leave stops to watch dir; the system may have done so already.
func (w *watcher) leave(dir string) {
	delete(w.dirs, dir)
	if err := w.notify.Remove(dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
		w.log.Debug("directory is still watched", "dir", dir, "err", err)
	}
}

func (w *watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w == nil {
		return nil, nil
	}
	return w.notify.Events, w.notify.Errors
}

func (w *watcher) close() error {
	if w == nil {
		return nil
	}
	return w.notify.Close()
}

// start begins to look, until Close.
func (t *Tailer) start() {
	t.watch = newWatcher(t.log)
	t.running.Go(t.run)
}

// run is the only one that looks and hears notifications. It does not wait for scans: what is made and
// renamed meanwhile may be gone when they are over.
func (t *Tailer) run() {
	looks, scans := time.NewTicker(t.lookEvery), time.NewTicker(t.scanEvery)
	defer looks.Stop()
	defer scans.Stop()
	var (
		events, errs = t.watch.channels()
		grown        = make(map[*file]bool) // to be queued when lingering is over
		lingering    <-chan time.Time
		rescan       = time.After(0)
		again        time.Time // no rescan before this
		due          time.Time // the last time that one was
		scanning     bool
		missed       bool // one was asked for while scanning
		ended        = make(chan scanned, 1)
	)
	scan := func() {
		if scanning {
			missed = true
			return
		}
		scanning = true
		t.running.Go(func() {
			begin := time.Now()
			ended <- scanned{t.scan(begin), begin, time.Now()}
		})
	}
	for {
		select {
		case <-t.closing:
			return
		case now := <-looks.C:
			t.look(now)
			t.tell()
		case now := <-scans.C:
			if !t.watch.works() || now.Sub(due) >= watchedScanEvery {
				due = now
				scan()
			}
		case <-rescan:
			rescan = nil
			scan()
		case <-t.soon:
			if scanning {
				missed = true
			} else if rescan == nil {
				rescan = time.After(time.Until(again))
			}
		case s := <-ended:
			scanning, again = false, t.watchAll(s)
			if missed {
				missed = false
				t.scanSoon()
			}
		case <-lingering:
			lingering = nil
			t.pushAll(grown)
		case e := <-events:
			if t.hear(e, grown) && lingering == nil {
				lingering = time.After(linger)
			}
		case err := <-errs:
			t.log.Debug("file notifications were lost, looking at everything", "err", err)
			t.scanSoon()
		}
	}
}

// A scanned is a scan that is over.
type scanned struct {
	dirs       map[string]bool
	begin, end time.Time
}

// watchAll watches what a scan has found, and says when the next one that is not due may be.
func (t *Tailer) watchAll(s scanned) (again time.Time) {
	unwatched := t.watch != nil && len(t.watch.dirs) == 0
	if t.watch.follow(s.dirs) {
		t.scanSoon()
	}
	if unwatched {
		return time.Now().Add(scanPause) // what was rotated during the first scan was not notified, and has no time to lose
	}
	return s.end.Add(max(scanPause, scanShare*s.end.Sub(s.begin)))
}

// scanSoon asks for a scan before its time.
func (t *Tailer) scanSoon() {
	select {
	case t.soon <- struct{}{}:
	default:
	}
}

// hear takes a notification. It says whether it has put a file into grown.
func (t *Tailer) hear(e fsnotify.Event, grown map[*file]bool) bool {
	t.mu.Lock()
	f, name := t.paths[e.Name], e.Name
	if f != nil {
		name = f.name // the path may be what a link leads to
	}
	t.mu.Unlock()
	switch {
	case e.Has(fsnotify.Create):
		t.appeared(name)
		return false
	case e.Has(fsnotify.Write):
		if f != nil {
			grown[f] = true
		}
		return f != nil
	case t.watch.dirs[e.Name]:
		t.watch.leave(e.Name)
		t.scanSoon()
	case f != nil:
		t.scanSoon() // renamed, or removed: then Chmod comes, since it is open
	}
	return false
}

// appeared looks at a new path at once: it may be gone by the next scan.
func (t *Tailer) appeared(path string) {
	if err := t.discover(path, time.Now()); err != nil && !isDir(path) {
		return // no file of ours
	}
	t.scanSoon() // for a directory's files, and for the file that had the name before
}

func (t *Tailer) pushAll(files map[*file]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range files {
		t.push(f)
	}
	clear(files)
}
