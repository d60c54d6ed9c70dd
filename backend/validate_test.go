package backend_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

func claim(change func(*backend.ClaimRequest)) error {
	r := backend.ClaimRequest{Token: backend.Token{1}, Lease: time.Second, Keep: time.Second}
	change(&r)
	return r.Check()
}

func commit(change func(*backend.CommitRequest)) error {
	r := backend.CommitRequest{Token: backend.Token{1}, Ending: backend.Complete, Retention: time.Second}
	change(&r)
	return r.Check()
}

func TestCheckNamesTheFieldAndTheBound(t *testing.T) {
	for field, err := range map[string]error{
		"ClaimRequest.Token":        claim(func(r *backend.ClaimRequest) { r.Token = backend.Token{} }),
		"ClaimRequest.Lease is 0s":  claim(func(r *backend.ClaimRequest) { r.Lease = 0 }),
		"ClaimRequest.Lease is -1":  claim(func(r *backend.ClaimRequest) { r.Lease = -1 }),
		"ClaimRequest.Lease is 1ns": claim(func(r *backend.ClaimRequest) { r.Lease = 1 }),
		"87600h":                    claim(func(r *backend.ClaimRequest) { r.Lease = math.MaxInt64 }),
		"ClaimRequest.Keep":         claim(func(r *backend.ClaimRequest) { r.Keep = 0 }),
		"ClaimRequest.Fence":        claim(func(r *backend.ClaimRequest) { r.Fence = backend.MaxFence }),
		"ClaimRequest.Seen":         claim(func(r *backend.ClaimRequest) { r.Seen = backend.MaxFence }),
		"renewal":                   claim(func(r *backend.ClaimRequest) { r.Renewal, r.Attempt = true, 1 }),
		"Attempt":                   claim(func(r *backend.ClaimRequest) { r.Renewal, r.Fence = true, 1 }),
		"Fingerprint has 65":        claim(func(r *backend.ClaimRequest) { r.Fingerprint = make([]byte, 65) }),
		"Metadata has 4097":         claim(func(r *backend.ClaimRequest) { r.Metadata = make([]byte, 4097) }),
		"CommitRequest.Token":       commit(func(r *backend.CommitRequest) { r.Token = backend.Token{} }),
		"CommitRequest.Ending is 0": commit(func(r *backend.CommitRequest) { r.Ending = 0 }),
		"CommitRequest.Ending is 4": commit(func(r *backend.CommitRequest) { r.Ending = 4 }),
		"CommitRequest.Retention":   commit(func(r *backend.CommitRequest) { r.Retention = 0 }),
		"CommitRequest.Keep":        commit(func(r *backend.CommitRequest) { r.Ending = backend.Release }),
		"CommitRequest.Outcome": commit(func(r *backend.CommitRequest) {
			r.Ending, r.Keep, r.Outcome = backend.Abandon, time.Second, []byte("x")
		}),
		"CommitRequest.Fence":       commit(func(r *backend.CommitRequest) { r.Fence = 1 << 60 }),
		"CommitRequest.Fingerprint": commit(func(r *backend.CommitRequest) { r.Fingerprint = make([]byte, 65) }),
		"key has 0 bytes":           backend.CheckKey(""),
		"1025":                      backend.CheckKey(strings.Repeat("k", 1025)),
	} {
		if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%v, want an ErrInvalid that names %q", err, field)
		}
	}
}

func TestCheckTakesTheBounds(t *testing.T) {
	for _, err := range []error{
		claim(func(r *backend.ClaimRequest) {}),
		claim(func(r *backend.ClaimRequest) { r.Lease, r.Keep = backend.MinDuration, backend.MaxDuration }),
		claim(func(r *backend.ClaimRequest) { r.Fence, r.Seen = backend.MaxFence-1, backend.MaxFence-1 }),
		claim(func(r *backend.ClaimRequest) { r.Renewal, r.Fence, r.Attempt = true, 1, 1 }),
		claim(func(r *backend.ClaimRequest) { r.Fingerprint, r.Metadata = make([]byte, 64), make([]byte, 4096) }),
		commit(func(r *backend.CommitRequest) {}),
		commit(func(r *backend.CommitRequest) { r.Outcome = make([]byte, backend.MaxOutcome+1) }),
		commit(func(r *backend.CommitRequest) { r.Ending, r.Keep, r.Retention = backend.Release, time.Second, 0 }),
		backend.CheckKey("k"), backend.CheckKey(strings.Repeat("\x00", 1024)),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestMillisecondsRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 1500 * time.Microsecond: 2, time.Hour: 3600000,
	} {
		if got := backend.Milliseconds(d); got != want {
			t.Errorf("Milliseconds(%v) = %d, want %d", d, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{backend.Completed.String(), backend.Abandoned.String(), backend.Claimed.String(), backend.Vacant.String(), backend.Complete.String(), backend.Release.String(), backend.Abandon.String()} {
		if strings.Contains(name, "unknown") || name != strings.ToLower(name) {
			t.Error(name)
		}
	}
	if !(backend.Record{}).Unknown() || (backend.Record{Fence: 1}).Unknown() || !(backend.Token{}).IsZero() || (backend.Token{1}).IsZero() {
		t.Error("Unknown or IsZero is wrong")
	}
}
