package idempotency

import (
	"context"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// leases renews the leases of all actions in flight from one timer, and ends the
// ctx of those whose lease can't be proven any more. The timer is armed while
// actions are in flight and stopped when there are none.
type leases struct {
	x      *Executor
	mu     sync.Mutex
	first  *hold
	timer  *time.Timer
	wakeAt time.Time // zero: not armed
}

// hold is one claim that is held while its action runs. Guarded by leases.mu.
type hold struct {
	next, prev *hold
	listed     bool

	flight *flight // its claim doesn't change any more
	call   *call   // for the observer
	ctx    context.Context

	localEnd time.Time // until when the lease is proven; zero once it is lost
	due      time.Time // when the next renewal goes out
	last     time.Time // no renewal after this: MaxHold
	renewing bool
	cancel   context.CancelFunc // of the renewal that is under way
	lost     bool
	// shared: a renewal was sent, or the lease was lost: somebody refers to the hold
	// without holding mu.
	shared bool
}

// margin is what is taken off a lease on our side: clocks run at different
// speeds, and a timer fires late.
func margin(lease time.Duration) time.Duration { return min(lease/10, 500*time.Millisecond) }

// proven is how long after its request was sent a lease is proven.
func (x *Executor) proven() time.Duration { return x.options.Lease - margin(x.options.Lease) }

// localEnd is until when a lease set by a request sent at that time is proven.
func (x *Executor) localEnd(sentAt time.Time) time.Time { return sentAt.Add(x.proven()) }

// add starts to look after a hold whose claim was sent at sentAt, which is so long
// ago.
func (l *leases) add(h *hold, sentAt time.Time, ago time.Duration) {
	lease := l.x.options.Lease
	h.localEnd = l.x.localEnd(sentAt)
	h.due = sentAt.Add(lease / 3)
	h.last = sentAt.Add(min(l.x.options.MaxHold, backend.MaxDuration))
	l.mu.Lock()
	defer l.mu.Unlock()
	h.listed = true
	h.next = l.first
	if l.first != nil {
		l.first.prev = h
	}
	l.first = h
	l.wakeFrom(sentAt.Add(ago), h.nextEvent())
}

// remove ends the looking after: no renewal is sent from now on, and the reply
// of one that is under way changes nothing.
func (l *leases) remove(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !h.listed {
		return
	}
	h.listed = false
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		l.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	h.next, h.prev = nil, nil
	if h.cancel != nil {
		h.cancel()
	}
	if l.first == nil && !l.wakeAt.IsZero() {
		l.timer.Stop()
		l.wakeAt = time.Time{}
	}
}

// lost tells whether the lease was lost.
func (l *leases) lost(h *hold) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return h.lost
}

// until is when the lease ends as far as is proven.
func (l *leases) until(h *hold) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return h.localEnd
}

func (h *hold) nextEvent() time.Time {
	if !h.renewing && h.due.Before(h.localEnd) && h.due.Before(h.last) {
		return h.due
	}
	return h.localEnd
}

// wake arms the timer for at, if it isn't armed for an earlier time. Called
// under mu.
func (l *leases) wake(at time.Time) { l.wakeFrom(time.Now(), at) }

// wakeFrom is wake for who knows what time it is.
func (l *leases) wakeFrom(now, at time.Time) {
	if !l.wakeAt.IsZero() && !at.Before(l.wakeAt) {
		return
	}
	l.wakeAt = at
	if l.timer == nil {
		l.timer = time.AfterFunc(at.Sub(now), l.tick)
	} else {
		l.timer.Reset(at.Sub(now))
	}
}

// tick sends the renewals that are due, each in a goroutine of its own so that
// one slow reply delays no other, and ends what is lost.
func (l *leases) tick() {
	var due, lost []*hold
	now := time.Now()
	// Those that are due soon go too: with thousands of actions in flight the timer
	// would otherwise look through all of them for each.
	soon := now.Add(l.x.options.Lease / 12)
	l.mu.Lock()
	l.wakeAt = time.Time{}
	for h := l.first; h != nil; h = h.next {
		if h.lost {
			continue
		}
		if !now.Before(h.localEnd) {
			h.lost, h.shared = true, true
			lost = append(lost, h)
			continue
		}
		if !h.renewing && !soon.Before(h.due) && now.Before(h.last) {
			h.renewing, h.shared = true, true
			due = append(due, h)
		}
		l.wakeFrom(now, h.nextEvent())
	}
	l.mu.Unlock()
	for _, h := range lost {
		h.flight.tenure.action.lose()
	}
	for _, h := range due {
		go l.renew(h)
	}
}

// renew sends one renewal. Its lease counts from before it was sent; one that
// isn't answered moves nothing, and is repeated until the local end.
func (l *leases) renew(h *hold) {
	ctx, step := l.x.observe(context.WithoutCancel(h.ctx), StepRenew, h.call.plan, h.call.key)
	end := l.until(h)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	l.mu.Lock()
	h.cancel = cancel
	listed := h.listed
	l.mu.Unlock()
	cl := &h.flight.claim
	request := cl.request
	request.Renewal, request.Seen = true, 0
	request.Attempt, request.Fence = cl.attempt, cl.fence
	sentAt := time.Now()
	var record backend.Record
	err := error(context.DeadlineExceeded)
	if listed && sentAt.Before(end) {
		record, err = l.x.store.Claim(ctx, h.flight.key, request)
	}
	gone := false
	l.mu.Lock()
	h.renewing, h.cancel = false, nil
	switch {
	case !h.listed: // the claim is being ended: nothing is to be learned any more
	case err != nil:
		h.due = time.Now().Add(max(l.x.options.Lease/20, time.Millisecond))
	case record.State == backend.Claimed && record.Token == request.Token:
		if end := l.x.localEnd(sentAt); end.After(h.localEnd) {
			h.localEnd = end
		}
		h.due = sentAt.Add(l.x.options.Lease / 3)
	case record.State == backend.Completed && record.Token == request.Token:
		// The commit was quicker than its own reply: nothing is left to renew.
		h.due = h.last
	default:
		gone = !h.lost
		h.lost = true
		h.localEnd = time.Time{}
	}
	if h.listed && !h.lost {
		l.wake(h.nextEvent())
	}
	l.mu.Unlock()
	if err == nil && !gone {
		h.flight.renewed(l.until(h))
	}
	if gone {
		h.flight.tenure.action.lose()
	}
	if step != nil {
		step.Attempt, step.Fence, step.LeaseLost = cl.attempt, cl.fence, gone
		l.x.observed(ctx, step, err)
	}
}
