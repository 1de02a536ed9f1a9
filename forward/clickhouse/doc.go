// Package clickhouse is the last hop: a Sink whose Put returns nil once the rows are committed.
//
// The way of a batch: Writer.Put decodes it, record by record, into columns (package schema),
// joins the flight of its signal, and waits. A flight is a set of callers whose rows are
// merged; it leaves when it is full or old enough, when a caller's deadline nears, or at once
// when nothing else is coming. Each table and partition in it becomes one block and one
// INSERT, so that any row present means all of them present. A caller hears nil when every
// block with rows of its is committed.
//
// Blocks are encoded here and sent over HTTP with clickhouse-go's InsertFormat, which does the
// connections, compression, failover and exceptions. Every INSERT carries a fence, a time of
// the server's clock after which the server itself refuses the block, and a token that makes
// our own retry of the same block harmless.
package clickhouse
