package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
)

// exceptionTagBytes is the length of the tag that tells an exception in the middle of a result from data that looks like one.
const exceptionTagBytes = 16

// httpOutput is the answer to a request. Until the first byte of the result is sent, a failure has a status of its own; after it,
// the exception goes in band and the transfer is broken off, so that no client can take the result for complete.
type httpOutput struct {
	w       http.ResponseWriter
	control *http.ResponseController
	engine  *engine
	queryID string
	tag     string

	frames *compress.Writer // nil: no ClickHouse frames
	gzip   *gzip.Writer     // nil: no content encoding
	held   *bytes.Buffer    // nil: send as it comes
	sent   bool
}

func newHTTPOutput(w http.ResponseWriter, e *engine) *httpOutput {
	return &httpOutput{
		w: w, control: http.NewResponseController(w), engine: e,
		queryID: rand.Text(), tag: strings.ToLower(rand.Text()[:exceptionTagBytes]),
	}
}

// begin prepares for a result in the format.
func (o *httpOutput) begin(format string, q *httpQuery) {
	h := o.w.Header()
	h.Set("Content-Type", contentType(format))
	h.Set("X-ClickHouse-Format", format)
	if q.compress {
		o.frames = newFrameWriter(q.settings["network_compression_method"])
	}
	if q.gzip {
		h.Set("Content-Encoding", "gzip")
		o.gzip = gzip.NewWriter(o.w)
	}
	if q.waitEnd {
		o.held = new(bytes.Buffer)
	}
}

func (o *httpOutput) commonHeaders() {
	h := o.w.Header()
	h.Set("X-ClickHouse-Server-Display-Name", serverName)
	h.Set("X-ClickHouse-Query-Id", o.queryID)
	h.Set("X-ClickHouse-Timezone", o.engine.timezone)
	h.Set("X-ClickHouse-Exception-Tag", o.tag)
}

// summarize says what the statement has read and written so far, if the headers have not left yet.
func (o *httpOutput) summarize(st stats) {
	if !o.sent {
		o.w.Header().Set("X-ClickHouse-Summary", st.summary())
	}
}

// write sends a piece of the result.
func (o *httpOutput) write(piece []byte) error {
	if o.held != nil {
		o.held.Write(piece)
		return nil
	}
	if !o.sent {
		o.commonHeaders()
		o.sent = true
	}
	if o.frames == nil {
		return o.send(piece)
	}
	return compressFrames(o.frames, piece, o.send)
}

func (o *httpOutput) send(b []byte) error {
	// Without a deadline the write is merely less bounded. The server takes it off at the end of the request.
	_ = o.control.SetWriteDeadline(time.Now().Add(peerTimeout))
	var w io.Writer = o.w
	if o.gzip != nil {
		w = o.gzip
	}
	_, err := w.Write(b)
	return err
}

// finish ends a complete result. An empty one has no body at all, not even an empty gzip stream.
func (o *httpOutput) finish() error {
	if held := o.held; held != nil && held.Len() > 0 {
		o.held = nil
		if err := o.write(held.Bytes()); err != nil {
			return err
		}
	}
	if !o.sent {
		o.commonHeaders()
		o.w.Header().Del("Content-Encoding")
		o.w.Header().Set("Content-Length", "0")
		return nil
	}
	if o.gzip != nil {
		return o.gzip.Close()
	}
	return nil
}

// fail answers with the error. It does not return when a part of the result has gone: it ends the connection.
func (o *httpOutput) fail(err error) {
	e := asException(err)
	text := e.httpText(o.engine.version)
	if !o.sent {
		o.commonHeaders()
		h := o.w.Header()
		h.Del("Content-Encoding")
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(int(e.Code)))
		o.w.WriteHeader(e.httpStatus())
		// A failed write is the client's loss.
		_, _ = io.WriteString(o.w, text+"\n")
		return
	}
	const mark = "__exception__"
	o.held = nil
	broken := o.write([]byte("\r\n" + mark + "\r\n" + o.tag + "\r\n" + text + "\n" + strconv.Itoa(len(text)) + " " + o.tag + "\r\n" + mark + "\r\n"))
	if broken == nil && o.gzip != nil {
		broken = o.gzip.Close()
	}
	if broken == nil {
		_ = o.control.Flush() // an error is one more way of breaking off
	}
	panic(http.ErrAbortHandler) // net/http's way to end a response without its closing chunk
}

func contentType(format string) string {
	switch {
	case strings.HasPrefix(format, "TabSeparated"), strings.HasPrefix(format, "TSV"):
		return "text/tab-separated-values; charset=UTF-8"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8; header=absent"
	case strings.HasSuffix(format, "EachRow"):
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(format, "JSON"):
		return "application/json; charset=UTF-8"
	case format == "Native", strings.HasPrefix(format, "RowBinary"):
		return "application/octet-stream"
	}
	return "text/plain; charset=UTF-8"
}
