// Package otlp is both ends of the OTLP wire: the server that takes requests over gRPC and
// HTTP, the client that sends batches, the table of statuses between them, and the walk that
// checks and counts a request without decoding it.
//
// Inside spillway a request stays in protobuf wire form. Batches are concatenated, so one bad
// request would spoil everybody's: Check therefore rejects at the door what any strict decoder
// would reject.
package otlp
