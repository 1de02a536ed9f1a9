package wal

// CopyOf is crash, for tests outside the package.
var CopyOf = crash
