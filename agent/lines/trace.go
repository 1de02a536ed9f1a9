package lines

import (
	"encoding/binary"
	"math/bits"
)

// A traceContext is what OTLP has of a line's span. Zeros are none.
type traceContext struct {
	trace [16]byte
	span  [8]byte
	flags uint32 // W3C's trace flags, 8 bits
}

func (c *traceContext) valid() bool   { return c.trace != [16]byte{} }
func (c *traceContext) hasSpan() bool { return c.span != [8]byte{} }

const traceSlots = 1<<slotTraceID | 1<<slotSpanID | 1<<slotTraceFlags | 1<<slotTraceParent | 1<<slotSpan

// trace fills in the trace context: from keys of its own, else from a traceparent, else from a
// nested span. A span id or flags without a trace id stay attributes.
func (e *Encoder) trace() {
	if e.line.have&traceSlots == 0 {
		return
	}
	var c traceContext
	if h, ok := e.line.take(slotTraceID); ok && !e.id(c.trace[:], h.value) {
		e.keep(h)
	}
	if h, ok := e.line.take(slotTraceParent); ok && (c.valid() || !e.traceParent(&c, h.value)) {
		e.keep(h)
	}
	if h, ok := e.line.take(slotSpan); ok && (c.valid() || !e.nestedSpan(&c, h)) {
		e.keep(h)
	}
	if h, ok := e.line.take(slotSpanID); ok {
		var span [8]byte
		switch ok := e.id(span[:], h.value); {
		case !ok, span != [8]byte{} && (!c.valid() || c.hasSpan()):
			e.keep(h)
		default:
			c.span = span
		}
	}
	if h, ok := e.line.take(slotTraceFlags); ok {
		flags, ok := e.traceFlags(h.value)
		if !ok || flags != 0 && !c.valid() {
			e.keep(h)
		} else {
			c.flags = flags
		}
	}
	e.record.setTrace(&c)
}

func (r *record) setTrace(c *traceContext) {
	if !c.valid() {
		return
	}
	r.trace = *c
	r.fields = append(append(r.fields, recordTraceID, byte(len(c.trace))), c.trace[:]...)
	if c.hasSpan() {
		r.setSpan(c)
	}
	if c.flags != 0 {
		r.fields = binary.LittleEndian.AppendUint32(append(r.fields, recordFlags), c.flags)
	}
}

func (r *record) setSpan(c *traceContext) {
	r.fields = append(append(r.fields, recordSpanID, byte(len(c.span))), c.span[:]...)
}

// id reads an id.
func (e *Encoder) id(dst []byte, t token) bool {
	if e.decimal {
		return e.decimalID(dst, t)
	}
	return t.kind == text && parseID(dst, e.text(t))
}

// decimalID reads an id that is a decimal number if it has no other digits, and hexadecimal else.
// 32 digits are hexadecimal: ddtrace writes ids of 128 bits so, and in decimal they have 39.
func (e *Encoder) decimalID(dst []byte, t token) bool {
	switch t.kind {
	case integer:
		return parseDecimal(dst, e.raw(t))
	case text:
		b := e.text(t)
		if len(b) == 32 || digits(b, 0) < len(b) {
			return parseID(dst, b)
		}
		return parseDecimal(dst, b)
	}
	return false
}

// parseDecimal reads a decimal number into dst, big end first. dst must be zero, and is if it
// returns false.
func parseDecimal(dst, b []byte) bool {
	var high, low uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 {
			return false
		}
		over, h := bits.Mul64(high, 10)
		carry, l := bits.Mul64(low, 10)
		low, d = bits.Add64(l, d, 0)
		high, d = bits.Add64(h, carry, d)
		if over > 0 || d > 0 {
			return false
		}
	}
	if len(dst) == 8 {
		if high > 0 {
			return false
		}
		binary.BigEndian.PutUint64(dst, low)
		return true
	}
	binary.BigEndian.PutUint64(dst, high)
	binary.BigEndian.PutUint64(dst[8:], low)
	return true
}

