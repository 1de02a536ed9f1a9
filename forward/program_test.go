package forward

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someMaps = `00400000-00ffe000 r-xp 00000000 fe:00 10279250                           /opt/spill way
Size:              12280 kB
Rss:                2176 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00ffe000-01dc7000 r--p 00bfe000 fe:00 10279250                           /opt/spill way
Rss:                7284 kB
Anonymous:             4 kB
01dc7000-01eae000 rw-p 019c7000 fe:00 10279250                           /opt/spill way
Rss:                 412 kB
Anonymous:             0 kB
02000000-02001000 r--s 00000000 fe:00 10279250                           /opt/spill way
Anonymous:             0 kB
02000000-02001000 r--p 00000000 fe:00 10279251                           /another /opt/spill way
Anonymous:             0 kB
21604d000000-21604fc00000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7fc441c3e000-7fc441c3f000 r--p 01dc7000 fe:00 10279250                   /opt/spill way
Anonymous:             0 kB
7ffda93e6000-7ffda93e8000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`

// What can differ from the file stays: data, and code with a breakpoint in it.
func TestOnlyWhatIsInTheFileIsDropped(t *testing.T) {
	want := []mapping{{0x400000, 0xffe000}, {0x7fc441c3e000, 0x7fc441c3f000}}
	if diff := cmp.Diff(want, clean(strings.NewReader(someMaps), "/opt/spill way"), cmp.AllowUnexported(mapping{})); diff != "" {
		t.Error(diff)
	}
}

func TestTheProgramRunsOnWithoutItsPages(t *testing.T) {
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if len(clean(maps, exe)) == 0 {
		t.Error("no mapping of the program itself is found")
	}
	giveBack()
	if len(strings.Repeat("x", len(exe))) != len(exe) {
		t.Error("it does not")
	}
}
