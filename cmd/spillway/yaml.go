package main

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The file is decoded by walking its syntax tree beside the structs: that gives every error a
// line and a column, and all of them at once.

type decoder struct {
	file  string
	env   func(string) (string, bool)
	named map[string]bool
	at    map[string]string // where in the file a key is
	errs  []error

	secrets []string // what files held that values name
}

func decodeYAML(file string, src []byte, into *loaded, env func(string) (string, bool)) []error {
	f, err := parser.ParseBytes(src, 0)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", file, err)}
	}
	d := &decoder{file: file, env: env, named: into.named, at: into.at}
	if len(f.Docs) > 1 {
		d.fail(f.Docs[1].Body, "", errors.New("one document a file: put the second one into a file of its own"))
	}
	if len(f.Docs) > 0 && f.Docs[0].Body != nil {
		d.value(f.Docs[0].Body, reflect.ValueOf(into.config).Elem(), "")
	}
	into.secrets = d.secrets
	return d.errs
}

// place is where n is.
func (d *decoder) place(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return d.file
	}
	p := n.GetToken().Position
	return fmt.Sprintf("%s:%d:%d", d.file, p.Line, p.Column)
}

func (d *decoder) fail(n ast.Node, key string, err error) {
	at := d.place(n)
	if key != "" {
		key += ": "
	}
	d.errs = append(d.errs, fmt.Errorf("%s: %s%w", at, key, err))
}

func (d *decoder) value(n ast.Node, v reflect.Value, key string) {
	switch n := n.(type) {
	case *ast.NullNode:
		return // an empty key keeps its default
	case *ast.AnchorNode:
		d.value(n.Value, v, key)
		return
	case *ast.TagNode:
		d.value(n.Value, v, key)
		return
	}
	if _, ok := unmarshaler(v); ok || v.Type() == reflect.TypeFor[time.Duration]() {
		d.scalar(n, v, key)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), key)
	case reflect.Struct:
		d.structure(n, v, key)
	case reflect.Map:
		d.mapping(n, v, key)
	case reflect.Slice:
		d.sequence(n, v, key)
	default:
		d.scalar(n, v, key)
	}
}

func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (d *decoder) structure(n ast.Node, v reflect.Value, key string) {
	list, ok := entries(n)
	if !ok {
		d.fail(n, key, errors.New("wants keys and values below it"))
		return
	}
	fields := fieldsOf(v)
	for _, e := range list {
		name := keyText(e.Key)
		f, ok := fields[name]
		if !ok {
			d.fail(e.Key, "", fmt.Errorf("unknown key %q%s", join(key, name), nearest(name, fields)))
			continue
		}
		d.named[join(key, name)] = true
		d.at[join(key, name)] = d.place(e.Key)
		d.value(e.Value, f, join(key, name))
	}
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.String()
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// fieldsOf are the yaml keys of a struct; embedded structs are inlined.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for name, inner := range fieldsOf(v.Field(i)) {
				out[name] = inner
			}
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			out[name] = v.Field(i)
		}
	}
	return out
}

// nearest suggests the known key that is the fewest edits away, if it is near.
func nearest(name string, fields map[string]reflect.Value) string {
	best, most := "", len(name)/2+1
	for known := range fields {
		if n := edits(name, known); n < most || n == most && known < best {
			best, most = known, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, key string) {
	list, ok := entries(n)
	if !ok {
		d.fail(n, key, errors.New("wants keys and values below it"))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range list {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.Value, item, join(key, keyText(e.Key)))
		v.SetMapIndex(reflect.ValueOf(keyText(e.Key)), item)
	}
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, key string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, key, errors.New("wants a list: [a, b] or lines that begin with a dash"))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, e := range s.Values {
		begin := ast.Node(e)
		if keys, ok := entries(e); ok && len(keys) > 0 {
			begin = keys[0].Key
		}
		d.at[fmt.Sprintf("%s[%d]", key, i)] = d.place(begin)
		d.value(e, out.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
	v.Set(out)
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, key string) {
	text, ok := scalarText(n)
	if !ok {
		d.fail(n, key, errors.New("wants a single value"))
		return
	}
	text, err := d.expand(text)
	if err == nil {
		err = set(v, text)
	}
	if err != nil {
		d.fail(n, key, err)
	}
}

func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// unmarshaler is v as a type that reads itself from a scalar.
func unmarshaler(v reflect.Value) (u encoding.TextUnmarshaler, ok bool) {
	u, ok = v.Addr().Interface().(encoding.TextUnmarshaler)
	return u, ok && v.Kind() != reflect.Pointer
}

// set puts a scalar into v.
func set(v reflect.Value, text string) error {
	if u, ok := unmarshaler(v); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		dur, err := parseDuration(text)
		v.SetInt(int64(dur))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q: write true or false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(i)
	default:
		return fmt.Errorf("BUG: no way to read a %s", v.Type())
	}
	return nil
}

var variable = regexp.MustCompile(`\$\{(env|file|credential):([^}]*)\}`)

// expand replaces ${env:NAME}, ${file:PATH}, and ${credential:NAME}, which is the file of that name in
// the directory that systemd put the service's credentials into. A file's trailing newline is dropped.
func (d *decoder) expand(s string) (string, error) {
	var first error
	out := variable.ReplaceAllStringFunc(s, func(m string) string {
		part := variable.FindStringSubmatch(m)
		if part[1] == "env" {
			name, fallback, hasFallback := strings.Cut(part[2], ":-")
			if v, ok := d.env(name); ok {
				return v
			}
			if !hasFallback {
				first = errors.Join(first, fmt.Errorf("environment variable %s is not set: set it, or write ${env:%s:-default}", name, name))
			}
			return fallback
		}
		path := part[2]
		if part[1] == "credential" {
			dir, ok := d.env("CREDENTIALS_DIRECTORY")
			if !ok {
				first = errors.Join(first, fmt.Errorf("credential %s: CREDENTIALS_DIRECTORY is not set: systemd sets it for a unit with LoadCredential", path))
				return ""
			}
			path = filepath.Join(dir, filepath.Base(path))
		}
		b, err := os.ReadFile(path)
		if err != nil {
			first = errors.Join(first, err)
		}
		text := strings.TrimRight(string(b), "\r\n")
		d.secrets = append(d.secrets, text)
		return text
	})
	return out, first
}

// fromEnv reads SPILLWAY_WAL_DIR for wal.dir, and so on, for scalars and lists of strings that
// the file does not name.
func fromEnv(l *loaded, env func(string) (string, bool)) (errs []error) {
	var walk func(v reflect.Value, key string)
	walk = func(v reflect.Value, key string) {
		if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct {
			if !v.IsNil() {
				walk(v.Elem(), key)
			}
			return
		}
		if v.Kind() == reflect.Struct {
			for name, f := range fieldsOf(v) {
				walk(f, join(key, name))
			}
			return
		}
		name := "SPILLWAY_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		text, ok := env(name)
		if !ok || l.named[key] {
			return
		}
		l.named[key] = true
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf(strings.Split(text, ",")))
			return
		}
		if v.Kind() == reflect.Map || v.Kind() == reflect.Slice {
			return
		}
		if err := set(v, text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	walk(reflect.ValueOf(l.config).Elem(), "")
	return errs
}
