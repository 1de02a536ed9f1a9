// Package tail reads files that grow, rotate, shrink and vanish, and hands out their lines
// with the place in the file that each came from. It knows nothing about what the lines are for.
//
// # The same file
//
// A path is not a file: rotation gives it to another one. A file is its device, its inode,
// its birth time where the file system keeps one, and a fingerprint of its first bytes (up to
// 1024, growing with the file while it is shorter). An inode that was used again, and an
// equally named or equally beginning file, is another file. A file whose beginning changed, or
// that is shorter than what was read of it, was truncated: its content is another file's.
// Each file has a random key, minted when it is first seen, that its cursors carry.
//
// # What is promised
//
//  1. The cursor of a chunk names exactly the bytes that the lines of the chunk came from, and
//     every byte of a file is in one chunk. So chunks may become durable in any order, and
//     a crash may fall between any two: what no durable cursor names is read again, what one
//     names is not.
//  2. A line is handed out when it is complete. The pieces of a long line that a container
//     runtime cut up (CRI partials) are one line, also when the lines of the other stream
//     stand between them; those do not wait for it.
//  3. A renamed file is read to its end through the handle, while the file that took its name
//     is read at once. So is a removed one. Only then, and after 5 s without growth, is an
//     unterminated last line handed out, marked Partial.
//  4. A truncated file is read again from its start. What may have been missed is counted, and
//     so is what could not be read of a file that was gone before its turn.
//  5. A line longer than the limit is cut, marked and counted; its rest is never a new line.
//  6. Memory and handles are bounded: at most 1024 open files, 32768 known ones, one window of
//     256 KiB for each chunk that is out, and 64 MiB of unfinished lines.
//
// # How a file travels
//
// The Tailer finds files by globs (scan.go), at first at its start and then every 10 s or when a
// directory it watches says so. A file that has something to read waits in a queue for its
// turn; Next takes the first one, reads at most one window of it and hands out the lines as
// a Chunk. Until Done the file has no other turn, so its chunks are made in order. With Done
// the file goes to the end of the queue if there is more to read: a busy file does not starve
// the others.
//
// File system notifications are only a hint to look sooner. Every second the files that were
// lately active are looked at, notifications or not.
//
// # Positions
//
// Positions is the state that survives a restart: which bytes of which file are safe. It is
// fed with cursors, in any order, by whoever made the chunks durable, and is itself rebuilt
// from a snapshot and the cursors that came after it. When a file is gone and read to its end,
// a chunk without lines carries a cursor that says to forget it. cursor.go has the bytes.
//
// # Limits
//
// A line that a rotation cuts in two, a half in each file, comes out as two lines. A file that
// is truncated and grows back beyond what was read of it, with the same first 1024 bytes,
// between two looks, is not noticed. A file that is copied before it is truncated (logrotate's
// copytruncate) is read a second time if the copy matches the globs: exclude it. A line in
// pieces with lines of the other stream between more than 128 of them is ended there.
//
// A file that could not be opened before it was gone, or that was compressed while nobody
// looked, is not read.
package tail
