// Package tail reads files that grow, rotate, shrink and vanish, and hands out their lines
// with the place in the file that each came from. It knows nothing about what the lines are for.
//
// # The same file, the same content
//
// A path is not a file: rotation gives it to another one. A file is its device, its inode,
// its birth time where the file system keeps one, and a fingerprint of its first bytes (up to
// 1024, growing with the file while it is shorter). An inode that was used again, and an
// equally named or equally beginning file, is another file.
//
// A file is not its content either: logrotate copies it and truncates it, the kubelet compresses it
// into another one. A content has a random key, minted when it is first seen, that its cursors carry.
// When its file is truncated, overwritten, removed or compressed, the content is looked for among the
// files beside it whose names say that they were rotated from the same (rotated.go): who begins
// alike, is long enough, and has the same bytes before the place that was read, is its heir (heir.go),
// and is read on from there. A copy beside a file that is still read is left alone until then. Whose
// content an unknown file holds is asked in one place, claim.go.
//
// Files that a path had between two looks, or while nobody looked, are found by the same names: those that hold
// no content that is known, and are younger than the oldest one of that log (generations.go). All that lies beside a
// log is looked at again whenever it is rotated, so that what was there for too short a time to be told is told later.
//
// # What is promised
//
//  1. The cursor of a chunk names exactly the bytes that the lines of the chunk came from, and
//     every byte of a content is in one chunk. So chunks may become durable in any order, and
//     a crash may fall between any two: what no durable cursor names is read again, what one
//     names is not.
//  2. A line is handed out when it is complete. The pieces of a long line that a container
//     runtime cut up (CRI partials) are one line, also when the lines of the other stream
//     stand between them; those do not wait for it. So are the lines of a stack trace, or those
//     behind a first one by a regexp (MultilineConfig), for which the last line of a stream may wait a second.
//  3. A renamed file is read to its end through the handle, while the file that took its name
//     is read at once. So is a removed one. Only then, and after 5 s without growth, is an
//     unterminated last line handed out, marked Partial.
//  4. A truncated or overwritten file is read again from its start. That it was is seen by its
//     beginning, its length, or the bytes before the place where reading goes on. What nobody can read
//     any more is counted, by file, and told to the caller (Missed).
//  5. A line longer than the limit is cut, marked and counted; its rest is never a new line. NULs that a
//     file system or a truncation left in place of text are no text: four in a row end a line.
//  6. Memory and handles are bounded: at most 1024 open files, 32768 known ones, of each log 16 without
//     a name, one window of 256 KiB for each chunk that is out, and 64 MiB of unfinished lines.
//  7. A source over its budget (RateLimit) waits in its file. Only when that is removed meanwhile is its
//     rest given up, and counted.
//
// # How a file travels
//
// The Tailer finds files by globs (scan.go), at first at its start and then when a directory it watches
// says so; every minute while all are watched, else every 10 s. A file that has something to read waits
// for its turn (queue.go): Next takes one, reads at most one window of it and hands out the lines as
// a Chunk. Until Done the file has no other turn, so its chunks are made in order. With Done
// the file goes to the end of the queue if there is more to read: a busy file does not starve
// the others, a backlog does not delay what is written now, and what only a handle keeps has every other turn.
//
// File system notifications are only a hint to look sooner. Every second the files that were
// lately active are looked at, notifications or not, and all open ones where there are none.
//
// # Positions
//
// Positions is the state that survives a restart: which bytes of which content are safe. It is
// fed with cursors, in any order, by whoever made the chunks durable, and is itself rebuilt
// from a snapshot and the cursors that came after it. When nobody has a content any more, and it was
// read to its end, a chunk without lines carries a cursor that says to forget it. cursor.go has the bytes.
//
// # Limits
//
// A rotated file that nobody saw before, that begins for 1024 bytes as a content that lost its file, and is shorter, is taken
// for a copy that was made of that one earlier. A line that a rotation cuts in two, a half in each file, comes out as two lines. A content that is
// written over with the very same bytes, up to where it was read, is taken for what it was. What is
// written between a copy and the truncation behind it (copytruncate) is read if it is looked at in that
// time. A line in pieces with lines of the other stream between more than 128 of them is ended there.
//
// Rotated files are looked for under names that add a number or a date, and .gz, to that of the log
// (rotated.go), in its directory. Of a log of which no position is safe yet, they are anybody's, and
// not read unless the globs match them. Other compressions than gzip are not read.
package tail
