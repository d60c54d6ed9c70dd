package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

// onServers runs a test on a real server and on a miniredis.
func onServers(t *testing.T, test func(t *testing.T, s *server)) {
	t.Run("redis", func(t *testing.T) { test(t, connect(t, redistest.Address(t))) })
	t.Run("miniredis", func(t *testing.T) { test(t, connect(t, redistest.Mini(t).Addr())) })
}

type server struct {
	t      *testing.T
	conn   *redistest.Conn
	layout wire.Layout
	keys   int
}

func connect(t *testing.T, addr string) *server {
	conn, err := redistest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	layout, err := wire.NewLayout(redistest.Prefix(t))
	if err != nil {
		t.Fatal(err)
	}
	return &server{t: t, conn: conn, layout: layout}
}

func (s *server) do(args ...string) any {
	s.t.Helper()
	reply, err := s.conn.Do(args...)
	if err != nil {
		s.t.Fatalf("%s: %v", args[0], err)
	}
	return reply
}

func (s *server) key() string {
	s.keys++
	return s.layout.Record(strconv.Itoa(s.keys))
}

func (s *server) claimRaw(key string, request backend.ClaimRequest) (backend.Record, error) {
	reply, err := s.conn.Do("EVAL", wire.ClaimScript, "1", key, string(wire.AppendClaim(nil, &request)),
		strconv.FormatInt(wire.ClaimLease(&request), 10), wire.ClaimSeen(&request))
	if err != nil {
		return backend.Record{}, err
	}
	pair := reply.([]any)
	return wire.ReadScriptClaim(&request, pair[0].(string), pair[1].(int64))
}

func (s *server) claim(key string, request backend.ClaimRequest) backend.Record {
	s.t.Helper()
	record, err := s.claimRaw(key, request)
	if err != nil {
		s.t.Fatalf("claim: %v", err)
	}
	return record
}

func (s *server) commitRaw(key string, request backend.CommitRequest) (int64, error) {
	reply, err := s.conn.Do("EVAL", wire.CommitScript, "1", key, string(wire.AppendCommit(nil, &request)),
		strconv.FormatInt(wire.CommitPX(&request), 10), wire.Publish, wire.CommitHeld(&request))
	if err != nil {
		return 0, err
	}
	return reply.(int64), nil
}

// commitLargeRaw sends the large script, and the side key before it.
func (s *server) commitLargeRaw(key, side string, request backend.CommitRequest) (int64, error) {
	frame := wire.AppendCommit(nil, &request)
	if side == "" {
		side = s.layout.Side("x", request.Token)
		s.do("SET", side, string(frame), "PX", "10000")
	}
	reply, err := s.conn.Do("EVAL", wire.CommitLargeScript, "2", key, side, string(frame[:wire.CommitHead(&request)]),
		strconv.FormatInt(wire.CommitPX(&request), 10), wire.Publish, wire.CommitHeld(&request))
	if n := s.do("EXISTS", side).(int64); n != 0 {
		s.t.Errorf("the side key is left")
	}
	if err != nil {
		return 0, err
	}
	return reply.(int64), nil
}

func (s *server) look(key string) (backend.Record, error) {
	reply, err := s.conn.Do("EVAL", wire.LookScript, "1", key)
	if err != nil {
		return backend.Record{}, err
	}
	pair := reply.([]any)
	return wire.ReadLook(pair[0].(string), pair[1].(int64))
}

// dump is what the server holds, with its TTL in rough steps.
func (s *server) dump(key string) string {
	s.t.Helper()
	if s.do("EXISTS", key).(int64) == 0 {
		return "unknown"
	}
	ttl := s.do("PTTL", key).(int64)
	return fmt.Sprintf("%x ttl %d s", s.do("GET", key), (ttl+10_000)/20_000*20)
}

var (
	mine   = backend.Token{15: 1}
	theirs = backend.Token{15: 2}
)

const (
	lease     = 1000 * time.Second
	keep      = 5000 * time.Second
	retention = 9000 * time.Second
)

func claimOf(token backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: token, Lease: lease, Keep: keep, Fence: 40,
		Fingerprint: []byte("claim's print"), Metadata: []byte("claim's data"),
	}
}

func commitOf(token backend.Token, ending backend.Ending, outcome string) backend.CommitRequest {
	request := backend.CommitRequest{
		Token: token, Ending: ending, Outcome: []byte(outcome),
		Fingerprint: []byte("commit's"), Metadata: []byte("of commit"), Attempt: 9, Fence: 77,
	}
	if ending == backend.Complete {
		request.Retention = retention
	} else {
		request.Keep = keep
	}
	return request
}

