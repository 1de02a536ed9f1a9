package embedded_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// Plain HTTP, as curl, Grafana and scripts speak it.

func post(t testing.TB, engine *enginetest.Engine, params url.Values, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	if params == nil {
		params = url.Values{}
	}
	params.Set("database", engine.Database())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+engine.HTTPAddr()+"/?"+params.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // does not decode gzip that the test asked for
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return resp, string(text)
}

func TestDataOfAnInsertMayComeInStatementOrBody(t *testing.T) {
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
	for _, c := range []struct{ query, body string }{
		{"", "INSERT INTO t VALUES (1, 'a;b'), (1 + 1, concat('c', '''')) ; "},
		{"", "INSERT INTO t FORMAT JSONEachRow\n{\"a\":3,\"b\":\"x\"}\n\n{\"a\":4}"},
		{"", "INSERT INTO t (a) SETTINGS max_threads = 1 FORMAT TSV\n5\n6\n"},
		{"INSERT INTO t FORMAT TSV", "7\tx\n8\ty\n"},
		{"INSERT INTO t (b, a) VALUES", "('x', 9), ('y', 10)"},
		{"INSERT INTO t", "VALUES (11, 'x')"},
		{"INSERT INTO t SELECT 12, 'x'", ""},
		{"INSERT INTO t FORMAT CSV 13,", "z\n"},
	} {
		resp, text := post(t, engine, url.Values{"query": {c.query}}, strings.NewReader(c.body))
		if resp.StatusCode != http.StatusOK || text != "" {
			t.Errorf("%q + %q: %s %s", c.query, c.body, resp.Status, text)
		}
		if !strings.Contains(resp.Header.Get("X-ClickHouse-Summary"), `"written_rows":"`) {
			t.Errorf("%q: summary %q", c.query, resp.Header.Get("X-ClickHouse-Summary"))
		}
	}
	if got, want := engine.SQL("SELECT groupArray(a), groupArray(b)[2] FROM (SELECT * FROM t ORDER BY a)"), "[1,2,3,4,5,6,7,8,9,10,11,12,13]\tc\\'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParametersWorkInEveryStatement(t *testing.T) {
	engine := enginetest.Shared(t)
	params := url.Values{"param_table": {"t"}, "param_x": {"7"}, "param_text": {`a\nb`}, "max_threads": {"1"}}
	for _, c := range []struct{ body, want string }{
		{"CREATE TABLE {table:Identifier} (a UInt64, b String) ENGINE = MergeTree ORDER BY a", ""},
		{"INSERT INTO {table:Identifier} VALUES ({x:UInt64}, {text:String})", ""},
		{"SELECT a, b, getSetting('max_threads') FROM {table:Identifier} WHERE a = {x:UInt64}", "7\ta\\nb\t1\n"},
	} {
		if _, text := post(t, engine, params, strings.NewReader(c.body)); text != c.want {
			t.Errorf("%s: %q, want %q", c.body, text, c.want)
		}
	}
}

func TestFormatsOfResults(t *testing.T) {
	engine := enginetest.Shared(t)
	for _, c := range []struct {
		params         url.Values
		body           string
		want, wantType string
	}{
		{nil, "SELECT 1 AS a, 'b' AS b", "1\tb\n", "text/tab-separated-values; charset=UTF-8"},
		{url.Values{"default_format": {"JSONEachRow"}}, "SELECT 1 AS a", "{\"a\":1}\n", "application/x-ndjson; charset=UTF-8"},
		{url.Values{"default_format": {"JSON"}}, "SELECT 1 AS a FORMAT CSV", "1\n", "text/csv; charset=UTF-8; header=absent"},
		{url.Values{"default_format": {"Native"}}, "SELECT 1::UInt8 AS a", "\x01\x01\x01a\x05UInt8\x01", "application/octet-stream"},
		{url.Values{"wait_end_of_query": {"1"}}, "SELECT 1 AS a", "1\n", "text/tab-separated-values; charset=UTF-8"},
		{nil, "SELECT 1 WHERE 0", "", "text/tab-separated-values; charset=UTF-8"},
		{nil, "EXISTS TABLE no_such_table", "0\n", "text/tab-separated-values; charset=UTF-8"},
	} {
		resp, text := post(t, engine, c.params, strings.NewReader(c.body), "Accept-Encoding", "gzip")
		if text != c.want || resp.Header.Get("Content-Type") != c.wantType {
			t.Errorf("%s: %q as %q, want %q as %q", c.body, text, resp.Header.Get("Content-Type"), c.want, c.wantType)
		}
	}
}

