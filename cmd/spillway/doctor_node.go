package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-io/spillway/wal"
)

func ownerOf(path string) (uid int, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), nil
	}
	return 0, errors.New("no owner")
}

// wantedFiles is what an agent may have open: 1024 log files, its log, and connections.
const wantedFiles = 4096

func (d *doctor) openFiles() {
	var limit unix.Rlimit
	pid := 0
	if d.running != nil {
		if host, err := os.Hostname(); err == nil && host == d.running.Host {
			pid = d.running.PID
		}
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
			d.found("open files", warn, "", "", "the limit cannot be read: %v", err)
			return
		}
	}
	if limit.Max < wantedFiles { // Go raises the soft limit to the hard one at the start
		d.found("open files", warn, "an agent keeps up to 1024 log files open, beside its log and its connections; what it cannot open it does not read",
			"systemctl edit spillway-agent, with [Service] LimitNOFILE=65536; in a shell: ulimit -Hn 65536", "at most %d files may be open (RLIMIT_NOFILE), %d are wanted", limit.Max, wantedFiles)
		return
	}
	d.good("open files", "%d files may be open", limit.Max)
}

// existing is dir, or the nearest directory above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// fileSystem looks at where the log is.
func (d *doctor) fileSystem() {
	dir, err := filepath.Abs(d.cfg.WAL.Dir)
	if err != nil {
		d.found("wal.dir", fail, "", "", "%v", err)
		return
	}
	at := existing(dir)
	space, err := wal.OS{}.Space(at)
	if err != nil {
		d.found("wal.dir", fail, "the log cannot be made there", "mkdir -p "+dir, "%v", err)
		return
	}
	const elsewhere = "wal: {dir: /a/directory/on/a/local/disk}"
	switch space.Kind {
	case "nfs", "smb", "smb2", "cifs", "9p", "afs", "ceph":
		d.found("wal.dir", fail, "its locks and its fsync do not promise what the log promises: the agent does not start", elsewhere, "%s is on a network file system, %s", dir, space.Kind)
	case "tmpfs", "ramfs":
		d.found("wal.dir", warn, "what is not delivered is lost with this machine's power, or a restart of it", elsewhere, "%s is in memory, %s", dir, space.Kind)
	case "overlay":
		d.found("wal.dir", warn, "what is not delivered is lost with the container", "mount a volume at "+dir, "%s is in a container's own layer, overlay", dir)
	case "fuse":
		d.found("wal.dir", warn, "whether its fsync makes anything durable depends on that program", elsewhere, "%s is on a FUSE file system", dir)
	default:
		d.good("wal.dir", "%s is on a file system of this machine", dir)
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		d.found("wal.dir rights", fail, "the agent keeps its log there, and does not start without", fmt.Sprintf("install -d -m 0700 -o %d -g %d %s", os.Geteuid(), os.Getegid(), dir), "uid %d cannot write to %s: %v", os.Geteuid(), at, err)
	}
}

const (
	// lossSoon and lossVerySoon are how long an outage may take before data is refused or lost.
	lossSoon     = 4 * time.Hour
	lossVerySoon = 15 * time.Minute
)

