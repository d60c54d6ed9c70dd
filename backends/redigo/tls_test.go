package redigo_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/internal/redistest"
)

// startTLS starts a server that also listens for TLS.
func startTLS(t *testing.T) (server *redistest.Server, addr string, roots *x509.CertPool) {
	path, err := exec.LookPath("redis-server")
	if err == nil {
		// It listens nowhere and ends at once, or doesn't know what TLS is.
		if out, _ := exec.Command(path, "--port", "0", "--tls-port", "0").CombinedOutput(); strings.Contains(string(out), "FATAL CONFIG") {
			t.Skip("needs a redis-server that was built with TLS")
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, data := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	server = redistest.Start(t, "--tls-port", strconv.Itoa(port), "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")
	return server, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), roots
}

func TestTLS(t *testing.T) {
	server, addr, roots := startTLS(t)
	b := open(t, newPool(t, addr, redis.DialUseTLS(true), redis.DialTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})))
	record := take(t, b, "key")
	result := wait(t, b, "key", record.Token)
	until(t, "somebody listens", func() bool { return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 1 })
	complete(t, b, "key", record, "outcome")
	woken(t, result, backend.Completed)
	outcome := strings.Repeat("o", backend.MaxOutcome)
	complete(t, b, "large", take(t, b, "large"), outcome)
	if got := fetch(t, b, "large"); string(got.Outcome) != outcome {
		t.Errorf("the outcome has %d bytes", len(got.Outcome))
	}

	strange := newPool(t, addr, redis.DialUseTLS(true))
	_, err := open(t, strange).Claim(context.Background(), "key", claiming(newToken()))
	if err := oneOf(err, backend.ErrNotApplied); err != nil {
		t.Errorf("a certificate that nobody knows: %v", err)
	}

	server.Pause(t)
	func() {
		defer server.Resume(t)
		endsWithCtx(t, b)
	}()
	until(t, "the backend works", func() bool { _, err := b.Fetch(t.Context(), "key"); return err == nil })
}
