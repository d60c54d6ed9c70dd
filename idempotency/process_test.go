package idempotency_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// rig is one store and the processes that use it. Most tests run in a bubble,
// where time is exact: what they say about durations holds on any machine.
type rig struct {
	t     *testing.T
	store *memory.Backend
}

func bubble(t *testing.T, test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t)) })
}

func newRig(t *testing.T) *rig {
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return &rig{t: t, store: store}
}

const (
	lease  = 30 * time.Second
	margin = 500 * time.Millisecond // of that lease
)

// process is an executor with a connection of its own: nothing is shared with
// another process but the store.
type process struct {
	*idempotency.Executor
	log    *requests
	faults *faults.Injector
}

func (r *rig) process(options idempotency.Options) *process {
	r.t.Helper()
	p := &process{faults: faults.NewInjector(nil)}
	r.t.Cleanup(func() { p.faults.Close() })
	p.log = &requests{next: p.faults.Wrap(r.store)}
	var err error
	if p.Executor, err = idempotency.New(p.log, options); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// idle fails unless the process owns nothing, once everything has come to rest.
func (r *rig) idle(processes ...*process) {
	r.t.Helper()
	synctest.Wait()
	for _, p := range processes {
		if n := p.InFlight(); n != 0 {
			r.t.Errorf("%d flights, holds or timers are left although nothing is in flight", n)
		}
	}
}

// storageKey is the key of an executor without a namespace in the store.
func storageKey(key string) string { return "\x00" + key }

func (r *rig) fetch(key string) backend.Record {
	r.t.Helper()
	record, err := r.store.Fetch(context.Background(), storageKey(key))
	if err != nil {
		r.t.Fatal(err)
	}
	return record
}

// abandon leaves the key behind as a crash does, and returns its record.
func (r *rig) abandon(key string) backend.Record {
	r.t.Helper()
	token := backend.Token{0xab, byte(len(key))}
	claim := backend.ClaimRequest{Token: token, Lease: time.Millisecond, Keep: 24 * time.Hour, Fence: 1}
	if _, err := r.store.Claim(context.Background(), storageKey(key), claim); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(time.Millisecond)
	record := r.fetch(key)
	if record.State != backend.Abandoned {
		r.t.Fatalf("the record is %v, want abandoned", record.State)
	}
	return record
}

// claimBy makes another process hold the key, taking what is there.
func (r *rig) claimBy(token backend.Token, key string, lease time.Duration) backend.Record {
	r.t.Helper()
	claim := backend.ClaimRequest{
		Token: token, Lease: lease, Keep: 24 * time.Hour, Fence: uint64(time.Now().UnixMicro()), Seen: r.fetch(key).Fence,
	}
	record, err := r.store.Claim(context.Background(), storageKey(key), claim)
	if err != nil || record.Token != token || record.State != backend.Claimed {
		r.t.Fatalf("the other process got %v, %v", record.State, err)
	}
	return record
}

func (r *rig) endBy(token backend.Token, key string, how backend.Ending) {
	r.t.Helper()
	commit := backend.CommitRequest{Token: token, Ending: how, Keep: 24 * time.Hour, Retention: 24 * time.Hour}
	if err := r.store.Commit(context.Background(), storageKey(key), commit); err != nil {
		r.t.Fatal(err)
	}
}

// request is one request as it left the executor.
type request struct {
	verb   faults.Verb
	at     time.Time
	key    string
	token  backend.Token
	claim  backend.ClaimRequest
	commit backend.CommitRequest
}

func (q request) taking() bool  { return q.verb == faults.Claim && !q.claim.Renewal }
func (q request) renewal() bool { return q.verb == faults.Claim && q.claim.Renewal }
func (q request) ends(how backend.Ending) bool {
	return q.verb == faults.Commit && q.commit.Ending == how
}

// requests is a backend that logs every request before it passes it on. The on
// functions take the place of the next backend; n counts their calls from 1.
type requests struct {
	next     backend.Backend
	onClaim  func(ctx context.Context, n int, request backend.ClaimRequest) (backend.Record, error)
	onCommit func(ctx context.Context, n int, request backend.CommitRequest) error
	onWait   func(ctx context.Context, n int, token backend.Token) (backend.Record, error)

	mu                     sync.Mutex
	all                    []request
	claims, commits, waits int
}

func (l *requests) add(q request, n *int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	q.at = time.Now()
	l.all = append(l.all, q)
	*n++
	return *n
}

func (l *requests) Claim(ctx context.Context, key string, claim backend.ClaimRequest) (backend.Record, error) {
	claim.Fingerprint, claim.Metadata = slices.Clone(claim.Fingerprint), slices.Clone(claim.Metadata)
	n := l.add(request{verb: faults.Claim, key: key, token: claim.Token, claim: claim}, &l.claims)
	if l.onClaim != nil {
		return l.onClaim(ctx, n, claim)
	}
	return l.next.Claim(ctx, key, claim)
}

func (l *requests) Commit(ctx context.Context, key string, commit backend.CommitRequest) error {
	commit.Fingerprint, commit.Metadata = slices.Clone(commit.Fingerprint), slices.Clone(commit.Metadata)
	commit.Outcome = slices.Clone(commit.Outcome)
	n := l.add(request{verb: faults.Commit, key: key, token: commit.Token, commit: commit}, &l.commits)
	if l.onCommit != nil {
		return l.onCommit(ctx, n, commit)
	}
	return l.next.Commit(ctx, key, commit)
}

func (l *requests) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	n := l.add(request{verb: faults.Wait, key: key, token: token}, &l.waits)
	if l.onWait != nil {
		return l.onWait(ctx, n, token)
	}
	return l.next.Wait(ctx, key, token)
}

