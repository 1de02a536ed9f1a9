package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// An Exporter writes records to one file that Inspect reads: entries as in a generation, each
// generation's records behind a header with its stream. The last entry is a header with no
// lane and no stream; it states where the export ends, as a generation's header does for others.
type Exporter struct {
	out     io.Writer
	buf     []byte
	end     int64
	records uint64
	items   uint64
	begun   bool
	lane    string
	gen     uint64
	stream  Key
	headed  int64 // where the last header is
}

// headerEvery is how often the header is repeated, in bytes: when one is damaged, nothing is known
// of the records up to the next.
const headerEvery = 256 << 10

// NewExporter writes to out, which the caller syncs and closes after Close.
func NewExporter(out io.Writer) *Exporter { return &Exporter{out: out} }

// Add writes a record, identity and meta included.
func (x *Exporter) Add(r Found) error {
	if !x.begun || x.lane != r.Lane || x.gen != r.Generation || x.stream != r.Stream || x.end-x.headed > headerEvery {
		x.begun, x.lane, x.gen, x.stream, x.headed = true, r.Lane, r.Generation, r.Stream, x.end
		h := genHeader{stream: r.Stream, lane: r.Lane}.append(nil)
		if err := x.entry(frame{typ: frameGeneration, seq: r.Generation, cumItems: r.CumItems - uint64(r.Items), accepted: r.Accepted, data: h}); err != nil {
			return err
		}
	}
	x.records++
	x.items += uint64(r.Items)
	return x.entry(frame{typ: frameRecord, seq: r.Seq, cumItems: r.CumItems, accepted: r.Accepted, items: r.Items, meta: r.Meta, data: r.Data})
}

// Totals are what was written so far.
func (x *Exporter) Totals() (records, items uint64, bytes int64) { return x.records, x.items, x.end }

// Close states where the export ends. Without it a reader says that the file is cut off.
func (x *Exporter) Close() error {
	x.lane, x.gen, x.stream = "", 0, Key{}
	h := genHeader{ends: []ending{{end: x.end, records: x.records, items: x.items}}}.append(nil)
	return x.entry(frame{typ: frameGeneration, data: h})
}

// entry writes f as the log would. Its count of items in the file is that of the export.
func (x *Exporter) entry(f frame) error {
	f.tag, f.inFile = fileTag(x.stream, x.gen), x.items
	x.buf = binary.AppendUvarint(x.buf[:0], uint64(frameHeader+len(f.meta)+len(f.data)))
	x.buf = appendFrame(x.buf, f, payloadCRC(f.meta, f.data))
	n, err := x.out.Write(x.buf)
	x.end += int64(n)
	return err
}

// noTag is no generation's tag, but for a chance of one in 2^32: only a header is read.
const noTag = 1

// An exported is a file of Exporter being read. Several that were joined are read, too.
type exported struct {
	scan    *scanner
	infos   []*GenerationInfo
	lane    string
	visit   func(Found) error
	from    int64 // where this export begins
	first   int   // its first info
	records uint64
	items   uint64
	open    bool // the entry that ends it was not read yet
}

func (in *Inspector) readExport(lane string, visit func(Found) error) ([]*GenerationInfo, error) {
	f, err := OS{}.OpenFile("inspect", in.path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	x := &exported{lane: lane, visit: visit}
	x.scan = &scanner{r: reader{file: f}, limit: st.Size(), info: &GenerationInfo{Name: "before the first header", State: Sealed}, head: x.header, visit: x.record, tag: noTag}
	err = x.scan.run()
	if v := (visitError{}); errors.As(err, &v) {
		return x.selected(), v.error
	}
	if err != nil {
		return nil, err
	}
	if !x.scan.headed {
		return nil, fmt.Errorf("%s is neither an export nor a file of a log", in.path)
	}
	if x.scan.bad != nil { // no frame tells how much is in it
		d := *x.scan.bad
		d.To = st.Size()
		x.scan.info.Damage = append(x.scan.info.Damage, d)
	}
	x.keep(st.Size())
	if x.open {
		x.problem("the file is cut off: the entry that ends an export is missing; export again")
	}
	return x.selected(), nil
}

// header begins a generation, goes on with one, or ends an export.
func (x *exported) header(f frame, at int64) error {
	h, err := parseGenHeader(f.data)
	if err != nil {
		return err
	}
	g := x.scan.info
	if h.lane == "" && len(h.ends) == 1 {
		x.keep(at)
		x.close(h.ends[0], at)
		x.scan.tag = noTag
		x.scan.info = &GenerationInfo{Name: "after the end", State: Sealed, from: x.from}
		return nil
	}
	x.open = true
	if g.StreamKnown && g.Lane == h.lane && g.Number == f.seq && g.Stream == h.stream {
		return nil
	}
	x.keep(at)
	x.scan.info = &GenerationInfo{Lane: h.lane, Number: f.seq, Name: fmt.Sprintf("%s/%016x", h.lane, f.seq), Stream: h.stream, StreamKnown: true, State: Sealed, from: at}
	return nil
}

// keep files the info that ends at to.
func (x *exported) keep(to int64) {
	g := x.scan.info
	if g.Records == 0 && len(g.Damage) == 0 {
		return
	}
	g.Bytes, g.End = to-g.from, to
	x.records += g.Records
	x.items += g.Items
	x.infos = append(x.infos, g)
}

// close holds the statement at the end against what was read.
func (x *exported) close(said ending, at int64) {
	damaged := false
	for _, g := range x.infos[x.first:] {
		damaged = damaged || len(g.Damage) > 0
	}
	if !damaged && (said.end != at-x.from || said.records != x.records || said.items != x.items) {
		x.problem(fmt.Sprintf("the export states records %d, items %d in %d bytes; there are records %d, items %d in %d",
			said.records, said.items, said.end, x.records, x.items, at-x.from))
	}
	x.open, x.first, x.records, x.items, x.from = false, len(x.infos), 0, 0, x.scan.r.at
}

func (x *exported) problem(text string) {
	x.infos = append(x.infos, &GenerationInfo{Name: "the export as a whole", State: Sealed, Problems: []string{text}})
}

func (x *exported) record(r Found) error {
	if x.visit == nil || x.lane != "" && x.lane != r.Lane {
		return nil
	}
	return x.visit(r)
}

// selected are the infos of the lane that was asked for, and those of no lane.
func (x *exported) selected() (infos []*GenerationInfo) {
	for _, g := range x.infos {
		if x.lane == "" || g.Lane == "" || g.Lane == x.lane {
			infos = append(infos, g)
		}
	}
	return infos
}