func TestGzipBothWays(t *testing.T) {
	engine := enginetest.Shared(t)
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	fmt.Fprint(w, "SELECT number FROM numbers(100000)")
	w.Close()
	whole := body.Bytes()
	resp, text := post(t, engine, url.Values{"enable_http_compression": {"1"}}, bytes.NewReader(whole), "Content-Encoding", "gzip", "Accept-Encoding", "gzip, deflate")
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if lines, err := io.ReadAll(r); err != nil || bytes.Count(lines, []byte("\n")) != 100_000 {
		t.Errorf("%d lines: %v", bytes.Count(lines, []byte("\n")), err)
	}
	resp, text = post(t, engine, nil, bytes.NewReader(whole[:len(whole)-4]), "Content-Encoding", "gzip")
	if resp.StatusCode == http.StatusOK {
		t.Errorf("a cut statement ran: %s", text)
	}
}

func TestErrorsHaveStatusCodeAndText(t *testing.T) {
	engine := enginetest.Shared(t)
	for _, c := range []struct {
		params url.Values
		body   string
		status int
		code   string
	}{
		{nil, "SELECT * FROM no_such_table", 404, "60"},
		{nil, "SELEKT", 400, "62"},
		{nil, "", 400, "62"},
		{nil, "SELECT throwIf(1)", 500, "395"},
		{url.Values{"bad setting": {"1"}}, "SELECT 1", 404, "115"},
		{url.Values{"session_id": {"s"}}, "SELECT 1", 501, "48"},
		{url.Values{"max_memory_usage": {"1"}}, "SELECT groupArray(number) FROM numbers(1000000)", 500, "241"},
		{url.Values{"query": {"INSERT INTO t (a)"}}, "", 400, "62"},
		{url.Values{"wait_end_of_query": {"1"}}, "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)", 500, "395"},
	} {
		resp, text := post(t, engine, c.params, strings.NewReader(c.body))
		if resp.StatusCode != c.status || resp.Header.Get("X-ClickHouse-Exception-Code") != c.code || !strings.HasPrefix(text, "Code: "+c.code+". DB::Exception: ") {
			t.Errorf("%v %q: %s, code %s: %s", c.params, c.body, resp.Status, resp.Header.Get("X-ClickHouse-Exception-Code"), text)
		}
	}
}

func TestGetIsForReading(t *testing.T) {
	engine := enginetest.Shared(t)
	for query, want := range map[string]string{
		"SELECT 1": "1\n", "": "Ok.\n", "SHOW TABLES": "",
		"CREATE TABLE t (a UInt8) ENGINE = Memory": "Code: 164. ", "WITH 1 AS x INSERT INTO t SELECT x": "Code: 164. ",
	} {
		target := "http://" + engine.HTTPAddr() + "/"
		if query != "" {
			target += "?query=" + url.QueryEscape(query)
		}
		resp, err := http.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%q: %q, %v; want %q", query, text, err, want)
		}
	}
}

func TestWebPagesAreRefused(t *testing.T) {
	resp, text := post(t, enginetest.Shared(t), nil, strings.NewReader("SELECT 'secret'"), "Origin", "http://attacker.example")
	if resp.StatusCode != http.StatusForbidden || strings.Contains(text, "secret\n") {
		t.Errorf("%s: %s", resp.Status, text)
	}
}

