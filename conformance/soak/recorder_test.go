//go:build unix

package soak

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// The points of an execution at which a worker kills itself. "In flight" is while
// a request is on its way, or its reply.
var crashPoints = []string{
	"before claim", "claim in flight", "claim applied", "before effect", "after effect",
	"before commit", "commit in flight", "commit applied", "answered", "waiting", "renewing", "reconciling",
}

// crasher kills its process at the point that it was told.
type crasher struct {
	plan crash
	log  *journal

	mu   sync.Mutex
	left int
}

func newCrasher(plan crash, log *journal) *crasher {
	return &crasher{plan: plan, log: log, left: plan.Nth}
}

func (c *crasher) due(point string) bool {
	if c.plan.Point != point {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	return c.left == 0
}

// at kills the process if it is the time.
func (c *crasher) at(point, key string) {
	if c.due(point) {
		c.die(point, key)
	}
}

// soon kills the process a moment later, while what follows is under way.
func (c *crasher) soon(point, key string, most time.Duration) {
	if c.due(point) {
		time.AfterFunc(rand.N(most), func() { c.die(point, key) })
	}
}

func (c *crasher) die(point, key string) {
	c.log.add(event{Kind: evCrash, Key: key, What: point})
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal comes before anything else is done
}

// recorder writes down what is said between a process and its store, and crashes
// the process at the requests.
type recorder struct {
	store
	log   *journal
	crash *crasher
}

// userKey is the key of an executor without a namespace.
func userKey(storageKey string) string { return storageKey[1:] }

func tokenText(t backend.Token) string { return hex.EncodeToString(t[:]) }

func (r *recorder) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	name, token := userKey(key), tokenText(request.Token)
	if request.Renewal {
		r.crash.soon("renewing", name, 2*time.Millisecond)
	} else {
		r.crash.at("before claim", name)
		r.log.add(event{Kind: evSend, Key: name, Token: token, Seen: request.Seen})
		r.crash.soon("claim in flight", name, 2*time.Millisecond)
	}
	sent := now()
	record, err := r.store.Claim(ctx, key, request)
	if err == nil && record.State == backend.Claimed && record.Token == request.Token {
		r.log.add(event{
			Kind: evGranted, Key: name, Token: token, Seen: request.Seen, Fence: record.Fence, Attempt: record.Attempt,
			Sent: sent, Until: sent + int64(request.Lease), Renewal: request.Renewal,
		})
		if !request.Renewal {
			r.crash.at("claim applied", name)
		}
	}
	return record, err
}

func (r *recorder) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	name := userKey(key)
	e := event{
		Kind: evEnding, Key: name, Token: tokenText(request.Token), Fence: request.Fence, Attempt: request.Attempt,
		What: endingNames[request.Ending],
	}
	r.crash.at("before commit", name)
	r.log.add(e)
	r.crash.soon("commit in flight", name, 2*time.Millisecond)
	e.Sent = now()
	err := r.store.Commit(ctx, key, request)
	e.Kind, e.At = evEnded, now()
	if err != nil {
		e.Err = err.Error()
	}
	r.log.add(e)
	if err == nil {
		r.crash.at("commit applied", name)
	}
	return err
}

var endingNames = map[backend.Ending]string{
	backend.Complete: "complete", backend.Release: "release", backend.Abandon: "abandon",
}

func (r *recorder) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	r.crash.soon("waiting", userKey(key), 20*time.Millisecond)
	return r.store.Wait(ctx, key, token)
}
