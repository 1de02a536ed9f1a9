package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An Inspector looks at a log from outside: the directory of a running process, one that was
// detached from its node, or a file made by Export. It takes no lock and writes nothing.
//
// What a running process has committed is known to that process only. An Inspector shows
// whatever parses, so the last records of an open generation may not be acknowledged yet. A
// generation that vanishes meanwhile was delivered, and is left out.
type Inspector struct {
	path string
	file bool // an export
}

// Inspect finds out what path is. It is an error when it is neither a log directory nor a file.
func Inspect(path string) (*Inspector, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	in := &Inspector{path: path, file: st.Mode().IsRegular()}
	if in.file {
		return in, nil
	}
	lanes, err := in.Lanes()
	if err != nil {
		return nil, err
	}
	if len(lanes) == 0 && !isThere(filepath.Join(path, "LOCK")) {
		return nil, fmt.Errorf("%s is not a log: name the directory that the configuration calls wal.dir, or a copy of it", path)
	}
	return in, nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// IsExport says that what is looked at is a file made by Export.
func (in *Inspector) IsExport() bool { return in.file }

// Lanes are the directories that hold generations, in order; an export has none.
func (in *Inspector) Lanes() (names []string, err error) {
	if in.file {
		return nil, nil
	}
	entries, err := os.ReadDir(in.path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "quarantine" || e.Name() == "deadletter" {
			continue
		}
		if nums, err := in.shell(e.Name()).list(); err == nil && len(nums) > 0 || errors.Is(err, fs.ErrPermission) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// A State is what a generation is to its lane.
type State string

const (
	Sealed     State = "sealed"     // nothing is written to it any more
	Unsealed   State = "open"       // the newest of its lane: no header states where it ends
	Empty      State = "empty"      // made ahead and not used yet, or half removed: the file goes before its directory
	Unreadable State = "unreadable" // cannot be read, or nothing in it is a frame
)

// A GenerationInfo is what was found in one generation.
type GenerationInfo struct {
	Lane        string
	Number      uint64
	Name        string // below the directory
	Stream      Key    // when no header tells, one made up from the first record
	StreamKnown bool
	State       State
	Bytes       int64 // of the file
	End         int64 // nothing beyond it counts
	EndStated   bool  // by a later header
	Ignored     int64 // bytes beyond End: of a write that failed or did not finish

	Records, Items  uint64
	FirstSeq, ToSeq uint64 // of the records; both 0 when there are none
	numbered        bool   // there are some
	Oldest, Newest  int64  // accept times, unix ns; 0 when there are no records
	Damage          []Damage
	Problems        []string // what headers state and is not so
	Err             error    // it could not be read to its end

	stated ending // by the last header that does
	tag    uint32 // of its frames; 0: not known
	from   int64  // of an export: where it begins
}

// A Damage is a run of bytes before a generation's end that are not frames.
type Damage struct {
	From, To int64
	Items    uint64 // lost in it
	Known    bool   // Items is exact; false: it cannot be told
	Reason   string
}

// DamagedBytes are those of all damage.
func (g *GenerationInfo) DamagedBytes() (n int64) {
	for _, d := range g.Damage {
		n += d.To - d.From
	}
	return n
}

// LostItems is how many items were in what is damaged; exact is false when there were more
// than can be told.
func (g *GenerationInfo) LostItems() (n uint64, exact bool) {
	exact = true
	for _, d := range g.Damage {
		n += d.Items
		exact = exact && d.Known
	}
	return n, exact && g.Err == nil
}

// A Found is a record, seen from outside. Meta and Data are valid until visit returns.
type Found struct {
	Lane        string
	Generation  uint64
	Offset      int64 // in its file
	Stream      Key
	StreamKnown bool
	Open        bool // of an open generation: it may not be acknowledged yet
	Seq         uint64
	Items       uint32
	CumItems    uint64
	Accepted    int64
	Meta        []byte
	Data        []byte
}

// Read reads every generation of a lane, or of all lanes when lane is "", in order, and shows
// every record to visit, which may be nil. An error of visit ends it. What cannot be read is
// told in the infos.
func (in *Inspector) Read(lane string, visit func(Found) error) ([]*GenerationInfo, error) {
	if in.file {
		return in.readExport(lane, visit)
	}
	lanes, err := in.Lanes()
	if err != nil {
		return nil, err
	}
	var all []*GenerationInfo
	for _, name := range lanes {
		if lane != "" && name != lane {
			continue
		}
		infos, err := in.readLane(name, visit)
		all = append(all, infos...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// shell is a lane that is not open: enough of one to list it and to read headers.
func (in *Inspector) shell(lane string) *Log {
	return &Log{store: &Store{fs: OS{}, log: slog.New(slog.DiscardHandler)}, name: lane, dir: filepath.Join(in.path, lane)}
}

// readLane reads all headers first, since each says where others end. A generation that is
// empty then is not read even if it has begun since: what it repeats of a failed write would
// be shown twice.
func (in *Inspector) readLane(lane string, visit func(Found) error) (infos []*GenerationInfo, err error) {
	l := in.shell(lane)
	nums, err := l.list()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stated := make(map[uint64][]ending)
	for _, num := range nums {
		g := &GenerationInfo{Lane: lane, Number: num, Name: filepath.Join(lane, filepath.Base(genDir("", num))), State: Sealed}
		h, err := l.readHeader(&generation{num: num, dir: genDir(l.dir, num)})
		switch {
		case errors.Is(err, fs.ErrNotExist) && !isThere(genDir(l.dir, num)):
			continue
		case errors.Is(err, errBlank), errors.Is(err, fs.ErrNotExist):
			g.State = Empty
		case err == nil:
			g.Stream, g.StreamKnown, g.tag = h.stream, true, fileTag(h.stream, h.num)
			if h.num != num || h.lane != lane {
				g.Problems = append(g.Problems, fmt.Sprintf("its header says that it is generation %016x of lane %q: somebody put it here, and an agent would set it aside", h.num, h.lane))
			}
		}
		for _, e := range h.ends {
			stated[e.gen] = append(stated[e.gen], e)
		}
		infos = append(infos, g)
	}
	newest := true
	for _, g := range slices.Backward(infos) {
		if newest && g.State != Empty {
			g.State, newest = Unsealed, false
		}
		g.state(stated[g.Number])
		if g.State == Empty && g.End > 0 && isThere(filepath.Join(in.path, g.Name, segmentName)) {
			g.State = Sealed // cut to nothing: damage
		}
	}
	return in.readAll(infos, visit)
}

// state takes over what later headers say of g.
func (g *GenerationInfo) state(ends []ending) {
	if len(ends) == 0 {
		return
	}
	g.stated = ends[len(ends)-1]
	g.End, g.EndStated = g.stated.end, true
	if !g.StreamKnown && g.stated.stream != (Key{}) {
		g.Stream, g.StreamKnown, g.tag = g.stated.stream, true, fileTag(g.stated.stream, g.Number)
	}
	for _, e := range ends {
		if e != g.stated {
			g.Problems = append(g.Problems, fmt.Sprintf("one header states end %d, records %d, items %d, a later one end %d, records %d, items %d",
				e.end, e.records, e.items, g.stated.end, g.stated.records, g.stated.items))
			return
		}
	}
}

func (in *Inspector) readAll(infos []*GenerationInfo, visit func(Found) error) (left []*GenerationInfo, err error) {
	for i, g := range infos {
		if g.State == Empty {
			left = append(left, g)
			continue
		}
		err := in.readGeneration(g, filepath.Join(in.path, g.Name, segmentName), visit)
		switch {
		case errors.As(err, new(visitError)):
			return append(left, infos[i:]...), errors.Unwrap(err)
		case errors.Is(err, fs.ErrNotExist) && !isThere(filepath.Join(in.path, g.Name)):
			continue // delivered and removed meanwhile
		case errors.Is(err, fs.ErrNotExist):
			g.State = Empty
		case err != nil:
			g.State, g.Err = Unreadable, err
		}
		left = append(left, g)
	}
	return left, nil
}

// A visitError is visit's, not the file's.
type visitError struct{ error }

func (e visitError) Unwrap() error { return e.error }

func (in *Inspector) readGeneration(g *GenerationInfo, path string, visit func(Found) error) error {
	f, err := OS{}.OpenFile("inspect", path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	g.Bytes = st.Size()
	s := scanner{r: reader{file: f}, limit: st.Size(), info: g, visit: visit, tag: g.tag}
	if g.EndStated {
		s.limit = min(s.limit, g.End)
	}
	if err := s.run(); err != nil {
		return err
	}
	s.settle()
	if g.Records == 0 && !s.headed && g.Bytes > 0 {
		g.State = Unreadable
	}
	return nil
}

// ReadQuarantine is Read for what was set aside: copies of damaged runs, which seldom hold a
// frame that parses, and whole generations that could not be read at the time.
func (in *Inspector) ReadQuarantine(lane string, visit func(Found) error) (infos []*GenerationInfo, err error) {
	dir := filepath.Join(in.path, "quarantine")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || in.file {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		g := &GenerationInfo{Name: filepath.Join("quarantine", e.Name()), State: Sealed}
		g.Lane, g.Number = Quarantined(e.Name())
		if lane != "" && g.Lane != lane {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			path = filepath.Join(path, segmentName)
			l := in.shell("quarantine")
			if h, err := l.readHeader(&generation{dir: filepath.Join(dir, e.Name())}); err == nil {
				g.Stream, g.StreamKnown, g.tag = h.stream, true, fileTag(h.stream, h.num)
			}
		}
		err := in.readGeneration(g, path, visit)
		switch {
		case errors.As(err, new(visitError)):
			return infos, errors.Unwrap(err)
		case errors.Is(err, fs.ErrNotExist):
			continue // made room for another one
		case err != nil:
			g.State, g.Err = Unreadable, err
		}
		for i := range g.Damage { // counted when it was set aside
			g.Damage[i].Items, g.Damage[i].Known = 0, false
		}
		infos = append(infos, g)
	}
	return infos, nil
}

// Quarantined takes apart the name of what was set aside, TIME-lane-generation[-offset]; a lane's name may hold dashes.
func Quarantined(name string) (lane string, num uint64) {
	parts := strings.Split(name, "-")
	for i := len(parts) - 1; i >= 2; i-- {
		if n, err := strconv.ParseUint(parts[i], 16, 64); err == nil && len(parts[i]) == 16 {
			return strings.Join(parts[1:i], "-"), n
		}
	}
	return "", 0
}

// Seen remembers which (stream, seq) came by, in little memory as long as they come in runs.
type Seen struct {
	runs map[Key][]run
}

// A run is a span of numbers, both ends included.
type run struct{ from, to uint64 }

// Add remembers one, and says whether it is new.
func (s *Seen) Add(stream Key, seq uint64) bool {
	if s.runs == nil {
		s.runs = make(map[Key][]run)
	}
	list := s.runs[stream]
	i, _ := slices.BinarySearchFunc(list, seq, func(r run, seq uint64) int {
		if r.from <= seq {
			return -1
		}
		return 1
	})
	switch { // i is the first run that begins after seq
	case i > 0 && seq <= list[i-1].to:
		return false
	case i > 0 && seq == list[i-1].to+1:
		list[i-1].to = seq
		if i < len(list) && list[i].from == seq+1 {
			list[i-1].to = list[i].to
			list = slices.Delete(list, i, i+1)
		}
	case i < len(list) && list[i].from == seq+1:
		list[i].from = seq
	default:
		list = slices.Insert(list, i, run{seq, seq})
	}
	s.runs[stream] = list
	return true
}
