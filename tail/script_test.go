package tail

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// Each script of testdata/script is a case: what somebody does to files, and the lines that come
// out. Files are real; the clock, looks and scans are the script's.
//
//	config KEY VALUE...      include, exclude, format, start_at, max_line_bytes, line_start_pattern, max_open, rate
//	start, crash             crash keeps what is durable, and starts again
//	down                     without a start
//	write FILE LINE...       append lines; append FILE TEXT without a newline; \n, \t, \0 and the like as in Go
//	cri FILE STREAM TAG TEXT
//	rename, copy, link FROM TO; remove, truncate FILE; gzip FILE [TO]; overwrite FILE LINE...
//	gzipping FROM TO N       TO is the first N bytes of FROM compressed, as while somebody does it
//	look, scan, pass DURATION
//	turn N                   N chunks that become durable
//	lose N                   N chunks that do not, though they were handed out
//	expect [-sorted] LINE... all that came out since the last expect
//	missed N [REASON]        bytes, in all since the start
//	known N, open N          files
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			s := &script{}
			env.Values["script"] = s
			env.Defer(func() {
				if s.rig != nil && s.rig.tailer != nil {
					s.rig.tailer.Close()
				}
			})
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"config": command("config", configure), "start": command("start", begin), "crash": command("crash", crash), "down": command("down", down),
			"write": command("write", write), "append": command("append", write), "cri": command("cri", writeCRI),
			"rename": command("rename", files), "copy": command("copy", files), "link": command("link", files), "remove": command("remove", files), "truncate": command("truncate", files),
			"gzip": command("gzip", files), "gzipping": command("gzipping", files), "overwrite": command("overwrite", files),
			"look": command("look", advance), "scan": command("scan", advance), "pass": command("pass", advance), "turn": command("turn", advance), "lose": command("lose", advance),
			"expect": command("expect", expect), "missed": command("missed", expect), "known": command("known", expect), "open": command("open", expect),
		},
	})
}

// A script is the state of one.
type script struct {
	rig *rig
	cfg *Config
	got []string
}

// fatal makes a testscript what a rig wants of a test.
type fatal struct {
	testing.TB
	ts *testscript.TestScript
}

