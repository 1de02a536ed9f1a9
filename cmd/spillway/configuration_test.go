package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/configuration.md instead of comparing with it")

const configurationPage = "../../docs/configuration.md"

// fieldComments reads what stands at the fields of the structs of a package, by "Struct.Field".
func fieldComments(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	comments := make(map[string]string)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
				}
			}
			return false
		})
	}
	return comments
}

// A configurationWriter writes the page: a section for each struct, a row for each key.
type configurationWriter struct {
	t        *testing.T
	comments map[string]map[string]string // by directory
	body     strings.Builder
}

// comment is what the source says of a field.
func (w *configurationWriter) comment(owner reflect.Type, f reflect.StructField, key string) string {
	dir := "."
	if path, ok := strings.CutPrefix(owner.PkgPath(), "github.com/spillway-io/spillway/"); ok && path != "cmd/spillway" {
		dir = "../../" + path
	}
	if w.comments[dir] == nil {
		w.comments[dir] = fieldComments(w.t, dir)
	}
	text := w.comments[dir][owner.Name()+"."+f.Name]
	if text == "" {
		w.t.Errorf("%s.%s (%s) has no comment: it is what docs/configuration.md says of the key", owner, f.Name, key)
	}
	return strings.ReplaceAll(text, "|", "\\|")
}

// halves are an agent's and a collector's default of a key; not valid where that one has no such key.
type halves struct{ agent, collector reflect.Value }

func (h halves) field(i []int) halves {
	at := func(v reflect.Value) reflect.Value {
		for v.IsValid() && v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			return v
		}
		return v.FieldByIndex(i)
	}
	return halves{at(h.agent), at(h.collector)}
}

// Sections that only one of them reads.
var ofAgent, ofCollector = []string{"service", "resource", "receivers.tail", "receivers.journald", "wal", "forward.otlp"}, []string{"schema", "forward.clickhouse"}

func (w *configurationWriter) section(typ reflect.Type, at halves, key, title string) {
	type deeper struct {
		typ   reflect.Type
		at    halves
		key   string
		title string
	}
	var (
		next []deeper
		rows strings.Builder
	)
	for _, f := range reflect.VisibleFields(typ) {
		name, tagged := f.Tag.Lookup("yaml")
		if f.Anonymous || !tagged || name == "-" || name == "collector" {
			continue
		}
		owner := typ
		if len(f.Index) > 1 { // of an embedded struct
			owner = typ.FieldByIndex(f.Index[:len(f.Index)-1]).Type
		}
		full := join(key, name)
		text := w.comment(owner, f, full)
		of, list := f.Type, false
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct {
			list = list || of.Kind() == reflect.Slice
			of = of.Elem()
		}
		if of.Kind() == reflect.Struct && of.PkgPath() != "regexp" && of.Name() != "zone" {
			v := at.field(f.Index)
			if list {
				full += "[]"
				v = halves{}
			}
			next = append(next, deeper{of, v, full, text})
			continue
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s | %s |\n", name, typeName(f.Type, name), w.byDefault(at.field(f.Index), full), taken(full), text)
	}
	if key != "" && title != "" {
		fmt.Fprintf(&w.body, "\n## %s\n\n%s%s.\n", key, strings.ToUpper(title[:1])+title[1:], whose(key))
	}
	if rows.Len() > 0 {
		w.body.WriteString("\n| key | type | default | reload | |\n|---|---|---|---|---|\n" + rows.String())
	}
	for _, d := range next {
		w.section(d.typ, d.at, d.key, d.title)
	}
}

func whose(key string) string {
	switch key = strings.ReplaceAll(key, "[]", ""); {
	case within(key, ofAgent...):
		return " (agent, standalone)"
	case within(key, ofCollector...):
		return " (collector; standalone below `collector:`)"
	}
	return ""
}

// taken says whether SIGHUP is enough.
func taken(key string) string {
	key = strings.ReplaceAll(key, "[]", "")
	if nodeCan(key) && !within(key, ofCollector...) || tierCan(key) {
		return "yes"
	}
	return ""
}

func typeName(t reflect.Type, key string) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem(), key)
	case t.Kind() == reflect.Slice:
		return "list of " + strings.TrimSuffix(typeName(t.Elem(), key), "s") + "s"
	case t.Kind() == reflect.Map:
		return "map"
	case t.Kind() == reflect.Bool:
		return "true, false"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		if strings.HasSuffix(key, "_mib") {
			return "MiB"
		}
		return "number"
	}
	return "text"
}

// byDefault is what holds without a file, of an agent and, where that differs, of a collector.
func (w *configurationWriter) byDefault(v halves, key string) string {
	text := func(v reflect.Value) string {
		if !v.IsValid() || v.IsZero() {
			return ""
		}
		if d, ok := v.Interface().(time.Duration); ok {
			return "`" + shortDuration(d) + "`"
		}
		return fmt.Sprintf("`%v`", v)
	}
	a, c := text(v.agent), text(v.collector)
	key = strings.ReplaceAll(key, "[]", "")
	switch {
	case within(key, ofCollector...):
		return c
	case a == c || c == "" || within(key, ofAgent...):
		return a
	case a == "":
		return "collector: " + c
	}
	return a + ", collector: " + c
}

// shortDuration is a duration as one would write it in the file.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return regexp.MustCompile(`(\D)0[ms](0s)?$`).ReplaceAllString(d.String(), "$1")
}

// The page is made of the structs that files are read into, their comments and their defaults.
func TestThePageOfConfigurationIsThatOfTheStructs(t *testing.T) {
	page, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "<!-- Below this line the page is made from the program: go test ./cmd/spillway -update -->\n"
	head, _, ok := strings.Cut(string(page), mark)
	if !ok {
		t.Fatal("docs/configuration.md has lost its mark")
	}
	w := &configurationWriter{t: t, comments: make(map[string]map[string]string)}
	w.section(reflect.TypeFor[config](), halves{reflect.ValueOf(defaults(roleAgent)).Elem(), reflect.ValueOf(defaults(roleCollector)).Elem()}, "", "")
	want := head + mark + w.body.String()
	if *update {
		if err := os.WriteFile(configurationPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(want, string(page)); diff != "" {
		t.Errorf("docs/configuration.md is stale: make golden (-want +got):\n%s", diff)
	}
}
