package conformance

import (
	"context"
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

// hot is how many keys are used in turn where a key can be used again.
const hot = 16

// expect makes an error of a reply that isn't what was to be measured.
func expect(verb string, record backend.Record, err error, state backend.State, token backend.Token) error {
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if record.State != state || record.Token != token {
		return fmt.Errorf("%s: got %s, want %v by %x", verb, show(record), state, token[:4])
	}
	return nil
}

func (w *bench) claiming(token backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{Token: token, Lease: w.lease, Keep: w.life, Fence: 1, Metadata: w.metadata}
}

// take claims an unknown key.
func (w *bench) take(s *slot) error {
	record, err := w.store.Claim(w.ctx, s.key, w.claiming(s.token))
	return expect("Claim", record, err, backend.Claimed, s.token)
}

func (w *bench) complete(s *slot) error {
	err := w.store.Commit(w.ctx, s.key, backend.CommitRequest{
		Token: s.token, Ending: backend.Complete, Outcome: w.outcome, Retention: w.life, LeaseHeld: true,
		Metadata: w.metadata, Attempt: 1, Fence: 1,
	})
	if err != nil {
		return fmt.Errorf("complete with %d bytes: %w", len(w.outcome), err)
	}
	return nil
}

func (w *bench) fresh(s *slot) error {
	if err := w.take(s); err != nil {
		return err
	}
	return w.complete(s)
}

func (w *bench) end(s *slot, ending backend.Ending) error {
	return w.store.Commit(w.ctx, s.key, backend.CommitRequest{
		Token: s.token, Ending: ending, Keep: w.life, LeaseHeld: true, Metadata: w.metadata, Attempt: 1, Fence: 1,
	})
}

func (w *bench) release(s *slot) error { return w.end(s, backend.Release) }

// takeOver abandons a claim and takes the key over.
func (w *bench) takeOver(s *slot) error {
	if err := w.end(s, backend.Abandon); err != nil {
		return err
	}
	request := w.claiming(s.next)
	request.Seen = 1
	record, err := w.store.Claim(w.ctx, s.key, request)
	return expect("Claim", record, err, backend.Claimed, s.next)
}

// replay claims a completed key.
func (w *bench) replay(s *slot) error {
	record, err := w.store.Claim(w.ctx, s.key, w.claiming(s.next))
	return expect("Claim", record, err, backend.Completed, s.token)
}

// lose claims a key that another holds.
func (w *bench) lose(s *slot) error {
	record, err := w.store.Claim(w.ctx, s.key, w.claiming(s.next))
	return expect("Claim", record, err, backend.Claimed, s.token)
}

func (w *bench) renew(s *slot) error {
	request := w.claiming(s.token)
	request.Renewal, request.Attempt = true, 1
	record, err := w.store.Claim(w.ctx, s.key, request)
	return expect("Claim", record, err, backend.Claimed, s.token)
}

func (w *bench) look(s *slot) error {
	record, err := w.store.Fetch(w.ctx, s.key)
	return expect("Fetch", record, err, backend.Completed, s.token)
}

// prepared makes keys that stay for the whole of a benchmark.
func (w *bench) prepared(n int, prepare func(*slot) error) []slot {
	w.Helper()
	life := w.life
	w.life = retention
	slots := w.slots(n)
	w.spread(n, func(_, i int) error { return prepare(&slots[i]) })
	w.life = life
	ctx := context.WithoutCancel(w.ctx)
	w.Cleanup(func() {
		if forgetter, ok := w.store.(backend.Forgetter); ok {
			for _, s := range slots {
				_ = forgetter.Forget(ctx, s.key) // a record of the benchmark's is left for a day
			}
		}
	})
	return slots
}

func benchFresh(w *bench) { w.rounds(nil, w.fresh) }

func benchReplay(w *bench) {
	slots := w.prepared(hot, w.fresh)
	w.measure(func(_, i int) error { return w.replay(&slots[i%hot]) })
}

func benchFetch(w *bench) {
	slots := w.prepared(hot, w.fresh)
	w.measure(func(_, i int) error { return w.look(&slots[i%hot]) })
}

func benchLost(w *bench) {
	slots := w.prepared(hot, w.take)
	w.measure(func(_, i int) error { return w.lose(&slots[i%hot]) })
}

func benchRenewal(w *bench) {
	slots := w.prepared(w.goroutines, w.take)
	w.measure(func(g, _ int) error { return w.renew(&slots[g]) })
}

func benchRelease(w *bench) { w.rounds(w.take, w.release) }

func benchTakeover(w *bench) { w.rounds(w.take, w.takeOver) }
