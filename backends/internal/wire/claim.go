package wire

import (
	"bytes"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Direct tells whether a claim may begin with SET NX GET. If not, the claim
// script is the only command.
func Direct(request *backend.ClaimRequest) bool { return !request.Renewal && request.Seen == 0 }

// ClaimPX is the TTL in milliseconds of a key that the request takes.
func ClaimPX(request *backend.ClaimRequest) int64 {
	return ClaimLease(request) + backend.Milliseconds(request.Keep)
}

// ClaimLease is ARGV[2] of the claim script.
func ClaimLease(request *backend.ClaimRequest) int64 { return backend.Milliseconds(request.Lease) }

// ClaimSeen is ARGV[3] of the claim script.
func ClaimSeen(request *backend.ClaimRequest) string {
	if request.Renewal {
		return ""
	}
	if request.Seen == 0 {
		return "\x00\x00\x00\x00\x00\x00\x00"
	}
	var b [7]byte
	putUint(b[:], request.Seen)
	return string(b[:])
}

// Taken is the record of a key that SET NX GET took: a nil reply. Its slices
// are copies.
func Taken(request *backend.ClaimRequest) backend.Record {
	record := backend.Record{
		State:   backend.Claimed,
		Token:   request.Token,
		Attempt: 1,
		Fence:   max(request.Fence, 1),
	}
	if n := len(request.Fingerprint) + len(request.Metadata); n > 0 {
		f := len(request.Fingerprint)
		body := make([]byte, 0, n)
		body = append(append(body, request.Fingerprint...), request.Metadata...)
		record.Fingerprint, record.Metadata = body[:f:f], body[f:]
	}
	return record
}

// ReadClaim reads a reply of SET NX GET that isn't nil. A claimed frame doesn't
// settle the claim: if it is the caller's own, an earlier send was applied and
// nobody knows how much of its lease is left; if it is another's, only the TTL
// tells whether its lease is running. Then the claim script must follow.
func ReadClaim[B ~string | ~[]byte](frame B) (record backend.Record, settled bool, err error) {
	h, err := parse(frame)
	if err != nil || h.state == backend.Claimed {
		return backend.Record{}, false, err
	}
	record, _, err = Decode(frame)
	return record, err == nil, err
}

// AdoptClaim is ReadClaim without a copy: the reply becomes the record's, and
// nobody else may keep it.
func AdoptClaim(frame []byte) (record backend.Record, settled bool, err error) {
	if len(frame) > offState && backend.State(frame[offState]&0xF) == backend.Claimed {
		return ReadClaim(frame)
	}
	record, _, err = Adopt(frame)
	return record, err == nil, err
}

// ReadScriptClaim reads the reply of the claim script. A record that is Claimed
// by the request's token has no LeaseLeft, as the contract has it.
func ReadScriptClaim[B ~string | ~[]byte](request *backend.ClaimRequest, frame B, ttl int64) (backend.Record, error) {
	record, err := ReadLook(frame, ttl)
	record.Remaining = 0
	if record.Token == request.Token {
		record.LeaseLeft = 0
	}
	return record, err
}

// ReadLook reads the reply {frame, ttl} of the look script, ttl being what PTTL
// says. The zero Record is an unknown key; LeaseLeft and Remaining are set as
// Fetch has them.
func ReadLook[B ~string | ~[]byte](frame B, ttl int64) (backend.Record, error) {
	if ttl == -2 && len(frame) == 0 {
		return backend.Record{}, nil
	}
	record, keep, err := Decode(frame)
	if err != nil {
		return backend.Record{}, err
	}
	if ttl < 0 {
		if record.State == backend.Claimed {
			return backend.Record{}, corrupt("is a claim without a time to live")
		}
		// Somebody made an ended record stay for ever (PERSIST).
		record.Remaining = backend.MaxDuration
		return record, nil
	}
	// A key in its last millisecond has a TTL of zero.
	record.Remaining = max(time.Duration(ttl)*time.Millisecond, 1)
	if record.State == backend.Claimed {
		if left := time.Duration(ttl)*time.Millisecond - keep; left > 0 {
			record.LeaseLeft = left
		} else {
			record.State = backend.Abandoned
		}
	}
	return record, nil
}

// ReadPush reads a message of a record's channel: a frame that is completed by
// the token settles a wait for it. Everything else is only a reason to look.
func ReadPush[B ~string | ~[]byte](message B) (record backend.Record, ok bool) {
	if len(message) == 0 {
		return backend.Record{}, false
	}
	record, _, err := Decode(message)
	return record, err == nil && record.State == backend.Completed
}

// Clone copies the record's slices.
func Clone(record backend.Record) backend.Record {
	record.Fingerprint = bytes.Clone(record.Fingerprint)
	record.Metadata = bytes.Clone(record.Metadata)
	record.Outcome = bytes.Clone(record.Outcome)
	return record
}
