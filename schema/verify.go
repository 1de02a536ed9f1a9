package schema

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Reading says which rows a verification reads: those with an identity, of tables that are
// one signal's. Its queries read IngestStream, IngestSeq and InsertedAt, and the partition's id,
// which is not stored in rows. They need no settings, so a read-only user may run them.
//
// They are made for many rows of few records. A query is as fast as its GROUP BY, and that is
// several times faster by one UInt64 than by what it is a hash of. In a million groups two have
// the same hash with odds of one in forty million; RepeatsSQL looks closer and is not misled.
type Reading struct {
	Database string
	Tables   []*Table
	Since    time.Time // only what was inserted since then; zero: everything
	// Only streams with one of these ids, or an id that begins with one of Prefixes; all when both are empty.
	Streams, Prefixes []string
}

// BlockNumbers is how many numbers of a stream are looked at as one block. A set of them takes
// 8 KiB at most, and little when there are few.
const BlockNumbers = 1 << 16

const (
	blockOf    = "bitShiftRight(IngestSeq, 16)"
	inBlock    = "toUInt16(bitAnd(IngestSeq, 65535))"
	streamHash = "cityHash64(IngestStream)" // of LowCardinality: computed once for each stream
)

// where is the condition on a row, with more of them.
func (r Reading) where(more ...string) string {
	all := []string{"IngestStream != ''"}
	if !r.Since.IsZero() {
		all = append(all, fmt.Sprintf("InsertedAt >= toDateTime(%d)", r.Since.Unix()))
	}
	var streams []string
	if len(r.Streams) > 0 {
		streams = append(streams, "IngestStream IN "+list(r.Streams))
	}
	for _, p := range r.Prefixes {
		streams = append(streams, "startsWith(IngestStream, "+quote(p)+")")
	}
	if len(streams) > 0 {
		all = append(all, "("+strings.Join(streams, " OR ")+")")
	}
	return strings.Join(append(all, more...), " AND ")
}

func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

func (r Reading) name(t *Table) string { return Ident(r.Database) + "." + Ident(t.name) }

// union is a SELECT of each table; query makes it from the table's number and name.
func (r Reading) union(query func(i int, name string) string) string {
	all := make([]string, len(r.Tables))
	for i, t := range r.Tables {
		all[i] = query(i, r.name(t))
	}
	return strings.Join(all, "\nUNION ALL\n")
}

// StreamsSQL lists the streams: hash, id.
func (r Reading) StreamsSQL() string {
	return fmt.Sprintf("SELECT %s AS hash, toString(IngestStream) AS id FROM (\n%s\n) GROUP BY IngestStream", streamHash,
		r.union(func(_ int, name string) string {
			return fmt.Sprintf("SELECT IngestStream FROM %s WHERE %s GROUP BY IngestStream", name, r.where())
		}))
}

// BlocksSQL counts the different numbers of each stream, a block at a time: hash of the stream,
// block, first, last, how many; and, an element each for every table and partition with rows of the block, the
// table's place in Tables, the partition, how many records have rows there, and how many rows.
func (r Reading) BlocksSQL() string {
	return fmt.Sprintf(`SELECT hash, block, block * %d + bitmapMin(groupBitmapMergeState(bits) AS seen), block * %[1]d + bitmapMax(seen), bitmapCardinality(seen),
    groupArray(tab), groupArray(part), groupArray(bitmapCardinality(bits)), groupArray(n)
FROM (
%s
) GROUP BY hash, block`, BlockNumbers, r.union(func(i int, name string) string {
		return fmt.Sprintf(`SELECT toUInt8(%d) AS tab, any(%s) AS hash, any(%s) AS block, toString(any(_partition_id)) AS part, groupBitmapState(%s) AS bits, count() AS n
FROM %s WHERE %s GROUP BY bitXor(bitXor(%[2]s, intHash64(%[3]s)), cityHash64(_partition_id))`, i, streamHash, blockOf, inBlock, name, r.where())
	}))
}

