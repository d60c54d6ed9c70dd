package memory

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

// phase is what is stored of a record's state; the rest is the clock's.
type phase uint8

const (
	claimed   phase = iota // by a lease that runs or has lapsed: its token may renew it
	ended                  // by Abandon: its token may commit it, never renew it
	released               // vacant, its token dead
	completed              // final
)

// inlineText is how much text a record has room for: the keys, fingerprints and
// metadata of most users, and what makes a record fill a size class of the
// allocator (208 bytes).
const inlineText = 88

// record is what the store knows of a key, guarded by the shard's lock. Times
// are in nanoseconds since the store was made.
type record struct {
	token   backend.Token
	fence   uint64
	attempt uint32
	phase   phase
	// The text is the key, the fingerprint and the metadata: a copy of our own,
	// for the caller's key may be a small piece of a large string. Neither it nor
	// the outcome is ever changed in place, so that views may share them.
	fingerprintAt, metadataAt, textLen uint16

	leaseEnd int64 // claimed only
	// forgetAt is when the record becomes invisible. For a claimed one it is
	// leaseEnd + Keep, so that Keep needs no field.
	forgetAt   int64
	bucket     *bucket // where it is filed to be forgotten
	prev, next *record // in that bucket
	twin       *record // the next one whose key has the same hash
	watch      *watch  // those who wait for the holder; nil if nobody does
	outcome    string
	spilled    *[]byte          // the text, where it is longer than inlineText
	inline     [inlineText]byte // the text, where it isn't
}

func newRecord(key string, token backend.Token, fingerprint, metadata []byte) *record {
	r := &record{token: token}
	f := len(key)
	m := f + len(fingerprint)
	n := m + len(metadata)
	r.fingerprintAt, r.metadataAt, r.textLen = uint16(f), uint16(m), uint16(n)
	text := r.inline[:]
	if n > inlineText {
		spilled := make([]byte, n)
		r.spilled, text = &spilled, spilled
	}
	copy(text, key)
	copy(text[f:], fingerprint)
	copy(text[m:], metadata)
	return r
}

func (r *record) text() []byte {
	if r.spilled != nil {
		return *r.spilled
	}
	return r.inline[:r.textLen]
}

// isFor tells whether the record is that of the key.
func (r *record) isFor(key string) bool { return string(r.text()[:r.fingerprintAt]) == key }

// live tells whether the record is held under a lease that is running.
func (r *record) live(now int64) bool { return r.phase == claimed && now < r.leaseEnd }

// view is a record at one moment. It shares the record's bytes, so that they are
// copied without holding the lock.
type view struct {
	state     backend.State
	token     backend.Token
	attempt   uint32
	fence     uint64
	leaseLeft time.Duration
	text      []byte // the fingerprint, and from metadataAt on the metadata
	outcome   string

	metadataAt uint16
}

// look is the record as it stands now; that of a nil record is an unknown key.
func (r *record) look(now int64) view {
	if r == nil {
		return view{}
	}
	v := view{
		token:      r.token,
		attempt:    r.attempt,
		fence:      r.fence,
		text:       r.text()[r.fingerprintAt:],
		outcome:    r.outcome,
		metadataAt: r.metadataAt - r.fingerprintAt,
	}
	switch r.phase {
	case completed:
		v.state = backend.Completed
	case released:
		v.state = backend.Vacant
	default:
		v.state = backend.Abandoned
		if r.live(now) {
			v.state = backend.Claimed
			v.leaseLeft = time.Duration(r.leaseEnd - now)
		}
	}
	return v
}

// record copies the view for a caller: one allocation for all slices, each with
// a capacity that keeps an append from running into the next.
func (v *view) record() backend.Record {
	record := backend.Record{
		State:     v.state,
		Token:     v.token,
		Attempt:   v.attempt,
		Fence:     v.fence,
		LeaseLeft: v.leaseLeft,
	}
	f, m := int(v.metadataAt), len(v.text)
	if n := m + len(v.outcome); n > 0 {
		bytes := make([]byte, n)
		copy(bytes, v.text)
		copy(bytes[m:], v.outcome)
		record.Fingerprint = bytes[:f:f]
		record.Metadata = bytes[f:m:m]
		record.Outcome = bytes[m:n:n]
	}
	return record
}
