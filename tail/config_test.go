package tail

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestValidateNamesEverythingThatIsWrong(t *testing.T) {
	err := Config{Exclude: []string{"[", ""}, Format: "xml", StartAt: "middle", MaxLineBytes: -1}.Validate()
	for _, key := range []string{"include", "exclude", "format", "start_at", "max_line_bytes"} {
		if err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s is not named in: %v", key, err)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := New([]Config{{}}, NewPositions(), nil, nil); err == nil {
		t.Error("New took a configuration without files")
	}
}

func TestGlobsFindWhatMatchesAndWhereMoreCouldBe(t *testing.T) {
	r := newRig(t)
	for _, dir := range []string{"ns_a_1/app", "ns_b_2/app", "ns_b_2/[x]"} {
		r.mkdir(dir)
		r.write(dir+"/0.log", "x\n")
		r.write(dir+"/0.log.gz", "x\n")
	}
	r.mkdir("ns_a_1/app/dir.log")
	r.link(r.path("ns_a_1"), "ns_link")
	for pattern, want := range map[string][]string{
		"*/*/*.log":        {"ns_a_1/app/0.log", "ns_a_1/app/dir.log", "ns_b_2/[x]/0.log", "ns_b_2/app/0.log", "ns_link/app/0.log", "ns_link/app/dir.log"},
		"ns_b*/app/?.log":  {"ns_b_2/app/0.log"},
		"*/\\[x]/0.log":    {"ns_b_2/[x]/0.log"},
		"ns_a_1/app/0.log": {"ns_a_1/app/0.log"},
		"nowhere/*":        nil,
	} {
		var got []string
		dirs := 0
		parseGlob(r.path(pattern)).walk(func(p string) {
			name, err := filepath.Rel(r.dir, p)
			r.must(err)
			got = append(got, name)
		}, func(string, error) { dirs++ })
		if !slices.Equal(sorted(got), want) || dirs == 0 {
			t.Errorf("%s: got %q in %d directories", pattern, got, dirs)
		}
	}
}
