package goredis_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

const secretKey = "customer-4711-secret"

// writes are the verbs that change something.
func writes(store *goredis.Backend, tok backend.Token) map[string]func(ctx context.Context) error {
	all := verbs(store, secretKey, tok)
	for _, read := range []string{"wait", "look", "fetch"} {
		delete(all, read)
	}
	return all
}

func TestErrorClasses(t *testing.T) {
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down.Close()
	for name, c := range map[string]struct {
		set   func(t *testing.T) *redislib.Options
		class error
	}{
		"read-only replica": {func(t *testing.T) *redislib.Options {
			server := redistest.Start(t)
			server.Do(t, "REPLICAOF", "127.0.0.1", "1")
			return quiet(server.Addr())
		}, backend.ErrNotApplied},
		"out of memory": {func(t *testing.T) *redislib.Options {
			return quiet(redistest.Start(t, "--maxmemory", "1").Addr())
		}, backend.ErrNotApplied},
		"no replicas": {func(t *testing.T) *redislib.Options {
			return quiet(redistest.Start(t, "--min-replicas-to-write", "1").Addr())
		}, backend.ErrNotApplied},
		"no server": {func(t *testing.T) *redislib.Options {
			options := quiet(down.Addr().String())
			options.MaxRetries, options.DialTimeout = -1, 200*time.Millisecond
			return options
		}, backend.ErrNotApplied},
		"exhausted pool": {func(t *testing.T) *redislib.Options {
			options := quiet(redistest.Address(t))
			options.PoolSize, options.PoolTimeout, options.MaxRetries = 1, 20*time.Millisecond, -1
			options.PipelinePoolSize = -1
			client := redislib.NewClient(options)
			conn := client.Conn()
			if err := conn.Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			shared = client
			return nil
		}, backend.ErrNotApplied},
		"closed client": {func(t *testing.T) *redislib.Options {
			shared = redislib.NewClient(quiet(redistest.Address(t)))
			shared.Close()
			return nil
		}, backend.ErrNotApplied},
		"busy": {func(t *testing.T) *redislib.Options {
			server := redistest.Start(t, "--busy-reply-threshold", "1")
			conn, err := redistest.Dial(server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = conn.Do("EVAL", "while true do end", "0") }()
			t.Cleanup(func() { server.Do(t, "SCRIPT", "KILL"); conn.Close() })
			eventually(t, "a busy server", func() bool {
				ping, err := redistest.Dial(server.Addr())
				if err != nil {
					return false
				}
				defer ping.Close()
				_, err = ping.Do("GET", "k")
				return err != nil && strings.HasPrefix(err.Error(), "BUSY")
			})
			options := quiet(server.Addr())
			options.Protocol = 2
			return options
		}, backend.ErrNotApplied},
		"no password": {func(t *testing.T) *redislib.Options {
			return quiet(redistest.Start(t, "--requirepass", "secret").Addr())
		}, backend.ErrPermanent},
		"wrong password": {func(t *testing.T) *redislib.Options {
			options := quiet(redistest.Start(t, "--requirepass", "secret").Addr())
			options.Password = "guess"
			return options
		}, backend.ErrPermanent},
		"other keys": {func(t *testing.T) *redislib.Options {
			server := redistest.Start(t)
			server.Do(t, "ACL", "SETUSER", "app", "on", ">secret", "~other:*", "allchannels", "+@all")
			options := quiet(server.Addr())
			options.Username, options.Password = "app", "secret"
			return options
		}, backend.ErrPermanent},
		"reads only": {func(t *testing.T) *redislib.Options {
			server := redistest.Start(t)
			server.Do(t, "ACL", "SETUSER", "app", "on", ">secret", "~*", "allchannels", "+@all", "-set", "-pexpire", "-del", "-rename")
			options := quiet(server.Addr())
			options.Username, options.Password = "app", "secret"
			return options
		}, backend.ErrPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			shared = nil
			options := c.set(t)
			client := shared
			if client == nil {
				client = redislib.NewClient(options)
			}
			store := open(t, client, "")
			for verb, call := range writes(store, token()) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				err := call(ctx)
				cancel()
				if verb == "forget" && name == "out of memory" && err == nil {
					continue // a deletion is always possible
				}
				if !errors.Is(err, c.class) {
					t.Errorf("%s: %v, want %v", verb, err, c.class)
				}
				for _, other := range []error{backend.ErrNotApplied, backend.ErrPermanent, backend.ErrCorrupt, backend.ErrSuperseded} {
					if other != c.class && errors.Is(err, other) {
						t.Errorf("%s: %v is %v too", verb, err, other)
					}
				}
				if err != nil && strings.Contains(err.Error(), secretKey) {
					t.Errorf("%s: the text shows the key: %v", verb, err)
				}
			}
		})
	}
}