func (l *requests) Fetch(ctx context.Context, key string) (backend.Record, error) {
	var n int
	l.add(request{verb: faults.Fetch, key: key}, &n)
	return l.next.Fetch(ctx, key)
}

// of returns the logged requests for which match holds; nil: all.
func (l *requests) of(match func(request) bool) []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []request
	for _, q := range l.all {
		if match == nil || match(q) {
			found = append(found, q)
		}
	}
	return found
}

func (l *requests) endings(how backend.Ending) []request {
	return l.of(func(q request) bool { return q.ends(how) })
}
func (l *requests) takings() []request  { return l.of(request.taking) }
func (l *requests) renewals() []request { return l.of(request.renewal) }

// answer is what a call got.
type answer[T any] struct {
	idempotency.Result[T]
	err      error
	panicked any
	took     time.Duration
}

// start makes a call in a goroutine of its own.
func start[T any](ctx context.Context, o *idempotency.Operation[T], call idempotency.Call, action func(context.Context) (T, error)) <-chan answer[T] {
	done := make(chan answer[T], 1)
	go func() {
		var a answer[T]
		a.err = errGoexit // unless something else comes
		began := time.Now()
		defer func() {
			a.panicked = recover()
			a.took = time.Since(began)
			done <- a
		}()
		a.Result, a.err = o.Do(ctx, call, action)
	}()
	return done
}

var errGoexit = errors.New("the call ended its goroutine")

func operation[T any](t *testing.T, p *process, options idempotency.OperationOptions[T]) *idempotency.Operation[T] {
	t.Helper()
	o, err := idempotency.NewOperation(p.Executor, options)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func key(k string) idempotency.Call { return idempotency.Call{Key: k} }

// returns makes an action that counts its runs.
func returns[T any](value T, runs *counter) func(context.Context) (T, error) {
	return func(context.Context) (T, error) {
		runs.add()
		return value, nil
	}
}

// takes makes an action that takes d, unless its ctx ends.
func takes[T any](d time.Duration, value T, runs *counter) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		runs.add()
		select {
		case <-time.After(d):
			return value, nil
		case <-ctx.Done():
			var zero T
			return zero, ctx.Err()
		}
	}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }
func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) want(t *testing.T, n int) {
	t.Helper()
	if got := c.count(); got != n {
		t.Errorf("the action ran %d times, want %d", got, n)
	}
}

// wantAnswer fails unless the call got the value without an error.
func wantAnswer[T comparable](t *testing.T, a answer[T], value T, replayed bool) {
	t.Helper()
	if a.err != nil || a.panicked != nil || a.Value != value || a.Replayed != replayed {
		t.Errorf("got %v, replayed %v, error %v, panic %v; want %v, replayed %v", a.Value, a.Replayed, a.err, a.panicked, value, replayed)
	}
}

func wantError[T comparable](t *testing.T, a answer[T], target error) {
	t.Helper()
	var zero T
	if !errors.Is(a.err, target) || a.Value != zero {
		t.Errorf("got %v, error %v; want error %v and no value", a.Value, a.err, target)
	}
}
