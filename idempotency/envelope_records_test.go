package idempotency_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// wantTimes compares what Lookup tells with the times that were, to the
// millisecond.
func wantTimes(t *testing.T, p *process, key string, claimedAt, completedAt time.Time) {
	t.Helper()
	info, err := p.Lookup(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	claimedAt, completedAt = claimedAt.Truncate(time.Millisecond), completedAt.Truncate(time.Millisecond)
	if !info.ClaimedAt.Equal(claimedAt) || !info.CompletedAt.Equal(completedAt) {
		t.Errorf("claimed at %v, completed at %v, want %v and %v", info.ClaimedAt, info.CompletedAt, claimedAt, completedAt)
	}
}

// compact tells whether an outcome counts from its claim time.
func compact(record backend.Record) bool { return record.Outcome[0]&0x0f != 0 }

// The usual record stores neither when it was claimed nor, in full, when it was
// completed: its fence says it.
func TestTimesAreThoseOfTheFence(t *testing.T) {
	for name, c := range map[string]codec.Codec{"json": codec.JSON, "gob": codec.Gob} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Codec: c})
				o := operation(t, p, idempotency.OperationOptions[string]{})
				time.Sleep(time.Hour + 123456789*time.Nanosecond)
				began := time.Now()
				var runs counter
				wantAnswer(t, <-start(t.Context(), o, key("k"), takes(1234567*time.Microsecond, "paid", &runs)), "paid", false)
				wantTimes(t, p, "k", began, time.Now())
				if record := r.fetch("k"); len(record.Metadata) != 1 || !compact(record) {
					t.Errorf("metadata %x, outcome %x", record.Metadata, record.Outcome)
				}
				time.Sleep(time.Hour)
				wantAnswer(t, <-start(t.Context(), operation(t, r.process(idempotency.Options{Codec: c}), idempotency.OperationOptions[string]{}), key("k"), returns("", &runs)), "paid", true)
			})
		})
	}
}

// The same for errors and for what has no value, and where the action is longer
// than a lease.
func TestTimesOfErrorsAndOfNoValue(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		for key, outcome := range map[string]error{"value": nil, "error": errors.New("declined")} {
			time.Sleep(777 * time.Microsecond)
			began := time.Now()
			if err := idempotency.Exec(t.Context(), p.Executor, key, func(context.Context) error {
				time.Sleep(10*lease + 1500*time.Microsecond)
				return outcome
			}); err != outcome {
				t.Fatal(err)
			}
			ended := time.Now()
			wantTimes(t, p, key, began, ended)
			if record := r.fetch(key); !compact(record) {
				t.Errorf("%s: outcome %x", key, record.Outcome)
			}
			time.Sleep(time.Minute)
			err := idempotency.Exec(t.Context(), p.Executor, key, func(context.Context) error { t.Error("it ran"); return nil })
			var replayed *idempotency.ReplayedError
			if errors.As(err, &replayed) != (outcome != nil) || outcome != nil && !replayed.At.Equal(ended.Truncate(time.Millisecond)) {
				t.Errorf("%s: replayed as %+v, completed at %v", key, err, ended)
			}
		}
	})
}

// The fence of a claim that takes an existing record may be another's plus one,
// so it says nothing of the time.
func TestTimesOfATakeover(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		p := r.process(idempotency.Options{})
		fence := uint64(began.Add(24 * time.Hour).UnixMicro()) // by a clock that is fast
		claim := backend.ClaimRequest{Token: backend.Token{1}, Lease: lease, Keep: 48 * time.Hour, Fence: fence, Metadata: []byte{0x21}}
		if _, err := r.store.Claim(t.Context(), storageKey("k"), claim); err != nil {
			t.Fatal(err)
		}
		r.endBy(claim.Token, "k", backend.Abandon)
		time.Sleep(time.Hour + 1234*time.Microsecond)
		var asked idempotency.Abandoned
		o := operation(t, p, idempotency.OperationOptions[string]{
			Reconcile: func(_ context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[string], error) {
				asked = abandoned
				return idempotency.RunAgain[string](), nil
			},
		})
		claimedAt := time.Now()
		var runs counter
		wantAnswer(t, <-start(t.Context(), o, key("k"), takes(time.Second, "paid", &runs)), "paid", false)
		if want := began.Add(24 * time.Hour); !asked.ClaimedAt.Equal(want) || !asked.Since.Equal(want) {
			t.Errorf("asked about %+v, want claimed at %v", asked, want)
		}
		wantTimes(t, p, "k", claimedAt, time.Now())
		if record := r.fetch("k"); record.Fence != fence+1 || !compact(record) {
			t.Errorf("fence %d, outcome %x", record.Fence, record.Outcome)
		}
	})
}

