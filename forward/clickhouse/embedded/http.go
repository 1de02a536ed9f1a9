package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

const (
	// maxStatementBytes bounds the SQL of a request; the data of an INSERT is not part of it.
	maxStatementBytes = 16 << 20
	// peerTimeout is how long a peer may neither send nor take anything in the middle of a statement, as in ClickHouse.
	peerTimeout = 300 * time.Second
	// drainBytes is how much of a refused INSERT's data is read before the answer: a client that is still sending may miss it.
	drainBytes = 64 << 20
	// feedBytes is the piece in which data is handed to the engine.
	feedBytes = 256 << 10
)

// httpHandler speaks ClickHouse's HTTP protocol.
type httpHandler struct {
	engine *engine
	log    *slog.Logger
}

func (h *httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Nobody is asked for a password, so a web page must not get at the engine through its visitor's browser. Browsers put an Origin
	// on every request of a page that could carry a statement.
	if r.Header.Get("Origin") != "" {
		http.Error(w, "requests of web pages are refused", http.StatusForbidden)
		return
	}
	switch {
	case r.URL.Path == "/ping", r.URL.Path == "/replicas_status", r.URL.Path == "/" && r.Method == http.MethodGet && r.URL.RawQuery == "":
		// A failed write is the client's loss.
		_, _ = io.WriteString(w, "Ok.\n")
		return
	case r.URL.Path != "/":
		http.Error(w, "There is no handle "+r.URL.Path, http.StatusNotFound)
		return
	}
	out := newHTTPOutput(w, h.engine)
	if err := h.serve(r, out); err != nil {
		h.log.Debug("statement failed", "protocol", "http", "query_id", out.queryID, "err", err)
		out.fail(err)
	}
}

func (h *httpHandler) serve(r *http.Request, out *httpOutput) error {
	q, err := parseHTTPQuery(r, out.control)
	if err != nil {
		return err
	}
	if q.queryID != "" {
		out.queryID = q.queryID
	}
	if r.Method != http.MethodPost && !q.statement.readonly {
		return exception(proto.ErrReadonly, "READONLY",
			"Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")
	}
	s, err := h.engine.open(r.Context(), q.database, q.settings, q.params)
	if err != nil {
		return err
	}
	defer s.close()
	if q.statement.kind == inserts {
		return h.insert(r.Context(), s, q, out)
	}
	return h.query(r.Context(), s, q, out)
}

func (h *httpHandler) query(ctx context.Context, s *session, q *httpQuery, out *httpOutput) error {
	format := q.statement.format
	if format == "" {
		format = q.defaultFormat
	}
	out.begin(format, q)
	reframe := q.revision > 0 && strings.EqualFold(format, "Native")
	each := func(piece []byte, st stats) error {
		out.summarize(st)
		if reframe {
			var err error
			if piece, err = reframeAll(piece, engineRevision, q.revision); err != nil {
				return err
			}
		}
		return out.write(piece)
	}
	err := s.cancellable(ctx, func() error {
		if q.statement.kind == selects {
			return s.stream(q.statement.text, format, each)
		}
		result, st, err := s.query(q.statement.text, format)
		if err != nil {
			return err
		}
		out.summarize(st)
		if len(result) == 0 {
			return nil
		}
		return each(result, st)
	})
	if err != nil {
		return err
	}
	return out.finish()
}

func (h *httpHandler) insert(ctx context.Context, s *session, q *httpQuery, out *httpOutput) error {
	if q.statement.format == "" {
		return exception(proto.ErrSyntaxError, "SYNTAX_ERROR", "Expected FORMAT, VALUES or SELECT at the end of an INSERT")
	}
	var st stats
	err := s.cancellable(ctx, func() error {
		in, err := s.insert(q.statement.text, q.statement.format)
		if err != nil {
			return err
		}
		if err := feed(in, q.data); err != nil {
			in.cancel()
			return err
		}
		st, err = in.commit()
		return err
	})
	if err != nil {
		// Whether the rest comes makes no difference to the answer.
		_, _ = io.CopyN(io.Discard, q.data, drainBytes)
		return err
	}
	out.summarize(st)
	return out.finish()
}

// feed gives all of data to the INSERT. On an error that comes from reading, the INSERT must be cancelled: what has arrived is not
// all that was meant. An error of the engine is left for commit to report.
func feed(in *insertion, data io.Reader) error {
	buf := make([]byte, feedBytes)
	for {
		n, err := data.Read(buf)
		if in.append(buf[:n]) != nil {
			return nil
		}
		// ch-go's decompressor wraps the end of its input.
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return exception(proto.ErrCannotReadAllData, "CANNOT_READ_ALL_DATA", fmt.Sprintf("Cannot read all data of the INSERT, nothing was inserted: %v", err))
		}
	}
}

// asException gives any error the form in which the protocols carry it.
func asException(err error) *Exception {
	var e *Exception
	if errors.As(err, &e) {
		return e
	}
	return exception(proto.ErrUnknownException, "UNKNOWN_EXCEPTION", err.Error())
}

// summary is the value of X-ClickHouse-Summary.
func (st stats) summary() string {
	var b strings.Builder
	b.WriteByte('{')
	for _, f := range []struct {
		name  string
		value uint64
	}{
		{"read_rows", st.rowsRead}, {"read_bytes", st.bytesRead},
		{"written_rows", st.rowsWritten}, {"written_bytes", st.bytesWritten},
		{"total_rows_to_read", 0},
		{"result_rows", max(st.resultRows, st.rowsWritten)}, {"result_bytes", max(st.resultBytes, st.bytesWritten)},
		{"elapsed_ns", uint64(st.seconds * 1e9)},
	} {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(f.name) + `:"` + strconv.FormatUint(f.value, 10) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}
