package schema

// A header is what the rows of one scope of one resource share. It is decoded
// once, and in a Rows every row of it but the first is a copy of the row before.
type header struct {
	stamp    uint64 // never zero, and never the same again in a Set
	texts    [headTexts][]byte
	resource attributes
	scope    attributes
	dropped  uint32 // attributes of the scope
	stream   []byte
	bytes    int // what a row of it takes, about
}

// The texts of a header.
const (
	headService = iota
	headResourceURL
	headScopeName
	headScopeVersion
	headScopeURL
	headStream
	headTexts
)

var headNames = [headTexts]string{
	headService:      "ServiceName",
	headResourceURL:  "ResourceSchemaUrl",
	headScopeName:    "ScopeName",
	headScopeVersion: "ScopeVersion",
	headScopeURL:     "ScopeSchemaUrl",
	headStream:       "IngestStream",
}

var serviceName = []byte("service.name")

// release lets go of the request that the header came in.
func (h *header) release() {
	h.texts = [headTexts][]byte{}
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
	h.texts[headService] = h.resource.get(serviceName)
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
	h.texts[headScopeName], h.texts[headScopeVersion], h.dropped = nil, nil, 0
	c := walk(message)
	for c.next() {
		switch c.tag {
		case scopeName:
			h.texts[headScopeName] = c.bytes
		case scopeVersion:
			h.texts[headScopeVersion] = c.bytes
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
	h.bytes = h.resource.size() + h.scope.size()
	for _, text := range h.texts {
		h.bytes += len(text)
	}
}

// headerColumns are the columns that a header fills, nil where a table lacks one.
type headerColumns struct {
	texts    [headTexts]textColumn
	resource *maps
	scope    *maps
	dropped  *numbers[uint32]
}

// textColumn is a String or a LowCardinality(String).
type textColumn interface {
	add([]byte)
	repeat()
}

func bindHeader(r *Rows) headerColumns {
	var c headerColumns
	for i, name := range headNames {
		if column, found := find[blockColumn](r, name); found {
			c.texts[i] = column.(textColumn)
		}
	}
	c.resource, _ = find[*maps](r, "ResourceAttributes")
	c.scope, _ = find[*maps](r, "ScopeAttributes")
	c.dropped, _ = find[*numbers[uint32]](r, "ScopeDroppedAttrCount")
	return c
}

// add adds a row of the header; again says that the row before is of it, too.
func (c *headerColumns) add(h *header, again bool) {
	for i, column := range c.texts {
		switch {
		case column == nil:
		case again:
			column.repeat()
		default:
			column.add(h.texts[i])
		}
	}
	c.addMap(c.resource, &h.resource, again)
	c.addMap(c.scope, &h.scope, again)
	if c.dropped != nil {
		c.dropped.add(h.dropped)
	}
}

func (c *headerColumns) addMap(column *maps, a *attributes, again bool) {
	switch {
	case column == nil:
	case again:
		column.repeat()
	default:
		column.add(a)
	}
}