// shared is a client that a case of TestErrorClasses made itself.
var shared *redislib.Client

func TestErrorsWrapTheClients(t *testing.T) {
	server := redistest.Start(t)
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	_, err := store.Claim(t.Context(), "k", taking(token()))
	if !redislib.IsReadOnlyError(err) {
		t.Errorf("%v is not the client's error", err)
	}
}

func isSet(request []byte) bool {
	return strings.Contains(strings.ToLower(string(request)), "\r\nset\r\n")
}
func isScript(request []byte) bool {
	lower := strings.ToLower(string(request))
	return strings.Contains(lower, "\r\nevalsha\r\n") || strings.Contains(lower, "\r\neval\r\n")
}

// behindProxy makes a backend that reaches a server through a proxy.
func behindProxy(t *testing.T, retries int) (*faults.Proxy, *goredis.Backend) {
	proxy, err := faults.NewProxy(redistest.Address(t), faults.ProxyOptions{Complete: faults.WholeRESP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	options := quiet(proxy.Addr())
	options.MaxRetries, options.Protocol = retries, 2
	store := open(t, redislib.NewClient(options), redistest.Prefix(t))
	_, _ = store.Fetch(t.Context(), "warm")
	return proxy, store
}

// A lost reply is asked for again, and the request isn't done twice.
func TestLostReplies(t *testing.T) {
	for name, action := range map[string]faults.Action{"before": faults.CutBefore, "reply": faults.CutReply} {
		t.Run(name, func(t *testing.T) {
			proxy, store := behindProxy(t, 3)
			tok := token()
			proxy.OnNth(isSet, 1, action)
			held := take(t, store, "k", tok)
			if held.Attempt != 1 {
				t.Errorf("attempt %d", held.Attempt)
			}
			proxy.OnNth(isScript, 1, action)
			complete(t, store, "k", tok, "outcome")
			proxy.OnNth(isScript, 1, action)
			if r, err := store.Fetch(t.Context(), "k"); err != nil || r.State != backend.Completed || r.Attempt != 1 {
				t.Error(r, err)
			}
			large := strings.Repeat("x", 100_000)
			tok = token()
			held = take(t, store, "large", tok)
			commit := completing(tok, large)
			commit.Fence = held.Fence
			proxy.OnNth(isScript, 1, action)
			if err := store.Commit(t.Context(), "large", commit); err != nil {
				t.Error(err)
			}
			if r, err := store.Fetch(t.Context(), "large"); err != nil || string(r.Outcome) != large {
				t.Error(r.State, err)
			}
			proxy.OnNth(isScript, 1, action)
			if err := store.Forget(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without retries a lost reply is an unknown outcome: none of the classes.
func TestUnknownOutcome(t *testing.T) {
	proxy, store := behindProxy(t, -1)
	tok := token()
	take(t, store, secretKey, tok)
	for verb, call := range writes(store, tok) {
		proxy.OnNth(func(r []byte) bool { return isSet(r) || isScript(r) }, 1, faults.CutReply)
		err := call(t.Context())
		if err == nil {
			t.Errorf("%s: no error", verb)
		}
		for _, class := range []error{backend.ErrNotApplied, backend.ErrPermanent, backend.ErrCorrupt, backend.ErrSuperseded} {
			if errors.Is(err, class) {
				t.Errorf("%s: %v is %v, want neither class", verb, err, class)
			}
		}
	}
}

// After a send of unknown outcome, a refusal of the next one tells nothing.
func TestRefusalAfterUnknownOutcome(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faults.NewProxy(server.Addr(), faults.ProxyOptions{Observe: func(e faults.Exchange) {
		if e.Action == faults.CutReply {
			redistest.Do(t, server.Addr(), "CONFIG", "SET", "min-replicas-to-write", "0")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	options := quiet(proxy.Addr())
	options.Protocol, options.MinRetryBackoff, options.MaxRetryBackoff = 2, 300*time.Millisecond, 300*time.Millisecond
	store := open(t, redislib.NewClient(options), "")
	_, _ = store.Fetch(t.Context(), "warm")
	proxy.OnNth(isSet, 1, faults.CutReply)
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		eventually(t, "a claim", func() bool { return redistest.Do(t, server.Addr(), "DBSIZE") == int64(1) })
		redistest.Do(t, server.Addr(), "CONFIG", "SET", "min-replicas-to-write", "1")
	}()
	_, err = store.Claim(t.Context(), "k", taking(token()))
	<-refused
	if err == nil || errors.Is(err, backend.ErrNotApplied) {
		t.Errorf("%v, want an unknown outcome: the key was claimed", err)
	}
}
