package otlp

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/forward"
)

// A call that is under way when the target changes ends where it is; what comes after goes to the
// new one, and each batch goes to one of the two.
func TestAClientTurnsToAnotherTarget(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := startPeer(t, &peer{answers: func(n int, _ []byte) error {
		if n == 0 {
			close(entered)
			<-release
		}
		return nil
	}})
	next := startPeer(t, &peer{})
	c := newTestClient(t, "off", slow.addr)
	connected(c)
	first := make(chan error, 1)
	go func() { first <- c.Put(t.Context(), marked(1)) }()
	<-entered
	cfg := c.route.cfg
	cfg.Endpoints = []string{next.addr}
	apply, _, err := c.Prepare(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	c.mustPut(t, marked(1))
	if n := len(next.bodies()); n != 1 {
		t.Errorf("the new target got %d batches, want 1", n)
	}
	// Another change waits for that call, no longer than its context.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Prepare(ctx, cfg); err == nil {
		t.Error("there are connections of three configurations")
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	if n := len(slow.bodies()); n != 1 {
		t.Errorf("the old target got %d batches, want 1", n)
	}
	_, discard, err := c.Prepare(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	discard()
	c.mustPut(t, marked(1))
}

// Batches are sent while the target changes to and fro: each is taken once.
func TestATargetChangesUnderLoad(t *testing.T) {
	peers := []*peer{startPeer(t, &peer{}), startPeer(t, &peer{})}
	c := newTestClient(t, "off", peers[0].addr)
	connected(c)
	var taken, failed atomic.Int64
	stop := make(chan struct{})
	var sending sync.WaitGroup
	for range 4 {
		sending.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.Put(t.Context(), marked(1)); err == nil {
					taken.Add(1)
				} else if !forward.NotTaken(err) {
					failed.Add(1)
				}
			}
		})
	}
	for i := range 20 {
		cfg := c.route.cfg
		cfg.Endpoints = []string{peers[(i+1)%2].addr}
		apply, _, err := c.Prepare(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		apply()
		connected(c)
	}
	close(stop)
	sending.Wait()
	got := int64(len(peers[0].bodies()) + len(peers[1].bodies()))
	if got != taken.Load() || failed.Load() != 0 {
		t.Errorf("%d batches taken, %d arrived, %d may have", taken.Load(), got, failed.Load())
	}
}

// Certificates, authorities and tokens change while a server listens. What is wrong with the new
// ones is told before anything changes.
func TestAServerTakesNewCertificatesAndTokens(t *testing.T) {
	cert, key := certificate(t)
	otherCert, otherKey := certificate(t)
	port := func(cert, key, token string) ListenerConfig {
		return ListenerConfig{Endpoint: "127.0.0.1:0", TLS: &ServerTLS{CertFile: cert, KeyFile: key, ClientCAFile: cert}, Auth: Auth{Tokens: []string{token}}}
	}
	old := ServerConfig{GRPC: port(cert, key, "old"), HTTP: port(cert, key, "old")}
	s, lis := serveServer(t, old, &keeper{}, 100)
	put := func(cert, key, token string) error {
		c := newClient(t, ClientConfig{Endpoints: []string{lis.GRPC.String()}, Auth: Auth{Token: token}, TLS: &ClientTLS{CAFile: cert, CertFile: cert, KeyFile: key}})
		for {
			woken := c.Woken()
			err := c.Put(t.Context(), markedBatch(1))
			// A connection that is being made is no answer; a handshake that failed is one.
			if err == nil || status.Code(err) == codes.Unauthenticated || strings.Contains(err.Error(), "Unauthenticated") || strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ") {
				return err
			}
			select {
			case <-woken:
			default:
			}
		}
	}
	get := func(cert, key, token string) (int, error) {
		secure, err := (&ClientTLS{CAFile: cert, CertFile: cert, KeyFile: key}).Config()
		if err != nil {
			t.Fatal(err)
		}
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}
		req, err := http.NewRequest("POST", "https://"+lis.HTTP.String()+"/v1/logs", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := hc.Do(req)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	holds := func(cert, key, token string) {
		t.Helper()
		if err := put(cert, key, token); err != nil {
			t.Errorf("gRPC: %v", err)
		}
		if code, err := get(cert, key, token); code != http.StatusOK {
			t.Errorf("HTTP: %d, %v", code, err)
		}
	}
	holds(cert, key, "old")

	for name, c := range map[string]ServerConfig{
		"a file that is not there": {GRPC: port(otherCert, otherKey, "new"), HTTP: port(otherCert, "no/such/file", "new")},
		"no TLS":                   {GRPC: port(otherCert, otherKey, "new"), HTTP: ListenerConfig{Endpoint: "127.0.0.1:0"}},
	} {
		if _, err := s.Prepare(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	holds(cert, key, "old")

	apply, err := s.Prepare(ServerConfig{GRPC: port(otherCert, otherKey, "new"), HTTP: port(otherCert, otherKey, "new")})
	if err != nil {
		t.Fatal(err)
	}
	apply()
	holds(otherCert, otherKey, "new")
	if err := put(otherCert, otherKey, "old"); err == nil {
		t.Error("gRPC takes the old token")
	}
	if code, _ := get(otherCert, otherKey, "old"); code != http.StatusUnauthorized {
		t.Errorf("HTTP says %d to the old token", code)
	}
	if err := put(cert, key, "new"); err == nil {
		t.Error("gRPC shows the old certificate")
	}
	if _, err := get(cert, key, "new"); err == nil {
		t.Error("HTTP shows the old certificate")
	}
	// It is the authority of clients that counts, too: one who trusts the server and is not trusted.
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", lis.HTTP.String(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
	if err == nil {
		_, err = conn.Read(make([]byte, 1)) // TLS 1.3 tells a client here
		conn.Close()
	}
	if err == nil || os.IsTimeout(err) {
		t.Errorf("a client of the old authority was let in: %v", err)
	}
}
