package main

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse"
)

// A field of a config struct that holds a secret says so in its tag, where it is declared: secret:"all" is
// a secret as a whole, and each of several; secret:"dsn" is a DSN, with a secret in it; secret:"no" is a field
// whose name only sounds like one. A test fails for a field that sounds like one and has no tag.
const (
	secretTag = "secret"
	masked    = "(masked)"
)

// unused are the sections that a role does not look at.
var unused = map[role][]string{
	roleAgent:      {"schema", "collector"},
	roleCollector:  {"service", "resource", "receivers.tail", "receivers.journald", "wal", "collector"},
	roleStandalone: {"schema"},
}

// effective is c as a file for r: every key with the value that holds, and no secret. It can be read again
// where no secret is needed.
func effective(c *config, r role) string {
	e := &effectiveYAML{mask: newMask(c)}
	e.structure(reflect.ValueOf(settled(c)).Elem(), "", 0, func(key string) bool {
		return within(key, unused[r]...) || r == roleStandalone && within(strings.TrimPrefix(key, "collector."), unused[roleCollector]...) && strings.HasPrefix(key, "collector.")
	})
	return e.out.String()
}

// settled is c with the words that hold where it has none.
func settled(c *config) *config {
	out := *c
	out.Receivers.Tail = slices.Clone(c.Receivers.Tail)
	for i := range out.Receivers.Tail {
		t := &out.Receivers.Tail[i]
		d := t.tail()
		t.Exclude, t.Format, t.StartAt = d.Exclude, d.Format, d.StartAt
		t.Parse, t.Multiline.Mode = cmp.Or(t.Parse, "auto"), cmp.Or(t.Multiline.Mode, "auto")
	}
	return &out
}

type effectiveYAML struct {
	mask *mask
	out  strings.Builder
}

func (e *effectiveYAML) structure(v reflect.Value, key string, depth int, skip func(string) bool) {
	for _, f := range orderedFields(v) {
		at := join(key, f.name)
		if skip(at) {
			continue
		}
		e.entry(f.name, f.value, f.secret, at, depth, skip)
	}
}

func (e *effectiveYAML) entry(name string, v reflect.Value, secret, key string, depth int, skip func(string) bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		if _, text := textOf(v); !text {
			v = v.Elem()
		}
	}
	indent := strings.Repeat("  ", depth)
	if text, ok := textOf(v); ok {
		if text != "" || name == "endpoint" { // an empty one is off; else nothing is said
			fmt.Fprintf(&e.out, "%s%s: %s\n", indent, name, e.scalar(text, v, secret))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		var inner effectiveYAML
		inner.mask = e.mask
		inner.structure(v, key, depth+1, skip)
		if inner.out.Len() > 0 {
			fmt.Fprintf(&e.out, "%s%s:\n%s", indent, name, inner.out.String())
		}
	case reflect.Map:
		if v.Len() == 0 {
			return
		}
		fmt.Fprintf(&e.out, "%s%s:\n", indent, name)
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			e.entry(quote(k.String()), v.MapIndex(k), secret, key, depth+1, skip)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		fmt.Fprintf(&e.out, "%s%s:\n", indent, name)
		for i := range v.Len() {
			e.item(v.Index(i), secret, key, depth+1, skip)
		}
	}
}

// item is one of a list, behind a dash.
func (e *effectiveYAML) item(v reflect.Value, secret, key string, depth int, skip func(string) bool) {
	indent := strings.Repeat("  ", depth)
	if text, ok := textOf(v); ok {
		fmt.Fprintf(&e.out, "%s- %s\n", indent, e.scalar(text, v, secret))
		return
	}
	inner := effectiveYAML{mask: e.mask}
	if v.Kind() == reflect.Map {
		for _, k := range slices.SortedFunc(maps.Keys(asMap(v)), strings.Compare) {
			inner.entry(quote(k), reflect.ValueOf(asMap(v)[k]), secret, key, depth+1, skip)
		}
	} else {
		inner.structure(v, key, depth+1, skip)
	}
	text := inner.out.String()
	if text == "" {
		text = indent + "  {}\n"
	}
	fmt.Fprintf(&e.out, "%s- %s", indent, strings.TrimPrefix(text, indent+"  "))
}

// asMap is a list's element of keys and values.
func asMap(v reflect.Value) map[string]string {
	m, _ := v.Interface().(map[string]string)
	return m
}

// scalar is a value of one line, without what is secret in it.
func (e *effectiveYAML) scalar(text string, v reflect.Value, secret string) string {
	switch {
	case text == "":
	case secret == "all":
		text = masked
	case secret == "dsn":
		text = maskDSN(text)
	default:
		text = e.mask.text(text)
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64:
		return text
	}
	return quote(text)
}

