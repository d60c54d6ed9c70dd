package idempotency

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// claim is what a flight has asked the store for: one token, one intention. A
// repeated send keeps both; whoever means to take another record takes another
// token.
type claim struct {
	request  backend.ClaimRequest
	identity identity
	metadata [96]byte // room for request.Metadata, usually enough
	// claimedAt is the claim time that the record will be read to have; zero where
	// that isn't certain.
	claimedAt time.Time
	takeover  *backend.Record // the abandoned record that it means to take over
	open      bool            // sent, and nobody knows whether it was applied
	owned     bool            // the store said that the key is ours
	started   bool            // the action was started
	sentAt    time.Time       // when the request went out that set the lease
	held      time.Duration   // since then, when the action was about to start
	attempt   uint32
	fence     uint64
}

// sends is how often a claim is sent before the store counts as down: the first
// time and three repetitions, within about half a second.
const sends = 4

func sendBackoff(try int) time.Duration { return 20 * time.Millisecond << (2 * try) }

// intend prepares a claim for the record that was seen; nil: for an unknown key.
func (c *call) intend(f *flight, seen *backend.Record) {
	cl := &f.claim
	*cl = claim{}
	rand.Read(cl.request.Token[:])
	cl.request.Lease = c.plan.x.options.Lease
	cl.request.Keep = c.plan.x.options.Keep
	cl.request.Fingerprint = c.fingerprint
	cl.identity = identity{operation: c.plan.name, fingerprint: c.fingerprint}
	if seen != nil {
		cl.request.Seen = seen.Fence
		if seen.State == backend.Abandoned {
			abandoned := *seen
			cl.takeover = &abandoned
			cl.inherit(&abandoned)
		}
	}
}

// inherit keeps what the record says of its request where the call that takes it
// over says nothing: a later call is still compared with it.
func (cl *claim) inherit(abandoned *backend.Record) {
	who, err := identityOf(abandoned) // err: consider has met it
	if err != nil {
		return
	}
	if cl.identity.operation == "" {
		cl.identity.operation = who.operation
	}
	if len(cl.identity.fingerprint) == 0 {
		cl.identity.fingerprint, cl.request.Fingerprint = who.fingerprint, who.fingerprint
	}
}

// send sends the flight's claim until it is answered. A nil error means that
// f.claim.owned, or f.seen, is the answer. On an error f.claim.open tells
// whether the claim may have been applied.
func (c *call) send(f *flight) (err error) {
	x, cl := c.plan.x, &f.claim
	ctx, step := x.observe(c.ctx, StepClaim, c.plan, c.key)
	tries := 0
	if step != nil {
		defer func() {
			step.Sends, step.Takeover = tries, cl.owned && cl.takeover != nil
			step.Attempt, step.Fence = c.result.attempt, c.result.fence
			if step.Takeover {
				if previous, err := identityOf(cl.takeover); err == nil {
					step.Origin = previous.carrier
				}
			}
			x.observed(ctx, step, err)
		}()
	}
	now := time.Now()
	if cl.request.Metadata == nil { // made once: a repeated send is the same request
		if step != nil && len(step.Carrier) <= MaxCarrier {
			cl.identity.carrier = step.Carrier
		}
		metadata := claimMetadata{operation: cl.identity.operation, claimedAt: now, carrier: cl.identity.carrier, pairs: c.metadata}
		// An unknown key gets the fence of the request as it is.
		metadata.atFence = cl.request.Seen == 0
		cl.claimedAt = now
		if cl.takeover != nil {
			if previous, err := parseMetadata(cl.takeover); err == nil {
				metadata.since = previous.abandonedSince()
				if len(metadata.pairs) == 0 {
					metadata.pairs = previous.pairs
				}
			}
		}
		cl.request.Metadata = metadata.append(cl.metadata[:0])
	}
	for {
		cl.request.Fence = fenceAt(now)
		tries++
		f.sends++
		record, err := x.store.Claim(ctx, f.key, cl.request)
		switch {
		case err == nil && record.State == backend.Claimed && record.Token == cl.request.Token:
			c.saw(&record)
			cl.open, cl.owned = false, true
			cl.sentAt, cl.attempt, cl.fence = now, record.Attempt, record.Fence
			if cl.request.Seen == 0 {
				cl.claimedAt = time.UnixMilli(int64(milliOfFence(record.Fence)))
				if f.sends > 1 {
					// Should the store forget the claim, then another send of it that is still
					// under way may bring it back, with another fence.
					cl.claimedAt = time.Time{}
				}
			}
			return nil
		case err == nil:
			c.saw(&record)
			cl.open = false
			f.reply, f.seen = record, &f.reply
			return nil
		case c.ctx.Err() != nil:
			cl.open = cl.open || !errors.Is(err, backend.ErrNotApplied)
			return c.ctx.Err()
		case isFinal(err):
			return err
		case !errors.Is(err, backend.ErrNotApplied):
			cl.open = true
		}
		if tries == sends {
			return err
		}
		if ctxErr := pause(c.ctx, sendBackoff(tries-1)); ctxErr != nil {
			return ctxErr
		}
		now = time.Now()
	}
}

// fenceAt is a time as the least fence of a claim: microseconds since 1970.
func fenceAt(now time.Time) uint64 {
	return min(uint64(max(now.UnixMicro(), 1)), backend.MaxFence-1)
}

// milliOfFence is the time of a fence, in milliseconds since 1970.
func milliOfFence(fence uint64) uint64 { return fence / 1000 }

// isFinal tells the errors of a store that no repetition can mend.
func isFinal(err error) bool {
	return errors.Is(err, backend.ErrPermanent) || errors.Is(err, backend.ErrInvalid) ||
		errors.Is(err, backend.ErrTooLarge) || errors.Is(err, backend.ErrCorrupt) ||
		errors.Is(err, backend.ErrClosed)
}

// pause sleeps for about d, or until ctx ends; then it returns the ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + mathrand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// identityOf reads who made a record.
func identityOf(record *backend.Record) (identity, error) {
	metadata, err := parseMetadata(record)
	if err != nil {
		return identity{}, fmt.Errorf("%w: metadata: %w", backend.ErrCorrupt, err)
	}
	return identity{operation: metadata.operation, fingerprint: record.Fingerprint, carrier: metadata.carrier}, nil
}

// mismatch compares a call with whoever made the record, where both say who they
// are. The error shows nothing of the record but its operation's name.
func (c *call) mismatch(other *identity) error {
	if other.operation != "" && c.plan.name != "" && other.operation != c.plan.name {
		return fmt.Errorf("%w: it belongs to operation %q", ErrFingerprintMismatch, other.operation)
	}
	if len(other.fingerprint) > 0 && len(c.fingerprint) > 0 && !bytes.Equal(other.fingerprint, c.fingerprint) {
		return fmt.Errorf("%w: the fingerprints differ", ErrFingerprintMismatch)
	}
	return nil
}
