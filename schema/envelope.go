package schema

import "fmt"

// The three signals wrap their items alike, with the same field numbers: a
// request holds resources, a resource holds scopes, a scope holds items.
const (
	requestResource = 1<<3 | delimited // ResourceLogs, ResourceSpans, ResourceMetrics

	groupHead  = 1<<3 | delimited // Resource or InstrumentationScope
	groupItems = 2<<3 | delimited // ScopeLogs … or LogRecord …
	groupURL   = 3<<3 | delimited
)

// decode hands each item of a request to item, with s.header set to what it is in.
func (s *Set) decode(body []byte, item func([]byte) error) error {
	c := walk(body)
	for n := 0; c.next(); {
		if c.tag != requestResource {
			continue // among them the markers between log records
		}
		if err := s.decodeResource(c.bytes, item); err != nil {
			return fmt.Errorf("resource %d: %w", n, err)
		}
		n++
	}
	return c.err
}

// decodeResource goes over the message twice, because the schema URL comes after
// the items that it is written beside.
func (s *Set) decodeResource(message []byte, item func([]byte) error) error {
	head, url, err := openGroup(message)
	if err != nil {
		return err
	}
	if err := s.header.setResource(head); err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	s.header.stream = append(s.header.stream[:0], s.origin.Stream...)
	s.header.resourceURL = url
	c := walk(message)
	for n := 0; c.next(); {
		if c.tag != groupItems {
			continue
		}
		if err := s.decodeScope(c.bytes, item); err != nil {
			return fmt.Errorf("scope %d: %w", n, err)
		}
		n++
	}
	return c.err
}

func (s *Set) decodeScope(message []byte, item func([]byte) error) error {
	head, url, err := openGroup(message)
	if err != nil {
		return err
	}
	if err := s.header.setScope(head); err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	s.header.scopeURL = url
	s.headers++
	s.header.seal(s.headers)
	c := walk(message)
	for n := 0; c.next(); {
		if c.tag != groupItems {
			continue
		}
		if err := item(c.bytes); err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
		n++
	}
	return c.err
}

func openGroup(message []byte) (head, url []byte, err error) {
	c := walk(message)
	for c.next() {
		switch c.tag {
		case groupHead:
			head = c.bytes
		case groupURL:
			url = c.text()
		}
	}
	return head, url, c.err
}