// states of a key, each by the token.
var states = map[string]func(s *server, key string, token backend.Token){
	"unknown": func(*server, string, backend.Token) {},
	"claimed": func(s *server, key string, token backend.Token) { s.claim(key, claimOf(token)) },
	"lapsed": func(s *server, key string, token backend.Token) {
		s.claim(key, claimOf(token))
		s.do("PEXPIRE", key, strconv.FormatInt(keep.Milliseconds(), 10))
	},
	"released": func(s *server, key string, token backend.Token) {
		s.claim(key, claimOf(token))
		_, _ = s.commitRaw(key, commitOf(token, backend.Release, ""))
	},
	"abandoned": func(s *server, key string, token backend.Token) {
		s.claim(key, claimOf(token))
		_, _ = s.commitRaw(key, commitOf(token, backend.Abandon, ""))
	},
	"completed": func(s *server, key string, token backend.Token) {
		s.claim(key, claimOf(token))
		_, _ = s.commitRaw(key, commitOf(token, backend.Complete, "outcome"))
	},
}

func TestClaimTable(t *testing.T) {
	type row struct {
		state string
		own   bool
		// what becomes of it: taken, renewed, created or unchanged
		fresh, seen, notSeen, renewal string
	}
	rows := []row{
		{"unknown", false, "taken", "unchanged", "unchanged", "created"},
		{"released", false, "unchanged", "taken", "unchanged", "unchanged"},
		{"abandoned", false, "unchanged", "taken", "unchanged", "unchanged"},
		{"lapsed", false, "unchanged", "taken", "unchanged", "unchanged"},
		{"claimed", false, "unchanged", "unchanged", "unchanged", "unchanged"},
		{"completed", false, "unchanged", "unchanged", "unchanged", "unchanged"},
		{"released", true, "unchanged", "unchanged", "unchanged", "unchanged"},
		{"abandoned", true, "unchanged", "unchanged", "unchanged", "unchanged"},
		{"claimed", true, "renewed", "renewed", "renewed", "renewed"},
		{"lapsed", true, "renewed", "renewed", "renewed", "renewed"},
		{"completed", true, "unchanged", "unchanged", "unchanged", "unchanged"},
	}
	onServers(t, func(t *testing.T, s *server) {
		for _, r := range rows {
			for how, want := range map[string]string{"fresh": r.fresh, "seen": r.seen, "notSeen": r.notSeen, "renewal": r.renewal} {
				t.Run(fmt.Sprintf("%s own=%v %s", r.state, r.own, how), func(t *testing.T) {
					s.t = t
					key, token := s.key(), theirs
					if r.own {
						token = mine
					}
					states[r.state](s, key, token)
					before, err := s.look(key)
					if err != nil {
						t.Fatal(err)
					}
					dump := s.dump(key)
					request := claimOf(mine)
					request.Lease, request.Keep, request.Metadata = 2*lease, 2*keep, []byte("new data")
					switch how {
					case "seen":
						request.Seen = max(before.Fence, 40)
					case "notSeen":
						request.Seen = before.Fence + 1
					case "renewal":
						request.Renewal, request.Attempt, request.Fence = true, 5, 55
					}
					got := s.claim(key, request)
					after, err := s.look(key)
					if err != nil {
						t.Fatal(err)
					}
					if got.State != after.State || got.Token != after.Token || got.Fence != after.Fence || got.Attempt != after.Attempt ||
						!bytes.Equal(got.Metadata, after.Metadata) || !bytes.Equal(got.Outcome, after.Outcome) {
						t.Errorf("claim answers %+v, the store has %+v", got, after)
					}
					switch want {
					case "unchanged":
						if now := s.dump(key); now != dump {
							t.Errorf("was\n%s, is\n%s", dump, now)
						}
					case "renewed":
						if after.State != backend.Claimed || after.Token != mine || after.Fence != 40 || after.Attempt != 1 ||
							string(after.Metadata) != "claim's data" || round(after.LeaseLeft) != 2*lease || round(after.Remaining) != 2*lease+keep {
							t.Errorf("renewed is %+v", after)
						}
					case "created":
						if after.State != backend.Claimed || after.Token != mine || after.Fence != 55 || after.Attempt != 5 ||
							string(after.Metadata) != "new data" || round(after.LeaseLeft) != 2*lease || round(after.Remaining) != 2*lease+2*keep {
							t.Errorf("created is %+v", after)
						}
					case "taken":
						if after.State != backend.Claimed || after.Token != mine || after.Attempt != before.Attempt+1 ||
							after.Fence != max(before.Fence+1, 40) || string(after.Metadata) != "new data" ||
							string(after.Fingerprint) != "claim's print" ||
							round(after.LeaseLeft) != 2*lease || round(after.Remaining) != 2*lease+2*keep {
							t.Errorf("taken is %+v, was %+v", after, before)
						}
					}
				})
			}
		}
	})
}

