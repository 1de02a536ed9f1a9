package lines

import (
	"bytes"
)

// Names of OpenTelemetry's semantic conventions.
const (
	clientAddress          = "client.address"
	clientPort             = "client.port"
	httpRequestMethod      = "http.request.method"
	httpResponseStatusCode = "http.response.status_code"
	networkProtocolVersion = "network.protocol.version"
	urlPath                = "url.path"
	urlQuery               = "url.query"
)

// levelColumn is where a message begins behind the level's name in uvicorn's own format.
const levelColumn = len("CRITICAL: ")

// uvicornLevel is the level at the start of a line in uvicorn's own format, which is the name, a
// colon and as many spaces as make ten columns; else empty. Nobody else is known to pad behind
// the colon.
func uvicornLevel(line []byte) string {
	if len(line) <= levelColumn || line[levelColumn-1] != ' ' {
		return ""
	}
	switch string(line[:levelColumn]) {
	case "INFO:     ":
		return "INFO"
	case "WARNING:  ":
		return "WARNING"
	case "ERROR:    ":
		return "ERROR"
	case "DEBUG:    ":
		return "DEBUG"
	case "TRACE:    ":
		return "TRACE"
	case "CRITICAL: ":
		return "CRITICAL"
	}
	return ""
}

// uvicorn reads a line in uvicorn's own format, and more of it if it is about a request. What a
// rule has said of its level stands.
func (e *Encoder) uvicorn(line []byte, level string, ruled bool) {
	if !ruled {
		name := line[:len(level)]
		e.record.severity = severityOf(name)
		e.record.setLevel(name)
	}
	if a, ok := parseAccess(line[levelColumn:]); ok {
		e.access(&a)
	}
}

// An access is what uvicorn.access says of a request.
type access struct {
	client, method, path, query, version []byte
	port, status                         int
}

// parseAccess reads
//
//	127.0.0.1:1234 - "GET /x?y=1 HTTP/1.1" 200 OK
//
// where the client is empty behind a socket of the file system, and has port 0 if a proxy has
// told its address.
func parseAccess(b []byte) (a access, ok bool) {
	client, rest, ok := bytes.Cut(b, []byte(" - \""))
	if !ok || bytes.IndexByte(rest, '\n') >= 0 {
		return a, false
	}
	if len(client) > 0 {
		i := bytes.LastIndexByte(client, ':')
		if i <= 0 || len(client)-i > len(":65535") || len(client)-i == 1 || bytes.IndexByte(client, ' ') >= 0 {
			return a, false
		}
		if a.port, ok = number(client[i+1:]); !ok {
			return a, false
		}
		a.client = client[:i]
	}
	i := bytes.LastIndex(rest, []byte("\" "))
	if i < 0 || len(rest) < i+5 || len(rest) > i+5 && rest[i+5] != ' ' {
		return a, false
	}
	if a.status, ok = number(rest[i+2 : i+5]); !ok || a.status < 100 {
		return a, false
	}
	method, target, ok := bytes.Cut(rest[:i], []byte(" "))
	end := bytes.LastIndexByte(target, ' ')
	if !ok || end <= 0 || !isMethod(method) || !bytes.HasPrefix(target[end+1:], []byte("HTTP/")) {
		return a, false
	}
	a.method, a.version = method, target[end+1+len("HTTP/"):]
	a.path, a.query, _ = bytes.Cut(target[:end], []byte("?"))
	return a, len(a.version) > 0
}

func isMethod(b []byte) bool {
	for _, c := range b {
		if c-'A' > 25 && c != '-' && c != '_' {
			return false
		}
	}
	return len(b) > 0
}

func (e *Encoder) access(a *access) {
	r := &e.record
	if len(a.client) > 0 {
		addString(r, clientAddress, a.client)
		if a.port > 0 {
			r.addInt(clientPort, int64(a.port))
		}
	}
	addString(r, httpRequestMethod, a.method)
	addString(r, urlPath, a.path)
	if len(a.query) > 0 {
		addString(r, urlQuery, a.query)
	}
	addString(r, networkProtocolVersion, a.version)
	r.addInt(httpResponseStatusCode, int64(a.status))
}
