package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// Two servers in one DSN: when the first is killed -9 under load, rows go to the second. The servers
// here know nothing of one another, where replicas would fetch rows from one another; so every
// acknowledged record must be on one or the other.
func TestInsertsGoOnAtAnotherServer(t *testing.T) {
	t.Parallel()
	first, second := enginetest.Start(t), enginetest.Start(t)
	if out, err := spillway("schema", "apply", "--clickhouse", second.DSN()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dsn := fmt.Sprintf("http://default:@%s,%s/otel", first.HTTPAddr(), second.HTTPAddr())
	c, _ := collectorOf(t, fmt.Sprintf("dsn: %q", dsn), "")
	c.ready()
	a := startAgent(t, c.grpc, "")
	l := newLoad(t, a.grpc, "failover", 50)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, 20*time.Millisecond) })
	defer loading.Wait()
	defer stop()
	rows := func(e *enginetest.Engine) string { return e.SQL("SELECT count() >= 1000 FROM otel_logs") }
	until(t, "rows are on the first", func() bool { return rows(first) == "1" })
	first.Kill9()
	until(t, "rows are on the second", func() bool { return rows(second) == "1" })
	stop()
	loading.Wait()
	a.drained()
	c.equation()
	if got := c.get("/readyz"); got != 200 {
		t.Errorf("readyz says %d", got)
	}
	first.Restart()
	stored := make(map[uint64]int)
	for _, e := range []*enginetest.Engine{first, second} {
		for _, n := range numbers(t, connect(t, e.DSN()), l.id) {
			stored[n]++
		}
	}
	lost, twice := 0, 0
	for _, s := range l.acked {
		for n := s.from; n < s.to; n++ {
			if stored[n] == 0 {
				lost++
			} else if stored[n] > 1 {
				twice++
			}
		}
	}
	t.Logf("records %d, lost %d, on both servers or twice on one %d", l.ackedCount(), lost, twice)
	if lost > 0 {
		t.Errorf("%d acknowledged records are lost", lost)
	}
}

func numbers(t *testing.T, conn driver.Conn, id string) (all []uint64) {
	t.Helper()
	rows, err := conn.Query(context.Background(), "SELECT toUInt64(LogAttributes['n']) FROM otel_logs WHERE LogAttributes['test'] = ?", id)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n uint64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// An authority and what it signed, as files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign writes name.crt and name.key.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// server is a certificate for servers on loopback; it ends then, or in an hour.
func (a *authority) server(name string, end time.Time) {
	a.t.Helper()
	a.sign(name, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotAfter: end})
}

// secured is an address at which the engine speaks TLS, and asks for a certificate of the same authority.
func (a *authority) secured(engine *enginetest.Engine) string {
	a.t.Helper()
	a.server("server", time.Time{})
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	own, err := tls.LoadX509KeyPair(a.file("server.crt"), a.file("server.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(a.cert)
	proxy := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: engine.HTTPAddr()}))
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known}
	proxy.StartTLS()
	a.t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

// TLS is that of a proxy in front of the engine, which has none of its own: what is tested is the
// collector's side.
func TestClickHouseOverTLS(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	a := newAuthority(t)
	dsn := fmt.Sprintf("https://default:@%s/%s", a.secured(engine), engine.Database())
	t.Run("with the authority's certificate and one of its own", func(t *testing.T) {
		c, file := collectorOf(t, fmt.Sprintf("dsn: %q, tls: {ca_file: %q, cert_file: %q, key_file: %q}", dsn, a.file("ca.crt"), a.file("client.crt"), a.file("client.key")), "")
		c.ready()
		l := newLoad(t, c.grpc, "tls", 1)
		l.late(0, 100)
		if lost, duplicated := l.verify(connect(t, engine.DSN())); lost > 0 || duplicated > 0 {
			t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
		}
		if out, err := spillway("schema", "status", "--config", file); err != nil {
			t.Errorf("status: %v\n%s", err, out)
		}
	})
	t.Run("without a certificate of its own", func(t *testing.T) {
		c, _ := collectorOf(t, fmt.Sprintf("dsn: %q, tls: {ca_file: %q}", dsn, a.file("ca.crt")), "")
		c.says("certificate required")
	})
	t.Run("with the system's authorities", func(t *testing.T) {
		c, _ := collectorOf(t, fmt.Sprintf("dsn: %q", dsn), "")
		c.says("certificate signed by unknown authority")
		if got := c.get("/readyz"); got == 200 {
			t.Error("it is ready")
		}
	})
}
