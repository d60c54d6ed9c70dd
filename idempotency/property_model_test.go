package idempotency_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

// model is what the property test knows of the store and of what was sent to it.
// It is a backend between the store and all processes, so that it sees every
// request at the moment at which it is applied.
type model struct {
	store *memory.Backend

	mu       sync.Mutex
	broken   []string // what was promised and didn't hold
	tokens   map[backend.Token]*tokenLife
	keys     map[string]*keyLife // by storage key
	began    time.Time
	journal  []string
	verdicts map[uint64]string // of Reconcile, by fence
}

// tokenLife is what was sent with a token.
type tokenLife struct {
	line    *line
	seen    uint64
	met     int       // the epoch of the record that the last claim would meet, if there was one
	until   time.Time // until when an answered request proves its lease
	endings map[backend.Ending]bool
}

// keyLife is what became of a key. An epoch lasts from a key's being taken until
// the store forgets it.
type keyLife struct {
	epoch    int
	epochs   []time.Time      // when each began
	takes    map[uint64]*take // by fence
	outcomes []*outcome
	active   map[*propRun]struct{}
}

// take is how a fence was given out.
type take struct {
	token  backend.Token
	epoch  int
	before backend.Record
	runs   []*propRun
}

// outcome is one that was recorded.
type outcome struct {
	record   backend.Record
	from, to time.Time // when the store had it
}

// propRun is one run of an action.
type propRun struct {
	call  *propCall
	ctx   context.Context
	fence uint64
	epoch int
	text  string // unique
	ended time.Time
	cut   bool   // its ctx had ended before it did
	how   string // value, declined, ignored, panic, goexit, cut; dead: its process died
}

func newModel(store *memory.Backend) *model {
	return &model{
		store: store, tokens: map[backend.Token]*tokenLife{}, keys: map[string]*keyLife{}, began: time.Now(),
		verdicts: map[uint64]string{},
	}
}

func (m *model) violated(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.breaks(format, args...)
}

// breaks is violated under mu.
func (m *model) breaks(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf("%v: ", time.Since(m.began))+fmt.Sprintf(format, args...))
}

// note writes down what happened, for who reads a failure. Called under mu.
func (m *model) note(format string, args ...any) {
	m.journal = append(m.journal, fmt.Sprintf("%v: ", time.Since(m.began))+fmt.Sprintf(format, args...))
}

func (m *model) token(token backend.Token) *tokenLife {
	life := m.tokens[token]
	if life == nil {
		life = &tokenLife{endings: map[backend.Ending]bool{}}
		m.tokens[token] = life
	}
	return life
}

func (m *model) key(key string) *keyLife {
	life := m.keys[key]
	if life == nil {
		life = &keyLife{takes: map[uint64]*take{}, active: map[*propRun]struct{}{}}
		m.keys[key] = life
	}
	return life
}

// claimSent holds a claim, as it leaves an executor, to the rules for senders.
func (m *model) claimSent(l *line, key string, request backend.ClaimRequest) {
	if l.isDead() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.tokens[request.Token]
	life := m.token(request.Token)
	ended := life.endings[backend.Release] || life.endings[backend.Abandon]
	switch {
	case ended:
		m.breaks("key %q: a claim (renewal %v) went out with token %x, whose ending was sent before", key, request.Renewal, request.Token[:3])
	case request.Renewal && !time.Now().Before(life.until):
		m.breaks("key %q: token %x was renewed at its lease's local end or after it", key, request.Token[:3])
	case !request.Renewal && known && life.seen != request.Seen:
		m.breaks("key %q: token %x was used for two intentions", key, request.Token[:3])
	}
	if !request.Renewal {
		life.line, life.seen, life.met = l, request.Seen, 0
		if record, _ := m.store.Fetch(context.Background(), key); !record.Unknown() {
			life.met = m.key(key).epoch
		}
	}
}

// proven notes that a request that was sent then holds the key.
func (m *model) proven(token backend.Token, sent time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	life := m.token(token)
	if until := sent.Add(propLease - propMargin); until.After(life.until) {
		life.until = until
	}
}

// commitSent is claimSent for commits.
func (m *model) commitSent(l *line, key string, request backend.CommitRequest) {
	if l.isDead() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	life := m.token(request.Token)
	if request.Ending != backend.Complete && life.endings[backend.Complete] {
		m.breaks("key %q: token %x sent %v after Complete", key, request.Token[:3], request.Ending)
	}
	if request.LeaseHeld && !time.Now().Before(life.until) {
		m.breaks("key %q: token %x says LeaseHeld, but its lease isn't proven", key, request.Token[:3])
	}
	life.endings[request.Ending] = true
}

