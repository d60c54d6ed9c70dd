package memory

import (
	"strings"
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

// record is what the store knows of a key. All but its text is guarded by the
// shard's lock. Times are in nanoseconds since the store was made.
type record struct {
	token          backend.Token
	fence          uint64
	attempt        uint32
	keyLen         uint16
	fingerprintLen uint8
	phase          phase
	// text is the key, the fingerprint and the metadata, in one allocation of
	// our own: a key may be a small piece of a large string of the caller's.
	text     string
	outcome  string
	leaseEnd int64 // claimed only
	// forgetAt is when the record becomes invisible. For a claimed one it is
	// leaseEnd + Keep, so that Keep needs no field.
	forgetAt   int64
	bucket     *bucket // where it is filed to be forgotten
	prev, next *record // in that bucket
	watch      *watch  // those who wait for the holder; nil if nobody does
}

func newRecord(key string, token backend.Token, fingerprint, metadata []byte) *record {
	var text strings.Builder
	text.Grow(len(key) + len(fingerprint) + len(metadata))
	text.WriteString(key)
	text.Write(fingerprint)
	text.Write(metadata)
	return &record{
		token:          token,
		keyLen:         uint16(len(key)),
		fingerprintLen: uint8(len(fingerprint)),
		text:           text.String(),
	}
}

func (r *record) key() string { return r.text[:r.keyLen] }

// live tells whether the record is held under a lease that is running.
func (r *record) live(now int64) bool { return r.phase == claimed && now < r.leaseEnd }

// view is a record at one moment. It shares the record's bytes, which never
// change, so that they are copied without holding the lock.
type view struct {
	state          backend.State
	fingerprintLen uint8
	attempt        uint32
	fence          uint64
	token          backend.Token
	text           string // fingerprint and metadata
	outcome        string
	leaseLeft      time.Duration
}

// look is the record as it stands now; that of a nil record is an unknown key.
func (r *record) look(now int64) view {
	if r == nil {
		return view{}
	}
	v := view{
		fingerprintLen: r.fingerprintLen,
		attempt:        r.attempt,
		fence:          r.fence,
		token:          r.token,
		text:           r.text[r.keyLen:],
		outcome:        r.outcome,
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
	if len(v.text)+len(v.outcome) == 0 {
		return record
	}
	f, m := int(v.fingerprintLen), len(v.text)
	bytes := make([]byte, m+len(v.outcome))
	copy(bytes, v.text)
	copy(bytes[m:], v.outcome)
	record.Fingerprint = bytes[:f:f]
	record.Metadata = bytes[f:m:m]
	record.Outcome = bytes[m:]
	return record
}