func TestCommitTable(t *testing.T) {
	type row struct {
		state string
		own   bool
		held  bool
		// the reply and the state after it; an empty state: unchanged
		complete, release, abandon string
	}
	rows := []row{
		{"claimed", true, false, "1 completed", "1 vacant", "1 abandoned"},
		{"lapsed", true, false, "1 completed", "1 vacant", "1 abandoned"},
		{"abandoned", true, false, "1 completed", "1 vacant", "1 abandoned"},
		{"completed", true, true, "1", "0", "0"},
		{"released", true, true, "0", "1", "0"},
		{"claimed", false, true, "0", "0", "0"},
		{"lapsed", false, true, "0", "0", "0"},
		{"abandoned", false, true, "0", "0", "0"},
		{"completed", false, true, "0", "0", "0"},
		{"released", false, true, "0", "0", "0"},
		{"unknown", false, true, "1 completed", "1 vacant", "1 abandoned"},
		{"unknown", false, false, "0", "1 vacant", "1"},
	}
	onServers(t, func(t *testing.T, s *server) {
		for _, r := range rows {
			for how, want := range map[string]string{"complete": r.complete, "large": r.complete, "release": r.release, "abandon": r.abandon} {
				t.Run(fmt.Sprintf("%s own=%v held=%v %s", r.state, r.own, r.held, how), func(t *testing.T) {
					s.t = t
					key, token := s.key(), theirs
					if r.own {
						token = mine
					}
					states[r.state](s, key, token)
					dump := s.dump(key)
					commit := s.commitRaw
					request := commitOf(mine, backend.Complete, "outcome")
					switch how {
					case "release":
						request = commitOf(mine, backend.Release, "")
					case "abandon":
						request = commitOf(mine, backend.Abandon, "")
					case "large":
						commit = func(key string, request backend.CommitRequest) (int64, error) {
							return s.commitLargeRaw(key, "", request)
						}
					}
					request.LeaseHeld = r.held
					code, err := commit(key, request)
					if err != nil {
						t.Fatal(err)
					}
					reply, state, changes := strings.Cut(want, " ")
					if strconv.FormatInt(code, 10) != reply {
						t.Errorf("answers %d, want %s", code, reply)
					}
					if !changes {
						if now := s.dump(key); now != dump {
							t.Errorf("was\n%s, is\n%s", dump, now)
						}
						return
					}
					for range 2 { // and once more, as clients repeat by themselves
						after, err := s.look(key)
						if err != nil {
							t.Fatal(err)
						}
						left := keep
						if state == "completed" {
							left = retention
						}
						fp, fence, attempt, meta := "claim's print", uint64(40), uint32(1), "claim's data"
						if r.state == "unknown" {
							fp, fence, attempt, meta = "commit's", 77, 9, "of commit"
						}
						if after.State.String() != state || after.Token != mine || after.Fence != fence || after.Attempt != attempt ||
							string(after.Fingerprint) != fp || string(after.Metadata) != meta || round(after.Remaining) != left ||
							(state == "completed") != (string(after.Outcome) == "outcome") {
							t.Errorf("is %+v, want %s", after, state)
						}
						if code, err := commit(key, request); err != nil || code != 1 {
							t.Errorf("the repeated send answers %d, %v", code, err)
						}
					}
				})
			}
		}
	})
}

// A second outcome under one token never replaces the first, and the claim's
// fingerprint and metadata stay whichever way the outcome comes.
func TestCommitFirstOutcomeStays(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		for _, size := range []int{10, 100_000} {
			key := s.key()
			s.claim(key, claimOf(mine))
			first := commitOf(mine, backend.Complete, strings.Repeat("a", size))
			other := commitOf(mine, backend.Complete, strings.Repeat("b", size))
			if code, err := s.commitLargeRaw(key, "", first); code != 1 || err != nil {
				t.Fatal(code, err)
			}
			for name, commit := range map[string]func() (int64, error){
				"small": func() (int64, error) { return s.commitRaw(key, other) },
				"large": func() (int64, error) { return s.commitLargeRaw(key, "", other) },
			} {
				if code, err := commit(); code != 0 || err != nil {
					t.Errorf("%d bytes: another outcome through %s: %d, %v", size, name, code, err)
				}
			}
			if code, err := s.commitRaw(key, first); code != 1 || err != nil {
				t.Errorf("%d bytes: the same outcome through the small script: %d, %v", size, code, err)
			}
			record, err := s.look(key)
			if err != nil || string(record.Outcome) != string(first.Outcome) || string(record.Metadata) != "claim's data" {
				t.Errorf("%d bytes: the record is %v %q, %v", size, record.State, record.Metadata, err)
			}
		}
	})
}

