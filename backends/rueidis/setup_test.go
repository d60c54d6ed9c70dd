package rueidis_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestBadOptions(t *testing.T) {
	addr := redistest.Address(t)
	app := client(t, option(addr))
	for field, options := range map[string]rueidis.Options{
		"Options.Prefix has 65 bytes":  {Prefix: strings.Repeat("p", 65)},
		`Options.Prefix has '{'`:       {Prefix: "a{b"},
		"Options.CacheKeys is -1":      {CacheKeys: -1},
		"Options.CacheKeys is 1677721": {CacheKeys: rueidis.MaxCacheKeys + 1},
	} {
		b, err := rueidis.New(option(addr), options)
		refused(t, field, b, err)
		b, err = rueidis.NewFromClient(app, options)
		refused(t, field, b, err)
	}
	replica := option(addr)
	replica.ReplicaOnly = true
	b, err := rueidis.New(replica, rueidis.Options{})
	refused(t, "ClientOption.ReplicaOnly", b, err)
	b, err = rueidis.NewFromClient(nil, rueidis.Options{})
	refused(t, "client is nil", b, err)
	var typed *nilClient
	b, err = rueidis.NewFromClient(typed, rueidis.Options{})
	refused(t, "client is nil", b, err)
}

type nilClient struct{ rueidislib.Client }

func refused(t *testing.T, field string, b *rueidis.Backend, err error) {
	t.Helper()
	if b != nil || !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), field) {
		t.Errorf("got %v, %v, want an ErrInvalid that says %q", b, err, field)
	}
}

func TestNewWithoutServer(t *testing.T) {
	server := redistest.Start(t)
	server.Kill(t)
	b, err := rueidis.New(option(server.Addr()), rueidis.Options{})
	if b != nil || !errors.Is(err, backend.ErrNotApplied) {
		t.Fatalf("got %v, %v, want an ErrNotApplied", b, err)
	}
	if _, err := rueidis.New(rueidislib.ClientOption{}, rueidis.Options{}); err == nil {
		t.Fatal("no address is no error")
	}
}

func TestNewWithoutTracking(t *testing.T) {
	mini := redistest.Mini(t)
	_, err := rueidis.New(option(mini.Addr()), rueidis.Options{})
	if err == nil || !strings.Contains(err.Error(), "ClientOption.DisableCache") {
		t.Fatalf("got %v, want an error that names ClientOption.DisableCache", err)
	}
}

func TestTooLarge(t *testing.T) {
	b := open(t, option(redistest.Address(t)), prefixed(t))
	holder := token()
	take(t, b, "key", taking(holder))
	request := completing(holder, "")
	request.Outcome = make([]byte, rueidis.MaxOutcome+1)
	is(t, "Commit", b.Commit(within(t), "key", request), backend.ErrTooLarge)
	if err := b.Commit(within(t), "key", completing(holder, "answer")); err != nil {
		t.Fatalf("the holder's next commit: %v", err)
	}
}

func TestAuthentication(t *testing.T) {
	server := redistest.Start(t)
	server.Do(t, "ACL", "SETUSER", "nobody", "on", ">secret", "~elsewhere:*", "&*", "+@all")
	wrong := option(server.Addr())
	wrong.Username, wrong.Password = "nobody", "guess"
	_, err := rueidis.New(wrong, rueidis.Options{})
	is(t, "New with a wrong password", err, backend.ErrPermanent)
	right := option(server.Addr())
	right.Username, right.Password = "nobody", "secret"
	b := open(t, right, rueidis.Options{})
	for name, call := range verbs(b, "secret-key", token()) {
		err := call(within(t))
		is(t, name+" of a key that the user may not touch", err, backend.ErrPermanent)
		if strings.Contains(err.Error(), "secret-key") {
			t.Errorf("the error of %s shows the key: %v", name, err)
		}
	}
}

// documentedACL is what doc.go says of permissions.
func documentedACL(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "//	ACL SETUSER ")
	block, _, found := strings.Cut(rest, "//\n")
	if !found {
		t.Fatal("doc.go shows no ACL SETUSER")
	}
	return strings.Fields(strings.ReplaceAll(block, "//", ""))
}

