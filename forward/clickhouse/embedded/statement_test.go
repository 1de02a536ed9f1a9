package embedded

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatementsAreCutWhereTheirDataBegins(t *testing.T) {
	insert := func(text, format, target, data string, columns ...string) statement {
		return statement{kind: inserts, text: text, format: format, target: target, data: data, columns: columns}
	}
	for sql, want := range map[string]statement{
		"INSERT INTO t FORMAT Native":                     insert("INSERT INTO t ", "Native", "t", ""),
		"insert into t (a, b) format JSONEachRow\n{}\n":   insert("insert into t (a, b) ", "JSONEachRow", "t", "{}\n", "a", "b"),
		"INSERT INTO t FORMAT TSV  \n\n\t1":               insert("INSERT INTO t ", "TSV", "t", "\n\t1"),
		"INSERT INTO t FORMAT Native ; ":                  insert("INSERT INTO t ", "Native", "t", ""),
		"INSERT INTO t VALUES (1, 'VALUES'), (2, ';')":    insert("INSERT INTO t ", "Values", "t", " (1, 'VALUES'), (2, ';')"),
		"INSERT INTO db.`t(1)` (`a``b`, n.c, \"d\\\"e\")": insert("INSERT INTO db.`t(1)` (`a``b`, n.c, \"d\\\"e\")", "", "db.`t(1)`", "", "a`b", "n.c", `d"e`),
		"INSERT INTO TABLE t SETTINGS async_insert=0, insert_deduplication_token='FORMAT x' FORMAT Native": insert(
			"INSERT INTO TABLE t SETTINGS async_insert=0, insert_deduplication_token='FORMAT x' ", "Native", "t", ""),
		"INSERT INTO FUNCTION file('x', (1)) VALUES (1)":        insert("INSERT INTO FUNCTION file('x', (1)) ", "Values", "file('x', (1))", " (1)"),
		"INSERT INTO {db:Identifier}.{t:Identifier} VALUES ":    insert("INSERT INTO {db:Identifier}.{t:Identifier} ", "Values", "{db:Identifier}.{t:Identifier}", " "),
		"-- a\n/* b */ INSERT /* c */ INTO t -- d\n VALUES (1)": insert("-- a\n/* b */ INSERT /* c */ INTO t -- d\n ", "Values", "t", " (1)"),
		"INSERT INTO t SELECT 'VALUES'":                         {text: "INSERT INTO t SELECT 'VALUES'"},
		"INSERT INTO t (a) (SELECT 1)":                          {text: "INSERT INTO t (a) (SELECT 1)"},
		"INSERT INTO t (SELECT 1)":                              {text: "INSERT INTO t (SELECT 1)"},
		"INSERT INTO t WITH 1 AS x SELECT x":                    {text: "INSERT INTO t WITH 1 AS x SELECT x"},

		"SELECT 1":                                     {kind: selects, readonly: true, text: "SELECT 1"},
		"  (SELECT 1) UNION ALL (SELECT 2)":            {kind: selects, readonly: true, text: "  (SELECT 1) UNION ALL (SELECT 2)"},
		"WITH 1 AS x SELECT x; ":                       {kind: selects, readonly: true, text: "WITH 1 AS x SELECT x"},
		"WITH 1 AS x INSERT INTO t SELECT x":           {text: "WITH 1 AS x INSERT INTO t SELECT x"},
		"SELECT 1 FORMAT JSON":                         {kind: selects, readonly: true, text: "SELECT 1            ", format: "JSON"},
		"SELECT 1 FORMAT JSON SETTINGS max_threads=1":  {kind: selects, readonly: true, text: "SELECT 1             SETTINGS max_threads=1", format: "JSON"},
		"SELECT insert('a', 1, 1, 'b')":                {kind: selects, readonly: true, text: "SELECT insert('a', 1, 1, 'b')"},
		"SELECT format FROM t":                         {kind: selects, readonly: true, text: "SELECT format FROM t"},
		"SELECT 'a;b', $$;$$, `;`, $x$ ; FORMAT y $x$": {kind: selects, readonly: true, text: "SELECT 'a;b', $$;$$, `;`, $x$ ; FORMAT y $x$"},
		"SELECT (SELECT 1 FORMAT Null)":                {kind: selects, readonly: true, text: "SELECT (SELECT 1 FORMAT Null)"},
		"SHOW TABLES":                                  {readonly: true, text: "SHOW TABLES"},
		"CREATE TABLE t (a UInt8) ENGINE = Memory":     {text: "CREATE TABLE t (a UInt8) ENGINE = Memory"},
		"":           {},
		"-- nothing": {text: "-- nothing"},
	} {
		got, err := parseStatement(sql)
		if err != nil {
			t.Errorf("%q: %v", sql, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(statement{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", sql, diff)
		}
	}
}

func TestStatementsThatAClientHasToCarryOutAreRefused(t *testing.T) {
	for sql, code := range map[string]int32{
		"SELECT 1; SELECT 2":                       62,
		"INSERT INTO t SELECT 1; DROP TABLE t":     62,
		"SELECT 1 INTO OUTFILE 'x'":                48,
		"INSERT INTO t FROM INFILE 'x' FORMAT CSV": 48,
		"INSERT INTO t FORMAT ":                    62,
	} {
		_, err := parseStatement(sql)
		var e *Exception
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%q: %v, want code %d", sql, err, code)
		}
	}
}

func FuzzStatementsNeverPanic(f *testing.F) {
	for _, sql := range []string{"INSERT INTO t (a VALUES", "INSERT INTO `", "SELECT '\\", "$a$", "/*", "INSERT INTO FUNCTION f(((", "\"a\\", "INSERT INTO {a", ";;", "SELECT 1 FORMAT a ; ;"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		s, err := parseStatement(sql)
		if err == nil && s.kind == inserts && len(s.text)+len(s.data) > len(sql) {
			t.Errorf("statement and data are longer than %q", sql)
		}
	})
}
