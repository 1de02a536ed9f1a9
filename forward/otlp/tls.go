package otlp

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ServerTLS has the OpenTelemetry Collector's names. Files are read again when they change.
type ServerTLS struct {
	CertFile     string `yaml:"cert_file"`            // PEM, the chain; read again when it changes
	KeyFile      string `yaml:"key_file" secret:"no"` // PEM
	ClientCAFile string `yaml:"client_ca_file"`       // set: clients must show a certificate of this authority
}

// ClientTLS has the OpenTelemetry Collector's names.
type ClientTLS struct {
	Insecure           bool   `yaml:"insecure"`             // no TLS
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"` // TLS without knowing the peer
	CAFile             string `yaml:"ca_file"`              // "": the system's authorities
	CertFile           string `yaml:"cert_file"`            // PEM, shown to a peer that asks for one
	KeyFile            string `yaml:"key_file" secret:"no"` // PEM
	ServerNameOverride string `yaml:"server_name_override"` // the name that the peer's certificate must have; "": the endpoint's
}

// Auth is what a listener asks for, or a sender shows.
type Auth struct {
	Tokens []string `yaml:"tokens" secret:"all"` // of a listener, which takes any of them as "authorization: Bearer TOKEN"; none: it takes everybody
	Token  string   `yaml:"token" secret:"all"`  // of a sender, which shows this one
}

// Config is nil for a nil receiver: no TLS.
func (c *ServerTLS) Config() (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, errors.New("tls: a listener needs cert_file and key_file")
	}
	pair := &keyPair{cert: c.CertFile, key: c.KeyFile}
	if _, err := pair.load(); err != nil {
		return nil, err
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.load() }}
	if c.ClientCAFile != "" {
		pool, err := pool(c.ClientCAFile)
		if err != nil {
			return nil, err
		}
		out.ClientCAs, out.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// A liveTLS is a listener's TLS, which can be exchanged while it listens: connections that are there
// stay as they are. nil is none.
type liveTLS struct {
	protocols []string
	now       atomic.Pointer[tls.Config]
}

// newLiveTLS is nil for nil.
func newLiveTLS(c *ServerTLS, protocols ...string) (*liveTLS, error) {
	if c == nil {
		return nil, nil
	}
	l := &liveTLS{protocols: protocols}
	apply, err := l.prepare(c)
	if err != nil {
		return nil, err
	}
	apply()
	return l, nil
}

func (l *liveTLS) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: l.protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.now.Load(), nil }}
}

// errTLS says that a port cannot turn to TLS, or from it, while it listens.
var errTLS = errors.New("tls: a port begins or stops to speak TLS only at a start: restart")

// prepare reads the files of c; apply has new connections use them.
func (l *liveTLS) prepare(c *ServerTLS) (apply func(), err error) {
	if (l == nil) != (c == nil) {
		return nil, errTLS
	}
	secure, err := c.Config()
	if err != nil {
		return nil, err
	}
	if secure == nil {
		return func() {}, nil
	}
	secure.NextProtos = l.protocols
	return func() { l.now.Store(secure) }, nil
}

// Config is nil for a nil receiver or when insecure: no TLS.
func (c *ClientTLS) Config() (*tls.Config, error) {
	if c == nil || c.Insecure {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerNameOverride, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" {
		pool, err := pool(c.CAFile)
		if err != nil {
			return nil, err
		}
		out.RootCAs = pool
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("tls: cert_file and key_file go together")
	}
	if c.CertFile != "" {
		pair := &keyPair{cert: c.CertFile, key: c.KeyFile}
		if _, err := pair.load(); err != nil {
			return nil, err
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.load() }
	}
	return out, nil
}

func pool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: %s holds no certificate in PEM form", file)
	}
	return p, nil
}

// A keyPair is read again when its certificate file has changed; if that fails the last good one serves.
type keyPair struct {
	cert, key string

	mu     sync.Mutex
	loaded *tls.Certificate
	mtime  time.Time
}

func (p *keyPair) load() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st, err := os.Stat(p.cert)
	if err == nil && p.loaded != nil && st.ModTime().Equal(p.mtime) {
		return p.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(p.cert, p.key)
	}
	if err != nil {
		if p.loaded != nil {
			return p.loaded, nil
		}
		return nil, fmt.Errorf("tls: %w", err)
	}
	p.loaded, p.mtime = &pair, st.ModTime()
	return p.loaded, nil
}

// Authorize is nil if r shows a token that a takes, or a asks for none.
func (a Auth) Authorize(r *http.Request) error {
	if !a.allows(r.Header.Get("Authorization")) {
		return errUnauthenticated{}
	}
	return nil
}

// allows checks an authorization header, "Bearer TOKEN" or the bare token. No tokens: anybody.
func (a Auth) allows(header string) bool {
	if len(a.Tokens) == 0 {
		return true
	}
	got := strings.TrimSpace(header)
	if scheme, rest, ok := strings.Cut(got, " "); ok && strings.EqualFold(scheme, "bearer") {
		got = strings.TrimSpace(rest)
	}
	ok := 0
	for _, t := range a.Tokens {
		ok |= subtle.ConstantTimeCompare([]byte(got), []byte(t))
	}
	return ok == 1 && got != ""
}
