package lines_test

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

var update = flag.Bool("update", false, "write the golden files of testdata instead of comparing with it")

// The lines of testdata, made by the loggers themselves where that could be, against the records
// that a reviewer has read.
func TestLinesOfTheFieldBecomeRecords(t *testing.T) {
	for _, file := range corpus(t) {
		t.Run(file, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
			if filepath.Ext(file) == ".txt" { // a stack trace, whose lines were joined
				all = []string{string(b)}
			}
			var got strings.Builder
			for _, line := range all {
				if strings.HasPrefix(line, "# ") {
					got.WriteString("\n" + line + "\n")
					continue
				}
				scope, record := one(t, lines.Options{}, line)
				if record.ObservedTimeUnixNano != uint64(observed.UnixNano()) {
					t.Errorf("observed at %d: %s", record.ObservedTimeUnixNano, line)
				}
				attributes(t, record)
				got.WriteString("\n" + line + "\n" + describe(scope, record))
			}
			golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".golden", got.String())
		})
	}
}

// corpus is the files of lines in testdata.
func corpus(t testing.TB) (files []string) {
	t.Helper()
	for _, pattern := range []string{"*.log", "corpus/*/*.log", "corpus/*/*.txt"} {
		found, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	return files
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test ./agent/lines -update accepts it):\n%s", path, diff)
	}
}

// log/slog itself, as a service uses it.
func TestSlogRecordsKeepWhatSlogWasTold(t *testing.T) {
	var out bytes.Buffer
	fixed := func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			a.Value = slog.TimeValue(time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 7200)))
		}
		return a
	}
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.Level(-8), ReplaceAttr: fixed}))
	log.With("tenant", "acme").WithGroup("request").Warn("slow \"quote\"\n", "path", "/a&b", "took", 250*time.Millisecond, "n", uint64(1<<63), "ok", true)
	log.Log(t.Context(), slog.Level(-8), "finest")
	log.Error("failed", "err", os.ErrNotExist, "nothing", nil)

	var got strings.Builder
	for line := range strings.Lines(out.String()) {
		scope, record := one(t, lines.Options{}, strings.TrimSuffix(line, "\n"))
		got.WriteString(describe(scope, record))
	}
	want := `  time      2024-05-06T05:08:09.123456789Z
  severity  13 "WARN"
  body      |
      slow "quote"
      
  tenant = "acme"
  request = {path: "/a&b", took: 250000000, n: "9223372036854775808", ok: true}
  time      2024-05-06T05:08:09.123456789Z
  severity  1 "DEBUG-4"
  body      "finest"
  time      2024-05-06T05:08:09.123456789Z
  severity  17 "ERROR"
  body      "failed"
  nothing = null
  exception.message = "file does not exist"
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
