package idempotency

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Info is what is known about a key, for support staff and tools. It holds
// nothing of the answer.
type Info struct {
	// State of the key. Vacant: unknown, released or forgotten; the next call
	// runs.
	State backend.State
	// Operation is the name of the operation that holds or held the key.
	Operation string
	// Attempt and Fence of the last attempt; zero for an unknown key.
	Attempt uint32
	Fence   uint64
	// ClaimedAt is when that attempt claimed the key, by its process' clock.
	ClaimedAt time.Time
	// LeaseLeft is how long the holder's lease still runs: Claimed.
	LeaseLeft time.Duration
	// Outcome is "value", "error" or "not kept" (the action ran, but its answer
	// could not be kept): Completed.
	Outcome string
	// CompletedAt is when the outcome was made, by its process' clock: Completed.
	CompletedAt time.Time
	// Metadata is what the call and its action put beside the answer.
	Metadata map[string]string
	// Remaining is how long the store still remembers the key; afterwards it is
	// vacant. Zero for an unknown key.
	Remaining time.Duration
}

// Lookup tells what is known about a key, without changing anything. A record
// that can't be read is an error with errors.Is(err, backend.ErrCorrupt).
func (x *Executor) Lookup(ctx context.Context, key string) (Info, error) {
	record, metadata, err := x.fetch(ctx, "lookup", key)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		State: record.State, Operation: metadata.operation, Attempt: record.Attempt, Fence: record.Fence,
		ClaimedAt: metadata.claimedAt, LeaseLeft: record.LeaseLeft, Remaining: record.Remaining, Metadata: metadata.pairs,
	}
	if record.State == backend.Completed {
		o, err := parseOutcome(record.Outcome, metadata.claimedAt)
		if err != nil {
			return info, &Error{Operation: metadata.operation, Step: "lookup", Err: fmt.Errorf("%w: %w", backend.ErrCorrupt, err)}
		}
		info.Outcome, info.CompletedAt = o.kind.String(), o.at
		info.Metadata = mergedMetadata(metadata.pairs, o.pairs)
	}
	return info, nil
}

// Forget makes a key unknown, so that the next call runs the action again: for
// an answer that must not be replayed, an abandoned key whose action is known
// not to have had an effect, or a record that can't be read. A key that is
// claimed under a running lease is ErrInProgress and stays: its action would run
// twice at once. (A claim that comes between that look and the forgetting is
// forgotten with it.) It fails with errors.ErrUnsupported where the store is no
// backend.Forgetter.
func (x *Executor) Forget(ctx context.Context, key string) error {
	fail := func(err error) error { return &Error{Step: "forget", Err: err} }
	forgetter, ok := x.store.(backend.Forgetter)
	if !ok {
		return fail(fmt.Errorf("the store is no backend.Forgetter: %w", errors.ErrUnsupported))
	}
	record, _, err := x.fetch(ctx, "forget", key)
	if err != nil && !errors.Is(err, backend.ErrCorrupt) {
		return err
	}
	if err == nil && record.State == backend.Claimed {
		return fail(&InProgressError{LeaseLeft: record.LeaseLeft})
	}
	if err := forgetter.Forget(ctx, x.prefix+key); err != nil {
		return fail(err)
	}
	return nil
}

func (x *Executor) fetch(ctx context.Context, step, key string) (backend.Record, claimMetadata, error) {
	fail := func(err error) (backend.Record, claimMetadata, error) {
		return backend.Record{}, claimMetadata{}, &Error{Step: step, Err: err}
	}
	if ctx == nil {
		return fail(errors.New("ctx is nil"))
	}
	if err := checkKey(key); err != nil {
		return fail(err)
	}
	record, err := x.store.Fetch(ctx, x.prefix+key)
	if err != nil {
		return fail(err)
	}
	metadata, err := parseMetadata(&record)
	if err != nil {
		return fail(fmt.Errorf("%w: metadata: %w", backend.ErrCorrupt, err))
	}
	return record, metadata, nil
}

// Resolve records the outcome of an abandoned key after a person has looked at
// what its attempt did: value, or the error err. Every later call gets it as a
// replay. A key that isn't abandoned is ErrNotAbandoned, one that is held
// ErrInProgress, and one of another operation ErrFingerprintMismatch; nothing is
// changed then.
func (o *Operation[T]) Resolve(ctx context.Context, key string, value T, err error) error {
	if o == nil {
		return &Error{Step: "resolve", Err: errors.New("operation is nil")}
	}
	p := &o.plan
	x := p.x
	fail := func(err error) error { return &Error{Operation: p.name, Step: "resolve", Err: err} }
	record, metadata, lookErr := x.fetch(ctx, "resolve", key)
	if lookErr != nil {
		return lookErr
	}
	v := &invocation[T]{operation: o}
	v.plan, v.ctx, v.work = p, ctx, v
	v.key, v.storageKey = key, x.prefix+key
	if err == nil {
		v.value = value
	}
	if refused := v.unresolvable(&record); refused != nil {
		return fail(refused)
	}
	// The outcome must be encodable before the key is taken.
	holder := identity{operation: p.name, fingerprint: record.Fingerprint}
	if holder.operation == "" {
		holder.operation = metadata.operation
	}
	now := time.Now()
	data, notKept := v.seal(nil, &holder, err, time.Time{}, now)
	if notKept != nil {
		return fail(notKept)
	}
	request := backend.ClaimRequest{
		Lease: x.options.Lease, Keep: x.options.Keep, Seen: record.Fence, Fence: fenceAt(now),
		Fingerprint: record.Fingerprint,
		Metadata:    claimMetadata{operation: holder.operation, claimedAt: now, pairs: metadata.pairs}.append(nil),
	}
	rand.Read(request.Token[:])
	e := &ending{
		x: x, plan: p, ctx: ctx, userKey: key, key: v.storageKey, limit: now.Add(x.options.CommitTimeout),
		request: backend.CommitRequest{
			Token: request.Token, Ending: backend.Complete, Outcome: data, Retention: p.retention, Keep: x.options.Keep,
			Fingerprint: request.Fingerprint, Metadata: request.Metadata, Fence: request.Fence,
		},
	}
	taken, claimErr := x.store.Claim(ctx, v.storageKey, request)
	if claimErr != nil {
		if !isFinal(claimErr) && !errors.Is(claimErr, backend.ErrNotApplied) {
			// It may have been applied; then the key is put back as it was.
			e.request.Ending, e.request.Outcome = backend.Abandon, nil
			x.background.run(func() { e.sendDetached() })
		}
		return fail(claimErr)
	}
	if taken.Token != request.Token || taken.State != backend.Claimed {
		if refused := v.unresolvable(&taken); refused != nil {
			return fail(refused)
		}
		return fail(ErrNotAbandoned)
	}
	e.proven = x.localEnd(now)
	e.request.Attempt, e.request.Fence = taken.Attempt, taken.Fence
	inline := e.inline()
	defer inline.release()
	if err := e.send(inline); err != nil {
		return fail(err)
	}
	return nil
}

// unresolvable says why nobody may put an answer into the record.
func (c *call) unresolvable(record *backend.Record) error {
	switch record.State {
	case backend.Claimed:
		return &InProgressError{LeaseLeft: record.LeaseLeft}
	case backend.Vacant, backend.Completed:
		return fmt.Errorf("%w: it is %v", ErrNotAbandoned, record.State)
	}
	holder, err := identityOf(record)
	if err != nil {
		return err
	}
	return c.mismatch(&holder)
}