// space says how much room the log has, and how long that is enough at the rate that data comes in.
func (d *doctor) space(ctx context.Context) {
	dir := d.cfg.WAL.Dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sp, err := wal.OS{}.Space(existing(dir))
	if err != nil {
		return // fileSystem has said so
	}
	limit, reserve := wal.Limits(sp, d.cfg.WAL.MaxSizeMiB<<20, d.cfg.WAL.MinFreeMiB<<20)
	var used int64
	if d.running != nil && d.running.WAL != nil {
		used, limit = d.running.WAL.Bytes, d.running.WAL.LimitBytes
	}
	room := min(limit-used, sp.Free-reserve)
	smaller := fmt.Sprintf("wal: {max_size_mib: %d}, or a larger disk at %s", max(1, (sp.Free-reserve+used)>>20), dir)
	switch {
	case sp.Free < reserve:
		d.found("space", fail, "below the reserve the agent takes nothing in", "free space on the file system of "+dir+": du -xh "+existing(dir)+" | sort -h | tail", "%s free, and %s are left to others (wal.min_free_mib)", size(sp.Free), size(reserve))
	case sp.Inodes >= 0 && sp.Inodes < 1000:
		d.found("space", fail, "without inodes the agent can begin no file of its log", "remove small files: du -x --inodes "+existing(dir)+" | sort -n | tail", "%d inodes are left", sp.Inodes)
	case sp.Free-reserve < limit-used:
		d.found("space", warn, "the disk is full before the log is at its cap: an outage ends sooner than the cap says", smaller, "the log may take %s more, and the disk has room for %s", size(limit-used), size(sp.Free-reserve))
	default:
		d.good("space", "the log takes %s of %s, the disk has %s free, %s are left to others", size(used), size(limit), size(sp.Free), size(reserve))
	}
	if d.running == nil || d.running.WAL == nil {
		d.found("time to loss", warn, "how long an outage may take follows from the rate that data comes in", fmt.Sprintf("spillway %s --config %s, and then this again", d.cfg.role, d.file), "cannot be measured: no agent answers")
		return
	}
	rate, over := d.rate(ctx)
	if rate < 1 {
		d.found("time to loss", warn, "how long an outage may take follows from the rate that data comes in", "try again when data comes in", "cannot be measured: nothing came in since the start, %s ago", shortly(d.running.UptimeSeconds))
		return
	}
	left := time.Duration(min(float64(max(0, room))/rate, float64(1000*24*time.Hour/time.Second)) * float64(time.Second))
	what := "until the log is full and new data is refused"
	if d.cfg.WAL.WhenFull == wal.DropOldest {
		what = "until the oldest is dropped"
	}
	text := fmt.Sprintf("without delivery %s %s, at %s a second, measured over %s", shortly(left.Seconds()), what, size(int64(rate)), over)
	more := fmt.Sprintf("wal: {max_size_mib: %d} gives %s; the disk must have it", (used+int64(rate*lossSoon.Seconds())*8/7)>>20, shortly(lossSoon.Seconds()))
	switch {
	case left < lossVerySoon:
		d.found("time to loss", fail, "a restart of the collectors or of ClickHouse may take longer", more, "%s", text)
	case left < lossSoon:
		d.found("time to loss", warn, "an outage of a night takes longer", more, "%s", text)
	default:
		d.good("time to loss", "%s", text)
	}
}

// rate is bytes a second into the log: the greater of now and of all the time that the process runs, so that
// neither a pause nor a quiet night hides it.
func (d *doctor) rate(ctx context.Context) (rate float64, over string) {
	taken := func(s *status) (n uint64) {
		for _, src := range s.Sources {
			n += src.Bytes
		}
		return n
	}
	rate, over = float64(taken(d.running))/max(1, d.running.UptimeSeconds), shortly(d.running.UptimeSeconds)
	select {
	case <-time.After(d.sample):
	case <-ctx.Done():
		return rate, over
	}
	second, err := askStatus(ctx, reachableHere(d.cfg.Admin.Endpoint))
	if err != nil || !second.Started.Equal(d.running.Started) {
		return rate, over
	}
	seconds := second.Now.Sub(d.running.Now).Seconds()
	if now := rateOf(taken(second), taken(d.running), seconds); now > rate {
		return now, fmt.Sprintf("%.0f s", seconds)
	}
	return rate, over
}

