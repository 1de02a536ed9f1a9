package embedded

import (
	"fmt"
	"strconv"
	"strings"
)

// columnType knows how long a column's data is, and nothing of its values.
type columnType interface {
	skipPrefix(c *cursor) error // what comes once, before the data of the column
	skipData(c *cursor, rows int) error
}

type (
	fixedType    int // bytes of a value
	stringType   struct{}
	arrayType    struct{ element columnType } // maps too: arrays of tuples of key and value
	tupleType    []columnType
	nullableType struct{ of columnType }
	lowCardType  struct{ of columnType }
	jsonType     struct{ stringType } // as strings; the other serializations are not walkable
)

func (fixedType) skipPrefix(*cursor) error { return nil }

func (t fixedType) skipData(c *cursor, rows int) error { return c.skip(rows, int(t)) }

func (stringType) skipPrefix(*cursor) error { return nil }

func (stringType) skipData(c *cursor, rows int) error {
	for range rows {
		n, err := c.count(maxBlockBytes)
		if err != nil {
			return err
		}
		if err := c.skip(n, 1); err != nil {
			return err
		}
	}
	return nil
}

func (t arrayType) skipPrefix(c *cursor) error { return t.element.skipPrefix(c) }

// skipData: the offset where each row's elements end, then the elements of all rows.
func (t arrayType) skipData(c *cursor, rows int) error {
	if rows == 0 {
		return nil
	}
	if err := c.skip(rows-1, 8); err != nil {
		return err
	}
	elements, err := c.word()
	if err != nil {
		return err
	}
	if elements > maxBlockBytes {
		return fmt.Errorf("native block: array of %d elements", elements)
	}
	return t.element.skipData(c, int(elements))
}

func (t tupleType) skipPrefix(c *cursor) error {
	for _, e := range t {
		if err := e.skipPrefix(c); err != nil {
			return err
		}
	}
	return nil
}

func (t tupleType) skipData(c *cursor, rows int) error {
	if len(t) == 0 {
		return c.skip(rows, 1)
	}
	for _, e := range t {
		if err := e.skipData(c, rows); err != nil {
			return err
		}
	}
	return nil
}

func (t nullableType) skipPrefix(c *cursor) error { return t.of.skipPrefix(c) }

// skipData: a flag for each row, then the values, of the nulls too.
func (t nullableType) skipData(c *cursor, rows int) error {
	if err := c.skip(rows, 1); err != nil {
		return err
	}
	return t.of.skipData(c, rows)
}

// Flags of a LowCardinality column: the low byte is the logarithm of a key's size.
const (
	lowCardGlobalDictionary = 1 << 8
	lowCardAdditionalKeys   = 1 << 9
)

func (t lowCardType) skipPrefix(c *cursor) error { return c.skip(1, 8) }

// skipData: flags, the dictionary, then each row's key into it.
func (t lowCardType) skipData(c *cursor, rows int) error {
	if rows == 0 {
		return nil
	}
	flags, err := c.word()
	if err != nil {
		return err
	}
	keySize := flags & 0xff
	if flags&lowCardGlobalDictionary != 0 || keySize > 3 {
		return unsupported(fmt.Sprintf("LowCardinality with flags %#x", flags))
	}
	if flags&lowCardAdditionalKeys != 0 {
		values, err := c.word()
		if err != nil {
			return err
		}
		if values > maxBlockBytes {
			return fmt.Errorf("native block: dictionary of %d values", values)
		}
		if err := t.of.skipData(c, int(values)); err != nil {
			return err
		}
	}
	keys, err := c.word()
	if err != nil {
		return err
	}
	if keys != uint64(rows) {
		return fmt.Errorf("native block: %d keys for %d rows", keys, rows)
	}
	return c.skip(rows, 1<<keySize)
}

const jsonAsString = 1

func (jsonType) skipPrefix(c *cursor) error {
	version, err := c.word()
	if err == nil && version != jsonAsString {
		err = unsupported(fmt.Sprintf("JSON in serialization %d: send it as strings", version))
	}
	return err
}

