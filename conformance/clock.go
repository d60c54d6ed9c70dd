package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

// pass lets up to d of the store's time go by.
func (r *rig) pass(d time.Duration) {
	d = max(d, time.Millisecond)
	if r.h.Advance != nil {
		r.h.Advance(d)
		r.advanced += d
		return
	}
	time.Sleep(min(d, max(r.lease/10, time.Millisecond)))
}

// until lets the store's time go by until holds does, which is told by the store
// and says how much longer it may take. The rule fails when it takes more than
// expect by far.
func (r *rig) until(what string, expect time.Duration, holds func() (left time.Duration, ok bool)) {
	r.Helper()
	passed := time.Duration(0)
	deadline := time.Now().Add(2*r.patience + 2*expect)
	for {
		left, ok := holds()
		if ok {
			return
		}
		if r.h.Advance != nil && passed > 4*expect+time.Second || r.h.Advance == nil && time.Now().After(deadline) {
			r.failf("%s: not true yet long after %v", what, expect)
		}
		left = min(max(left, time.Millisecond), expect)
		passed += left
		r.pass(left)
	}
}

// lapse waits until the store says that the lease of a claimed key is over.
func (r *rig) lapse(s backend.Backend, key string, lease time.Duration) backend.Record {
	r.Helper()
	var record backend.Record
	r.until("the key is reported as Abandoned", lease, func() (time.Duration, bool) {
		r.Helper()
		record = r.fetch(s, key)
		if record.State == backend.Claimed && record.LeaseLeft <= 0 {
			r.failf("Fetch reports a live lease that has no time left: %s", show(record))
		}
		if record.State != backend.Claimed && record.State != backend.Abandoned {
			r.failf("a claimed key became %s when its lease was over", show(record))
		}
		return record.LeaseLeft, record.State == backend.Abandoned
	})
	return record
}

// forgotten waits until the store says that it knows nothing of a key that was to
// be kept for life.
func (r *rig) forgotten(s backend.Backend, key string, life time.Duration) {
	r.Helper()
	var record backend.Record
	r.until("the key is unknown", life, func() (time.Duration, bool) {
		r.Helper()
		record = r.fetch(s, key)
		if !record.Unknown() && record.Remaining > life+slack {
			r.failf("the record is to be kept for %v, and Fetch says that %v of that remain", life, record.Remaining)
		}
		return record.Remaining, record.Unknown()
	})
}

// moment is one on the clock that the store follows.
type moment struct {
	real     time.Time
	advanced time.Duration
}

// now is taken before a request is sent.
func (r *rig) now() moment { return moment{time.Now(), r.advanced} }

// since is taken after a reply has come, so that it is never less than what the
// store has measured.
func (r *rig) since(m moment) time.Duration {
	if r.h.Advance != nil {
		return r.advanced - m.advanced
	}
	return time.Since(m.real)
}

// notBefore waits until ended says so, and fails the rule when that is earlier
// than d after started. It leaves a tenth of d for the granularity of clocks.
func (r *rig) notBefore(what string, started moment, d time.Duration, ended func() bool) {
	r.Helper()
	r.until(what, d, func() (time.Duration, bool) {
		r.Helper()
		over := ended()
		passed := r.since(started)
		if over && passed < d-d/10 {
			r.failf("%s: %v after the request was sent, want not before %v", what, passed, d)
		}
		return d / 10, over
	})
}
