package schema

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// A ttl is the rules by which rows leave: to the cold volume, then for good.
type ttl []ttlRule

type ttlRule struct {
	from  string // the DateTime or Date that the age counts from
	after time.Duration
	to    string // a volume; "" deletes
}

// ttl returns the table's, nil if its rows stay where they are for ever.
func (t *Table) ttl(o Options) ttl {
	var rules ttl
	if t.moves(o) {
		rules = append(rules, ttlRule{t.expires, o.ColdAfter.of(t.signal), coldVolume})
	}
	if keep := o.Retention.of(t.signal); keep > 0 {
		if !t.identified {
			// Counted from a date, and useful for as long as any span of that day.
			keep = (keep + 2*day - 1).Truncate(day)
		}
		rules = append(rules, ttlRule{t.expires, keep, ""})
	}
	return rules
}

// coldVolume is the volume of a storage policy that old rows move to.
const coldVolume = "cold"

func (t ttl) String() string {
	var rules []string
	for _, r := range t {
		action := "DELETE"
		if r.to != "" {
			action = "TO VOLUME " + quote(r.to)
		}
		rules = append(rules, r.from+" + "+interval(r.after)+" "+action)
	}
	return strings.Join(rules, ", ")
}

// keeps is the age at which rows are deleted; 0 is never.
func (t ttl) keeps() time.Duration {
	for _, r := range t {
		if r.to == "" {
			return r.after
		}
	}
	return 0
}

// same reports whether both say the same, whatever they count from.
func (t ttl) same(o ttl) bool {
	if len(t) != len(o) {
		return false
	}
	for i := range t {
		if t[i].after != o[i].after || t[i].to != o[i].to {
			return false
		}
	}
	return true
}

// interval renders a duration of whole seconds in its largest whole unit below the week.
func interval(d time.Duration) string {
	for _, u := range intervals {
		if u.unit <= day && d%u.unit == 0 {
			return fmt.Sprintf("INTERVAL %d %s", d/u.unit, u.name)
		}
	}
	panic(fmt.Sprintf("BUG: %v is not a number of seconds", d))
}

var intervals = []struct {
	unit time.Duration
	name string
}{{7 * day, "WEEK"}, {day, "DAY"}, {time.Hour, "HOUR"}, {time.Minute, "MINUTE"}, {time.Second, "SECOND"}}

// serverRule is a rule as ClickHouse prints it.
var serverRule = regexp.MustCompile(`^(.+) \+ toInterval(\w+)\((\d+)\)(?: (?:DELETE|TO VOLUME '([^']+)'))?$`)

// parseTTL reads a TTL clause as ClickHouse prints it. Not ok: somebody wrote rules
// that we do not make, such as conditions or recompression.
func parseTTL(clause string) (rules ttl, ok bool) {
	if clause == "" {
		return nil, true
	}
	for _, text := range splitTop(clause) {
		m := serverRule.FindStringSubmatch(text)
		if m == nil {
			return nil, false
		}
		n, err := strconv.ParseInt(m[3], 10, 32)
		if err != nil {
			return nil, false
		}
		unit := time.Duration(0)
		for _, u := range intervals {
			if strings.EqualFold(u.name, m[2]) {
				unit = u.unit
			}
		}
		if unit == 0 {
			return nil, false // months and years have no fixed length
		}
		rules = append(rules, ttlRule{m[1], time.Duration(n) * unit, m[4]})
	}
	return rules, true
}
