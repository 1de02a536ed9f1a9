package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The sink counts what requests hold, compressed as the programs do.
func TestTheSinkCounts(t *testing.T) {
	s, err := newSink()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.UseCompressor("zstd")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := workload{seed: 1, start: yesterday()}.logs(0)
	for range 2 {
		if err := conn.Invoke(t.Context(), signals[0].method, request, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.records.Load(); got != 2*perLogs || s.requests.Load() != 2 || s.bytes.Load() != int64(2*len(request)) {
		t.Errorf("%d records in %d requests of %d bytes", got, s.requests.Load(), s.bytes.Load())
	}
	if err := conn.Invoke(t.Context(), signals[0].method, []byte{0xff}, nil); err == nil {
		t.Error("what is no protobuf was counted")
	}
}

func TestFilesHaveTheLinesTheyAreSaidToHave(t *testing.T) {
	for _, f := range forms {
		dir := t.TempDir()
		glob, size, err := f.write(dir, 1000)
		if err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(glob)
		if err != nil || len(names) != len(fileShares) {
			t.Fatalf("%s: %d files, %v", f.name, len(names), err)
		}
		lines, total := 0, int64(0)
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(b, []byte("\n"))
			total += int64(len(b))
		}
		if lines != 1000 || total != size || f.name == "text" && size != 1000*textBytes {
			t.Errorf("%s: %d lines, %d of %d bytes", f.name, lines, total, size)
		}
	}
}