// A claim that was sent more than once may have had the fence of any send, so
// its outcome tells its own time.
func TestTimesOfARepeatedClaim(t *testing.T) {
	for name, applied := range map[string]bool{"the first was applied": true, "the first was not": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				time.Sleep(time.Minute + 123456*time.Microsecond)
				claimedAt := time.Now()
				p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					if n == 1 {
						if applied {
							p.log.next.Claim(ctx, storageKey("k"), claim)
						}
						time.Sleep(time.Second)
						return backend.Record{}, faults.ErrUnknownOutcome
					}
					if !applied {
						claimedAt = time.Now()
					}
					return p.log.next.Claim(ctx, storageKey("k"), claim)
				}
				o := operation(t, p, idempotency.OperationOptions[string]{})
				var runs counter
				wantAnswer(t, <-start(t.Context(), o, key("k"), takes(time.Second, "paid", &runs)), "paid", false)
				wantTimes(t, p, "k", claimedAt, time.Now())
				if record := r.fetch("k"); len(record.Metadata) != 1 || compact(record) {
					t.Errorf("metadata %x, outcome %x", record.Metadata, record.Outcome)
				}
			})
		})
	}
}

// The store forgets the claim, and the commit writes the record anew.
func TestTimesOfARecordThatTheCommitWrites(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		o := operation(t, p, idempotency.OperationOptions[string]{})
		time.Sleep(98765 * time.Microsecond)
		began := time.Now()
		_, err := o.Run(t.Context(), "k", func(context.Context) (string, error) {
			time.Sleep(1500 * time.Microsecond)
			return "paid", r.store.Forget(context.Background(), storageKey("k"))
		})
		if err != nil {
			t.Fatal(err)
		}
		wantTimes(t, p, "k", began, time.Now())
	})
}

// goldenRecord writes a record with metadata and an outcome of files in testdata.
// Without an outcome it is abandoned.
func goldenRecord(t *testing.T, r *rig, key, metadata, outcome string) {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile("testdata/" + name + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	claim := backend.ClaimRequest{
		Token: backend.Token{1}, Lease: lease, Keep: time.Hour, Fence: 1763999999623456, Metadata: read(metadata),
	}
	if _, err := r.store.Claim(t.Context(), storageKey(key), claim); err != nil {
		t.Fatal(err)
	}
	commit := backend.CommitRequest{Token: claim.Token, Ending: backend.Abandon, Keep: time.Hour, Retention: time.Hour}
	if outcome != "" {
		commit.Ending, commit.Outcome = backend.Complete, read(outcome)
	}
	if err := r.store.Commit(t.Context(), storageKey(key), commit); err != nil {
		t.Fatal(err)
	}
}

// What earlier versions have written is replayed, taken over and looked at.
func TestGoldenRecordsAreAnswers(t *testing.T) {
	goldenTime := time.UnixMilli(1764000000123)
	for version, claimedAt := range map[string]time.Time{"v1": goldenTime, "v2": time.UnixMilli(1763999999623)} {
		t.Run(version, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				metadata := map[string]string{"v1": "v1/metadata-plain", "v2": "v2/metadata-at-fence"}[version]
				goldenRecord(t, r, "value", metadata, version+"/outcome-value")
				goldenRecord(t, r, "not-kept", metadata, version+"/outcome-not-kept")
				goldenRecord(t, r, "abandoned", version+"/metadata-since", "")
				p := r.process(idempotency.Options{})
				var asked idempotency.Abandoned
				o := operation(t, p, idempotency.OperationOptions[struct{ ID string }]{
					Name: "charge",
					Reconcile: func(_ context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[struct{ ID string }], error) {
						asked = abandoned
						return idempotency.Answer(struct{ ID string }{"ch_2"}, nil), nil
					},
				})
				result, err := o.Do(t.Context(), key("value"), mustNotRun[struct{ ID string }](t))
				if err != nil || !result.Replayed || result.Value.ID != "ch_1" {
					t.Errorf("%+v, %v", result, err)
				}
				wantTimes(t, p, "value", claimedAt, goldenTime)
				_, err = o.Run(t.Context(), "not-kept", mustNotRun[struct{ ID string }](t))
				var replayed *idempotency.ReplayedError
				if !errors.As(err, &replayed) || !errors.Is(err, idempotency.ErrNotKept) || !replayed.At.Equal(goldenTime) {
					t.Errorf("%+v", err)
				}
				if value, err := o.Run(t.Context(), "abandoned", mustNotRun[struct{ ID string }](t)); err != nil || value.ID != "ch_2" {
					t.Errorf("%v, %v", value, err)
				}
				if !asked.ClaimedAt.Equal(goldenTime) || !asked.Since.Equal(goldenTime.Add(-time.Hour)) {
					t.Errorf("asked about %+v", asked)
				}
				other := operation(t, p, idempotency.OperationOptions[string]{Name: "refund"})
				if _, err := other.Run(t.Context(), "value", mustNotRun[string](t)); !errors.Is(err, idempotency.ErrFingerprintMismatch) {
					t.Errorf("another operation got %v", err)
				}
			})
		})
	}
}

// An outcome that counts from a claim time is nothing without one.
func TestOutcomeWithoutItsMetadata(t *testing.T) {
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{})
	err := store.Commit(t.Context(), storageKey("k"), backend.CommitRequest{
		Token: backend.Token{1}, Ending: backend.Complete, Outcome: []byte("\x23\x01{}"), Retention: time.Hour,
		LeaseHeld: true, Attempt: 1, Fence: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idempotency.Run(t.Context(), x, "k", mustNotRun[struct{}](t)); !errors.Is(err, idempotency.ErrUndecodable) {
		t.Error(err)
	}
	if _, err := x.Lookup(t.Context(), "k"); !errors.Is(err, backend.ErrCorrupt) {
		t.Error(err)
	}
}
