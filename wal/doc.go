// Package wal keeps records on the node's disk until somebody says they are done.
//
// It knows nothing about what a record holds. A Store is a directory with one
// Log per lane; the lanes share one disk budget. A Log is a row of generations,
// each one small file that is written once, front to back, and removed whole.
//
// What it promises:
//
//  1. When Append returns nil, the record survives kill -9 and power loss.
//  2. A (stream, seq) pair never names two records: a stream is minted at every
//     open, and a stream found on disk is never continued.
//  3. A record that was acknowledged and whose generation is gone does not come
//     back. After a crash, records of a generation that was not yet removed are
//     handed out again, with the same (stream, seq).
//  4. The store never grows beyond its cap and leaves the reserve of the file
//     system free; Append then says ErrFull, or evicts by the written rule.
//  5. Open succeeds whatever the files hold. What cannot be read is set aside in
//     quarantine/, counted in items, and written to the ledger.
//
// How a record travels: Append queues it; the lane's committer takes all that is
// queued, writes it with one call and has it synced with whatever else is written
// (group commit), and only then wakes the callers and shows the records to the
// reader. While the disk syncs, the next group is written. After any write or
// sync error nothing more is asked of that file: a new generation begins, its
// header says where the old one ended, and the records that were in hand are
// written again there.
//
// Appending is done by tidwall/wal, which is only ever given an empty new
// directory. Its own reading, truncation and recovery are not used: it has no
// checksums, does not open a torn file, and its concurrent reads race. All
// reading is ours, by pread, bounded by the committed end. FORMAT.md has the bytes.
package wal
