package loki

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// A reader reads JSON token by token.
type reader struct {
	*json.Decoder
	base int64 // where its text begins in the body
}

func newReader(text []byte, base int64) *reader {
	return &reader{json.NewDecoder(bytes.NewReader(text)), base}
}

// fault says where err was found.
func (r *reader) fault(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("ends too early")
	}
	return fmt.Errorf("JSON at byte %d: %w", r.base+r.InputOffset(), err)
}

func (r *reader) wants(what string, got json.Token) error {
	kind := "null"
	switch got := got.(type) {
	case json.Delim:
		kind = got.String()
	case string:
		kind = "a string"
	case float64:
		kind = "a number"
	case bool:
		kind = "a boolean"
	}
	return r.fault(fmt.Errorf("want %s, not %s", what, kind))
}

// token is the next token.
func (r *reader) token() (json.Token, error) {
	t, err := r.Token()
	if err != nil {
		return nil, r.fault(err)
	}
	return t, nil
}

// list calls each before every element of an array, or with the key before every member of an
// object; null has none. open is how it begins.
func (r *reader) list(open json.Delim, what string, each func(i int, key string) error) error {
	t, err := r.token()
	if err != nil || t == nil {
		return err
	}
	if t != open {
		return r.wants(what, t)
	}
	for i := 0; r.More(); i++ {
		key := ""
		if open == '{' {
			if t, err = r.token(); err != nil {
				return err
			}
			key = t.(string)
		}
		if err := each(i, key); err != nil {
			return err
		}
	}
	_, err = r.token()
	return err
}

// text is the next value, which must be a string.
func (r *reader) text(what string) (string, error) {
	t, err := r.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", r.wants(what, t)
	}
	return s, nil
}

// raw is the next value, whatever it is.
func (r *reader) raw() (text json.RawMessage, err error) {
	if err = r.Decode(&text); err != nil {
		return nil, r.fault(err)
	}
	return text, nil
}

// json reads {"streams": [...]}.
func (c *converter) json(body []byte) error {
	r := newReader(body, 0)
	found := false
	err := r.list('{', "an object", func(_ int, key string) error {
		if key != "streams" {
			_, err := r.raw()
			return err
		}
		found = true
		return r.list('[', "an array of streams", func(stream int, _ string) error { return c.jsonStream(r, stream) })
	})
	if err != nil {
		return err
	}
	if !found {
		return errors.New(`JSON without streams: send {"streams": [{"stream": {...}, "values": [["nanoseconds", "line"], ...]}]}`)
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return r.fault(errors.New("something behind the object"))
	}
	return nil
}

// jsonStream reads {"stream": {...}, "values": [...]}. Values that come before the labels are kept
// as they are until those are known.
func (c *converter) jsonStream(r *reader, stream int) error {
	var (
		early   []*reader
		labeled bool
		valued  bool
		entry   int
	)
	if err := c.unlabeled(); err != nil {
		return errAt(stream, -1, err)
	}
	values := func(r *reader) error {
		return r.list('[', "an array of values", func(_ int, _ string) error {
			if err := c.jsonEntry(r); err != nil {
				return errAt(stream, entry, err)
			}
			entry++
			return nil
		})
	}
	err := r.list('{', "a stream", func(_ int, key string) error {
		switch {
		case key == "stream" && labeled:
			return errAt(stream, -1, r.fault(errors.New("stream comes twice")))
		case key == "stream":
			labeled = true
			return c.jsonLabels(r, stream)
		case key != "values":
			_, err := r.raw()
			return err
		}
		valued = true
		if labeled {
			return values(r)
		}
		text, err := r.raw()
		if err != nil {
			return errAt(stream, -1, err)
		}
		early = append(early, newReader(text, r.base+r.InputOffset()-int64(len(text))))
		return nil
	})
	if err != nil {
		return err
	}
	if !valued {
		return errAt(stream, -1, r.fault(errors.New("no values")))
	}
	if !labeled {
		if err := c.labeled(); err != nil {
			return errAt(stream, -1, err)
		}
	}
	for _, r := range early {
		if err := values(r); err != nil {
			return err
		}
	}
	return c.end()
}

// jsonLabels reads the labels of a stream.
func (c *converter) jsonLabels(r *reader, stream int) error {
	err := r.pairs("labels", func(p pair) error {
		if p.name == "" || labelName(p.name) != p.name {
			return fmt.Errorf("label %s: write a name of letters, digits and underscores that begins with no digit", clip(p.name))
		}
		return c.label(p)
	})
	if err == nil {
		err = c.labeled()
	}
	if err != nil {
		return errAt(stream, -1, err)
	}
	return nil
}

// pairs reads an object of strings, in which null is as good as nothing.
func (r *reader) pairs(what string, each func(pair) error) error {
	return r.list('{', "an object of "+what, func(_ int, key string) error {
		t, err := r.token()
		if err != nil || t == nil {
			return err
		}
		value, ok := t.(string)
		if !ok {
			return r.wants("a string as value of "+clip(key), t)
		}
		return each(pair{key, value})
	})
}

// jsonEntry reads ["nanoseconds", "line", {...}], of which the last may be missing.
func (c *converter) jsonEntry(r *reader) error {
	var (
		at    time.Time
		count int
	)
	err := r.list('[', "an array of time and line", func(i int, _ string) (err error) {
		count++
		switch i {
		case 0:
			at, err = r.time()
		case 1:
			var line string
			line, err = r.text("a line in quotes")
			c.line = append(c.line[:0], line...)
		case 2:
			size := 0
			err = r.pairs("structured metadata", func(p pair) error { return c.metadata(p, &size) })
		default:
			err = r.fault(errors.New("more than time, line and structured metadata"))
		}
		return err
	})
	if err != nil {
		return err
	}
	if count < 2 {
		return r.fault(errors.New("no time and line"))
	}
	return c.entry(at, c.line)
}

// time is nanoseconds since the epoch, in quotes.
func (r *reader) time() (at time.Time, err error) {
	digits, err := r.text("nanoseconds since 1970 in quotes")
	if err != nil {
		return at, err
	}
	ns, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil:
		err = r.fault(fmt.Errorf("timestamp %s: write nanoseconds since 1970", clip(digits)))
	case ns < 0:
		err = r.fault(fmt.Errorf("timestamp %s is %w", clip(digits), errTime))
	}
	return time.Unix(0, ns), err
}