// globs looks at what is to be tailed, and at what the kernel gives for that.
func (d *doctor) globs() {
	dirs := make(map[string]bool)
	for i, t := range d.cfg.Receivers.Tail {
		check := fmt.Sprintf("receivers.tail[%d]", i)
		globs := strings.Join(t.Include, ", ")
		f := t.tail().Find()
		maps.Copy(dirs, f.Dirs)
		denied := slices.Sorted(maps.Keys(f.NoAccess))
		switch {
		case len(denied) > 0:
			why := "what it cannot read is never sent"
			if errors.Is(f.NoAccess[denied[0]], fs.ErrPermission) {
				why = fmt.Sprintf("uid %d has no right to read it, and what it cannot read is never sent", os.Geteuid())
			}
			d.found(check, fail, why, fmt.Sprintf("setfacl -m u:%d:rX %s", os.Geteuid(), quoteShell(denied[0])), "%d files match %s, and %d files or directories cannot be read; the first: %v", f.Files, globs, len(denied), f.NoAccess[denied[0]])
		case f.Files == 0:
			d.found(check, warn, "nothing is read until a file is there", "ls -l "+globs, "no file matches %s", globs)
		default:
			d.good(check, "%d files match %s, all can be read", f.Files, globs)
		}
	}
	if len(d.cfg.Receivers.Tail) > 0 {
		d.inotify(len(dirs))
	}
}

// quoteShell is s as one word of a shell.
func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// spareWatches is what is wanted beyond what is needed now: directories of pods come and go.
const spareWatches = 1024

// inotify compares the kernel's limits with what the globs need beside what this user's processes have.
func (d *doctor) inotify(dirs int) {
	instances, err := d.number("sys/fs/inotify/max_user_instances")
	watches, err2 := d.number("sys/fs/inotify/max_user_watches")
	if err := errors.Join(err, err2); err != nil {
		d.found("inotify", warn, "without notifications new lines are looked for every second", "", "the limits cannot be read: %v", err)
		return
	}
	usedInstances, usedWatches := d.inotifyUse()
	const why = "without a watch new lines are looked for every second, and new files every 10 s; nothing is missed, it comes later"
	good := true
	if usedInstances+1 > instances {
		good = false
		d.sysctl("max_user_instances", max(1024, 2*instances), why, fmt.Sprintf("this user's processes have %d of %d instances of inotify", usedInstances, instances))
	}
	if usedWatches+dirs+spareWatches > watches {
		good = false
		d.sysctl("max_user_watches", max(524288, 2*(usedWatches+dirs)), why, fmt.Sprintf("%d directories are to be watched, and this user's processes have %d of %d watches", dirs, usedWatches, watches))
	}
	if good {
		d.good("inotify", "%d directories are to be watched; %d of %d watches and %d of %d instances are in use", dirs, usedWatches, watches, usedInstances, instances)
	}
}

func (d *doctor) sysctl(key string, to int, why, measured string) {
	d.found("inotify "+key, warn, why, fmt.Sprintf("echo fs.inotify.%s=%d | tee /etc/sysctl.d/60-spillway.conf && sysctl -p /etc/sysctl.d/60-spillway.conf", key, to), "%s", measured)
}

func (d *doctor) number(file string) (int, error) {
	b, err := os.ReadFile(filepath.Join(d.proc, file))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// inotifyUse counts what this user's processes have, the agent itself left out: it has what is counted as needed.
func (d *doctor) inotifyUse() (instances, watches int) {
	processes, err := filepath.Glob(filepath.Join(d.proc, "[0-9]*"))
	if err != nil {
		return 0, 0
	}
	for _, p := range processes {
		if d.running != nil && filepath.Base(p) == strconv.Itoa(d.running.PID) {
			continue
		}
		if owner, err := ownerOf(p); err != nil || owner != os.Geteuid() {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(p, "fd"))
		if err != nil {
			continue // it has ended, or is not ours to look at
		}
		for _, fd := range entries {
			if to, err := os.Readlink(filepath.Join(p, "fd", fd.Name())); err != nil || to != "anon_inode:inotify" {
				continue
			}
			instances++
			info, err := os.ReadFile(filepath.Join(p, "fdinfo", fd.Name()))
			if err != nil {
				continue
			}
			for s := bufio.NewScanner(bytes.NewReader(info)); s.Scan(); {
				if strings.HasPrefix(s.Text(), "inotify ") {
					watches++
				}
			}
		}
	}
	return instances, watches
}