// applied looks at the record before and after a request is applied.
func (m *model) applied(key, what string, apply func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx := context.Background()
	before, _ := m.store.Fetch(ctx, key)
	err := apply()
	after, _ := m.store.Fetch(ctx, key)
	if err == nil && strings.HasPrefix(what, "renewal") && before.State == after.State && before.Token == after.Token {
		return nil // of no interest
	}
	m.note("key %q: %s: %v by %x, fence %d -> %v by %x, fence %d; %v", key, what,
		before.State, before.Token[:3], before.Fence, after.State, after.Token[:3], after.Fence, err)
	life := m.key(key)
	if before.Unknown() && !after.Unknown() {
		life.epoch++
		life.epochs = append(life.epochs, time.Now())
	}
	if after.Unknown() && !before.Unknown() {
		for _, o := range life.outcomes {
			if o.to.After(time.Now()) {
				o.to = time.Now()
			}
		}
	}
	if before.State == backend.Completed && after.State != backend.Completed && !after.Unknown() ||
		before.State == backend.Completed && after.State == backend.Completed && !bytes.Equal(before.Outcome, after.Outcome) {
		m.breaks("key %q: a recorded outcome was changed", key)
	}
	switch {
	case after.State == backend.Claimed && (before.State != backend.Claimed || before.Token != after.Token):
		if t := life.takes[after.Fence]; t != nil && t.token == after.Token {
			t.epoch = life.epoch // re-created or revived
		} else {
			life.takes[after.Fence] = &take{token: after.Token, epoch: life.epoch, before: before}
		}
	case after.State == backend.Abandoned && strings.HasPrefix(what, "abandon"):
		if t := life.takes[after.Fence]; t != nil {
			for _, r := range t.runs {
				if r.how == "ignored" && !r.cut {
					m.breaks("key %q: abandoned, but the run %s under fence %d ended in a harmless error", key, r.text, r.fence)
				}
			}
		}
	case after.State == backend.Completed && before.State != backend.Completed:
		life.outcomes = append(life.outcomes, &outcome{record: after, from: time.Now(), to: time.Now().Add(after.Remaining)})
	case after.State == backend.Vacant && !after.Unknown() && (before.State == backend.Claimed || before.State == backend.Abandoned):
		t := life.takes[after.Fence]
		if t == nil {
			break
		}
		for _, r := range t.runs {
			if r.how != "ignored" {
				m.breaks("key %q: released, but the run %s under fence %d ended in %q", key, r.text, r.fence, r.how)
			}
		}
		if t.before.State == backend.Abandoned && len(t.runs) == 0 {
			m.breaks("key %q: an abandoned key was taken over with fence %d and released, undecided", key, after.Fence)
		}
	}
	return err
}

func (m *model) Claim(ctx context.Context, key string, request backend.ClaimRequest) (record backend.Record, err error) {
	what := fmt.Sprintf("claim by %x with Seen %d", request.Token[:3], request.Seen)
	if request.Renewal {
		what = fmt.Sprintf("renewal by %x", request.Token[:3])
	}
	err = m.applied(key, what, func() (err error) {
		record, err = m.store.Claim(ctx, key, request)
		return err
	})
	return record, err
}

func (m *model) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	return m.applied(key, fmt.Sprintf("%v by %x", request.Ending, request.Token[:3]), func() error { return m.store.Commit(ctx, key, request) })
}

func (m *model) Forget(ctx context.Context, key string) error {
	return m.applied(key, "forget", func() error { return m.store.Forget(ctx, key) })
}

func (m *model) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	return m.store.Wait(ctx, key, token)
}

func (m *model) Fetch(ctx context.Context, key string) (backend.Record, error) {
	return m.store.Fetch(ctx, key)
}

// starts is called by an action when it begins.
func (m *model) starts(r *propRun, key string, attempt uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	life := m.key(key)
	m.note("key %q: %s runs as attempt %d, fence %d", key, r.text, attempt, r.fence)
	record, _ := m.store.Fetch(context.Background(), key)
	t := life.takes[r.fence]
	if t == nil {
		m.breaks("key %q: %s runs with fence %d, which nobody was given", key, r.text, r.fence)
		return
	}
	r.epoch = t.epoch
	if record.Unknown() || t.epoch != life.epoch {
		// The store forgot under a lease that was running.
	} else if record.State != backend.Claimed || record.Fence != r.fence {
		m.breaks("key %q: %s begins under fence %d, but the key is %v with fence %d", key, r.text, r.fence, record.State, record.Fence)
	}
	if len(t.runs) > 0 {
		m.breaks("key %q: %s is a second run under fence %d", key, r.text, r.fence)
	}
	if t.before.State == backend.Abandoned {
		policy := r.call.step.call.policy
		if policy == "fail" || policy == "reconcile" && m.verdicts[r.fence] != "again" {
			m.breaks("key %q: %s runs an abandoned key again, against policy %s (%q)", key, r.text, policy, m.verdicts[r.fence])
		}
		if other, own := string(t.before.Fingerprint), r.call.step.call.fingerprint; other != "" && own != "" && other != own {
			m.breaks("key %q: %s with fingerprint %q took over from fingerprint %q", key, r.text, own, other)
		}
	}
	for other := range life.active {
		if other.epoch == r.epoch && other.ctx.Err() == nil && r.ctx.Err() == nil && !other.call.process.line.isDead() {
			m.breaks("key %q: %s and %s run at once, and both believe in their lease", key, other.text, r.text)
		}
	}
	t.runs = append(t.runs, r)
	life.active[r] = struct{}{}
}

// ends is called by an action when it is about to end.
func (m *model) ends(r *propRun, key, how string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.how, r.ended, r.cut = how, time.Now(), r.ctx.Err() != nil
	delete(m.key(key).active, r)
	m.note("key %q: %s ends in %s", key, r.text, how)
}

// checkTokens expects every claim that a process got to have been ended by it,
// unless it died, or nobody told it and it was overtaken.
func (m *model) checkTokens() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, life := range m.keys {
		overtaken := map[uint64]bool{}
		for _, next := range life.takes {
			overtaken[next.before.Fence] = true
		}
		for fence, t := range life.takes {
			token := m.token(t.token)
			if overtaken[fence] || t.epoch != life.epoch {
				continue
			}
			if token.met > 0 && token.met < t.epoch {
				continue // it was answered, the store forgot the key, and an earlier send arrived
			}
			if len(token.endings) == 0 && token.line != nil && !token.line.isDead() {
				m.breaks("key %q: fence %d was given to a process that never ended its claim", key, fence)
			}
		}
	}
}

// epochAt is the epoch that a key was in.
func (k *keyLife) epochAt(at time.Time) int {
	epoch := 0
	for i, begun := range k.epochs {
		if !begun.After(at) {
			epoch = i + 1
		}
	}
	return epoch
}