func (f fatal) Helper()                           {}
func (f fatal) Fatal(args ...any)                 { f.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (f fatal) Fatalf(format string, args ...any) { f.ts.Fatalf(format, args...) }

type call struct {
	*script
	ts   *testscript.TestScript
	name string
	args []string
}

func command(name string, f func(c *call) error) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value("script").(*script)
		if s.rig == nil {
			s.rig = &rig{t: fatal{ts: ts}, dir: ts.MkAbs("."), now: time.Unix(1_700_000_000, 0), pos: NewPositions(), maxOpen: maxOpen}
			cfg := DefaultConfig()
			cfg.Include = []string{s.rig.path("*.log")}
			s.cfg = &cfg
		}
		for i, a := range args {
			if u, err := strconv.Unquote(`"` + strings.ReplaceAll(a, `"`, `\"`) + `"`); err == nil {
				args[i] = u
			}
		}
		c := &call{script: s, ts: ts, name: name, args: args}
		if neg {
			ts.Fatalf("! makes no sense here")
		}
		if err := f(c); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

func (c *call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

func (c *call) number(i int) int {
	n, err := strconv.Atoi(c.arg(i))
	if err != nil {
		c.ts.Fatalf("%s wants a number: %v", c.name, err)
	}
	return n
}

func configure(c *call) error {
	var paths []string
	for _, p := range c.args[1:] {
		if strings.Contains(p, "/") {
			p = c.rig.path(p)
		}
		paths = append(paths, p)
	}
	switch c.arg(0) {
	case "include":
		c.cfg.Include = nil
		for _, p := range c.args[1:] {
			c.cfg.Include = append(c.cfg.Include, c.rig.path(p))
		}
	case "exclude":
		c.cfg.Exclude = paths
	case "format":
		c.cfg.Format = c.arg(1)
	case "start_at":
		c.cfg.StartAt = c.arg(1)
	case "max_line_bytes":
		c.cfg.MaxLineBytes = c.number(1)
	case "line_start_pattern":
		c.cfg.Multiline.LineStartPattern = c.arg(1)
	case "multiline":
		c.cfg.Multiline.Mode = c.arg(1)
	case "max_lines":
		c.cfg.Multiline.MaxLines = c.number(1)
	case "max_open":
		c.rig.maxOpen = c.number(1)
	case "rate":
		c.cfg.RateLimit = RateLimit{BytesPerSecond: int64(c.number(1)), BurstBytes: int64(c.number(2))}
	default:
		return fmt.Errorf("no such key: %s", c.arg(0))
	}
	return nil
}

func begin(c *call) error {
	c.rig.cfg = []Config{*c.cfg}
	c.rig.start()
	c.got = append(c.got, c.rig.read()...)
	return nil
}

func down(c *call) error { return c.rig.tailer.Close() }

func crash(c *call) error {
	c.rig.restart()
	c.got = append(c.got, c.rig.read()...)
	return nil
}

func write(c *call) error {
	text := strings.Join(c.args[1:], "\n")
	if c.name == "write" {
		text += "\n"
	}
	if err := os.MkdirAll(filepath.Dir(c.rig.path(c.arg(0))), 0o700); err != nil {
		return err
	}
	c.rig.write(c.arg(0), text)
	return nil
}

func writeCRI(c *call) error {
	c.rig.write(c.arg(0), cri(c.arg(1), c.arg(2), c.arg(3)))
	return nil
}

func files(c *call) error {
	from, to := c.rig.path(c.arg(0)), c.rig.path(c.arg(1))
	switch c.name {
	case "rename":
		return os.Rename(from, to)
	case "link":
		if err := os.Remove(to); err != nil && !os.IsNotExist(err) {
			return err
		}
		return os.Symlink(from, to)
	case "remove":
		return os.RemoveAll(from)
	case "truncate":
		return os.Truncate(from, 0)
	case "copy":
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o600)
	case "overwrite": // in place, as a program does that opens with O_TRUNC
		return os.WriteFile(from, []byte(strings.Join(c.args[1:], "\n")+"\n"), 0o600)
	case "gzip": // as the kubelet does: to a temporary name, then its own, then the original goes
		if c.arg(1) == "" {
			to = from + ".gz"
		}
		in, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to+".tmp", compressed(in), 0o600); err != nil {
			return err
		}
		if err := os.Rename(to+".tmp", to); err != nil {
			return err
		}
		return os.Remove(from)
	case "gzipping":
		in, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, compressed(in)[:c.number(2)], 0o600)
	}
	return nil
}

func advance(c *call) error {
	switch c.name {
	case "look":
		c.got = append(c.got, c.rig.look()...)
	case "scan":
		c.got = append(c.got, c.rig.scan()...)
	case "pass":
		d, err := time.ParseDuration(c.arg(0))
		if err != nil {
			return err
		}
		c.got = append(c.got, c.rig.pass(d)...)
	case "turn", "lose":
		c.rig.tailer.look(c.rig.now)
		for range c.number(0) {
			chunk := c.rig.next()
			if chunk == nil {
				return fmt.Errorf("%s: nothing to read", c.name)
			}
			if c.name == "turn" {
				c.got = append(c.got, c.rig.take(chunk)...)
				continue
			}
			c.rig.tailer.Done(chunk, true) // handed over, but the machine ends before it is durable
		}
	}
	return nil
}

func expect(c *call) error {
	stats := c.rig.balanced()
	switch c.name {
	case "known":
		if stats.FilesKnown != c.number(0) {
			return fmt.Errorf("%d files are known", stats.FilesKnown)
		}
	case "open":
		if stats.FilesOpen != c.number(0) {
			return fmt.Errorf("%d files are open", stats.FilesOpen)
		}
	case "missed":
		var bytes int64
		for _, m := range c.rig.missed {
			if c.arg(1) == "" || m.Reason == c.arg(1) {
				bytes += m.Bytes
			}
		}
		if bytes != int64(c.number(0)) {
			return fmt.Errorf("missed %v", c.rig.missed)
		}
	case "expect":
		want, got := c.args, c.got
		c.got = nil
		if len(want) > 0 && want[0] == "-sorted" {
			want, got = sorted(want[1:]), sorted(got)
		}
		if len(want) == 0 && len(got) == 0 {
			return nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("lines (-want +got):\n%s", diff)
		}
	}
	return nil
}

func compressed(text []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
