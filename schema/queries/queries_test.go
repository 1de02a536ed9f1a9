package queries

import (
	"io/fs"
	"strings"
	"testing"
)

// A query is a file and what is expected of it.
type query struct {
	file   string
	params map[string]string // beside those of the dataset

	// reads is the largest share of its granules that the query may read of a table. A table that is not named is not read.
	reads map[string]float64

	rows  string                              // a query over what the dataset was made of: how many rows come back; "" is some
	check func(t *testing.T, rows [][]string) // what the rows say
	none  bool                                // on one healthy server there is nothing to report
	lacks string                              // a table that the embedded engine has not: the query is only parsed
}

// ask runs the queries, each a test of its own.
func ask(t *testing.T, queries []query) {
	db := load(t)
	for _, q := range queries {
		t.Run(strings.ReplaceAll(q.file, "/", "_"), func(t *testing.T) {
			text, err := sql(q.file)
			if err != nil {
				t.Fatal(err)
			}
			db := db.with(q.params)
			if q.lacks != "" {
				if db.one(t, "EXISTS TABLE "+q.lacks) != "0" {
					t.Errorf("the engine has %s by now: let the query run", q.lacks)
				}
				db.mustAsk(t, "EXPLAIN AST "+text)
				return
			}
			rows := db.mustAsk(t, text)
			switch {
			case q.none && len(rows) > 0:
				t.Errorf("%d rows, want none: %s", len(rows), rows[0])
			case q.none:
			case len(rows) == 0:
				t.Error("no rows")
			case q.rows != "":
				if want := number(t, db.one(t, q.rows)); len(rows) != want {
					t.Errorf("%d rows, want %d", len(rows), want)
				}
			}
			if q.check != nil && len(rows) > 0 {
				q.check(t, rows)
			}
			measured := db.granules(t, text)
			for table := range q.reads {
				if _, read := measured[table]; !read {
					t.Errorf("does not read %s", table)
				}
			}
			for table, g := range measured {
				share := float64(g.read) / float64(g.total)
				t.Logf("%s: %s granules, %.3f", table, g, share)
				if limit, named := q.reads[table]; !named || share > limit {
					t.Errorf("%s: reads %s granules, a share of %.3f, may be %v", table, g, share, limit)
				}
			}
		})
	}
}

// Every file is asked by a test; what reads nothing of a table of ours says so by its empty reads.
func TestEachFileHasATest(t *testing.T) {
	asked := make(map[string]bool)
	for _, table := range [][]query{dashboards, correlations, ofGrafana, ofHyperDX} {
		for _, q := range table {
			asked[q.file+".sql"] = true
		}
	}
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(path, "dataset/") && !asked[path] {
			t.Errorf("%s is asked by no test", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