func without(rules []string, left ...string) []string {
	var kept []string
	for _, rule := range rules {
		drop := false
		for _, l := range left {
			drop = drop || rule == l
		}
		if !drop {
			kept = append(kept, rule)
		}
	}
	return kept
}

func permitted(addr string, t *testing.T, rules []string) rueidislib.ClientOption {
	t.Helper()
	redistest.Do(t, addr, append([]string{"ACL", "SETUSER"}, rules...)...)
	option := option(addr)
	option.Username, option.Password = rules[0], "secret"
	return option
}

func TestLeastPermissions(t *testing.T) {
	t.Run("single", func(t *testing.T) {
		server := redistest.Start(t)
		least := permitted(server.Addr(), t, documentedACL(t))
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				options := rueidis.Options{Prefix: wire.DefaultPrefix + redistest.Prefix(tb)}
				return func() backend.Backend { return open(tb, least, options) }
			},
		})
		b := open(t, least, rueidis.Options{})
		complete(t, b, "key", "answer")
		hot(t, server.Addr(), b, "key", "answer")
		expectNoDenials(t, server)
	})
	t.Run("without cache", func(t *testing.T) {
		server := redistest.Start(t)
		least := permitted(server.Addr(), t, without(documentedACL(t), "+client|tracking", "+client|caching", "+multi", "+exec"))
		least.DisableCache = true
		b := open(t, least, rueidis.Options{})
		complete(t, b, "key", "answer")
		replay(t, b, "key", "answer")
		replay(t, b, "key", "answer")
		expectNoDenials(t, server)
	})
	t.Run("without publish and subscribe", func(t *testing.T) {
		server := redistest.Start(t)
		least := permitted(server.Addr(), t, without(documentedACL(t), "+publish", "+subscribe", "+unsubscribe"))
		b := open(t, least, rueidis.Options{})
		holder := token()
		take(t, b, "key", taking(holder))
		w := wait(t, b, "key", holder, 2)
		if err := b.Commit(within(t), "key", completing(holder, "answer")); err != nil {
			t.Fatal(err)
		}
		w.woken(t, "answer") // by looking once a second
	})
	t.Run("none too many", func(t *testing.T) {
		server := redistest.Start(t)
		rules := documentedACL(t)
		for _, rule := range rules {
			if !strings.HasPrefix(rule, "+") {
				continue
			}
			server.Do(t, "ACL", "LOG", "RESET")
			server.Do(t, "FLUSHALL")
			server.Do(t, "SCRIPT", "FLUSH")
			server.Do(t, "ACL", "DELUSER", rules[0])
			least := permitted(server.Addr(), t, without(rules, rule))
			exercise(t, least)
			denied, _ := server.Do(t, "ACL", "LOG").([]any)
			if len(denied) == 0 && rule != "+ping" { // of connections that are idle
				t.Errorf("nothing needs %s", rule)
			}
		}
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, 3)
		rules := append(without(documentedACL(t), "+publish", "+subscribe", "+unsubscribe"),
			"+spublish", "+ssubscribe", "+sunsubscribe", "+asking")
		var least rueidislib.ClientOption
		for _, addr := range cluster.Addrs() {
			least = permitted(addr, t, rules)
		}
		least.InitAddress = cluster.Addrs()
		b := open(t, least, rueidis.Options{})
		for i := range 20 {
			key, holder := fmt.Sprint(i), token()
			take(t, b, key, taking(holder))
			w := wait(t, b, key, holder, 2)
			if err := b.Commit(within(t), key, completing(holder, strings.Repeat("x", i*1000))); err != nil {
				t.Fatal(err)
			}
			w.woken(t, strings.Repeat("x", i*1000))
			for range 3 {
				replay(t, b, key, strings.Repeat("x", i*1000))
			}
		}
		for _, node := range cluster.Nodes {
			expectNoDenials(t, node)
		}
	})
}

// expectNoDenials fails if the server refused a command to anybody.
func expectNoDenials(t *testing.T, server *redistest.Server) {
	t.Helper()
	denied, _ := server.Do(t, "ACL", "LOG").([]any)
	for _, entry := range denied {
		t.Errorf("refused: %q", entry)
	}
}

