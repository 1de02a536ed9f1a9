package otlp

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spillway-io/spillway/forward"
)

func TestASocketTakesBothProtocols(t *testing.T) {
	dir := t.TempDir()
	cfg := ServerConfig{
		GRPC: ListenerConfig{Transport: TransportUnix, Endpoint: filepath.Join(dir, "grpc.sock")},
		HTTP: ListenerConfig{Transport: TransportUnix, Endpoint: filepath.Join(dir, "http.sock")},
	}
	// A process that was killed leaves its socket behind.
	for _, c := range []ListenerConfig{cfg.GRPC, cfg.HTTP} {
		lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.Endpoint})
		if err != nil {
			t.Fatal(err)
		}
		lis.SetUnlinkOnClose(false)
		lis.Close()
	}
	k := &keeper{}
	serve(t, cfg, k, 100)

	conn, err := grpc.NewClient("unix://"+cfg.GRPC.Endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := export(t.Context(), conn, forward.Logs, sample(forward.Logs, 7)); err != nil || k.last(t).Items != 7 {
		t.Errorf("gRPC: %v", err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", cfg.HTTP.Endpoint)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://spillway/v1/traces", typeProtobuf, strings.NewReader(string(sample(forward.Traces, 9))))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || k.last(t).Items != 9 {
		t.Errorf("HTTP: %s", resp.Status)
	}
	if info, err := os.Stat(cfg.GRPC.Endpoint); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("another user cannot write to it: %v %v", info, err)
	}

	_, err = cfg.GRPC.listen()
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second process on the same socket: %v", err)
	}
}

func TestASocketDoesNotTakeTheNameOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ListenerConfig{Transport: TransportUnix, Endpoint: path}.listen()
	if b, _ := os.ReadFile(path); err == nil || string(b) != "dear" {
		t.Errorf("%v, and the file says %q", err, b)
	}
}

func TestEndpointsAreCheckedByTransport(t *testing.T) {
	for _, c := range []struct{ transport, endpoint, want string }{
		{"", "127.0.0.1:4317", ""},
		{"tcp", "[::1]:4317", ""},
		{"unix", "/run/spillway/otlp.sock", ""},
		{"unix", "", ""},
		{"", "/run/otlp.sock", "write host:port"},
		{"unix", "127.0.0.1:4317", "absolute path"},
		{"unix", "/" + strings.Repeat("x", 107), "at most 107 bytes"},
		{"udp", "127.0.0.1:4317", "write tcp or unix"},
	} {
		err := ListenerConfig{Transport: c.transport, Endpoint: c.endpoint}.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.transport, c.endpoint, err, c.want)
		}
	}
}