// A plain client knows nothing of exceptions in band; it must see that the transfer broke off.
func TestABrokenResultBreaksTheTransfer(t *testing.T) {
	engine := enginetest.Shared(t)
	resp, err := http.Post("http://"+engine.HTTPAddr()+"/", "", strings.NewReader("SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		t.Error("the result is taken for whole")
	}
	tag := resp.Header.Get("X-ClickHouse-Exception-Tag")
	if !strings.Contains(string(text[max(0, len(text)-2000):]), "\r\n__exception__\r\n"+tag+"\r\nCode: 395. ") {
		t.Errorf("the result ends in %q", text[max(0, len(text)-500):])
	}
}

// halfRequest sends the head of a POST that announces length bytes, then body, and gives the connection.
func halfRequest(t testing.TB, engine *enginetest.Engine, params url.Values, length int, body []byte) net.Conn {
	t.Helper()
	params.Set("database", engine.Database())
	conn, err := net.Dial("tcp", engine.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /?%s HTTP/1.1\r\nHost: engine\r\nContent-Length: %d\r\n\r\n", params.Encode(), length)
	if _, err := conn.Write(body); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestAClientThatVanishesInsertsNothing(t *testing.T) {
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE vanishing (a UInt64) ENGINE = MergeTree ORDER BY a")
	insert := url.Values{"query": {"INSERT INTO vanishing FORMAT TSV"}}
	// Complete lines, in more than one block of the engine: all but the end has come.
	lines := bytes.Repeat([]byte("1\n"), 3_000_000)
	for _, n := range []int{0, 2, 2_000_000, len(lines)} {
		conn := halfRequest(t, engine, insert, len(lines)+2, lines[:n])
		eventually(t, "the INSERT has begun", func() bool { return running(engine, "INSERT INTO vanishing") == "1" })
		conn.Close()
		eventually(t, "the INSERT has ended", func() bool { return running(engine, "INSERT INTO vanishing") == "0" })
	}
	if got := engine.SQL("SELECT count() FROM vanishing"); got != "0" {
		t.Errorf("%s rows of clients that vanished", got)
	}
}

func TestACutCompressedBodyInsertsNothing(t *testing.T) {
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE cut (a UInt64) ENGINE = MergeTree ORDER BY a")
	insert := url.Values{"query": {"INSERT INTO cut FORMAT TSV"}, "decompress": {"1"}}
	w := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := w.Compress([]byte("1\n2\n3\n")); err != nil {
		t.Fatal(err)
	}
	first := len(w.Data)
	body := append(bytes.Clone(w.Data), w.Data...)
	for n := first + 1; n < len(body); n++ {
		resp, text := post(t, engine, insert, bytes.NewReader(body[:n]))
		if resp.StatusCode == http.StatusOK {
			t.Errorf("%d bytes of a frame are taken for a whole one", n-first)
		}
		if !strings.Contains(text, "Code: 33.") {
			t.Errorf("%d bytes of a frame: %s", n-first, text)
		}
	}
	if got := engine.SQL("SELECT count() FROM cut"); got != "0" {
		t.Fatalf("%s rows of cut bodies", got)
	}
	if resp, text := post(t, engine, insert, bytes.NewReader(body)); resp.StatusCode != http.StatusOK {
		t.Errorf("whole body: %s", text)
	}
	if got := engine.SQL("SELECT count() FROM cut"); got != "6" {
		t.Errorf("%s rows of the whole body, want 6", got)
	}
}

func TestAStatementThatIsCutOffDoesNotRun(t *testing.T) {
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a")
	statement := "TRUNCATE TABLE kept"
	engine.SQL("INSERT INTO kept VALUES (1)")
	conn := halfRequest(t, engine, url.Values{}, len(statement)+10, []byte(statement))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := engine.SQL("SELECT count() FROM kept"); resp.StatusCode == http.StatusOK || got != "1" {
		t.Errorf("%s, %s rows", resp.Status, got)
	}
}
