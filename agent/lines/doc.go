// Package lines turns log lines into OTLP. A line of JSON becomes a log record in one pass: its
// bytes are read once and written as protobuf, without a map or a tree in between. Any other
// line becomes a record with the line as its body, and with what its shape says beyond doubt.
//
// The mapping is structlog's first, and takes in the key names of zap, zerolog, slog, logrus,
// pino, bunyan, winston, hclog, loguru and Python's JSON formatters where they do not contradict it.
//
//   - Body: the string under event, message or msg, in this order; when none is a string, the
//     first of them as it is; when there is none, the line.
//   - Timestamp: timestamp, @timestamp, time, ts, asctime, date_time, t. ISO 8601 to any
//     precision, or a number since the epoch whose size tells its unit. A time without a zone
//     is in Options.Zone. The time of arrival is never copied here: it is the observed time.
//   - Severity: level, severity, levelname, log.level, @level, lvl; as a name, or as a number
//     of pino and bunyan (10 trace to 60 fatal). level_number and levelno (10 debug to 50
//     critical) help when there is no name.
//   - Scope: logger, logger_name, log.logger, @module; and name, but only in a line whose level
//     is a number or called levelname, as in pino, bunyan and python-json-logger: elsewhere it
//     is somebody's name.
//   - Trace context: trace_id, span_id, trace_flags under their usual spellings, traceparent,
//     and the members of a nested span.
//   - exception.type, exception.message, exception.stacktrace: from a traceback in exception or
//     exc_info, from the list that structlog's dict_tracebacks leaves there, from an error or
//     err. Local variables in frames are left out: they are big, and may hold secrets.
//   - code.*, thread.* and process.pid: from the keys of structlog's CallsiteParameterAdder,
//     caller (file:line), slog's source, logrus' func and file.
//   - Every other key: an attribute of its JSON type.
//
// What loguru serializes, with all it knows in the object record, is read as if its members stood
// in the line. Options.Fields names keys of somebody's own, which come first.
//
// Text that is no JSON has a severity in uvicorn's own format, LEVEL, a colon and spaces up to the
// tenth column, and where one of Options.Rules says so; a word that looks like a level is none. A
// request in uvicorn's format has its client and its HTTP as attributes. Text of several lines,
// which is a stack trace that was joined, has exception.type, message and stacktrace if Python,
// Java, JavaScript, .NET or Go wrote it. The body is the text all the same.
//
// What cannot be understood in its place stays an attribute under its own key, and so does the
// second of two keys for one place. Left out is what says nothing: null in such a place, a level
// number that agrees with the name, a filename that the pathname ends with, uvicorn's
// color_message, and ids that are all zero.
//
// Numbers: integers that int64 does not hold, floats that float64 does not hold, NaN and
// Infinity (which Python writes, though JSON has none) become strings, as written. Of equal
// keys in an object the last one stays, as in Python and in encoding/json, and the others count
// as dropped attributes.
//
// JSON is otherwise taken strictly. A line that begins like an object and is none, cut off,
// interleaved with another writer's or with something behind it, is kept as the body as it is,
// with the reason in log.parse_error. Bytes that are not UTF-8 become U+FFFD, everywhere, and the
// lines that had some are counted.
package lines
