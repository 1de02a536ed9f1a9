package schema

// A header is what the rows of one scope of one resource share. It is decoded
// once, and in a Rows every row of it but the first is a copy of the row before.
type header struct {
	stamp uint64 // never zero, and never the same again in a Set

	service, resourceURL              []byte
	scopeName, scopeVersion, scopeURL []byte
	stream                            []byte // our own copy
	resource, scope                   attributes
	dropped                           uint32 // attributes of the scope
	bytes                             int    // what a row of it takes, about
}

// What most tables have of a header.
var (
	headService      = fromHead(func(c *lowCard, h *header) { c.add(h.service) })
	headResource     = fromHead(func(c *maps, h *header) { c.add(&h.resource) })
	headScope        = fromHead(func(c *maps, h *header) { c.add(&h.scope) })
	headScopeName    = fromHead(func(c *strs, h *header) { c.add(h.scopeName) })
	headScopeVersion = fromHead(func(c *strs, h *header) { c.add(h.scopeVersion) })
)

var serviceName = []byte("service.name")

// release lets go of the request that the header came in.
func (h *header) release() {
	h.service, h.resourceURL, h.scopeName, h.scopeVersion, h.scopeURL = nil, nil, nil, nil, nil
	h.resource.release()
	h.scope.release()
}

// setResource decodes a Resource message.
func (h *header) setResource(message []byte) error {
	const resourceAttributes = 1<<3 | delimited
	h.resource.reset()
	c := walk(message)
	for c.next() {
		if c.tag == resourceAttributes {
			c.check(h.resource.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	if err := h.resource.finish(); err != nil {
		return err
	}
	h.service = h.resource.get(serviceName)
	return nil
}

// setScope decodes an InstrumentationScope message.
func (h *header) setScope(message []byte) error {
	const (
		scopeName       = 1<<3 | delimited
		scopeVersion    = 2<<3 | delimited
		scopeAttributes = 3<<3 | delimited
		scopeDropped    = 4<<3 | varint
	)
	h.scope.reset()
	h.scopeName, h.scopeVersion, h.dropped = nil, nil, 0
	c := walk(message)
	for c.next() {
		switch c.tag {
		case scopeName:
			h.scopeName = c.text()
		case scopeVersion:
			h.scopeVersion = c.text()
		case scopeAttributes:
			c.check(h.scope.add(c.bytes))
		case scopeDropped:
			h.dropped = uint32(c.value)
		}
	}
	if c.err != nil {
		return c.err
	}
	return h.scope.finish()
}

// seal gives the header a stamp, after its last change.
func (h *header) seal(stamp uint64) {
	h.stamp = stamp
	h.bytes = h.resource.size() + h.scope.size() + len(h.service) + len(h.resourceURL) +
		len(h.scopeName) + len(h.scopeVersion) + len(h.scopeURL) + len(h.stream)
}