// RepeatsSQL finds the units (the rows of one record in one table and partition) that several
// INSERTs stored: stream, number, partition, how many INSERTs, the first's and the last's time, the fewest
// and the most rows of one. It looks at partitions, and of the numbers in them at those with remainder rest when
// divided by parts: the server remembers that many units at a time.
func (r Reading) RepeatsSQL(t *Table, partitions []string, parts, rest int) string {
	const unit = "bitXor(bitXor(" + streamHash + ", intHash64(IngestSeq)), cityHash64(_partition_id))"
	more := []string{"_partition_id IN " + list(partitions)}
	if parts > 1 {
		more = append(more, fmt.Sprintf("IngestSeq %% %d = %d", parts, rest))
	}
	where := r.where(more...)
	return fmt.Sprintf(`SELECT toString(id), seq, toString(part), count() AS inserts, min(at), max(at), min(n), max(n)
FROM (
SELECT IngestStream AS id, IngestSeq AS seq, _partition_id AS part, InsertedAt AS at, count() AS n FROM %s WHERE %s AND %s GLOBAL IN (
    SELECT %[3]s AS unit FROM %[1]s WHERE %[2]s GROUP BY unit HAVING min(InsertedAt) < max(InsertedAt))
GROUP BY id, seq, part, at
) GROUP BY id, seq, part HAVING inserts > 1 ORDER BY id, seq, part`, r.name(t), where, unit)
}

// SettledSQL finds the highest number of each of the streams that was inserted before a time: hash, number.
func (r Reading) SettledSQL(streams []string, before time.Time) string {
	r.Since, r.Streams, r.Prefixes = time.Time{}, streams, nil
	return fmt.Sprintf("SELECT %s AS hash, max(top) FROM (\n%s\n) GROUP BY IngestStream", streamHash, r.union(func(_ int, name string) string {
		return fmt.Sprintf("SELECT IngestStream, max(IngestSeq) AS top FROM %s WHERE %s GROUP BY IngestStream", name,
			r.where(fmt.Sprintf("InsertedAt < toDateTime(%d)", before.Unix())))
	}))
}

// NumbersSQL lists the numbers of streams that are there, whenever they were inserted: hash of the stream, block, numbers within the
// block, and which of them have rows in partitions up to the table's in old ("": none). In order.
func (r Reading) NumbersSQL(streams []string, from, to uint64, old []string) string {
	r.Since, r.Streams, r.Prefixes = time.Time{}, streams, nil
	return fmt.Sprintf(`SELECT hash, block, bitmapToArray(groupBitmapMergeState(bits)), bitmapToArray(groupBitmapMergeState(gone))
FROM (
%s
) GROUP BY hash, block ORDER BY hash, block`, r.union(func(i int, name string) string {
		return fmt.Sprintf(`SELECT any(%s) AS hash, any(%s) AS block, groupBitmapState(%s) AS bits, groupBitmapStateIf(%[3]s, _partition_id <= %s) AS gone
FROM %s WHERE %s GROUP BY bitXor(%[1]s, intHash64(%[2]s))`, streamHash, blockOf, inBlock, quote(old[i]), name,
			r.where("IngestSeq BETWEEN "+strconv.FormatUint(from, 10)+" AND "+strconv.FormatUint(to, 10)))
	}))
}

// Kept is how long a table keeps rows, from its engine as the server spells it; 0 is for ever. Not ok: the TTL is not one of ours.
func Kept(engineFull string) (keep time.Duration, ok bool) {
	rules, ok := parseTTL(Existing{EngineFull: engineFull}.clause("TTL"))
	return rules.keeps(), ok
}

// LastOld is the id of the newest partition of which rows may have expired; "" when none have.
func LastOld(now time.Time, keep time.Duration) string {
	if keep == 0 {
		return ""
	}
	return now.Add(-keep).UTC().Format("20060102")
}