var fixedTypes = map[string]fixedType{
	"Bool": 1, "UInt8": 1, "Int8": 1, "Enum8": 1, "Nothing": 1,
	"UInt16": 2, "Int16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
	"UInt32": 4, "Int32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "Time": 4, "Decimal32": 4, "IPv4": 4,
	"UInt64": 8, "Int64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8, "Decimal64": 8,
	"UInt128": 16, "Int128": 16, "Decimal128": 16, "UUID": 16, "IPv6": 16, "Point": 16,
	"UInt256": 32, "Int256": 32, "Decimal256": 32,
	"IntervalNanosecond": 8, "IntervalMicrosecond": 8, "IntervalMillisecond": 8, "IntervalSecond": 8, "IntervalMinute": 8, "IntervalHour": 8,
	"IntervalDay": 8, "IntervalWeek": 8, "IntervalMonth": 8, "IntervalQuarter": 8, "IntervalYear": 8,
}

// geoTypes are arrays of points, so many deep.
var geoTypes = map[string]int{"Ring": 1, "LineString": 1, "Polygon": 2, "MultiLineString": 2, "MultiPolygon": 3}

const maxTypeDepth = 32

// parseType reads a type as ClickHouse writes it: Map(LowCardinality(String), String).
func parseType(text string, depth int) (columnType, error) {
	name, args, err := cutType(text)
	if err != nil || depth > maxTypeDepth {
		return nil, unsupported(fmt.Sprintf("Type %q", text))
	}
	if size, ok := fixedTypes[name]; ok {
		return size, nil
	}
	if arrays, ok := geoTypes[name]; ok {
		var t columnType = fixedTypes["Point"]
		for range arrays {
			t = arrayType{t}
		}
		return t, nil
	}
	switch {
	case name == "String":
		return stringType{}, nil
	case name == "JSON":
		return jsonType{}, nil
	case name == "Tuple" || name == "Nested" || name == "Map" && len(args) == 2:
		return parseTuple(name, args, depth)
	case len(args) == 0:
	case name == "FixedString" || name == "Decimal":
		return parseSized(text, name, args[0])
	case name == "SimpleAggregateFunction" && len(args) == 2:
		return parseType(args[1], depth+1)
	case name == "Array" || name == "Nullable" || name == "LowCardinality":
		return parseWrapper(name, args[0], depth)
	}
	return nil, unsupported(fmt.Sprintf("Type %s over the native protocol or with client_protocol_version", text))
}

func parseWrapper(name, arg string, depth int) (columnType, error) {
	of, err := parseType(arg, depth+1)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Array":
		return arrayType{of}, nil
	case "Nullable":
		return nullableType{of}, nil
	}
	if null, ok := of.(nullableType); ok {
		of = null.of // the dictionary's first value stands for NULL
	}
	return lowCardType{of}, nil
}

func parseTuple(name string, args []string, depth int) (columnType, error) {
	var t tupleType
	for _, arg := range args {
		if name != "Map" {
			arg = cutElementName(arg)
		}
		e, err := parseType(arg, depth+1)
		if err != nil {
			return nil, err
		}
		t = append(t, e)
	}
	if name == "Tuple" {
		return t, nil
	}
	return arrayType{t}, nil
}

func parseSized(text, name, arg string) (columnType, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 {
		return nil, unsupported(fmt.Sprintf("Type %s", text))
	}
	switch {
	case name == "FixedString":
		return fixedType(n), nil
	case n <= 9: // decimal digits
		return fixedType(4), nil
	case n <= 18:
		return fixedType(8), nil
	case n <= 38:
		return fixedType(16), nil
	}
	return fixedType(32), nil
}

// cutType splits "Name(arg, arg)" at the commas of the outermost parentheses.
func cutType(text string) (name string, args []string, err error) {
	name, inner, ok := strings.Cut(strings.TrimSpace(text), "(")
	if !ok {
		return name, nil, nil
	}
	inner, ok = strings.CutSuffix(inner, ")")
	if !ok {
		return "", nil, fmt.Errorf("type %q: no closing parenthesis", text)
	}
	depth, start := 0, 0
	l := lexer{text: inner}
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		switch t.text {
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 0 {
				args = append(args, strings.TrimSpace(inner[start:t.pos]))
				start = t.end
			}
		}
	}
	if rest := strings.TrimSpace(inner[start:]); rest != "" {
		args = append(args, rest)
	}
	return name, args, nil
}

// cutElementName takes the name off an element of a tuple, if it has one: "a UInt8" is UInt8. A type is one word, or a word and a
// parenthesis.
func cutElementName(element string) string {
	l := lexer{text: element}
	first, second := l.next(), l.next()
	if second.kind == tokWord && (first.kind == tokWord || first.kind == tokQuotedName) {
		return element[second.pos:]
	}
	return element
}
