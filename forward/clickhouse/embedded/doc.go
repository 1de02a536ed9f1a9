// Package embedded runs ClickHouse as a library and serves its HTTP and native protocols, so that tests and a standalone spillway
// have a real engine without an installation.
//
// The library (libchdb.so, fetched by `make engine`) is the ClickHouse engine without its server: MergeTree tables on disk, merges,
// TTL, mutations, materialized views, deduplication and SQL are the real thing. What a server adds, it lacks: replication and
// Keeper, ON CLUSTER and Distributed, the queue of asynchronous inserts, users and quotas, system.query_log.
//
// The protocol layer in front of it is ours. It is written for the clients that spillway and its users have (clickhouse-go, HTTP
// clients like Grafana and curl), and promises:
//
//  1. An INSERT commits only when all of its data has come. A client that vanishes, a body that is cut off, a compressed frame
//     that is cut off: nothing is inserted. As in ClickHouse, an INSERT of more than one insert block (about a million rows) is
//     atomic per block where the engine has begun to write.
//  2. What the client is told is what happened: an exception in the middle of a result ends the transfer in a way that no client
//     can take for success.
//  3. A client that cancels or leaves stops its statement in the engine.
//  4. Every statement runs in a session of its own. Settings and query parameters come with it; SET, USE and temporary tables do
//     not outlive it, on neither protocol. HTTP's session_id is refused.
//  5. The database "default", and none, stand for the configured one.
//
// Where it differs from a server: any user and password are accepted, therefore it listens on loopback and refuses web pages;
// query_id is echoed over HTTP but the engine's own ids stand in system.processes; a client's log_comment gets a suffix there, by
// which its statement can be found and killed; external tables are refused; over the native protocol, and over HTTP in the Native
// format with client_protocol_version, the types Variant, Dynamic, AggregateFunction and JSON as objects are refused, since blocks
// are re-framed from the engine's revision 0 and need to be walked; statuses and headers are ClickHouse's as far as its clients
// look at them.
//
// One process can run one engine once. spillway-engine is the program around it: a crash, a leak or an out-of-memory of the engine
// stays out of the pipeline's process, and kill -9 is a safe way to end it.
package embedded
