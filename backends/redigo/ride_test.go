package redigo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

// What holds for calls that are made alone holds for those that ride: openAt makes
// all of this test's ride.
func TestRiding(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"conformance":            TestConformanceOnRedis,
		"conformance, miniredis": TestConformanceOnMiniredis,
		"commands":               TestCommands,
		"lost replies":           TestLostReplies,
		"dead idle connections":  TestDeadIdleConnections,
		"script flush":           TestScriptFlush,
		"errors of replies":      TestErrorsOfReplies,
		"unknown replies":        TestRepliesOfUnknownForm,
		"replica":                TestReplica,
		"out of memory":          TestOutOfMemory,
		"corrupt records":        TestCorruptRecords,
		"pool errors":            TestPoolErrors,
		"permissions":            TestPermissions,
		"silent server":          TestSilentServer,
		"silent handshake":       TestSilentHandshake,
		"pool in use":            TestPoolInUse,
		"nothing for nobody":     TestNothingIsSentForNobody,
		"read timeout":           TestReadTimeoutOfThePool,
		"interruptions":          TestInterruptedConnectionsAreNotReused,
		"no ctx":                 TestCtxThatCanNotEnd,
		"close":                  TestCloseWhileWaitersLeave,
		"tls":                    TestTLS,
	} {
		t.Run(name, test)
	}
}

// warm has the server run the scripts, and the backend's first claim, which doesn't
// ride.
func warm(tb testing.TB, b *redigo.Backend) {
	tb.Helper()
	record := take(tb, b, "warm")
	if _, err := b.Claim(tb.Context(), "warm", claiming(newToken())); err != nil {
		tb.Fatal(err)
	}
	complete(tb, b, "warm", record, "o")
}

// each makes n calls at once and returns their errors.
func each(n int, call func(i int) error) []error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = call(i) })
	}
	group.Wait()
	return errs
}

