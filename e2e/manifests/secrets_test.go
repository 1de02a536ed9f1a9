package manifests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// secret is what an operator would put under a key of a Secret.
func secret(t testing.TB, name, key string) string {
	t.Helper()
	cert, private := certificate()
	values := map[string]string{
		"spillway-clickhouse/password": "no-secret", "spillway-token/token": "no-token",
		"spillway-ca/ca.crt": cert, "spillway-collector-tls/tls.crt": cert, "spillway-collector-tls/tls.key": private,
	}
	v, ok := values[name+"/"+key]
	if !ok {
		t.Fatalf("nobody makes the key %s of the Secret %s", key, name)
	}
	return v
}

// certificate is one for the collectors, and its own authority.
var certificate = sync.OnceValues(func() (cert, private string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "spillway"}, DNSNames: []string{"spillway-collector-headless"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
})

func readPage(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fenced are the blocks of a kind in a page.
func fenced(page, kind string) (blocks []string) {
	for i, part := range strings.Split(page, "\n```") {
		if body, ok := strings.CutPrefix(part, kind+"\n"); ok && i%2 == 1 {
			blocks = append(blocks, body)
		}
	}
	return blocks
}
