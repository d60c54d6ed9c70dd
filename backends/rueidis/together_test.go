package rueidis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/gather/gathertest"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// together has what open and fromClient return send everything in company.
var together bool

// What calls send, and what they make of all that can go wrong, is the same where
// they travel in company.
func TestTogether(t *testing.T) {
	together = true
	defer func() { together = false }()
	for name, test := range map[string]func(*testing.T){
		"Authentication":        TestAuthentication,
		"Commands":              TestCommands,
		"Conformance":           TestConformance,
		"FlushedScripts":        TestFlushedScripts,
		"LeastPermissions":      TestLeastPermissions,
		"LostReplies":           TestLostReplies,
		"OutOfMemory":           TestOutOfMemory,
		"ReadOnlyServer":        TestReadOnlyServer,
		"RestartedServer":       TestRestartedServer,
		"SilentServer":          TestSilentServer,
		"SilentServerManyCalls": TestSilentServerManyCalls,
	} {
		t.Run(name, test)
	}
}

// A crowd travels in company, and every key has one owner and its own answer.
func TestCrowd(t *testing.T) {
	both(t, redistest.Start(t), func(t *testing.T, connect func() *rueidis.Backend) {
		store := connect()
		complete(t, store, "warm", "")
		gathertest.Crowd(t, store)
	})
}

// wrapped is an app's client in which something goes wrong with what is sent
// together.
type wrapped struct {
	rueidislib.Client
	doMulti func(ctx context.Context, next func() []rueidislib.RedisResult) []rueidislib.RedisResult
}

func (w wrapped) DoMulti(ctx context.Context, commands ...rueidislib.Completed) []rueidislib.RedisResult {
	return w.doMulti(ctx, func() []rueidislib.RedisResult { return w.Client.DoMulti(ctx, commands...) })
}

// What an app's client is wrapped in may keep the ctx, answer too little, panic, or
// end its goroutine: nobody waits for ever, and nobody sees another call's ctx.
func TestWrappedClientInCompany(t *testing.T) {
	together = true
	defer func() { together = false }()
	server := redistest.Start(t)
	type name struct{}
	var mu sync.Mutex
	var kept []context.Context
	for what, c := range map[string]struct {
		doMulti func(ctx context.Context, next func() []rueidislib.RedisResult) []rueidislib.RedisResult
		answers bool
	}{
		"keeps the ctx": {func(ctx context.Context, next func() []rueidislib.RedisResult) []rueidislib.RedisResult {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, ctx)
			return next()
		}, true},
		"answers nothing": {func(context.Context, func() []rueidislib.RedisResult) []rueidislib.RedisResult { return nil }, false},
		"panics":          {func(context.Context, func() []rueidislib.RedisResult) []rueidislib.RedisResult { panic("client") }, false},
		"exits": {func(context.Context, func() []rueidislib.RedisResult) []rueidislib.RedisResult {
			runtime.Goexit()
			return nil
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			b := fromClient(t, wrapped{client(t, option(server.Addr())), c.doMulti}, prefixed(t))
			for round := range 3 {
				var calls sync.WaitGroup
				for i := range 10 {
					calls.Go(func() {
						ctx := context.WithValue(within(t), name{}, what)
						tok := token()
						record, err := b.Claim(ctx, fmt.Sprint(round, " ", i), taking(tok))
						switch {
						case c.answers && (err != nil || record.Token != tok):
							t.Errorf("%d: %v, %v", i, record.State, err)
						case !c.answers && (err == nil || errors.Is(err, backend.ErrNotApplied)):
							t.Errorf("%d: %v, want an unknown outcome", i, err)
						}
					})
				}
				calls.Wait()
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	for _, ctx := range kept {
		if ctx.Err() != nil || ctx.Value(name{}) != "keeps the ctx" {
			t.Errorf("a ctx that was kept says %v, %v", ctx.Err(), ctx.Value(name{}))
		}
	}
}

// Who leaves while a connection is made costs those who stay nothing.
func TestLeaversInCompany(t *testing.T) {
	together = true
	defer func() { together = false }()
	server := redistest.Start(t)
	slow := option(server.Addr())
	slow.PipelineMultiplex = 3
	var dials atomic.Int64
	slow.DialCtxFn = func(ctx context.Context, addr string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
		if dials.Add(1) > 1 {
			time.Sleep(30 * time.Millisecond) // longer than is sent without another look
		}
		return dialer.DialContext(ctx, "tcp", addr)
	}
	b := open(t, slow, prefixed(t))
	var calls sync.WaitGroup
	for i := range 200 {
		calls.Go(func() {
			ctx := within(t)
			if i%4 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(1+i%20)*time.Millisecond)
				defer cancel()
			}
			if _, err := b.Fetch(ctx, fmt.Sprint(i)); err != nil && ctx.Err() == nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	calls.Wait()
}
