package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LibraryVersion names the build of the engine library this package is written against and tested with.
// deploy/engine/fetch.sh fetches exactly this one.
const LibraryVersion = "26.7.3-stable.1"

const libraryFile = "libchdb.so"

// Handles of the C side. They point to memory the Go runtime knows nothing of, so it neither moves nor frees it.
type (
	cConnBox unsafe.Pointer // chdb_connection *: what connect gives and close takes
	cConn    unsafe.Pointer // chdb_connection: what all other calls take
	cResult  unsafe.Pointer // chdb_result *
	cInsert  unsafe.Pointer // chdb_insert_stream
)

// capi is the part of chdb.h that we call, under the names it has there (less the prefix). Strings are passed by pointer and
// length. A result must be destroyed by whoever got it; what its buffer points to lives until then.
var capi struct {
	setSignalHandlersEnabled func(enabled int32)

	connect   func(argc int32, argv **byte) cConnBox // nil on error; the reason is printed to stderr and nowhere else
	closeConn func(cConnBox)

	query            func(c cConn, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr) cResult
	streamQuery      func(c cConn, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr) cResult
	streamFetch      func(c cConn, stream cResult) cResult // an empty result is the end
	streamCancel     func(c cConn, stream cResult)
	destroyResult    func(cResult)
	resultBuffer     func(cResult) unsafe.Pointer
	resultLength     func(cResult) uintptr
	resultError      func(cResult) unsafe.Pointer // NUL-terminated; nil when all is well
	resultElapsed    func(cResult) float64        // seconds
	storageRowsRead  func(cResult) uint64
	storageBytesRead func(cResult) uint64
	resultRowsRead   func(cResult) uint64
	resultBytesRead  func(cResult) uint64
	rowsWritten      func(cResult) uint64
	bytesWritten     func(cResult) uint64

	insert        func(c cConn, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr) cInsert // never nil
	insertAppend  func(s cInsert, data *byte, n uintptr) int32                                      // 0 is well; copies; blocks when the engine is behind
	insertDone    func(cInsert) cResult                                                             // commits
	insertCancel  func(cInsert)
	insertError   func(cInsert) unsafe.Pointer
	destroyInsert func(cInsert)
}

var library struct {
	mu   sync.Mutex
	path string // of the loaded one; "" before
}

// FindLibrary says where the engine library is: at path when it is given (the flag --engine-lib), else at SPILLWAY_ENGINE_LIB,
// else in the cache that `make engine` fills. The error of a missing one tells what to do about it.
func FindLibrary(path string) (string, error) {
	named := path
	if named == "" {
		named = os.Getenv("SPILLWAY_ENGINE_LIB")
	}
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("engine library: %w", err)
		}
		return filepath.Abs(named)
	}
	cache := os.Getenv("SPILLWAY_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("engine library: %w: name it with --engine-lib or SPILLWAY_ENGINE_LIB", err)
		}
		cache = filepath.Join(user, "spillway")
	}
	path = filepath.Join(cache, "engine", LibraryVersion, libraryFile)
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("engine library: not at %s: run `make engine`, or name a ClickHouse server with --clickhouse", path)
	case err != nil:
		return "", fmt.Errorf("engine library: %w", err)
	}
	return path, nil
}

// load maps the library at path into the process, once: there is one engine in a process, and no way to unload it.
func load(path string) error {
	library.mu.Lock()
	defer library.mu.Unlock()
	if library.path != "" {
		if library.path != path {
			return fmt.Errorf("engine library: %s is loaded already, cannot load %s too", library.path, path)
		}
		return nil
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("engine library: load: %w", err)
	}
	for _, f := range []struct {
		fn   any
		name string
	}{
		{&capi.setSignalHandlersEnabled, "chdb_set_signal_handlers_enabled"},
		{&capi.connect, "chdb_connect"},
		{&capi.closeConn, "chdb_close_conn"},
		{&capi.query, "chdb_query_n"},
		{&capi.streamQuery, "chdb_stream_query_n"},
		{&capi.streamFetch, "chdb_stream_fetch_result"},
		{&capi.streamCancel, "chdb_stream_cancel_query"},
		{&capi.destroyResult, "chdb_destroy_query_result"},
		{&capi.resultBuffer, "chdb_result_buffer"},
		{&capi.resultLength, "chdb_result_length"},
		{&capi.resultError, "chdb_result_error"},
		{&capi.resultElapsed, "chdb_result_elapsed"},
		{&capi.storageRowsRead, "chdb_result_storage_rows_read"},
		{&capi.storageBytesRead, "chdb_result_storage_bytes_read"},
		{&capi.resultRowsRead, "chdb_result_rows_read"},
		{&capi.resultBytesRead, "chdb_result_bytes_read"},
		{&capi.rowsWritten, "chdb_result_rows_written"},
		{&capi.bytesWritten, "chdb_result_bytes_written"},
		{&capi.insert, "chdb_stream_insert_n"},
		{&capi.insertAppend, "chdb_stream_append"},
		{&capi.insertDone, "chdb_stream_done"},
		{&capi.insertCancel, "chdb_stream_cancel_insert"},
		{&capi.insertError, "chdb_stream_insert_error"},
		{&capi.destroyInsert, "chdb_destroy_insert_stream"},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return fmt.Errorf("engine library: %s lacks %s: is it %s?: %w", path, f.name, LibraryVersion, err)
		}
		purego.RegisterFunc(f.fn, symbol)
	}
	// Before the first connection: with its own handlers the library turns a recoverable Go nil dereference into the death of the
	// process, and takes SIGTERM away from os/signal.
	capi.setSignalHandlersEnabled(0)
	library.path = path
	return nil
}

// cString copies a NUL-terminated C string; nil is "".
func cString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// cBytes gives the address C wants for b, which is never nil.
func cBytes(b []byte) *byte {
	if len(b) == 0 {
		return new(byte)
	}
	return &b[0]
}
