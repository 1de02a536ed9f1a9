package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/faultfs"
)

// A log on a disk whose sync says OK and does nothing acknowledges what a power cut takes, and the
// harness sees it: what is left is delivered by a real agent.
func TestTheHarnessSeesLoss(t *testing.T) {
	o := options{out: t.Output()}
	work := t.TempDir()
	if err := o.build(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	c, err := newCluster(work, o)
	defer c.stop()
	if err != nil {
		t.Fatal(err)
	}

	w := &writer{mark: mark{"loss", "in-process"}, signal: signals[0], agent: "a log that lies", r: rand.New(rand.NewPCG(1, 1))}
	dir := t.TempDir() // of the lock, which is on a real disk
	disk := faultfs.New(dir)
	store, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"logs"}, FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const each, requests = 50, 40
	appendAll := func() {
		for range requests {
			s := send{first: w.book.next, count: each}
			body, err := proto.Marshal(w.signal.request(w.mark, s.first, each, w.r))
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Lane("logs").Append(t.Context(), wal.Record{Items: each, Accepted: time.Now().UnixNano(), Data: body}); err != nil {
				t.Fatal(err)
			}
			w.book.note(s)
		}
	}
	appendAll()
	disk.Fail(faultfs.Fault{Kind: faultfs.Sync, Times: -1}) // with no error: it does nothing and says OK
	appendAll()
	restore(t, disk.PowerCut(nil), dir, c.agents[1].wal)

	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := &writers{list: []*writer{w}}
	if err := c.drain(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	got, err := count(t.Context(), database{c.engine.http, databaseName}, all.list)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{took: time.Since(c.began), kills: c.kills, faults: c.faults, sent: all.sent(), tally: got}
	r.print(t.Output())
	if got.lost != each*requests || got.duplicated > 0 || r.good() {
		t.Errorf("lost %d, duplicated %d, good %t: want the %d lost that came after the disk began to lie", got.lost, got.duplicated, r.good(), each*requests)
	}
}

// restore puts what is on disk below from into a directory.
func restore(t *testing.T, disk *faultfs.FS, from, to string) {
	t.Helper()
	for _, name := range disk.Files() {
		below, ok := strings.CutPrefix(name, from)
		if !ok {
			continue
		}
		target := filepath.Join(to, below)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, disk.ReadFile(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
