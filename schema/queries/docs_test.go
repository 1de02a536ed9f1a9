package queries

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)\n```\n")
	heading  = regexp.MustCompile(`(?m)^### (.*)$`)
	explains = regexp.MustCompile("`(\\S+)`\\sleaves\\s(\\d+)")
	claim    = regexp.MustCompile("[Rr]eads\\s(\\d+)\\sof\\s(\\d+)\\sgranules\\sof\\s`(\\w+)`")
)

// docs/queries.md shows what runs, and says what is read.
func TestThePageOfQueriesIsTrue(t *testing.T) {
	db := load(t)
	text, err := os.ReadFile("../../docs/queries.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	asked, begin := 0, 0
	for _, at := range sqlBlock.FindAllStringSubmatchIndex(page, -1) {
		before := page[begin:at[0]]
		begin = at[1]
		asked++
		titles := heading.FindAllStringSubmatch(before, -1)
		if len(titles) == 0 {
			t.Fatalf("a query without a heading, after: %s", before)
		}
		t.Run(titles[len(titles)-1][1], func(t *testing.T) {
			query := strings.ReplaceAll(page[at[2]:at[3]], "now()", fmt.Sprintf("toDateTime(%d)", end.Unix()))
			if len(db.mustAsk(t, query)) == 0 {
				t.Error("no rows")
			}
			measured := db.granules(t, query)
			claims := claim.FindAllStringSubmatch(before, -1)
			if len(claims) != len(measured) {
				t.Errorf("it tells of %d tables, and reads %v", len(claims), measured)
			}
			for _, claim := range claims {
				said, g := granules{read: number(t, claim[1]), total: number(t, claim[2])}, measured[claim[3]]
				t.Logf("%s: %v, %v", claim[3], g, g.stages)
				if !near(said.read, g.read) || !near(said.total, g.total) {
					t.Errorf("reads %v granules of %s, and the page says %v", g, claim[3], said)
				}
				for _, said := range explains.FindAllStringSubmatch(before, -1) {
					i := slices.IndexFunc(g.stages, func(s stage) bool { return s.index == said[1] })
					if i < 0 || !near(number(t, said[2]), g.stages[i].left) {
						t.Errorf("%s leaves %v, and the page says %s", said[1], g.stages, said[2])
					}
				}
			}
		})
	}
	if asked != 15 {
		t.Errorf("%d queries", asked)
	}
}

// near leaves room for another version of ClickHouse, and none for another order of magnitude.
func near(said, measured int) bool {
	return math.Abs(float64(said-measured)) <= 2+0.2*float64(measured)
}
