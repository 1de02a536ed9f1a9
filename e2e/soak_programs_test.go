package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// podDir is where the kubelet keeps the logs of a container.
func podDir(pods, name, container string, r *rand.Rand) string {
	uid := fmt.Sprintf("%08x-7d1c-4c40-9a3f-%012x", r.Uint32(), r.Uint64()>>16)
	return filepath.Join(pods, "shop_"+name+"_"+uid, container)
}

// containers run for the whole time, but for the pods that come and go.
func (s *soak) containers(ctx context.Context, pods string, random func() *rand.Rand) {
	for _, c := range []struct {
		name       string
		structlog  bool
		maxFiles   int
		collide    bool
		every      time.Duration
		unresponse int // one in how many passes the runtime does not reopen
	}{
		{"fast-0", true, 5, false, 200 * time.Millisecond, 0},
		{"fast-1", false, 2, true, 200 * time.Millisecond, 0},
		{"fast-2", false, 5, false, 200 * time.Millisecond, 3},
		{"slow-0", true, 5, false, 2 * time.Second, 4},
		{"slow-1", false, 3, false, 5 * time.Second, 0},
	} {
		r, r2, r3 := random(), random(), random()
		log, err := kit.NewCRILog(filepath.Join(podDir(pods, c.name, c.name, r), "0.log"))
		if err != nil {
			s.t.Fatal(err)
		}
		var lines *bufio.Scanner
		if c.structlog {
			lines = s.structlog(c.name + ".json")
		}
		p := &printer{soak: s, log: log, json: lines}
		p.begin(c.name)
		kubelet := &kit.Kubelet{Log: log, MaxFiles: c.maxFiles, Collide: c.collide}
		s.act(c.name+" stdout", func() error { return p.stdout(ctx, r) })
		s.act(c.name+" stderr", func() error { return p.stderr(ctx, r2) })
		s.act(c.name+" rotation", func() error { return s.rotate(ctx, kubelet, c.every, c.unresponse, r3) })
		s.t.Cleanup(func() { log.Close() })
	}
	for i := range 2 {
		r := random()
		s.act(fmt.Sprintf("pods %d", i), func() error { return s.comeAndGo(ctx, pods, fmt.Sprintf("job-%d", i), r) })
	}
}

