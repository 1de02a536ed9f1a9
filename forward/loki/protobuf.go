package loki

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of the messages of logproto.
const (
	requestStreams = 1
	requestFormat  = 2 // not kept

	streamLabels  = 1
	streamEntries = 2
	streamHash    = 3

	entryTime     = 1
	entryLine     = 2
	entryMetadata = 3
	entryParsed   = 4 // of answers to queries; not kept

	timeSeconds = 1
	timeNanos   = 2

	pairName  = 1
	pairValue = 2
)

var errWire = errors.New("wrong wire type")

// fields calls each with every field of a message: with its bytes, or its number if it is a
// varint. want are the wire types of the fields that are known, by number; others are left out.
func fields(message []byte, want []protowire.Type, each func(number protowire.Number, bytes []byte, value uint64) error) error {
	for at := 0; at < len(message); {
		number, kind, n := protowire.ConsumeTag(message[at:])
		if n < 0 {
			return fmt.Errorf("byte %d: %w", at, protowire.ParseError(n))
		}
		known := int(number) < len(want)
		if known && kind != want[number] {
			return fmt.Errorf("byte %d: field %d: %w", at, number, errWire)
		}
		at += n
		var (
			bytes []byte
			value uint64
		)
		switch kind {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message[at:])
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message[at:])
		default:
			n = protowire.ConsumeFieldValue(number, kind, message[at:])
		}
		if n < 0 {
			return fmt.Errorf("byte %d: field %d: %w", at, number, protowire.ParseError(n))
		}
		at += n
		if known {
			if err := each(number, bytes, value); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	requestWires = []protowire.Type{requestStreams: protowire.BytesType, requestFormat: protowire.BytesType}
	streamWires  = []protowire.Type{streamLabels: protowire.BytesType, streamEntries: protowire.BytesType, streamHash: protowire.VarintType}
	entryWires   = []protowire.Type{entryTime: protowire.BytesType, entryLine: protowire.BytesType, entryMetadata: protowire.BytesType, entryParsed: protowire.BytesType}
	timeWires    = []protowire.Type{timeSeconds: protowire.VarintType, timeNanos: protowire.VarintType}
	pairWires    = []protowire.Type{pairName: protowire.BytesType, pairValue: protowire.BytesType}
)

// protobuf reads a PushRequest.
func (c *converter) protobuf(body []byte) error {
	stream := -1
	return fields(body, requestWires, func(number protowire.Number, message []byte, _ uint64) error {
		if number != requestStreams {
			return nil
		}
		stream++
		return c.protobufStream(message, stream)
	})
}

// protobufStream goes over a stream twice: the labels may stand behind the entries.
func (c *converter) protobufStream(message []byte, stream int) error {
	var labels []byte
	err := fields(message, streamWires, func(number protowire.Number, b []byte, _ uint64) error {
		if number == streamLabels {
			labels = b
		}
		return nil
	})
	if err == nil {
		err = c.unlabeled()
	}
	if err == nil {
		err = parseLabels(string(labels), c.label)
	}
	if err == nil {
		err = c.labeled()
	}
	if err != nil {
		return errAt(stream, -1, err)
	}
	entry := -1
	err = fields(message, streamWires, func(number protowire.Number, b []byte, _ uint64) error {
		if number != streamEntries {
			return nil
		}
		entry++
		if err := c.protobufEntry(b); err != nil {
			return errAt(stream, entry, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.end()
}

func (c *converter) protobufEntry(message []byte) error {
	var (
		at   time.Time
		line []byte
		size int
	)
	err := fields(message, entryWires, func(number protowire.Number, b []byte, _ uint64) (err error) {
		switch number {
		case entryTime:
			at, err = timestamp(b)
		case entryLine:
			line = b
		case entryMetadata:
			var p pair
			if p, err = protobufPair(b); err == nil {
				err = c.metadata(p, &size)
			}
		case entryParsed:
			_, err = protobufPair(b)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.entry(at, line)
}

// timestamp reads a Timestamp. What a client in Go sends for no time is none here, too.
func timestamp(message []byte) (at time.Time, err error) {
	var seconds, nanos int64
	err = fields(message, timeWires, func(number protowire.Number, _ []byte, value uint64) error {
		if number == timeSeconds {
			seconds = int64(value)
		} else {
			nanos = int64(int32(value))
		}
		return nil
	})
	const lastSecond = math.MaxInt64/int64(time.Second) - 1
	at = time.Unix(seconds, nanos)
	if err == nil && !at.IsZero() && (seconds < 0 || seconds > lastSecond || nanos < 0 || nanos >= int64(time.Second)) {
		err = fmt.Errorf("timestamp: %d s and %d ns are %w", seconds, nanos, errTime)
	}
	return at, err
}

func protobufPair(message []byte) (p pair, err error) {
	err = fields(message, pairWires, func(number protowire.Number, b []byte, _ uint64) error {
		if number == pairName {
			p.name = string(b)
		} else {
			p.value = string(b)
		}
		return nil
	})
	return p, err
}
