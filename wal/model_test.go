package wal_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/faultfs"
)

// failedBefore are seeds that once found something.
var failedBefore = []uint64{
	16343772769815925104, // and again, when the process after that one was told that all is synced
	11541948270007021888, // a header stated the end of what could not be synced at the start
}

// A random history of appends, reads, acknowledgements, records held in memory, restarts and
// faults; the power goes, or the process is killed, between any two calls to the file system.
// What a client was promised by then comes back once and under its name.
//
// SPILLWAY_SEED runs one history, SPILLWAY_LONG many more of them. Goroutines are not in the
// seed: a history that failed may need several runs.
func TestModelTheEndComesBetweenAnyTwoCalls(t *testing.T) {
	seeds := slices.Clone(failedBefore)
	n := 100
	if os.Getenv("SPILLWAY_LONG") != "" {
		n = 30000
	}
	for range n {
		seeds = append(seeds, rand.Uint64())
	}
	if s, err := strconv.ParseUint(os.Getenv("SPILLWAY_SEED"), 10, 64); err == nil {
		seeds = []uint64{s}
	}
	dir := t.TempDir()
	for _, seed := range seeds {
		h := &history{a: newAccount(t, fmt.Sprintf("SPILLWAY_SEED=%d", seed)), rng: rand.New(rand.NewPCG(seed, 1)), dir: dir, fs: faultfs.New(dir)}
		h.run()
		if t.Failed() {
			t.FailNow()
		}
	}
}

type history struct {
	a     *account
	rng   *rand.Rand
	dir   string
	fs    *faultfs.FS
	store *wal.Store
	log   *wal.Log
	out   []*wal.Entry // not acknowledged
	n     int          // records so far
	then  *account     // what was known when the end came
	snap  *faultfs.FS  // what was there
}

func (h *history) run() {
	h.fs.SnapBefore(1 + h.rng.IntN(250))
	for range 60 {
		before := h.a.clone()
		h.step()
		if h.then == nil && h.fs.Snap() != nil {
			h.snap = h.fs.Snap()
			// The end came during this step: what it was about may have happened or not.
			h.then = before
			maps.Copy(h.then.done, h.a.done)
			for name := range h.a.promised {
				h.then.refused[name] = true
			}
			maps.Copy(h.then.refused, h.a.refused)
		}
	}
	h.end()
	h.fs.Heal()
	h.a.check(h.dir, h.fs)
	if h.then != nil {
		h.then.what += ", at the snapshot"
		h.then.check(h.dir, h.snap)
	}
}

func (a *account) clone() *account {
	return &account{t: a.t, what: a.what, promised: maps.Clone(a.promised), refused: maps.Clone(a.refused), done: maps.Clone(a.done),
		names: maps.Clone(a.names), ids: maps.Clone(a.ids), given: map[string]bool{}, unsynced: a.unsynced}
}

func (h *history) step() {
	if h.store == nil {
		var err error
		if h.store, err = h.a.open(h.dir, h.fs); err != nil {
			h.store = nil
			h.fs.Heal()
			return
		}
		h.log = h.store.Lane("logs")
	}
	switch k := h.rng.IntN(20); {
	case k < 8:
		h.a.append(h.log, h.names()...)
	case k < 10:
		for _, n := range h.names() {
			if h.log.Defer(wal.Record{Items: items(n), Meta: []byte(n), Data: []byte(n)}) == nil {
				h.a.refused[n] = true
			}
		}
	case k < 11:
		h.log.Spill()
	case k < 14:
		if e := h.a.take(h.log); e != nil {
			h.out = append(h.out, e)
		}
	case k < 17:
		if len(h.out) > 0 {
			i := h.rng.IntN(len(h.out))
			h.a.ack(h.log, h.out[i])
			h.out = slices.Delete(h.out, i, i+1)
		}
	case k < 18:
		h.end()
	default:
		h.fail()
	}
}

func (h *history) names() (names []string) {
	for range 1 + h.rng.IntN(3) {
		h.n++
		names = append(names, fmt.Sprintf("%d-%0*d", h.n, 1+h.rng.IntN(150), 0))
	}
	return names
}

// end ends the process, in good order or not.
func (h *history) end() {
	if h.store == nil {
		return
	}
	if h.rng.IntN(2) == 0 {
		h.a.closed(h.store, h.log)
	} else { // killed: what closing does is done to a file system that nobody sees
		left := h.fs.Kill()
		h.store.Close()
		if h.then == nil && h.fs.Snap() == nil {
			left.SnapBefore(max(1, h.rng.IntN(100)))
		}
		h.fs = left
	}
	h.store, h.out = nil, nil
}

func (h *history) fail() {
	kinds := []faultfs.Kind{faultfs.Write, faultfs.Sync, faultfs.Sync, faultfs.Create, faultfs.Mkdir, faultfs.SyncDir, faultfs.Truncate, faultfs.Remove, faultfs.Read}
	kind := kinds[h.rng.IntN(len(kinds))]
	h.a.unsynced = h.a.unsynced || kind == faultfs.Sync
	f := faultfs.Fault{Kind: kind, Skip: h.rng.IntN(4), Err: []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}[h.rng.IntN(3)], Torn: h.rng.IntN(200)}
	f.Done = kind != faultfs.Read && h.rng.IntN(2) == 0
	if kind == faultfs.Read {
		h.fs.Heal() // one at a time: what cannot be read twice in a row is given up, as it should be
	}
	h.fs.Fail(f)
}
