package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// played is a payment with what its callers were told.
type played struct {
	payment
	requests int      // sent over HTTP
	answers  []answer // one for each caller that used the key for this payment
	refusals []answer // to those who used it for another amount
	err      error    // of a caller that got no answer
}

// play lets happen to a payment what its scenario says. The n-th one starts at
// the n-th instance.
func (c *client) play(ctx context.Context, n int, p payment) played {
	result := played{payment: p}
	var sent atomic.Int64
	ask := func(slot int) {
		a, err := c.insist(ctx, slot, p, p.Charge, &sent)
		if err != nil {
			result.err = err
			return
		}
		result.answers = append(result.answers, a)
	}
	switch p.Scenario {
	case doubleClick:
		// Every second one meets itself at the same instance.
		second := n + n/2%2
		var other answer
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { other, err = c.insist(ctx, second, p, p.Charge, &sent) })
		ask(n)
		wg.Wait()
		if err == nil {
			result.answers = append(result.answers, other)
		}
		result.err = errors.Join(result.err, err)
	case timeoutRetry:
		impatient, cancel := context.WithTimeout(ctx, shortTimeout)
		a, err := c.send(impatient, n, p, p.Charge, &sent)
		cancel()
		if err == nil && a.final() {
			result.answers = append(result.answers, a)
		}
		ask(n + 1)
	case declined:
		ask(n)
		ask(n + 1)
	case otherAmount:
		ask(n)
		body, err := p.otherBody()
		if err == nil {
			var refusal answer
			if refusal, err = c.insist(ctx, n+1, p, body, &sent); err == nil {
				result.refusals = append(result.refusals, refusal)
			}
		}
		result.err = errors.Join(result.err, err)
	default: // the network and the fleet do the rest
		ask(n)
	}
	result.requests = int(sent.Load())
	return result
}

// callers is how many payments are under way at once.
const callers = 24

// playAll plays all payments, a few at a time, in the order of the file.
func (c *client) playAll(ctx context.Context, payments []payment, done func(played)) []played {
	results := make([]played, len(payments))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(payments) || ctx.Err() != nil {
					return
				}
				results[n] = c.play(ctx, n, payments[n])
				done(results[n])
			}
		})
	}
	wg.Wait()
	return results
}
