package goredis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

// An overtaken holder that commits late neither replaces the rightful outcome
// nor leaves its own anywhere.
func TestOvertakenHolderWithLargeOutcome(t *testing.T) {
	server := redistest.Start(t)
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	late, rightful := token(), token()
	request := taking(late)
	request.Lease = 50 * time.Millisecond
	seen, err := store.Claim(t.Context(), "k", request)
	if err != nil {
		t.Fatal(err)
	}
	takeover := taking(rightful)
	takeover.Seen = seen.Fence
	var held backend.Record
	eventually(t, "a takeover", func() bool {
		held, err = store.Claim(t.Context(), "k", takeover)
		return err == nil && held.Token == rightful
	})
	lateCommit := completing(late, strings.Repeat("late", 50_000))
	lateCommit.Fence = seen.Fence
	commit := completing(rightful, strings.Repeat("rightful", 25_000))
	commit.Fence, commit.Attempt = held.Fence, held.Attempt
	for range 2 {
		if err := store.Commit(t.Context(), "k", lateCommit); !errors.Is(err, backend.ErrSuperseded) {
			t.Errorf("the late commit: %v", err)
		}
		if err := store.Commit(t.Context(), "k", commit); err != nil {
			t.Errorf("the rightful commit: %v", err)
		}
		if r, err := store.Fetch(t.Context(), "k"); err != nil || string(r.Outcome) != string(commit.Outcome) || r.Attempt != 2 {
			t.Error(r.State, err)
		}
	}
	if keys := server.Do(t, "DBSIZE"); keys != int64(1) {
		t.Errorf("%v keys, want the record alone", keys)
	}
}

// The commands of a large commit arrive late, after the key was taken over.
func TestLateLargeCommit(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faults.NewProxy(server.Addr(), faults.ProxyOptions{Complete: faults.WholeRESP})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	options := quiet(proxy.Addr())
	options.MaxRetries, options.Protocol = -1, 2
	slow := open(t, redislib.NewClient(options), "")
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	late, rightful := token(), token()
	request := taking(late)
	request.Lease = 50 * time.Millisecond
	seen, err := slow.Claim(t.Context(), "k", request)
	if err != nil {
		t.Fatal(err)
	}
	_ = slow.Commit(t.Context(), "warm", completing(token(), strings.Repeat("w", 50_000)))
	commit := completing(late, strings.Repeat("late", 50_000))
	commit.Fence = seen.Fence
	proxy.OnNth(isSet, 1, faults.Late(0))
	if err := slow.Commit(t.Context(), "k", commit); err == nil || errors.Is(err, backend.ErrNotApplied) {
		t.Fatalf("the late commit: %v, want an unknown outcome", err)
	}
	takeover := taking(rightful)
	takeover.Seen = seen.Fence
	var held backend.Record
	eventually(t, "a takeover", func() bool {
		held, err = store.Claim(t.Context(), "k", takeover)
		return err == nil && held.Token == rightful
	})
	proxy.DeliverLate()
	rightly := completing(rightful, strings.Repeat("rightful", 25_000))
	rightly.Fence, rightly.Attempt = held.Fence, held.Attempt
	if err := store.Commit(t.Context(), "k", rightly); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Fetch(t.Context(), "k"); err != nil || string(r.Outcome) != string(rightly.Outcome) {
		t.Error(r.State, err)
	}
}

// Without the side key nothing is lost: the outcome goes the other way.
func TestLostSideKey(t *testing.T) {
	server := redistest.Start(t)
	// A server that refuses the side key's name, but not the record's.
	server.Do(t, "ACL", "SETUSER", "app", "on", ">secret", "~reprise:{????}:*", "%R~reprise:*", "allchannels", "+@all")
	options := quiet(server.Addr())
	options.Username, options.Password = "app", "secret"
	restricted := open(t, redislib.NewClient(options), "")
	tok := token()
	held := take(t, restricted, "k", tok)
	commit := completing(tok, strings.Repeat("x", 100_000))
	commit.Fence = held.Fence
	if err := restricted.Commit(t.Context(), "k", commit); !errors.Is(err, backend.ErrPermanent) {
		t.Errorf("a commit that may not write the side key: %v", err)
	}
	if r, err := restricted.Fetch(t.Context(), "k"); err != nil || r.State != backend.Claimed {
		t.Error(r, err)
	}

	// Here it expires before the script comes to it.
	client := redislib.NewClient(quiet(server.Addr()))
	client.AddHook(&loseSide{})
	store := open(t, client, "")
	if err := store.Commit(t.Context(), "k", commit); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Fetch(t.Context(), "k"); err != nil || string(r.Outcome) != string(commit.Outcome) || string(r.Metadata) != "metadata" {
		t.Error(r.State, err)
	}
}

// The claim's fingerprint and metadata stay, and its attempt and fence, whatever
// the holder of a large outcome remembers.
func TestLargeCommitKeepsTheClaim(t *testing.T) {
	store := open(t, redislib.NewClient(quiet(redistest.Address(t))), redistest.Prefix(t))
	tok := token()
	request := taking(tok)
	request.Fingerprint = []byte("fingerprint")
	held, err := store.Claim(t.Context(), "k", request)
	if err != nil {
		t.Fatal(err)
	}
	commit := completing(tok, strings.Repeat("x", 100_000))
	commit.Fingerprint, commit.Metadata, commit.Fence = []byte("other"), nil, 7
	if err := store.Commit(t.Context(), "k", commit); err != nil {
		t.Fatal(err)
	}
	r, err := store.Fetch(t.Context(), "k")
	if err != nil || r.Fence != held.Fence || string(r.Fingerprint) != "fingerprint" || string(r.Metadata) != "metadata" ||
		string(r.Outcome) != string(commit.Outcome) {
		t.Errorf("%v %q %q fence %d, %v", r.State, r.Fingerprint, r.Metadata, r.Fence, err)
	}
}

func TestTooLarge(t *testing.T) {
	store := open(t, redislib.NewClient(quiet(redistest.Address(t))), redistest.Prefix(t))
	tok := token()
	take(t, store, "k", tok)
	if err := store.Commit(t.Context(), "k", completing(tok, strings.Repeat("x", goredis.MaxOutcome+1))); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	complete(t, store, "k", tok, "marker")
}

// loseSide makes every key that a pipeline sets another one.
type loseSide struct{ redislib.Hook }

func (loseSide) DialHook(next redislib.DialHook) redislib.DialHook          { return next }
func (loseSide) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook { return next }
func (loseSide) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redislib.Cmder) error {
		for _, cmd := range cmds {
			if cmd.Name() == "set" {
				cmd.Args()[1] = "lost"
			}
		}
		return next(ctx, cmds)
	}
}
