package queries

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// database is a database of the shared engine, and the parameters of the queries to it.
type database struct {
	addr   string
	name   string
	params map[string]string
}

// ask runs a statement in a session in UTC and returns its rows.
func (d *database) ask(statement string) ([][]string, error) {
	values := url.Values{"database": {d.name}, "default_format": {"TabSeparated"}, "session_timezone": {"UTC"}}
	for name, value := range d.params {
		values.Set("param_"+name, value)
	}
	resp, err := http.Post("http://"+d.addr+"/?"+values.Encode(), "text/plain", strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		first, _, _ := strings.Cut(statement, "\n")
		return nil, fmt.Errorf("%s…: %s", first, body)
	}
	var rows [][]string
	for line := range strings.Lines(string(body)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// mustAsk does not return if the statement fails.
func (d *database) mustAsk(t *testing.T, statement string) [][]string {
	t.Helper()
	rows, err := d.ask(statement)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// one is the only value that a query answers.
func (d *database) one(t *testing.T, statement string) string {
	t.Helper()
	rows := d.mustAsk(t, statement)
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%d rows, not one value: %s", len(rows), statement)
	}
	return rows[0][0]
}

// with is the database with some parameters more.
func (d *database) with(more map[string]string) *database {
	params := make(map[string]string)
	for _, all := range []map[string]string{d.params, more} {
		for name, value := range all {
			params[name] = value
		}
	}
	return &database{d.addr, d.name, params}
}

// granules are the pieces of a table's key, of 8192 rows, that a query reads of all that there are.
type granules struct {
	read, total int
	stages      []stage // what each index left, in order
}

// A stage is an index of a table, and the granules that it leaves: the dates of parts, the primary key, or a skipping index.
type stage struct {
	index string
	left  int
}

func (g granules) String() string { return fmt.Sprintf("%d of %d", g.read, g.total) }

var (
	readsTable = regexp.MustCompile(`\bReadFromMergeTree \(([^)]+)\)`)
	readsStage = regexp.MustCompile(`(Min-Max|Partition|PrimaryKey|Name: \w+)\n|Granules: (\d+)/(\d+)`)
	readsAll   = regexp.MustCompile(`Parts: \d+ \| Granules: (\d+)`)
)

// granules explains a query: for each table, the granules that are left when all indexes have had their say. A table
// that is read more than once counts as often.
func (d *database) granules(t *testing.T, query string) map[string]granules {
	t.Helper()
	all := make(map[string]granules)
	plan := ""
	for _, line := range d.mustAsk(t, "EXPLAIN indexes = 1 "+query) {
		plan += strings.Join(line, "\t") + "\n"
	}
	steps := readsTable.FindAllStringSubmatchIndex(plan, -1)
	for i, at := range steps {
		name, step := strings.TrimPrefix(plan[at[2]:at[3]], d.name+"."), plan[at[1]:]
		if i+1 < len(steps) {
			step = plan[at[1]:steps[i+1][0]]
		}
		g := all[name]
		if stages := readsStage.FindAllStringSubmatch(step, -1); stages != nil {
			total, index, left := 0, "", 0
			for _, match := range stages {
				if match[1] != "" {
					index = strings.TrimPrefix(match[1], "Name: ")
					continue
				}
				left = number(t, match[2])
				total = max(total, number(t, match[3]))
				g.stages = append(g.stages, stage{index, left})
			}
			g.read, g.total = g.read+left, g.total+total
		} else if whole := readsAll.FindStringSubmatch(step); whole != nil {
			g.total += number(t, whole[1])
			g.read += number(t, whole[1])
		} else {
			t.Fatalf("a step without granules:\n%s", plan)
		}
		all[name] = g
	}
	return all
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func float(t *testing.T, text string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
