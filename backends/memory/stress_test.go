package memory_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

// history is what all workers have seen of one key.
type history struct {
	mu       sync.Mutex
	outcomes map[string]bool          // every outcome that was ever read or acknowledged
	holders  map[uint64]backend.Token // by fence
	fences   map[backend.Token]uint64 // by holder
	attempts map[uint64]uint32        // by fence
}

// see holds a record against what was seen before.
func (h *history) see(t *testing.T, record backend.Record) {
	if record.Unknown() {
		t.Error("a key that nobody forgets is unknown")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if holder, known := h.holders[record.Fence]; known && holder != record.Token {
		t.Errorf("fence %d belongs to %x and to %x", record.Fence, holder, record.Token)
	}
	if fence, known := h.fences[record.Token]; known && fence != record.Fence {
		t.Errorf("%x had fence %d and has fence %d", record.Token, fence, record.Fence)
	}
	h.holders[record.Fence], h.fences[record.Token] = record.Token, record.Fence
	h.attempts[record.Fence] = record.Attempt
	if record.State == backend.Completed {
		h.outcomes[string(record.Outcome)] = true
		if want := strconv.FormatUint(record.Fence, 10); string(record.Outcome) != want {
			t.Errorf("the outcome of fence %s is %s", want, record.Outcome)
		}
	}
}

// Many workers on few keys with leases that end while they are held: at most one
// outcome per key, whoever reads it, and fences and attempts that grow together
// and never belong to two.
func TestStress(t *testing.T) {
	const keys, workers = 40, 16
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for name, store := range map[string]*memory.Backend{"own hashes": memory.New(), "equal hashes": memory.NewColliding()} {
		t.Run(name, func(t *testing.T) {
			defer store.Close()
			ctx := t.Context()
			var tokens atomic.Uint64
			histories := make([]*history, keys)
			for i := range histories {
				histories[i] = &history{
					outcomes: map[string]bool{}, holders: map[uint64]backend.Token{},
					fences: map[backend.Token]uint64{}, attempts: map[uint64]uint32{},
				}
			}
			worker := func() {
				for range rounds {
					n := rand.IntN(keys)
					h, key := histories[n], strconv.Itoa(n)
					last := uint64(0)
					look := func(record backend.Record) {
						h.see(t, record)
						if record.Fence < last {
							t.Errorf("fence %d was read after fence %d", record.Fence, last)
						}
						last = record.Fence
					}
					record, err := store.Fetch(ctx, key)
					if err != nil {
						t.Error(err)
						return
					}
					if !record.Unknown() {
						look(record)
					}
					request := claimBy(tokenOf(tokens.Add(1)))
					request.Lease, request.Seen = time.Millisecond, record.Fence
					if record, err = store.Claim(ctx, key, request); err != nil {
						t.Error(err)
						return
					}
					look(record)
					if record.Token != request.Token {
						waiting, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
						after, err := store.Wait(waiting, key, record.Token)
						cancel()
						if err == nil {
							look(after)
							if after.State == backend.Claimed && after.Token == record.Token {
								t.Errorf("Wait returned %+v", after)
							}
						} else if !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						continue
					}
					if rand.IntN(2) == 0 {
						time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
					}
					if rand.IntN(4) == 0 {
						renewed, err := store.Claim(ctx, key, renew(record, time.Millisecond))
						if err != nil {
							t.Error(err)
							return
						}
						look(renewed)
					}
					commit := completeBy(request.Token)
					commit.Outcome = strconv.AppendUint(nil, record.Fence, 10)
					switch rand.IntN(40) {
					case 0:
					case 1, 2, 3, 4: // the holder dies
						continue
					default:
						commit.Ending, commit.Outcome = backend.Release, nil
						if rand.IntN(2) == 0 {
							commit.Ending = backend.Abandon
						}
						commit.Keep = time.Hour
					}
					err = store.Commit(ctx, key, commit)
					if err != nil && !errors.Is(err, backend.ErrSuperseded) {
						t.Error(err)
					}
					if err == nil && commit.Ending == backend.Complete {
						h.mu.Lock()
						h.outcomes[string(commit.Outcome)] = true
						h.mu.Unlock()
					}
				}
			}
			var group sync.WaitGroup
			for range workers {
				group.Go(worker)
			}
			group.Wait()
			takeovers, completed := 0, 0
			for n, h := range histories {
				completed += len(h.outcomes)
				if len(h.outcomes) > 1 {
					t.Errorf("key %d has the outcomes %v", n, h.outcomes)
				}
				for fence, attempt := range h.attempts {
					// Nobody's clock is in play: each holder has the next fence.
					if uint64(attempt) != fence {
						t.Errorf("key %d: attempt %d has fence %d", n, attempt, fence)
					}
				}
				takeovers += len(h.fences) - 1
			}
			if completed == 0 || takeovers < keys {
				t.Errorf("%d keys were completed and %d takeovers seen: the test tests nothing", completed, takeovers)
			}
			t.Logf("%d of %d keys completed, %d takeovers", completed, keys, takeovers)
			if held := store.Held(); held.Watches != 0 || held.Records != keys || held.Filed != keys {
				t.Errorf("the store holds %+v", held)
			}
		})
	}
}
