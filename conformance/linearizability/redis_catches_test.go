package linearizability_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/linearizability"
	"github.com/reprise-go/reprise/internal/redistest"
)

// crooked is a backend on a real server with a bug in front of it.
type crooked struct {
	backend.Backend
	bug string
	// raw runs a command on what the server has under the key.
	raw func(key string, command func(name string) []string)

	cached sync.Map // key: cachedRecord
}

type cachedRecord struct {
	at     time.Time
	record backend.Record
}

func (c *crooked) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	switch {
	case c.bug == "Seen isn't compared" && !request.Renewal, c.bug == "a renewal is a claim" && request.Renewal:
		r, err := c.Backend.Fetch(ctx, key)
		if err != nil {
			return backend.Record{}, backend.ErrNotApplied
		}
		if r.Token != request.Token && r.State != backend.Claimed && !r.Unknown() {
			request.Renewal, request.Seen = false, r.Fence
		}
	case c.bug == "a claim is told what it asked for" && !request.Renewal && request.Seen == 0:
		r, err := c.Backend.Claim(ctx, key, request)
		if err == nil && r.State == backend.Claimed && r.Attempt == 1 {
			r.Token = request.Token
			r.LeaseLeft = 0
		}
		return r, err
	}
	return c.Backend.Claim(ctx, key, request)
}

func (c *crooked) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	switch c.bug {
	case "a commit's retry is superseded", "commits compare no token":
		r, err := c.Backend.Fetch(ctx, key)
		if err != nil {
			return backend.ErrNotApplied
		}
		if c.bug == "a commit's retry is superseded" && r.State == backend.Completed {
			return backend.ErrSuperseded
		}
		if c.bug == "commits compare no token" && r.State == backend.Claimed {
			request.Token = r.Token
		}
	}
	err := c.Backend.Commit(ctx, key, request)
	switch {
	case err != nil:
	case c.bug == "a release deletes" && request.Ending == backend.Release:
		c.raw(key, func(name string) []string { return []string{"DEL", name} })
	case c.bug == "the retention is set in a second step" && request.Ending == backend.Complete:
		c.raw(key, func(name string) []string { return []string{"PEXPIRE", name, "30"} })
	}
	return err
}

func (c *crooked) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if c.bug == "Fetch answers from a cache" {
		if found, ok := c.cached.Load(key); ok && time.Since(found.(cachedRecord).at) < 30*time.Millisecond {
			return found.(cachedRecord).record, nil
		}
	}
	r, err := c.Backend.Fetch(ctx, key)
	if err == nil {
		c.cached.Store(key, cachedRecord{time.Now(), r})
	}
	return r, err
}

// TestCheckerCatchesOnRedis has its bugs behind a network and a real server.
func TestCheckerCatchesOnRedis(t *testing.T) {
	addr := redistest.Address(t)
	for _, bug := range []string{
		"Seen isn't compared", "a renewal is a claim", "a claim is told what it asked for", "a commit's retry is superseded",
		"commits compare no token", "a release deletes", "the retention is set in a second step", "Fetch answers from a cache",
	} {
		t.Run(bug, func(t *testing.T) {
			t.Parallel()
			h, _ := behind(t, addr, true, func(tb testing.TB, through, prefix string) backend.Backend {
				return &crooked{
					Backend: onGoredis(-1)(tb, through, prefix), bug: bug,
					raw: func(key string, command func(name string) []string) {
						for _, name := range redistest.Do(tb, addr, "KEYS", prefix+"*").([]any) {
							if strings.HasSuffix(name.(string), key) {
								redistest.Do(tb, addr, command(name.(string))...)
							}
						}
					},
				}
			})
			began := time.Now()
			report, said := caught(t, h, linearizability.Options{Duration: time.Minute, Parallel: 16, Faults: linearizability.NoFaults})
			if said == "" {
				t.Fatalf("not caught: %v", report)
			}
			t.Logf("| %s, on Redis | %d | %d | | %v |", bug, report.Keys, report.Operations, time.Since(began).Round(time.Millisecond))
			if testing.Verbose() {
				t.Log(said)
			}
		})
	}
}
