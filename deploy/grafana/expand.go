package grafana

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A View is what a query is asked for: a time, the width of a point of it, and the values of variables.
// ["$__all"] is All.
type View struct {
	From, To  time.Time
	Interval  time.Duration
	Variables map[string][]string
}

var (
	// reference is a variable in a query: $name, ${name}, ${name:format}.
	reference = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}|\$(\w+)`)
	macro     = regexp.MustCompile(`\$__(\w+)`)
)

const conditionalAll = "$__conditionalAll("

// Expand is a query as it is sent to ClickHouse. As the data source does, conditions of variables come
// first, then the values of variables, then macros. What it does not know is an error, and is sent as it is
// by Grafana.
func (v View) Expand(query string) (string, error) {
	query = strings.TrimSpace(query)
	for {
		at := strings.LastIndex(query, conditionalAll)
		if at < 0 {
			break
		}
		args, end, err := arguments(query, at+len(conditionalAll)-1)
		if err != nil || len(args) != 2 {
			return "", fmt.Errorf("$__conditionalAll wants a condition and a variable, has %q: %w", args, err)
		}
		name := strings.Trim(strings.TrimSpace(args[1]), "${}")
		values, known := v.Variables[name]
		if !known {
			return "", fmt.Errorf("$__conditionalAll: no variable %q", name)
		}
		condition := args[0]
		if all := strings.Join(values, ","); all == "" || all == "$__all" {
			condition = "1=1"
		}
		query = query[:at] + condition + query[end:]
	}

	var unknown error
	query = reference.ReplaceAllStringFunc(query, func(text string) string {
		m := reference.FindStringSubmatch(text)
		name := m[1] + m[3]
		if strings.HasPrefix(name, "__") {
			return text // a macro
		}
		values, known := v.Variables[name]
		switch {
		case !known:
			unknown = fmt.Errorf("no variable %q", name)
		case slices.Equal(values, []string{"$__all"}):
			unknown = fmt.Errorf("%s is All, outside $__conditionalAll", text)
		case m[2] == "singlequote":
			quoted := make([]string, len(values))
			for i, value := range values {
				quoted[i] = "'" + strings.ReplaceAll(value, "'", `\'`) + "'"
			}
			return strings.Join(quoted, ",")
		default:
			unknown = fmt.Errorf("%s: values of people belong into quotes, ${%s:singlequote}", text, name)
		}
		return text
	})
	if unknown != nil {
		return "", unknown
	}

	for {
		at := macro.FindStringSubmatchIndex(query)
		if at == nil {
			return query, nil
		}
		text, end, err := v.macro(query[at[2]:at[3]], query, at[1])
		if err != nil {
			return "", err
		}
		query = query[:at[0]] + text + query[end:]
	}
}

// macro is what the one of that name stands for, and where the query goes on behind it. Their
// arguments begin at after.
func (v View) macro(name, query string, after int) (text string, end int, err error) {
	seconds := func(t time.Time) string { return fmt.Sprintf("toDateTime(%d)", t.Unix()) }
	width := max(int(v.Interval.Seconds()), 1)
	values := map[string]string{"fromTime": seconds(v.From), "toTime": seconds(v.To), "interval_s": fmt.Sprint(width)}
	functions := map[string]string{
		"timeFilter":   "%[1]s >= " + seconds(v.From) + " AND %[1]s <= " + seconds(v.To),
		"timeInterval": fmt.Sprintf("toStartOfInterval(toDateTime(%%s), INTERVAL %d second)", width),
	}
	if text, is := values[name]; is {
		return text, after, nil
	}
	form, is := functions[name]
	if !is {
		return "", 0, fmt.Errorf("$__%s is none of %q and %q", name, slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(functions)))
	}
	args, end, err := arguments(query, after)
	if err != nil || len(args) != 1 {
		return "", 0, fmt.Errorf("$__%s wants one argument, has %q: %w", name, args, err)
	}
	return fmt.Sprintf(form, strings.TrimSpace(args[0])), end, nil
}

// arguments are those of a call whose parenthesis opens at open, and where it is closed. They are cut at
// commas outside of inner parentheses; quotes mean nothing, as in the data source.
func arguments(query string, open int) (args []string, end int, err error) {
	if open >= len(query) || query[open] != '(' {
		return nil, 0, fmt.Errorf("no ( follows")
	}
	depth, begin := 0, open+1
	for i := open; i < len(query); i++ {
		switch query[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return append(args, query[begin:i]), i + 1, nil
			}
		case ',':
			if depth == 1 {
				args = append(args, query[begin:i])
				begin = i + 1
			}
		}
	}
	return nil, 0, fmt.Errorf("( is not closed")
}
