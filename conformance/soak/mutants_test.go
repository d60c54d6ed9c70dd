//go:build unix

package soak

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

// mutants are bugs of a backend, each a wrapper of one that has it.
var mutants = map[string]func(store) store{
	"takes a live lease":           func(s store) store { return takesLive{s} },
	"commits what was taken over":  func(s store) store { return commitsAnyway{s} },
	"never wakes":                  func(s store) store { return neverWakes{s} },
	"forgets claims":               func(s store) store { return forgetsClaims{s} },
	"confirms renewals unsent":     func(s store) store { return dropsRenewals{s} },
	"confirms commits unsent":      func(s store) store { return dropsCommits{s} },
	"shows abandoned as vacant":    func(s store) store { return hidesAbandoned{s} },
	"replays another key's answer": func(s store) store { return mixesAnswers{s} },
}

func mutate(name string, s store) (store, error) {
	if name == "" {
		return s, nil
	}
	mutant, ok := mutants[name]
	if !ok {
		return nil, fmt.Errorf("there is no mutant %q", name)
	}
	return mutant(s), nil
}

// takesLive takes keys that are held.
type takesLive struct{ store }

func (m takesLive) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	record, err := m.store.Claim(ctx, key, request)
	if err != nil || request.Renewal || record.State != backend.Claimed || record.Token == request.Token {
		return record, err
	}
	return takeAnyway(ctx, m.store, key, request, record)
}

// takeAnyway takes a key from whoever has it, with a fence that grows.
func takeAnyway(ctx context.Context, s store, key string, request backend.ClaimRequest, record backend.Record) (backend.Record, error) {
	abandon := backend.CommitRequest{Token: record.Token, Ending: backend.Abandon, Keep: request.Keep, Fence: record.Fence}
	if err := s.Commit(ctx, key, abandon); err != nil {
		return backend.Record{}, err
	}
	request.Seen = record.Fence
	return s.Claim(ctx, key, request)
}

// commitsAnyway doesn't compare the token where a key was taken over.
type commitsAnyway struct{ store }

func (m commitsAnyway) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	err := m.store.Commit(ctx, key, request)
	if request.Ending != backend.Complete || !errors.Is(err, backend.ErrSuperseded) {
		return err
	}
	if err := m.store.Forget(ctx, key); err != nil {
		return err
	}
	request.LeaseHeld = true
	return m.store.Commit(ctx, key, request)
}

// neverWakes sleeps until its ctx ends.
type neverWakes struct{ store }

func (m neverWakes) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	record, err := m.store.Fetch(ctx, key)
	if err != nil || token.IsZero() || record.State != backend.Claimed || record.Token != token {
		return record, err
	}
	<-ctx.Done()
	return backend.Record{}, ctx.Err()
}

// forgetsClaims keeps every other claim to itself.
type forgetsClaims struct{ store }

func (m forgetsClaims) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	record, err := m.store.Claim(ctx, key, request)
	if err == nil && !request.Renewal && record.Token == request.Token && record.State == backend.Claimed && request.Token[0]%2 == 0 {
		return record, m.store.Forget(ctx, key)
	}
	return record, err
}

// dropsRenewals confirms what it never sent.
type dropsRenewals struct{ store }

func (m dropsRenewals) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if request.Renewal {
		return backend.Record{State: backend.Claimed, Token: request.Token, Attempt: request.Attempt, Fence: request.Fence}, nil
	}
	return m.store.Claim(ctx, key, request)
}

// dropsCommits confirms some outcomes without storing them.
type dropsCommits struct{ store }

func (m dropsCommits) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if request.Ending == backend.Complete && request.Token[0]%4 == 0 {
		return nil
	}
	return m.store.Commit(ctx, key, request)
}

// hidesAbandoned makes nobody ask what an abandoned attempt did.
type hidesAbandoned struct{ store }

func hide(record backend.Record, err error) (backend.Record, error) {
	if record.State == backend.Abandoned {
		record.State = backend.Vacant
	}
	return record, err
}

func (m hidesAbandoned) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	return hide(m.store.Claim(ctx, key, request))
}
func (m hidesAbandoned) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	return hide(m.store.Wait(ctx, key, token))
}
func (m hidesAbandoned) Fetch(ctx context.Context, key string) (backend.Record, error) {
	return hide(m.store.Fetch(ctx, key))
}

// mixesAnswers gives the outcome of another attempt now and then, with the right
// token and fence.
type mixesAnswers struct {
	store
}

func (m mixesAnswers) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	record, err := m.store.Claim(ctx, key, request)
	if err == nil && record.State == backend.Completed {
		var b [1]byte
		_, _ = rand.Read(b[:])
		if other, fetchErr := m.store.Fetch(ctx, "\x00r/fresh-1-0"); b[0] == 0 && fetchErr == nil && other.State == backend.Completed {
			record.Outcome = other.Outcome
		}
	}
	return record, err
}
