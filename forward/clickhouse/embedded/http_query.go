package embedded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// httpQuery is what one HTTP request asks for.
type httpQuery struct {
	statement statement
	data      io.Reader // of an INSERT: what stood behind the statement, then the rest of the body

	database         string
	settings, params map[string]string
	queryID          string
	defaultFormat    string
	revision         int  // client_protocol_version: the framing of Native results; 0 is the engine's own
	compress         bool // the result, in ClickHouse's frames
	gzip             bool // the result, as a content encoding
	waitEnd          bool // answer only when the whole result is there
}

// notSettings are URL parameters that are no settings of the statement. With true they are not carried out, and asking for them is
// an error; the others have been dealt with, or mean nothing without authentication and sessions.
var notSettings = map[string]bool{
	"query": false, "database": false, "default_format": false, "client_protocol_version": false, "query_id": false,
	"compress": false, "decompress": false, "wait_end_of_query": false, "buffer_size": false,
	"user": false, "password": false, "quota_key": false, "role": false, "stacktrace": false,
	"session_id": true, "session_timeout": true, "session_check": true, "close_session": true,
}

func parseHTTPQuery(r *http.Request, control *http.ResponseController) (*httpQuery, error) {
	values := r.URL.Query()
	q := &httpQuery{
		database:      values.Get("database"),
		settings:      map[string]string{},
		params:        map[string]string{},
		queryID:       values.Get("query_id"),
		defaultFormat: "TabSeparated",
		compress:      values.Get("compress") == "1",
		waitEnd:       values.Get("wait_end_of_query") == "1",
	}
	if v := r.Header.Get("X-ClickHouse-Database"); v != "" {
		q.database = v
	}
	for _, v := range []string{r.Header.Get("X-ClickHouse-Format"), values.Get("default_format")} {
		if v != "" {
			q.defaultFormat = v
		}
	}
	if err := q.takeSettings(values); err != nil {
		return nil, err
	}
	q.gzip = q.settings["enable_http_compression"] == "1" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
	body, err := decodeBody(r, values.Get("decompress") == "1", control)
	if err != nil {
		return nil, err
	}
	return q, q.takeStatement(values.Get("query"), body)
}

func (q *httpQuery) takeSettings(values url.Values) error {
	for name := range values {
		value := values.Get(name)
		refused, taken := notSettings[name]
		param, isParam := strings.CutPrefix(name, "param_")
		switch {
		case refused:
			return unsupported(fmt.Sprintf("HTTP parameter %s: sessions do not outlive a request", name))
		case isParam:
			q.params[param] = value
		case !taken:
			q.settings[name] = value
		}
	}
	if v := values.Get("client_protocol_version"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return exception(proto.ErrBadArguments, "BAD_ARGUMENTS", fmt.Sprintf("client_protocol_version %q", v))
		}
		q.revision = n
	}
	return nil
}

// takeStatement finds the statement: the parameter query, continued by the body, unless the body is an INSERT's data.
func (q *httpQuery) takeStatement(query string, body io.Reader) error {
	if query != "" {
		s, err := parseStatement(query)
		if err != nil {
			return err
		}
		if s.kind == inserts && s.format != "" {
			q.statement, q.data = s, io.MultiReader(strings.NewReader(s.data), body)
			return nil
		}
		query += "\n"
	}
	var head bytes.Buffer
	head.WriteString(query)
	n, err := io.Copy(&head, io.LimitReader(body, maxStatementBytes))
	if err != nil && !errors.Is(err, io.EOF) {
		return exception(proto.ErrCannotReadAllData, "CANNOT_READ_ALL_DATA", fmt.Sprintf("Cannot read the statement: %v", err))
	}
	if q.statement, err = parseStatement(head.String()); err != nil {
		return err
	}
	if q.statement.kind == inserts && q.statement.format != "" {
		q.data = io.MultiReader(strings.NewReader(q.statement.data), body)
		return nil
	}
	q.data = body
	if n == maxStatementBytes {
		return exception(proto.ErrQueryIsTooLarge, "QUERY_IS_TOO_LARGE", fmt.Sprintf("Statement above %d bytes", maxStatementBytes))
	}
	if strings.TrimSpace(head.String()) == "" {
		return exception(proto.ErrSyntaxError, "SYNTAX_ERROR", "Empty query")
	}
	return nil
}

// decodeBody undoes the encodings of a request's body. Its reader ends with io.EOF (perhaps wrapped) only when all that the client
// meant to send has come.
func decodeBody(r *http.Request, frames bool, control *http.ResponseController) (io.Reader, error) {
	var body io.Reader = &patientReader{r: r.Body, control: control}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, exception(proto.ErrCannotReadAllData, "CANNOT_READ_ALL_DATA", fmt.Sprintf("Body in gzip: %v", err))
		}
		body = z
	default:
		return nil, unsupported(fmt.Sprintf("Content-Encoding %s: send gzip, or ClickHouse's own frames with decompress=1", encoding))
	}
	if frames {
		body = compress.NewReader(&wholeFrames{r: body})
	}
	return body, nil
}

// patientReader gives the client peerTimeout for each piece of its body.
type patientReader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	// Without a deadline the read is merely less bounded.
	_ = p.control.SetReadDeadline(time.Now().Add(peerTimeout))
	n, err := p.r.Read(b)
	if err != nil { // from here on the server listens for the client's leaving, which has no deadline
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