func TestCommitWithoutSideKeyChangesNothing(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		for name, prepare := range states {
			key := s.key()
			prepare(s, key, mine)
			before := s.dump(key)
			request := commitOf(mine, backend.Complete, "outcome")
			request.LeaseHeld = true
			code, err := s.commitLargeRaw(key, s.layout.Side("gone", mine), request)
			if code != wire.CommitSideMissing || err != nil {
				t.Errorf("%s: answers %d, %v", name, code, err)
			}
			if now := s.dump(key); now != before {
				t.Errorf("%s: was\n%s, is\n%s", name, before, now)
			}
		}
	})
}

func TestFenceGrowsOverTheClock(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		key := s.key()
		request := claimOf(theirs)
		request.Fence = backend.MaxFence - 3
		s.claim(key, request)
		_, _ = s.commitRaw(key, commitOf(theirs, backend.Release, ""))
		take := claimOf(mine)
		take.Seen, take.Fence = backend.MaxFence-3, 1
		if got := s.claim(key, take); got.Fence != backend.MaxFence-2 {
			t.Errorf("fence %d after %d", got.Fence, uint64(backend.MaxFence-3))
		}
		_, _ = s.commitRaw(key, commitOf(mine, backend.Abandon, ""))
		take = claimOf(backend.Token{7})
		take.Seen, take.Fence = backend.MaxFence-2, backend.MaxFence-1
		if got := s.claim(key, take); got.Fence != backend.MaxFence-1 || got.Attempt != 3 {
			t.Errorf("fence %d, attempt %d", got.Fence, got.Attempt)
		}
		_, _ = s.commitRaw(key, commitOf(backend.Token{7}, backend.Release, ""))
		take = claimOf(mine)
		take.Seen = backend.MaxFence - 1
		_, err := s.claimRaw(key, take)
		if err == nil || !errors.Is(wire.Classify(err.Error()), backend.ErrPermanent) {
			t.Errorf("a taking of the highest fence got %v", err)
		}
		if record, err := s.look(key); err != nil || record.Fence != backend.MaxFence-1 || record.State != backend.Vacant {
			t.Errorf("it left %+v, %v", record, err)
		}
	})
}

func TestLongDurations(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		key := s.key()
		request := claimOf(mine)
		request.Lease, request.Keep = backend.MaxDuration, backend.MaxDuration
		s.claim(key, request)
		record := s.claim(key, request)
		if record.Token != mine {
			t.Fatal(record)
		}
		record, err := s.look(key)
		if err != nil || backend.MaxDuration-record.LeaseLeft > time.Minute {
			t.Errorf("lease left %v, %v", record.LeaseLeft, err)
		}
	})
}

// A commit of a claim that the store knows is recorded although the server is
// over its memory limit.
func TestCommitPassesTheMemoryLimit(t *testing.T) {
	own := redistest.Start(t)
	s := connect(t, own.Addr())
	key, usualKey := s.key(), s.key()
	s.claim(key, claimOf(mine))
	s.claim(usualKey, claimOf(mine))
	s.do("CONFIG", "SET", "maxmemory", "1")
	if _, err := s.claimRaw(s.key(), claimOf(mine)); err == nil || wire.Classify(err.Error()) != backend.ErrNotApplied {
		t.Errorf("a claim over the limit answers %v", err)
	}
	request := commitOf(mine, backend.Complete, "outcome")
	request.LeaseHeld = true
	if _, err := s.commitRaw(s.key(), request); err == nil || wire.Classify(err.Error()) != backend.ErrNotApplied {
		t.Errorf("a commit into an unknown key over the limit answers %v", err)
	}
	for key, request := range map[string]backend.CommitRequest{key: request, usualKey: usual("outcome")} {
		if code, err := s.commitRaw(key, request); code != 1 || err != nil {
			t.Errorf("the commit answers %d, %v", code, err)
		}
		record, err := s.look(key)
		if err != nil || record.State != backend.Completed || round(record.Remaining) != retention {
			t.Errorf("the record is %+v, %v", record, err)
		}
	}
}

func round(d time.Duration) time.Duration { return (d + 10*time.Second).Truncate(20 * time.Second) }
