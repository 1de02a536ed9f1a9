package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A generation is what `spillway wal ls --json` says of one.
type generation struct {
	Lane    string `json:"lane"`
	Number  string `json:"generation"` // 16 hexadecimal digits, as its directory
	State   string `json:"state"`
	Records uint64 `json:"records"`
}

func (g generation) String() string { return g.Lane + "/" + g.Number }

// file is the only one of a generation (wal/FORMAT.md).
func (g generation) file(wal string) string {
	return filepath.Join(wal, g.Lane, g.Number, "00000000000000000001")
}

// generations are those with records, in order. One whose file was removed is listed, too, because
// later ones state what was in it; it is not for us any more.
func (c *cluster) generations(wal string) ([]generation, error) {
	out, err := exec.Command(c.spillway, "wal", "ls", wal, "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("spillway wal ls %s: %w", wal, err)
	}
	var listing struct{ Generations []generation }
	if err := json.Unmarshal(out, &listing); err != nil {
		return nil, fmt.Errorf("spillway wal ls %s: %w", wal, err)
	}
	return slices.DeleteFunc(listing.Generations, func(g generation) bool {
		_, err := os.Stat(g.file(wal))
		return g.Records == 0 || err != nil
	}), nil
}

// damage ruins something in the log of an agent that is down. The function that it returns is
// for when the agent is up again.
//
// Damage is done where wal/FORMAT.md says that it can be told: not to what is acknowledged in the
// newest generation, whose end looks like a write that did not finish.
func (c *cluster) damage(ctx context.Context, a *agent, r *rand.Rand) (then func()) {
	then = func() {}
	all, err := c.generations(a.wal)
	if err == nil && len(sealed(all)) == 0 {
		// All that was not delivered is in the newest generations: another start begins newer ones.
		c.back(a.process)
		kit.Pause(ctx, newerTime)
		c.event("kill %s again", a.name)
		c.kills.add(a.name)
		a.kill()
		all, err = c.generations(a.wal)
	}
	if err != nil {
		c.found("%v", err)
		return then
	}
	// A parked record is in two lanes: the agent would deliver one copy while a replay delivers the
	// other, and two live copies are what docs/guarantees.md leaves out.
	parked := slices.ContainsFunc(all, func(g generation) bool { return strings.HasPrefix(g.Lane, "parked-") })
	whole := sealed(all)
	open := slices.DeleteFunc(all, func(g generation) bool { return g.State != "open" })
	switch n := r.IntN(5); {
	case len(whole) > 0 && n > 1 && !parked:
		then, err = c.destroy(a, whole[r.IntN(len(whole))], r)
	case len(whole) > 0 && n > 0:
		err = c.behead(a, whole[r.IntN(len(whole))], r)
	case len(open) > 0:
		err = c.tear(a, open[r.IntN(len(open))], r)
	}
	if err != nil {
		c.found("damage the log of %s: %v", a.name, err)
	}
	return then
}

// newerTime is in which each lane of an agent gets a record, so that its newest generation has a
// header.
const newerTime = 500 * time.Millisecond

// sealed are those to which nothing is written any more; a later header states what is in them.
func sealed(all []generation) []generation {
	return slices.DeleteFunc(slices.Clone(all), func(g generation) bool { return g.State != "sealed" })
}

// behead makes a generation's header unreadable, which costs no record.
func (c *cluster) behead(a *agent, g generation, r *rand.Rand) error {
	c.event("%s: the header of %s is damaged", a.name, g)
	c.faults.add("damaged header")
	f, err := os.OpenFile(g.file(a.wal), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(noise(r, 64), 0)
	return errors.Join(err, f.Close())
}

// tear leaves what a write that did not finish leaves: anything.
func (c *cluster) tear(a *agent, g generation, r *rand.Rand) error {
	c.event("%s: garbage behind the end of %s", a.name, g)
	c.faults.add("torn tail")
	f, err := os.OpenFile(g.file(a.wal), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	garbage := make([]byte, 1+r.IntN(4000))
	if r.IntN(2) == 0 {
		garbage = noise(r, len(garbage))
	}
	if _, err = f.Write(garbage); errors.Is(err, syscall.ENOSPC) {
		err = nil // the disk is full: as much as there is room for
	}
	return errors.Join(err, f.Close())
}

// destroy ruins a whole generation. What it returns replays it from a copy.
func (c *cluster) destroy(a *agent, g generation, r *rand.Rand) (replay func(), err error) {
	replay = func() {}
	copied := filepath.Join(c.dir, fmt.Sprintf("copy-%d-of-%s", len(a.destroyed), a.name))
	if err := copyGeneration(a.wal, copied, g); err != nil {
		return replay, errors.Join(err, os.RemoveAll(copied))
	}
	if kept, err := c.generations(copied); err != nil || len(kept) != 1 || kept[0] != g {
		return replay, fmt.Errorf("the copy of %+v has %+v: %w", g, kept, err)
	}
	if exec.Command(c.spillway, "wal", "verify", copied).Run() != nil {
		// The header that says where it ends was damaged before: a replay would do its work, and complain.
		c.event("%s: the copy of %s is not whole, it is left alone", a.name, g)
		return replay, os.RemoveAll(copied)
	}
	name := g.file(a.wal)
	ways := []string{"overwritten", "emptied", "removed"}
	way := ways[r.IntN(len(ways))]
	c.event("%s: %s with %d records is %s", a.name, g, g.Records, way)
	c.faults.add("destroyed generation")
	a.destroyed = append(a.destroyed, g)
	switch way {
	case "overwritten":
		err = overwrite(name, r)
	case "emptied":
		err = os.Truncate(name, 0)
	case "removed":
		err = os.Remove(name)
	}
	return func() { c.replays.start(c, copied, g) }, err
}

// overwrite replaces a file's bytes in place: there may be no room for others.
func overwrite(name string, r *rand.Rand) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(noise(r, int(st.Size())), 0)
	return errors.Join(err, f.Close())
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
