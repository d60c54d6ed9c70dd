package sqlitestore

import (
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// The states that a row can have. That a lease has lapsed is nobody's to write
// down: it follows from the clock.
const (
	released  = "released"
	claimed   = "claimed"
	abandoned = "abandoned"
	completed = "completed"
)

const format = 1

// row is a row of reprise_records. The zero row is an unknown key.
type row struct {
	state       string
	token       backend.Token
	attempt     uint32
	fence       uint64
	keep        int64
	leaseEnd    int64
	forgetAt    int64
	fingerprint []byte
	metadata    []byte
	outcome     []byte
}

// scan reads the time and the row.
func scan(from *sql.Row) (r row, now int64, err error) {
	var version int
	var attempt, fence int64
	var token []byte
	err = from.Scan(&now, &version, &r.state, &token, &attempt, &fence, &r.keep, &r.leaseEnd, &r.forgetAt,
		&r.fingerprint, &r.metadata, &r.outcome)
	switch {
	case err != nil:
		return row{}, 0, err
	case version != format:
		return row{}, 0, fmt.Errorf("%w: format %d", backend.ErrCorrupt, version)
	case len(token) != len(r.token), attempt < 0, attempt > math.MaxUint32, fence < 1, fence >= backend.MaxFence:
		return row{}, 0, fmt.Errorf("%w: broken token, attempt or fence", backend.ErrCorrupt)
	}
	switch r.state {
	case released, claimed, abandoned, completed:
	default:
		return row{}, 0, fmt.Errorf("%w: broken state", backend.ErrCorrupt)
	}
	r.token, r.attempt, r.fence = backend.Token(token), uint32(attempt), uint64(fence)
	return r, now, nil
}

func (r row) unknown() bool { return r.state == "" }

// lapsed: the clock is rounded down, so that the lease's last millisecond is over
// only when the clock shows the next one.
func (r row) lapsed(now int64) bool { return r.state == claimed && now > r.leaseEnd }

// forgotten: whether the sweep has come by already must make no difference.
func (r row) forgotten(now int64) bool { return !r.unknown() && now > r.forgetAt }

// known is r, or the zero row where r has been kept for long enough.
func (r row) known(now int64) row {
	if r.forgotten(now) {
		return row{}
	}
	return r
}

// free: the key can be taken, by whoever names the fence.
func (r row) free(now int64) bool {
	return r.state == released || r.state == abandoned || r.lapsed(now)
}

// hold is r with a lease from now on.
func (r row) hold(now int64, lease time.Duration) row {
	r.state = claimed
	r.leaseEnd = now + backend.Milliseconds(lease)
	r.forgetAt = r.leaseEnd + r.keep
	return r
}

// end is r without its lease, kept from now on.
func (r row) end(now int64, state string, keep time.Duration) row {
	r.state, r.leaseEnd = state, 0
	r.forgetAt = now + backend.Milliseconds(keep)
	return r
}

// record is what the verbs say of r.
func (r row) record(now int64) backend.Record {
	if r.unknown() {
		return backend.Record{}
	}
	record := backend.Record{
		Token: r.token, Attempt: r.attempt, Fence: r.fence,
		Fingerprint: r.fingerprint, Metadata: r.metadata, Outcome: r.outcome,
		Remaining: left(now, r.forgetAt),
	}
	switch {
	case r.state == released:
		record.State = backend.Vacant
	case r.state == completed:
		record.State = backend.Completed
	case r.state == abandoned || r.lapsed(now):
		record.State = backend.Abandoned
	default:
		record.State, record.LeaseLeft = backend.Claimed, left(now, r.leaseEnd)
	}
	return record
}

// left is what remains up to the end of the millisecond end, of which some part is
// always left; zero would mean that it is over.
func left(now, end int64) time.Duration {
	return time.Duration(max(end-now, 1)) * time.Millisecond
}
