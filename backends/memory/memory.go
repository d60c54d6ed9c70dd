package memory

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"time"

	"github.com/reprise-go/reprise/backend"
)

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Forgetter = (*Backend)(nil)
	_ io.Closer         = (*Backend)(nil)
)

var (
	errClosed     = fmt.Errorf("memory: %w", backend.ErrClosed)
	errSuperseded = fmt.Errorf("memory: %w", backend.ErrSuperseded)
	errFenceSpent = fmt.Errorf("memory: the key has the highest fence that there is: %w", backend.ErrPermanent)
)

// shardCount is a power of two, large enough that goroutines on many cores
// seldom meet at a lock.
const shardCount = 64

// Backend keeps records in memory. It implements [backend.Backend] and
// [backend.Forgetter]; make one by [New]. All its methods are safe for
// concurrent use, and none blocks except Wait.
//
// A ctx that is already over is answered with its error and
// [backend.ErrNotApplied], without effect; a ctx that ends later matters to Wait
// only.
type Backend struct {
	base    time.Time
	hasher  hasher
	janitor janitor
	shards  [shardCount]shard
}

// New makes an empty store. Close it when it is no longer needed.
func New() *Backend {
	return newBackend(hasher{seed: maphash.MakeSeed(), mask: math.MaxUint64})
}

func newBackend(h hasher) *Backend {
	b := &Backend{base: time.Now(), hasher: h}
	for i := range b.shards {
		b.shards[i].hasher = h
	}
	b.janitor.next.Store(never)
	return b
}

// Claim takes the key for request.Token or extends its lease, as the table of
// package backend says. Its errors are [backend.ErrInvalid],
// [backend.ErrClosed], that of a ctx that was over before, and
// [backend.ErrPermanent] for a key whose fence can't grow any more.
func (b *Backend) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := ctx.Err(); err != nil {
		return backend.Record{}, notApplied("claim", err)
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Record{}, err
	}
	if err := request.Check(); err != nil {
		return backend.Record{}, err
	}
	hash, s := b.locate(key)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return backend.Record{}, errClosed
	}
	now := b.now()
	r, err := s.claim(hash, key, &request, now)
	v := r.look(now)
	due := s.earliest()
	s.mu.Unlock()
	if err != nil {
		return backend.Record{}, err
	}
	b.sweepBy(due)
	if v.state == backend.Claimed && v.token == request.Token {
		v.leaseLeft = 0
	}
	return v.record(), nil
}

// Commit ends the claim that request.Token has on the key, as the table of
// package backend says, and wakes those who wait for it. Its errors are
// [backend.ErrSuperseded], [backend.ErrInvalid], [backend.ErrClosed] and that of
// a ctx that was over before; each means that nothing was changed.
func (b *Backend) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if err := ctx.Err(); err != nil {
		return notApplied("commit", err)
	}
	if err := backend.CheckKey(key); err != nil {
		return err
	}
	if err := request.Check(); err != nil {
		return err
	}
	hash, s := b.locate(key)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	err := s.commit(hash, key, &request, b.now())
	due := s.earliest()
	s.mu.Unlock()
	b.sweepBy(due)
	return err
}

// Fetch reads the record. Its errors are [backend.ErrInvalid] for the key,
// [backend.ErrClosed] and that of a ctx that was over before.
func (b *Backend) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := ctx.Err(); err != nil {
		return backend.Record{}, notApplied("fetch", err)
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Record{}, err
	}
	hash, s := b.locate(key)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return backend.Record{}, errClosed
	}
	now := b.now()
	r := s.find(hash, key, now)
	v := r.look(now)
	var remaining time.Duration
	if r != nil {
		remaining = time.Duration(r.forgetAt - now)
	}
	s.mu.Unlock()
	record := v.record()
	record.Remaining = remaining
	return record, nil
}

// Forget makes the key unknown and wakes those who wait for it. The memory of
// its record is free at once. Its errors are those of Fetch.
func (b *Backend) Forget(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return notApplied("forget", err)
	}
	if err := backend.CheckKey(key); err != nil {
		return err
	}
	hash, s := b.locate(key)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	emptied := false
	if r := s.find(hash, key, b.now()); r != nil {
		s.remove(hash, r)
		s.shrink()
		emptied = s.records == nil
	}
	s.mu.Unlock()
	if emptied {
		// The timer may be armed for a record that is gone now.
		b.sweep()
	}
	return nil
}

// Close forgets everything, wakes everybody who waits with [backend.ErrClosed]
// and lets every later verb return that error. It may be called more than once
// and always returns nil.
func (b *Backend) Close() error {
	for i := range b.shards {
		b.shards[i].close()
	}
	b.janitor.close()
	return nil
}

// now counts from New, on the monotonic clock or that of the synctest bubble. It
// is read under the lock of the shard that it is used in: so the verbs of a key
// are applied in the order of their times.
func (b *Backend) now() int64 { return int64(time.Since(b.base)) }

// locate returns the key's hash and the shard that its record is in.
func (b *Backend) locate(key string) (hash uint64, s *shard) {
	hash = b.hasher.hash(key)
	return hash, &b.shards[hash%shardCount]
}

func notApplied(verb string, err error) error {
	return fmt.Errorf("memory: %s: %w: %w", verb, backend.ErrNotApplied, err)
}