// Ten calls that ride together are one round trip, and what they leave to be sent is
// one for each.
func TestRidersShareATrip(t *testing.T) {
	const n = 10
	proxy := newProxy(t, redistest.Address(t), nil)
	b := open(t, newPool(t, proxy.Addr()))
	warm(t, b)
	redigo.RideTogether(b, n)
	owners := make([]backend.ClaimRequest, n)
	for _, step := range []struct {
		what  string
		trips int
		call  func(i int) error
	}{
		{"fresh claims", 1, func(i int) error {
			owners[i] = claiming(newToken())
			record, err := b.Claim(t.Context(), fmt.Sprint(i), owners[i])
			if err == nil && (record.State != backend.Claimed || record.Token != owners[i].Token) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
		{"lost claims", 1 + n, func(i int) error {
			record, err := b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))
			if err == nil && (record.Token != owners[i].Token || record.LeaseLeft <= 0) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
		{"claims sent before", 1 + n, func(i int) error {
			record, err := b.Claim(t.Context(), fmt.Sprint(i), owners[i])
			if err == nil && (record.Token != owners[i].Token || record.LeaseLeft != 0) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
		{"commits", 1, func(i int) error {
			return b.Commit(t.Context(), fmt.Sprint(i), completing(owners[i].Token, fmt.Sprint("outcome ", i)))
		}},
		{"replays", 1, func(i int) error {
			record, err := b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))
			if err == nil && string(record.Outcome) != fmt.Sprint("outcome ", i) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
	} {
		before := len(proxy.Exchanges())
		for i, err := range each(n, step.call) {
			if err != nil {
				t.Errorf("%s: %d: %v", step.what, i, err)
			}
		}
		if trips := len(proxy.Exchanges()) - before; trips != step.trips {
			t.Errorf("%s: %d round trips, want %d", step.what, trips, step.trips)
		}
	}
}

// An error reply is that of one call.
func TestErrorOfOneRider(t *testing.T) {
	server := redistest.Start(t)
	prefix := redistest.Prefix(t)
	layout, _ := wire.NewLayout(prefix)
	b := openAt(t, newPool(t, server.Addr()), prefix)
	warm(t, b)
	const n = 6
	redigo.RideTogether(b, n)
	server.Do(t, "HSET", layout.Record("2"), "field", "value")
	server.Do(t, "SET", layout.Record("4"), "no record", "PX", "100000")
	for range 2 { // the second time the claims are sent with the same tokens
		for i, err := range each(n, func(i int) error {
			return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(backend.Token{1, byte(i)})))
		}) {
			var class error
			if i == 2 || i == 4 {
				class = backend.ErrCorrupt
			}
			if wrong := oneOf(err, class); wrong != nil || (err == nil) != (class == nil) {
				t.Errorf("claim %d: %v: %v", i, err, wrong)
			}
		}
	}
	for i, err := range each(n, func(i int) error {
		token := backend.Token{1, byte(i)}
		if i == 3 {
			token = newToken() // not the holder's
		}
		return b.Commit(t.Context(), fmt.Sprint(i), completing(token, "outcome"))
	}) {
		class := map[int]error{2: backend.ErrCorrupt, 3: backend.ErrSuperseded, 4: backend.ErrCorrupt}[i]
		if wrong := oneOf(err, class); wrong != nil || (err == nil) != (class == nil) {
			t.Errorf("commit %d: %v: %v", i, err, wrong)
		}
	}
}

// The server forgot the script: every rider sends it by itself.
func TestScriptFlushWhileRiding(t *testing.T) {
	const n = 5
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	warm(t, b)
	records := make([]backend.Record, n)
	for i := range n {
		records[i] = take(t, b, fmt.Sprint(i))
	}
	redigo.RideTogether(b, n)
	server.Do(t, "SCRIPT", "FLUSH")
	monitor := redistest.Watch(t, server.Addr())
	for i, err := range each(n, func(i int) error {
		return b.Commit(t.Context(), fmt.Sprint(i), completing(records[i].Token, "outcome"))
	}) {
		if err != nil {
			t.Errorf("commit %d: %v", i, err)
		}
	}
	sent := monitor.Stop()
	slices.Sort(sent)
	// Who comes late finds the script loaded again.
	if len(sent) != 2*n || sent[0] != "EVAL" || sent[n] != "EVALSHA" {
		t.Errorf("sent %v", sent)
	}
}

// The connection breaks when some were answered: claims are made by themselves, and
// nobody knows of the commits.
func TestBrokenRide(t *testing.T) {
	const n, answered = 8, 3
	var commands atomic.Int64
	var breaks atomic.Bool
	addr := canned(t, func(command []string) string {
		switch {
		case command[0] == "HELLO":
			return modern
		case breaks.Load() && commands.Add(1) == answered+1:
			return ""
		case command[0] == "SET":
			return "$-1"
		}
		return ":1"
	})
	pool := newPool(t, addr)
	b := open(t, pool)
	take(t, b, "warm")
	if err := b.Commit(t.Context(), "warm", completing(newToken(), "o")); err != nil {
		t.Fatal(err)
	}
	redigo.RideTogether(b, n)
	breaks.Store(true)
	for i, err := range each(n, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if err != nil {
			t.Errorf("claim %d: %v", i, err)
		}
	}
	if got := commands.Load(); got != answered+1+n-answered {
		t.Errorf("%d commands", got)
	}
	commands.Store(0)
	failed := 0
	for i, err := range each(n, func(i int) error {
		return b.Commit(t.Context(), fmt.Sprint(i), completing(newToken(), "o"))
	}) {
		if wrong := oneOf(err, nil); wrong != nil {
			t.Errorf("commit %d: %v", i, wrong)
		}
		if err != nil {
			failed++
		}
	}
	if failed != n-answered || commands.Load() != answered+1 {
		t.Errorf("%d of %d commits failed after %d commands", failed, n, commands.Load())
	}
	breaks.Store(false)
	for i, err := range each(n, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if err != nil {
			t.Errorf("claim %d: %v", i, err)
		}
	}
	if active, idle := pool.ActiveCount(), pool.IdleCount(); active != idle {
		t.Errorf("%d connections, %d of them idle", active, idle)
	}
}

// What may have been applied by the ride is never said not to be.
func TestNotAppliedAfterABrokenRideIsUnknown(t *testing.T) {
	proxy := newProxy(t, redistest.Address(t), nil)
	pool := newPool(t, proxy.Addr())
	var refuse atomic.Bool
	dial := pool.DialContext
	pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
		if refuse.Load() {
			return nil, errors.New("no more")
		}
		return dial(ctx)
	}
	b := open(t, pool)
	warm(t, b)
	redigo.RideTogether(b, 2)
	refuse.Store(true)
	proxy.OnNth(command("SET"), 1, faults.CutReply)
	for i, err := range each(2, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if wrong := oneOf(err, nil); err == nil || wrong != nil {
			t.Errorf("claim %d: %v, %v", i, err, wrong)
		}
	}
	// And what wasn't sent is.
	for i, err := range each(2, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if wrong := oneOf(err, backend.ErrNotApplied); wrong != nil {
			t.Errorf("claim %d, without a connection: %v", i, wrong)
		}
	}
}
