// Package forward moves telemetry from hand to hand.
//
// There is one contract, Sink.Put: nil means that the callee owns the batch now. Every
// stage is a Sink that wraps the next, and the acknowledgement is the return value; it
// travels back up the call stack and there is no second mechanism. Responsibility changes
// hands at three places only: into the node's log (Spool, after the shared fsync), into
// ClickHouse (forward/clickhouse, after the commit), and on the way in from the source,
// whose client hears OK, or whose file cursor moves, when Put has returned nil.
//
// The stages, in the order of the data:
//
//	Limiter   counts bytes, watches the heap; says Busy, never waits
//	Spool     a wal.Log as a Sink
//	Batcher   joins records of the log into batches, by concatenation
//	Drain     takes batches from one lane and delivers several at a time
//	Retry     the one retry loop: waits, jitters, hears that the far side is back
//
// After an error a batch may be stored all the same, unless NotTaken says that it is not. Fences
// and Claims are what a Drain states and holds so that it is stored once: docs/adr/0012.
//
// A Batch stays in the bytes it arrived in. Only package schema looks inside.
package forward