// exercise does everything once, whatever comes of it.
func exercise(t *testing.T, client rueidislib.ClientOption) {
	t.Helper()
	b, err := rueidis.New(client, rueidis.Options{})
	if err != nil {
		return
	}
	defer b.Close()
	for _, outcome := range []string{"small", strings.Repeat("x", 20_000)} {
		for _, known := range []bool{true, false} {
			key, holder := fmt.Sprint("key ", len(outcome), known), token()
			if known {
				_, _ = b.Claim(within(t), key, taking(holder))
			}
			commit := completing(holder, outcome)
			commit.LeaseHeld = true
			_ = b.Commit(within(t), key, commit)
			_ = b.Commit(within(t), key, commit)
			for range 3 {
				_, _ = b.Claim(within(t), key, taking(token()))
			}
			_ = b.Commit(within(t), key, completing(token(), outcome)) // superseded
			// Of a claim that had other metadata than the commit remembers.
			other, claim := token(), taking(holder)
			claim.Token, claim.Metadata = other, []byte("metadata")
			_, _ = b.Claim(within(t), key+"!", claim)
			_ = b.Commit(within(t), key+"!", completing(other, outcome))
		}
	}
	held := token()
	_, _ = b.Claim(within(t), "held", taking(held))
	renewal := taking(held)
	renewal.Renewal, renewal.Attempt = true, 1
	_, _ = b.Claim(within(t), "held", renewal)
	_, _ = b.Fetch(within(t), "held")
	w := wait(t, b, "held", held, 1)
	time.Sleep(50 * time.Millisecond) // the subscription may be refused: there is nothing to wait for
	w.cancel()
	w.group.Wait()
	_ = b.Forget(within(t), "held")
}

// An old server is played: it is asked what it is before anything else.
func TestOldServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait() // for the backend to be closed
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { playRedis6(conn) })
		}
	})
	b := open(t, option(listener.Addr().String()), rueidis.Options{})
	for name, call := range verbs(b, "key", token()) {
		err := call(within(t))
		is(t, name, err, backend.ErrPermanent)
		if !strings.Contains(err.Error(), "Redis 6.2.14, want 7.0 or later") {
			t.Errorf("%s returned %v", name, err)
		}
	}
}

func playRedis6(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		var args int
		if _, err := fmt.Fscanf(reader, "*%d\r\n", &args); err != nil {
			return
		}
		var command []string
		for range args {
			var size int
			if _, err := fmt.Fscanf(reader, "$%d\r\n", &size); err != nil {
				return
			}
			buffer := make([]byte, size+2)
			for n := 0; n < len(buffer); {
				m, err := reader.Read(buffer[n:])
				if err != nil {
					return
				}
				n += m
			}
			command = append(command, string(buffer[:size]))
		}
		reply := "-ERR unknown subcommand\r\n"
		switch command[0] {
		case "HELLO":
			reply = "%4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
		case "PING":
			reply = "+PONG\r\n"
		case "CLUSTER":
			reply = "-ERR This instance has cluster support disabled\r\n"
		case "CLIENT":
			if command[1] == "TRACKING" {
				reply = "+OK\r\n"
			}
		}
		if _, err := conn.Write([]byte(reply)); err != nil {
			return
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate, pool := certify(t, dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	server := redistest.Start(t, "--tls-port", port, "--tls-cert-file", certificate,
		"--tls-key-file", certificate, "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no")
	option := option(net.JoinHostPort("127.0.0.1", port))
	option.TLSConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	b := open(t, option, prefixed(t))
	complete(t, b, "key", "answer")
	hot(t, server.Addr(), b, "key", "answer")
	holder := token()
	take(t, b, "held", taking(holder))
	w := wait(t, b, "held", holder, 3)
	if err := b.Commit(within(t), "held", completing(holder, strings.Repeat("x", 20_000))); err != nil {
		t.Fatal(err)
	}
	w.woken(t, strings.Repeat("x", 20_000))
	option.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if b, err := rueidis.New(option, rueidis.Options{}); err == nil {
		b.Close()
		t.Fatal("a server that nobody vouches for is trusted")
	}
}

// certify writes a certificate for 127.0.0.1 and its key into one file.
func certify(t *testing.T, dir string) (path string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	path = filepath.Join(dir, "redis.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return path, pool
}