// structlog starts a service with real structlog in it, which prints for as long as it is read.
func (s *soak) structlog(name string) *bufio.Scanner {
	cmd := exec.Command("/usr/bin/python3", filepath.Join("testdata", "structlog", "service.py"), "count", "100000000", name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return lines
}

// A printer is the program in a container. What it prints on stdout is JSON of structlog and text, on
// stderr text and tracebacks.
type printer struct {
	*soak
	log  *kit.CRILog
	json *bufio.Scanner // nil: none

	structured, out, err, trace *series
}

func (p *printer) begin(name string) {
	if p.json != nil {
		p.structured = p.series(name + ".json")
	}
	p.out, p.err, p.trace = p.series(name+".out"), p.series(name+".err"), p.series(name+".trace")
}

// burst calls print often, until ctx is done.
func burst(ctx context.Context, r *rand.Rand, print func() error) error {
	for kit.Pause(ctx, randomTime(r, time.Millisecond, 40*time.Millisecond)) {
		for range 1 + r.IntN(8) {
			if err := print(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *printer) stdout(ctx context.Context, r *rand.Rand) error {
	return burst(ctx, r, func() error {
		if p.json == nil || r.IntN(2) == 0 {
			return p.text(p.out, "stdout", r)
		}
		if !p.json.Scan() {
			return fmt.Errorf("structlog ended: %w", p.json.Err())
		}
		if err := p.log.WriteWhole("stdout", p.json.Text()); err != nil { // a part of JSON would have no number
			return err
		}
		p.structured.taken()
		return nil
	})
}

func (p *printer) stderr(ctx context.Context, r *rand.Rand) error {
	return burst(ctx, r, func() error {
		if r.IntN(20) > 0 {
			return p.text(p.err, "stderr", r)
		}
		begun := time.Now()
		cut, err := p.log.Write("stderr", "Traceback (most recent call last):", `  File "/app/worker.py", line 17, in run`, "    self.step(job)",
			`  File "/app/worker.py", line 41, in step`, "    raise Failure(job)", "worker.Failure: "+p.trace.next()+" is not done")
		p.trace.taken()
		p.trace.record(cut, begun, 6)
		return err
	})
}

// text prints a line. A few are long, and in pieces.
func (p *printer) text(of *series, stream string, r *rand.Rand) error {
	line := of.next() + " " + strings.Repeat("word ", r.IntN(40))
	if r.IntN(200) == 0 {
		line += strings.Repeat("long ", 4000+r.IntN(6000))
	}
	begun := time.Now()
	cut, err := p.log.Write(stream, line)
	of.taken()
	of.record(cut, begun, len(line)>>14)
	return err
}

// rotate is the kubelet's loop.
func (s *soak) rotate(ctx context.Context, k *kit.Kubelet, every time.Duration, unresponse int, r *rand.Rand) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.gate.pass(func(open bool) error {
			s.rotations.Add(1)
			if open {
				s.evictions.Add(1)
			}
			return k.Pass(open, unresponse == 0 || r.IntN(unresponse) > 0)
		})
		if err != nil {
			return err
		}
	}
}

// settled is how long a file of a pod is there at least before the pod is deleted: the kubelet deletes no log
// in the moment in which it was made.
const settled = 2 * time.Second

// comeAndGo runs pods one after the other. The container of each is restarted, its log is rotated, and
// its directory is removed as soon as it has ended.
func (s *soak) comeAndGo(ctx context.Context, pods, name string, r *rand.Rand) error {
	for i := 0; ctx.Err() == nil; i++ {
		pod := fmt.Sprintf("%s-%d", name, i)
		dir := podDir(pods, pod, "job", r)
		for restart := range 1 + r.IntN(3) {
			log, err := kit.NewCRILog(filepath.Join(dir, fmt.Sprintf("%d.log", restart)))
			if err != nil {
				return err
			}
			p := &printer{soak: s, log: log}
			p.begin(fmt.Sprintf("%s-%d", pod, restart))
			kubelet := &kit.Kubelet{Log: log, MaxFiles: 3}
			run, end := context.WithTimeout(ctx, randomTime(r, settled, 2*settled))
			err = burst(run, r, func() error {
				if r.IntN(100) == 0 {
					if deadline, _ := run.Deadline(); time.Until(deadline) > settled {
						s.rotations.Add(1)
						if err := kubelet.Pass(false, true); err != nil {
							return err
						}
					}
				}
				return p.text(p.out, "stdout", r)
			})
			end()
			if err := log.Close(); err != nil {
				return err
			}
			if err != nil {
				return err
			}
		}
		for removed := false; !removed; {
			err := s.gate.pass(func(open bool) error {
				if removed = open; !open {
					return nil
				}
				s.pods.Add(1)
				s.event("pod %s is deleted", pod)
				return os.RemoveAll(filepath.Dir(dir))
			})
			if err != nil {
				return err
			}
			if !removed && !kit.Pause(ctx, 20*time.Millisecond) {
				return nil
			}
		}
	}
	return nil
}

// logrotates are programs whose logs logrotate rotates, in each way and with both globs.
func (s *soak) logrotates(ctx context.Context, random func() *rand.Rand) {
	for glob := range globs {
		for _, mode := range rotations {
			log, err := newPlainLog(filepath.Join(s.dir, glob, mode.name, "app.log"))
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { log.file.Close() })
			name := glob + "-" + mode.name
			of, r, r2 := s.series(name), random(), random()
			s.act(name, func() error {
				return burst(ctx, r, func() error {
					err := log.write(fmt.Appendf(nil, "%s %s\n", of.next(), strings.Repeat("word ", r.IntN(40))))
					of.taken()
					return err
				})
			})
			l := &logrotate{log, mode, s.t.TempDir()}
			s.act(name+" rotation", func() error { return s.logrotate(ctx, l, r2) })
		}
	}
}

func (s *soak) logrotate(ctx context.Context, l *logrotate, r *rand.Rand) error {
	const most = 10_000 // rotated files
	const second = 1100 // ms: in one, a date would be the same
	for kit.Pause(ctx, time.Duration(second+r.IntN(2000))*time.Millisecond) {
		err := s.gate.pass(func(open bool) error {
			s.rotations.Add(1)
			keep := most
			if open {
				s.evictions.Add(1)
				keep = 3
			}
			if l.mode.reopens {
				return l.run(keep)
			}
			return l.paused(keep)
		})
		if err != nil {
			return err
		}
		if !l.mode.reopens {
			continue
		}
		kit.Pause(ctx, randomTime(r, 0, 300*time.Millisecond)) // until the program has heard
		if err := l.log.reopen(); err != nil {
			return err
		}
	}
	return nil
}

// uvicorn runs the real one in a container, and asks it for pages, of which some fail.
func (s *soak) uvicorn(ctx context.Context, pods string, r *rand.Rand) *uvicorn {
	log, err := kit.NewCRILog(filepath.Join(podDir(pods, "site-0", "site", r), "0.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { log.Close() })
	access, trace := s.series("site.access"), s.series("site.trace")
	var (
		begun          time.Time // of a traceback, of which there are some lines
		reopens, lines int
	)
	u := startUvicorn(s.t, func(stream, line string) {
		if strings.HasPrefix(line, "ERROR:") {
			begun, reopens, lines = time.Now(), log.Reopens(), 0
		}
		if _, err := log.Write(stream, line); err != nil {
			s.t.Error(err)
		}
		if stream == "stderr" {
			if lines++; strings.HasPrefix(line, "app.Unpaid: ") {
				trace.record(log.Reopens() != reopens, begun, lines)
			}
		}
	})
	s.act("requests", func() error {
		for kit.Pause(ctx, randomTime(r, time.Millisecond, 50*time.Millisecond)) {
			path, want := "/ok?"+access.next(), 200
			fails := r.IntN(8) == 0
			if fails {
				path, want = "/fail?"+access.next()+"&fail="+trace.next(), 500
			}
			status, err := u.get(path)
			if err != nil || status != want {
				return fmt.Errorf("%s: status %d, %v", path, status, err)
			}
			access.taken()
			if fails {
				trace.taken()
			}
		}
		return nil
	})
	kubelet := &kit.Kubelet{Log: log, MaxFiles: 5}
	s.act("site rotation", func() error { return s.rotate(ctx, kubelet, time.Second, 0, r) })
	return u
}