// parseID reads an id of at most len(dst) bytes: hexadecimal digits of any case, maybe behind
// 0x, maybe with dashes in between as in a UUID, maybe without leading zeros. dst must be zero, and is again
// if it returns false.
func parseID(dst, b []byte) bool {
	if len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x' {
		b = b[2:]
	}
	if len(b) == 2*len(dst) && parseHex(dst, b) {
		return true
	}
	clear(dst)
	place := 2 * len(dst)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '-' {
			continue
		}
		d := hexDigits[b[i]]
		if d > 15 || place == 0 {
			clear(dst)
			return false
		}
		place--
		dst[place/2] |= d << (4 * (^place & 1))
	}
	return true
}

// parseHex reads two hexadecimal digits for each byte of dst, eight digits at a time.
func parseHex(dst, b []byte) bool {
	var bad uint64
	for len(dst) >= 4 && len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		letters := w >> 6 & ones                  // of @ to DEL; digits have no such bit
		n := w&(0x0f*ones) + letters*9            // their values, if they are digits
		high := (n + 6*ones) >> 4 & ones          // of those above 9
		again := n + '0'*ones + high*('a'-'0'-10) // written in lower case
		bad |= n&(0xf0*ones) | (again ^ (w | letters<<5))
		n = (n<<4 | n>>8) & 0x00ff00ff00ff00ff
		n = (n | n>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(dst, uint32(n|n>>16))
		dst, b = dst[4:], b[8:]
	}
	for i := 0; i < len(dst) && len(b) >= 2; i, b = i+1, b[2:] {
		high, low := hexDigits[b[0]], hexDigits[b[1]]
		bad |= uint64(high|low) >> 4
		dst[i] = high<<4 | low
	}
	return bad == 0
}

// traceParent reads W3C's header: version-trace-span-flags.
func (e *Encoder) traceParent(c *traceContext, t token) bool {
	b := e.text(t)
	if t.kind != text || len(b) != len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") ||
		b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return false
	}
	var flags [1]byte
	if !parseID(c.trace[:], b[3:35]) || !parseID(c.span[:], b[36:52]) || !parseID(flags[:], b[53:]) {
		*c = traceContext{}
		return false
	}
	c.flags = uint32(flags[0])
	return true
}

// traceFlags reads two hexadecimal digits, a number, or whether the span is sampled.
func (e *Encoder) traceFlags(t token) (flags uint32, ok bool) {
	raw := e.raw(t)
	switch t.kind {
	case text:
		var b [1]byte
		ok = parseID(b[:], e.text(t))
		return uint32(b[0]), ok
	case integer:
		v, ok := parseInt(raw)
		return uint32(v), ok && v >= 0 && v <= 0xff
	case boolean:
		if raw[0] == 't' {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// nestedSpan reads the ids out of an object, whose other members stay an attribute.
func (e *Encoder) nestedSpan(c *traceContext, h *held) bool {
	if h.value.kind != object {
		return false
	}
	s := scanner{text: e.scan.text, at: h.value.start}
	var found traceContext
	for key, more := s.member(true); more; key, more = s.member(false) {
		value := s.any()
		switch string(e.text(key)) {
		case "trace_id":
			clear(found.trace[:])
			e.id(found.trace[:], value)
		case "span_id":
			clear(found.span[:])
			e.id(found.span[:], value)
		}
	}
	if !found.valid() {
		return false
	}
	*c = found
	if found.hasSpan() {
		e.keepRest(h, isSpanContext)
	} else {
		e.keepRest(h, isTraceID)
	}
	return true
}

func isTraceID(key []byte) bool     { return string(key) == "trace_id" }
func isSpanContext(key []byte) bool { return isTraceID(key) || string(key) == "span_id" }

// keepRest keeps an object as keep does, without the members that omit names.
func (e *Encoder) keepRest(h *held, omit func(key []byte) bool) {
	r := &e.record
	before := len(r.attributes)
	begun := r.begin(e.keyOf(h))
	list, start := begin(r.attributes, valueList)
	s := scanner{text: e.scan.text, at: h.value.start}
	if r.attributes = e.appendMembers(list, &s, 1, omit); len(r.attributes) == start {
		r.attributes = r.attributes[:before]
		return
	}
	r.attributes = end(r.attributes, start)
	r.end(begun)
}