// bare is what YAML takes for a text without quotes, whoever reads it.
var bare = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*$`)

// quote writes s so that YAML reads it as that text.
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
	default:
		if bare.MatchString(s) {
			return s
		}
	}
	b, err := json.Marshal(strings.ToValidUTF8(s, "�")) // whose escapes are YAML's
	if err != nil {
		return `""`
	}
	return string(b)
}

// textOf is v as what a file would say; not ok: it is of several lines, or nothing.
func textOf(v reflect.Value) (string, bool) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return time.Duration(v.Int()).String(), true
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case zone:
			if x.Location == nil {
				return "", true
			}
			return x.String(), true
		case *regexp.Regexp:
			if x == nil {
				return "", true
			}
			return x.String(), true
		case encoding.TextMarshaler:
			if b, err := x.MarshalText(); err == nil {
				return string(b), true
			}
		}
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool, reflect.Int, reflect.Int64:
		return fmt.Sprint(v.Interface()), true
	}
	return "", false
}

// A configField is a key of a config struct.
type configField struct {
	name, secret string
	value        reflect.Value
}

// orderedFields are the keys of a struct in the order of their declaration; embedded structs are inlined.
func orderedFields(v reflect.Value) (all []configField) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			all = append(all, orderedFields(v.Field(i))...)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			all = append(all, configField{name, f.Tag.Get(secretTag), v.Field(i)})
		}
	}
	return all
}

// A mask takes secrets out of texts that were made by others: error messages and log lines.
type mask struct{ replacer *strings.Replacer }

// leastSecret is how short a secret may be to be looked for in other texts: a shorter one is in every second word.
const leastSecret = 4

// secretTexts are the secrets of c: those of its fields, and what was read from files.
func (c *config) secretTexts() []string {
	all := slices.Clone(c.secrets)
	eachSecret(reflect.ValueOf(c).Elem(), func(s string) { all = append(all, s) })
	return all
}

// newMask knows the secrets of c, as they are and as they are in a URL.
func newMask(c *config) *mask {
	var all []string
	for _, s := range c.secretTexts() {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if len(form) >= leastSecret && !slices.Contains(all, form) {
				all = append(all, form)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // the longest first: one may be in another
	var pairs []string
	for _, s := range all {
		pairs = append(pairs, s, masked)
	}
	return &mask{strings.NewReplacer(pairs...)}
}

func (m *mask) text(s string) string { return m.replacer.Replace(s) }

// eachSecret hands on what the tags below v say is secret.
func eachSecret(v reflect.Value, add func(string)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachSecret(v.Elem(), add)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachSecret(v.Index(i), add)
		}
	case reflect.Struct:
		for _, f := range orderedFields(v) {
			switch f.secret {
			case "all":
				eachString(f.value, add)
			case "dsn":
				eachString(f.value, func(dsn string) {
					for _, s := range secretsOfDSN(dsn) {
						add(s)
					}
				})
			default:
				eachSecret(f.value, add)
			}
		}
	}
}

// eachString hands on the texts that v is made of, but for keys.
func eachString(v reflect.Value, add func(string)) {
	switch v.Kind() {
	case reflect.String:
		add(v.String())
	case reflect.Slice:
		for i := range v.Len() {
			eachString(v.Index(i), add)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			eachString(v.MapIndex(k), add)
		}
	}
}

// plainParameters are those of a DSN that hold no secret. Any other may: http_proxy has a password, and what the
// driver does not know becomes a setting of the server.
var plainParameters = []string{"compress", "compress_level", "secure", "skip_verify", "tls_server_name", "dial_timeout", "read_timeout",
	"connection_open_strategy", "max_open_conns", "max_idle_conns", "conn_max_lifetime", "block_buffer_size", "database", "username", "hosts", "alt_hosts", "debug"}

// maskDSN leaves who, where and what: the password and parameters that may be secret are masked.
func maskDSN(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return masked // what cannot be taken apart is not shown
	}
	out := u.Scheme + "://"
	if u.User != nil {
		out += u.User.Username()
		if p, ok := u.User.Password(); ok && p != "" {
			out += ":" + masked
		} else if ok {
			out += ":"
		}
		out += "@"
	}
	out += u.Host + u.EscapedPath()
	sep := "?"
	for _, k := range slices.Sorted(maps.Keys(u.Query())) {
		for _, v := range u.Query()[k] {
			if !slices.Contains(plainParameters, k) {
				v = masked
			}
			out, sep = out+sep+k+"="+v, "&"
		}
	}
	return out
}

// secretsOfDSN are the texts that maskDSN leaves out.
func secretsOfDSN(dsn string) (all []string) {
	if opts, err := clickhouse.ParseDSN(dsn); err == nil {
		all = append(all, opts.Auth.Password)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return append(all, dsn)
	}
	if p, ok := u.User.Password(); ok {
		all = append(all, p)
	}
	for k, values := range u.Query() {
		if slices.Contains(plainParameters, k) {
			continue
		}
		all = append(all, values...)
		for _, v := range values {
			if proxy, err := url.Parse(v); err == nil {
				if p, ok := proxy.User.Password(); ok {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// apply has every text below v go through the mask.
func (m *mask) apply(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			m.apply(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			m.apply(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			m.apply(v.Field(i))
		}
	case reflect.String:
		v.SetString(m.text(v.String()))
	}
}
