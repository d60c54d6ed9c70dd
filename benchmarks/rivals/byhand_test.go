package rivals

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/bsm/redislock"

	"github.com/reprise-go/reprise/internal/redistest"
)

// payment is a way to charge once for a key.
type payment struct {
	name   string
	charge Do
}

// payments are both programs of the README on one server, and the command that
// ends the lock.
func payments(t *testing.T) (all []payment, addr string) {
	t.Helper()
	addr = redistest.Start(t).Addr()
	client := newGoredis(t, addr, nil)
	locker := redislock.New(client)
	executor, closeStore, err := OpenPayments(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	})
	return []payment{
		{"by hand", func(ctx context.Context, key string, charge func(context.Context) ([]byte, error)) ([]byte, error) {
			return ByHand(ctx, client, locker, key, charge)
		}},
		{"with Reprise", func(ctx context.Context, key string, charge func(context.Context) ([]byte, error)) ([]byte, error) {
			return WithReprise(ctx, executor, key, charge)
		}},
	}, addr
}

// A caller that hangs up after the charge, and before the receipt is stored: by
// hand the next one charges again.
func TestCallerHangsUpAfterTheCharge(t *testing.T) {
	all, _ := payments(t)
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			var charges atomic.Int64
			key := nextKey()
			ctx, hangUp := context.WithCancel(t.Context())
			_, _ = p.charge(ctx, key, func(context.Context) ([]byte, error) {
				charges.Add(1)
				hangUp()
				return []byte("receipt 1"), nil
			})
			receipt, err := p.charge(t.Context(), key, says(&charges, "receipt 2"))
			if err != nil {
				t.Fatal(err)
			}
			want, kept := int64(1), "receipt 1"
			if p.name == "by hand" {
				want, kept = 2, "receipt 2"
			}
			if charges.Load() != want || string(receipt) != kept {
				t.Errorf("charged %d times, and the receipt is %q; want %d and %q", charges.Load(), receipt, want, kept)
			}
		})
	}
}

// A declined card: by hand the next caller tries again.
func TestDeclinedCard(t *testing.T) {
	all, _ := payments(t)
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			var charges atomic.Int64
			key := nextKey()
			for range 2 {
				_, err := p.charge(t.Context(), key, func(context.Context) ([]byte, error) {
					charges.Add(1)
					return nil, errors.New("card declined")
				})
				if err == nil || err.Error() != "card declined" {
					t.Errorf("got %v", err)
				}
			}
			if want := map[string]int64{"by hand": 2, "with Reprise": 1}[p.name]; charges.Load() != want {
				t.Errorf("charged %d times, want %d", charges.Load(), want)
			}
		})
	}
}

// A lock that is lost while its holder charges: somebody else charges, too, and
// the late holder overwrites the receipt that was given out.
func TestLockIsLostWhileCharging(t *testing.T) {
	all, addr := payments(t)
	byHand := all[0].charge
	var charges atomic.Int64
	key := nextKey()
	_, err := byHand(t.Context(), key, func(ctx context.Context) ([]byte, error) {
		charges.Add(1)
		redistest.Do(t, addr, "DEL", "lock:"+key) // as its TTL does after 30 s
		second, err := byHand(ctx, key, says(&charges, "receipt 2"))
		if err != nil || string(second) != "receipt 2" {
			t.Errorf("the second one got %q, %v", second, err)
		}
		return []byte("receipt 1"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := byHand(t.Context(), key, notAgain)
	if err != nil || charges.Load() != 2 || string(receipt) != "receipt 1" {
		t.Errorf("charged %d times, and the receipt is %q, %v", charges.Load(), receipt, err)
	}
}
