package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
	"github.com/spillway-io/spillway/wal"
)

// A purge names what is to go.
type purge struct {
	dir, lane, before            string
	until                        time.Time // zero: any time
	quarantine, letters, all, ok bool
}

func (p *program) walPurge() *cobra.Command {
	g := &purge{}
	c := &cobra.Command{Use: "purge DIR", Short: "remove data for good, a generation at a time; the ledger says what went", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			g.dir = args[0]
			if g.before != "" {
				if g.until, err = parseMoment(g.before); err != nil {
					return usageError{err}
				}
			}
			return p.purge(g)
		}}
	c.Flags().StringVar(&g.lane, "lane", "", "only this lane")
	c.Flags().StringVar(&g.before, "before", "", "only generations and files all of which is older, for instance 2026-01-31 or 2026-01-31T12:00:00Z")
	c.Flags().BoolVar(&g.quarantine, "quarantine", false, "what lies in quarantine/, instead of the lanes")
	c.Flags().BoolVar(&g.letters, "deadletter", false, "what lies in deadletter/, instead of the lanes")
	c.Flags().BoolVar(&g.all, "all", false, "lanes, quarantine/ and deadletter/")
	c.Flags().BoolVar(&g.ok, "yes", false, "do it; without this it is only said what would go")
	return c
}

func parseMoment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--before %s: write for instance 2026-01-31 or 2026-01-31T12:00:00Z", s)
}

func (p *program) purge(g *purge) error {
	in, err := inspect(g.dir)
	if err != nil {
		return err
	}
	if in.IsExport() {
		return usageError{fmt.Errorf("%s is a file: remove it with rm", g.dir)}
	}
	lanes, err := in.Lanes()
	if err != nil {
		return usageError{err}
	}
	files, err := g.files()
	if err != nil {
		return usageError{err}
	}
	var gone []*wal.GenerationInfo
	word := "would go"
	if g.ok {
		word = "purged"
		gone, err = wal.Purge(wal.Config{Dir: g.dir, Lanes: lanes, NewFold: newFold}, g.picks, files)
	} else if gone, err = in.Read("", nil); err == nil {
		gone = keep(gone, g.picks)
	}
	for _, info := range gone {
		fmt.Fprintf(p.stdout, "%s: %s, records %d, items %d, bytes %d, accepted %s to %s\n", word, info.Name, info.Records, info.Items, info.Bytes,
			orDash(moment(info.Oldest)), orDash(moment(info.Newest)))
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintf(p.stdout, "%s: %s, bytes %d\n", word, f.Names[0], f.Loss.Bytes)
	}
	if !g.ok {
		_, err = fmt.Fprintf(p.stdout, "nothing was removed: generations %d, other files %d would go with --yes\n", len(gone), len(files))
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "purged: generations %d, other files %d; ledger.jsonl has a line for each\n", len(gone), len(files))
	return err
}

// newFold is the agent's: how far files are safe is in the log only, and must outlive what is removed.
func newFold(lane string) wal.Fold {
	if lane == forward.Logs.String() {
		return tail.NewPositions()
	}
	return nil
}

func keep(infos []*wal.GenerationInfo, picks func(*wal.GenerationInfo) bool) (kept []*wal.GenerationInfo) {
	for _, info := range infos {
		if info.State != wal.Empty && picks(info) {
			kept = append(kept, info)
		}
	}
	return kept
}

// picks says whether a generation goes. One without a record has nothing that must go; one that
// cannot be read has no known age.
func (g *purge) picks(info *wal.GenerationInfo) bool {
	if (g.quarantine || g.letters) && !g.all || g.lane != "" && info.Lane != g.lane {
		return false
	}
	if info.State != wal.Unreadable && info.Records == 0 && len(info.Damage) == 0 {
		return false
	}
	return g.until.IsZero() || info.State != wal.Unreadable && len(info.Damage) == 0 && time.Unix(0, info.Newest).Before(g.until)
}

// files are what goes of quarantine and of the dead letters. Their items are lost already, and
// the ledger said so when they were set aside, so they are not counted again.
func (g *purge) files() (files []wal.KeptFile, err error) {
	if g.quarantine || g.all {
		entries, err := os.ReadDir(filepath.Join(g.dir, "quarantine"))
		if err != nil && !absent(err) {
			return nil, err
		}
		for _, e := range entries {
			lane, _ := wal.Quarantined(e.Name())
			if !g.takes(lane, e.Name()) {
				continue
			}
			files = append(files, wal.KeptFile{Names: []string{filepath.Join("quarantine", e.Name())}, Loss: wal.Loss{Lane: lane,
				Bytes: sizeOf(filepath.Join(g.dir, "quarantine", e.Name())), Detail: "quarantine/" + e.Name() + ", removed by hand"}})
		}
	}
	if !g.letters && !g.all {
		return files, nil
	}
	names, err := letterNames(g.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		about := letterOf(name)
		if !g.takes(about.Lane, name) {
			continue
		}
		below := filepath.Join("deadletter", name)
		files = append(files, wal.KeptFile{Names: []string{below + ".otlp", below + ".json"}, Loss: wal.Loss{Lane: about.Lane, Stream: about.Stream.String(),
			FromSeq: about.Seq, ToSeq: about.Seq, Bytes: sizeOf(filepath.Join(g.dir, below+".otlp")), Detail: below + ".otlp, removed by hand"}})
	}
	return files, nil
}

// takes goes by the time that a name begins with: that of being set aside.
func (g *purge) takes(lane, name string) bool {
	if g.lane != "" && lane != g.lane {
		return false
	}
	if g.until.IsZero() {
		return true
	}
	stamp, _, _ := strings.Cut(name, "-")
	t, err := time.Parse("20060102T150405.000000000", stamp)
	return err == nil && t.Before(g.until)
}

// sizeOf is the bytes of a file or of the files in a directory; what cannot be looked at counts nothing.
func sizeOf(path string) (n int64) {
	filepath.Walk(path, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
