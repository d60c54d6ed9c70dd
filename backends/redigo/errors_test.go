package redigo_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/internal/redistest"
)

// canned is a server that answers every command with what answer says, and closes
// the connection where that is empty.
func canned(tb testing.TB, answer func(command []string) string) (addr string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				for rd := bufio.NewReader(conn); ; {
					command, err := readCommand(rd)
					if err != nil {
						return
					}
					reply := answer(command)
					if reply == "" {
						return
					}
					_, _ = io.WriteString(conn, reply+"\r\n")
				}
			})
		}
	})
	tb.Cleanup(func() {
		listener.Close()
		conns.Wait()
	})
	return listener.Addr().String()
}

func readCommand(rd *bufio.Reader) ([]string, error) {
	length := func() (int, error) {
		line, err := rd.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := length()
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := length()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(rd, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

// modern is what a server says of itself that this package can use.
const modern = "*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15"

func TestErrorsOfReplies(t *testing.T) {
	for text, class := range map[string]error{
		"READONLY You can't write against a read only replica.":                         backend.ErrNotApplied,
		"LOADING Redis is loading the dataset in memory":                                backend.ErrNotApplied,
		"CLUSTERDOWN The cluster is down":                                               backend.ErrNotApplied,
		"MASTERDOWN Link with MASTER is down":                                           backend.ErrNotApplied,
		"NOREPLICAS Not enough good replicas to write.":                                 backend.ErrNotApplied,
		"BUSY Redis is busy running a script.":                                          backend.ErrNotApplied,
		"OOM command not allowed when used memory > 'maxmemory'.":                       backend.ErrNotApplied,
		"MISCONF Redis is configured to save RDB snapshots":                             backend.ErrNotApplied,
		"ERR max number of clients reached":                                             backend.ErrNotApplied,
		"MOVED 3999 127.0.0.1:6381":                                                     backend.ErrPermanent,
		"ASK 3999 127.0.0.1:6381":                                                       backend.ErrPermanent,
		"NOAUTH Authentication required.":                                               backend.ErrPermanent,
		"WRONGPASS invalid username-password pair":                                      backend.ErrPermanent,
		"NOPERM this user has no permissions to run the 'set' command":                  backend.ErrPermanent,
		"ERR The user executing the script can't run this command or subcommand":        backend.ErrPermanent,
		"ERR syntax error":                                                              backend.ErrPermanent,
		"ERR unknown command 'SET', with args beginning with: 'reprise:{aaaa}:secret' ": backend.ErrPermanent,
		"WRONGTYPE Operation against a key holding the wrong kind of value":             backend.ErrCorrupt,
		"BADFRAME the key holds no record of this version":                              backend.ErrCorrupt,
		"ERR Protocol error: invalid bulk length":                                       backend.ErrTooLarge,
		"ERR something that nobody knows":                                               nil,
	} {
		addr := canned(t, func(command []string) string {
			if command[0] == "HELLO" {
				return modern
			}
			return "-" + text
		})
		b := open(t, newPool(t, addr))
		_, _ = b.Fetch(t.Context(), "key") // so that the claim may ride, see TestRiding
		_, err := b.Claim(t.Context(), "key", claiming(newToken()))
		var reply redis.Error
		if wrong := oneOf(err, class); wrong != nil || !errors.As(err, &reply) || string(reply) != text {
			t.Errorf("%q: %v: %v", text, err, wrong)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a key: %v", err)
		}
	}
}

func TestRepliesOfUnknownForm(t *testing.T) {
	for _, reply := range []string{":1", "+OK", "$-1", "*-1", "*1\r\n:1", "*2\r\n:1\r\n:2", "*2\r\n$-1\r\n:-2", "*3\r\n$0\r\n\r\n:-2\r\n:1", "?what", ""} {
		addr := canned(t, func(command []string) string {
			if command[0] == "HELLO" {
				return modern
			}
			return reply
		})
		b := open(t, newPool(t, addr))
		if reply != "$-1" && reply != "*-1" { // to SET NX GET: the key was taken
			record, err := b.Claim(t.Context(), "key", claiming(newToken()))
			if wrong := oneOf(err, nil); err == nil || wrong != nil {
				t.Errorf("%q: a claim answers %+v, %v, %v", reply, record, err, wrong)
			}
		}
		record, err := b.Fetch(t.Context(), "key")
		if wrong := oneOf(err, nil); err == nil || wrong != nil {
			t.Errorf("%q: a fetch answers %+v, %v, %v", reply, record, err, wrong)
		}
		if reply != ":1" {
			err = b.Commit(t.Context(), "key", completing(newToken(), "o"))
			if wrong := oneOf(err, nil); err == nil || wrong != nil {
				t.Errorf("%q: a commit answers %v, %v", reply, err, wrong)
			}
		}
	}
}

func TestUnusableServers(t *testing.T) {
	hello := func(server, version, mode string) string {
		return fmt.Sprintf("*6\r\n$6\r\nserver\r\n$%d\r\n%s\r\n$7\r\nversion\r\n$%d\r\n%s\r\n$4\r\nmode\r\n$%d\r\n%s",
			len(server), server, len(version), version, len(mode), mode)
	}
	for name, c := range map[string]struct {
		hello, command string
		text           string
	}{
		"cluster":                     {hello("redis", "7.0.15", "cluster"), "$-1", "node of a Redis Cluster"},
		"cluster without HELLO":       {"-ERR unknown command 'HELLO'", "-MOVED 12182 127.0.0.1:7001", "node of a Redis Cluster"},
		"sentinel":                    {hello("redis", "7.0.15", "sentinel"), "$-1", "Sentinel"},
		"Redis 6.2":                   {hello("redis", "6.2.14", "standalone"), "-ERR syntax error", "Redis 7.0 or later"},
		"Redis 6.2 that hides it":     {hello("other", "1.0", "standalone"), "-ERR syntax error", "Redis 7.0 or later"},
		"Redis 5, which has no HELLO": {"-ERR unknown command `HELLO`, with args beginning with: ", "-ERR syntax error", "Redis 7.0 or later"},
	} {
		addr := canned(t, func(command []string) string {
			if command[0] == "HELLO" {
				return c.hello
			}
			return c.command
		})
		b := open(t, newPool(t, addr))
		for range 2 {
			_, err := b.Claim(t.Context(), "key", claiming(newToken()))
			if wrong := oneOf(err, backend.ErrPermanent); wrong != nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v: %v, want an error that says %q", name, err, wrong, c.text)
			}
		}
	}
	// Forks count their versions themselves.
	addr := canned(t, func(command []string) string {
		if command[0] == "HELLO" {
			return hello("valkey", "1.0.0", "standalone")
		}
		return "$-1"
	})
	take(t, open(t, newPool(t, addr)), "key")
}

func TestClusterNode(t *testing.T) {
	server := redistest.Start(t, "--cluster-enabled", "yes")
	server.Do(t, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	until(t, "the cluster is up", func() bool {
		return strings.Contains(server.Do(t, "CLUSTER", "INFO").(string), "cluster_state:ok")
	})
	b := open(t, newPool(t, server.Addr()))
	ctx := t.Context()
	for name, verb := range verbs {
		err := verb(ctx, b)
		if wrong := oneOf(err, backend.ErrPermanent); wrong != nil || !strings.Contains(err.Error(), "node of a Redis Cluster") {
			t.Errorf("%s: %v, %v", name, err, wrong)
		}
	}
}

func TestReplica(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	record := take(t, b, "key")
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	for name, err := range map[string]error{
		"claim":        second(b.Claim(t.Context(), "new", claiming(newToken()))),
		"commit":       b.Commit(t.Context(), "key", completing(record.Token, "o")),
		"large commit": b.Commit(t.Context(), "key", completing(record.Token, strings.Repeat("o", 50_000))),
		"forget":       b.Forget(t.Context(), "key"),
	} {
		if err := oneOf(err, backend.ErrNotApplied); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.Do(t, "REPLICAOF", "NO", "ONE")
	complete(t, b, "key", record, "outcome")
}

func second[A any](_ A, err error) error { return err }

func TestOutOfMemory(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	small, large := take(t, b, "small"), take(t, b, "large")
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	_, err := b.Claim(t.Context(), "new", claiming(newToken()))
	if err := oneOf(err, backend.ErrNotApplied); err != nil {
		t.Error(err)
	}
	// The outcome of a claim that the server knows is recorded all the same.
	complete(t, b, "small", small, "outcome")
	complete(t, b, "large", large, strings.Repeat("o", 50_000))
	if got := fetch(t, b, "large"); len(got.Outcome) != 50_000 {
		t.Errorf("the outcome has %d bytes", len(got.Outcome))
	}
}

func TestCorruptRecords(t *testing.T) {
	server := redistest.Start(t)
	b, err := redigo.New(newPool(t, server.Addr()), redigo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	layout, _ := wire.NewLayout("")
	name := layout.Record("key")
	token := newToken()
	request := claiming(token)
	frame := string(wire.AppendClaim(nil, &request))
	for what, command := range map[string][]string{
		"text":         {"SET", name, "some text that is long enough to be a frame of this version", "PX", "100000"},
		"empty":        {"SET", name, "", "PX", "100000"},
		"truncated":    {"SET", name, frame[:30], "PX", "100000"},
		"newer":        {"SET", name, frame[:1] + "\x21" + frame[2:], "PX", "100000"},
		"without TTL":  {"SET", name, frame},
		"foreign type": {"HSET", name, "field", "value"},
	} {
		server.Do(t, "DEL", name)
		server.Do(t, command...)
		for verb, call := range verbs {
			if verb == "forget" {
				continue
			}
			if what == "without TTL" && strings.Contains(verb, "commit") {
				continue // another's claim, however long it stays
			}
			err := call(withTimeout(t, patience), b)
			if err := oneOf(err, backend.ErrCorrupt); err != nil {
				t.Errorf("%s, %s: %v", what, verb, err)
			}
		}
		if n := server.Do(t, "EXISTS", name).(int64); n != 1 {
			t.Errorf("%s: the key is gone", what)
		}
		if err := b.Forget(t.Context(), "key"); err != nil {
			t.Error(err)
		}
		if record := fetch(t, b, "key"); !record.Unknown() {
			t.Errorf("%s: %+v after Forget", what, record)
		}
	}
}

func TestPoolErrors(t *testing.T) {
	addr := redistest.Address(t)
	t.Run("exhausted", func(t *testing.T) {
		pool := newPool(t, addr)
		pool.MaxActive = 1
		b := open(t, pool)
		conn := pool.Get()
		_ = conn.Err()
		for _, ctx := range []context.Context{context.Background(), t.Context()} {
			_, err := b.Claim(ctx, "key", claiming(newToken()))
			if err := oneOf(err, backend.ErrNotApplied); err != nil || !errors.Is(second(b.Fetch(ctx, "key")), redis.ErrPoolExhausted) {
				t.Errorf("an exhausted pool: %v", err)
			}
		}
		// A waiter has time.
		result := wait(t, b, "key", newToken())
		conn.Close()
		woken(t, result, backend.Vacant)
	})
	t.Run("refused", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		b := open(t, newPool(t, listener.Addr().String()))
		for name, err := range map[string]error{
			"claim":  second(b.Claim(t.Context(), "key", claiming(newToken()))),
			"commit": b.Commit(t.Context(), "key", completing(newToken(), "o")),
			"fetch":  second(b.Fetch(t.Context(), "key")),
			"forget": b.Forget(t.Context(), "key"),
			"wait":   second(b.Wait(t.Context(), "key", newToken())),
		} {
			if err := oneOf(err, backend.ErrNotApplied); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("closed", func(t *testing.T) {
		pool := newPool(t, addr)
		b := open(t, pool)
		pool.Close()
		_, err := b.Claim(t.Context(), "key", claiming(newToken()))
		if err := oneOf(err, backend.ErrNotApplied); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		b := open(t, newPool(t, addr, redis.DialUsername("nobody"), redis.DialPassword("wrong")))
		_, err := b.Claim(t.Context(), "key", claiming(newToken()))
		if err := oneOf(err, backend.ErrPermanent); err != nil {
			t.Error(err)
		}
	})
	t.Run("no password", func(t *testing.T) {
		server := redistest.Start(t, "--requirepass", "secret")
		b := open(t, newPool(t, server.Addr()))
		_, err := b.Claim(t.Context(), "key", claiming(newToken()))
		if err := oneOf(err, backend.ErrPermanent); err != nil {
			t.Error(err)
		}
	})
}

func TestPermissions(t *testing.T) {
	server := redistest.Start(t)
	control, err := redistest.Dial(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if _, err := control.Do("ACL", "SETUSER", "limited", "on", ">secret", "~mine:*", "&mine:*", "+@all", "-publish", "-subscribe", "-pexpire"); err != nil {
		t.Fatal(err)
	}
	pool := newPool(t, server.Addr(), redis.DialUsername("limited"), redis.DialPassword("secret"))
	b := openAt(t, pool, "mine:")
	for name, err := range map[string]error{
		"foreign prefix": second(openAt(t, pool, "theirs:").Claim(t.Context(), "key", claiming(newToken()))),
		"PEXPIRE in a script": func() error {
			record := take(t, b, "key")
			return second(b.Claim(t.Context(), "key", claiming(record.Token)))
		}(),
	} {
		if err := oneOf(err, backend.ErrPermanent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Neither a subscription nor a message is needed to be right in the end.
	record := take(t, b, "waited")
	result := wait(t, b, "waited", record.Token)
	complete(t, b, "waited", record, "outcome")
	woken(t, result, backend.Completed)
}
