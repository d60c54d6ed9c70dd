package goredis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/gather/gathertest"
	"github.com/reprise-go/reprise/internal/redistest"
)

// together has what open returns send everything in company.
var together bool

// What calls send, and what they make of all that can go wrong, is the same where
// they travel in company.
func TestTogether(t *testing.T) {
	together = true
	defer func() { together = false }()
	for name, test := range map[string]func(*testing.T){
		"Conformance":                TestConformanceRedis,
		"ConformanceMiniredis":       TestConformanceMiniredis,
		"Commands":                   TestCommands,
		"DocumentedPermissions":      TestDocumentedPermissions,
		"EndedCtx":                   TestEndedCtx,
		"ErrorClasses":               TestErrorClasses,
		"ErrorsWrapTheClients":       TestErrorsWrapTheClients,
		"LostReplies":                TestLostReplies,
		"PoolOfOne":                  TestPoolOfOne,
		"RefusalAfterUnknownOutcome": TestRefusalAfterUnknownOutcome,
		"ScriptFlush":                TestScriptFlush,
		"SilentServer":               TestSilentServer,
		"UnknownOutcome":             TestUnknownOutcome,
	} {
		t.Run(name, test)
	}
}

// pipelines counts the pipelines and their commands.
type pipelines struct{ sent, commands atomic.Int64 }

func (p *pipelines) DialHook(next redislib.DialHook) redislib.DialHook          { return next }
func (p *pipelines) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook { return next }
func (p *pipelines) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redislib.Cmder) error {
		p.sent.Add(1)
		p.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// A crowd travels in company, and every key has one owner and its own answer.
func TestCrowd(t *testing.T) {
	server := redistest.Start(t)
	client := redislib.NewClient(quiet(server.Addr()))
	seen := new(pipelines)
	client.AddHook(seen)
	store := open(t, client, "")
	take(t, store, "warm", token())
	complete(t, store, "warm, too", token(), "outcome")
	gathertest.Crowd(t, store)
	// A machine with time to spare finds little company.
	if sent, commands := seen.sent.Load(), seen.commands.Load(); sent == 0 || commands == sent {
		t.Errorf("%d commands went in %d pipelines", commands, sent)
	}
}

// Who left while the driver waited for a connection has nothing sent any more, and
// who stayed has.
func TestNothingIsSentLate(t *testing.T) {
	together = true
	defer func() { together = false }()
	server := redistest.Start(t)
	options := quiet(server.Addr())
	dial := make(chan struct{})
	var dials atomic.Int64
	options.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		<-dial
		return new(net.Dialer).DialContext(context.WithoutCancel(ctx), network, addr)
	}
	options.DialTimeout, options.MaxRetries = time.Minute, -1 // who stays has one try
	store := open(t, redislib.NewClient(options), "")
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 10)
	for i := range cap(left) {
		go func() {
			_, err := store.Claim(ctx, fmt.Sprint("left ", i), taking(token()))
			left <- err
		}()
	}
	stayed := make(chan error, 10)
	for i := range cap(stayed) {
		go func() {
			_, err := store.Claim(t.Context(), fmt.Sprint("stayed ", i), taking(token()))
			stayed <- err
		}()
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	for range cap(left) {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
	}
	close(dial)
	for range cap(stayed) {
		if err := <-stayed; err != nil {
			t.Errorf("who stayed got %v", err)
		}
	}
	before := dials.Load()
	take(t, store, "another", token())
	if n := dials.Load() - before; n > 0 {
		t.Error("the connection wasn't kept")
	}
	if _, err := store.Fetch(t.Context(), "a barrier"); err != nil {
		t.Fatal(err)
	}
	for _, name := range server.Do(t, "KEYS", "*").([]any) {
		if strings.Contains(name.(string), "left") {
			t.Errorf("%q was sent late", name)
		}
	}
}

// faulty is a hook of the app's that goes wrong once, in a pipeline.
type faulty struct {
	pipelines
	once  sync.Once
	fault func()
}

func (f *faulty) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redislib.Cmder) error {
		f.once.Do(f.fault)
		return next(ctx, cmds)
	}
}

// A hook that panics or ends its goroutine in a pipeline neither ends the process
// nor lets anybody wait for ever.
func TestFaultyHookInCompany(t *testing.T) {
	together = true
	defer func() { together = false }()
	for name, fault := range map[string]func(){"panic": func() { panic("hook") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			client := redislib.NewClient(quiet(redistest.Start(t).Addr()))
			store := open(t, client, "")
			take(t, store, "warm", token())
			complete(t, store, "warm, too", token(), "outcome")
			client.AddHook(&faulty{fault: fault})
			var calls sync.WaitGroup
			for i := range 20 {
				calls.Go(func() {
					tok := token()
					record, err := store.Claim(t.Context(), fmt.Sprint(i), taking(tok))
					if err != nil || record.Token != tok {
						t.Errorf("%d: %v, %v", i, record.State, err)
					}
				})
			}
			calls.Wait()
		})
	}
}

// refusing is a hook that panics once its pipeline was applied, and leaves a server
// that refuses what comes then.
type refusing struct {
	pipelines
	refuse func()
}

func (f *refusing) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redislib.Cmder) error {
		_ = next(ctx, cmds)
		f.refuse()
		panic("hook")
	}
}

// What may have been applied in company is not said to be not applied, whatever
// becomes of the call when it goes on alone.
func TestFaultyHookAfterItsPipeline(t *testing.T) {
	together = true
	defer func() { together = false }()
	server := redistest.Start(t)
	options := quiet(server.Addr())
	options.MaxRetries = -1
	client := redislib.NewClient(options)
	store := open(t, client, "")
	complete(t, store, "warm", token(), "outcome")
	held := token()
	take(t, store, "held", held)
	client.AddHook(&refusing{refuse: func() { server.Do(t, "ACL", "SETUSER", "default", "-set", "-eval", "-evalsha") }})
	for what, call := range map[string]func() error{
		"claim":  func() error { _, err := store.Claim(t.Context(), "fresh", taking(token())); return err },
		"commit": func() error { return store.Commit(t.Context(), "held", completing(held, "outcome")) },
	} {
		server.Do(t, "ACL", "SETUSER", "default", "+set", "+eval", "+evalsha")
		if err := call(); err == nil || errors.Is(err, backend.ErrNotApplied) || errors.Is(err, backend.ErrPermanent) {
			t.Errorf("%s: %v, want an unknown outcome", what, err)
		}
	}
}
