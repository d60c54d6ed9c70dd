package rueidis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// together has what open and fromClient return send everything in company.
var together bool

// What calls send, and what they make of all that can go wrong, is the same where
// they travel in company.
func TestTogether(t *testing.T) {
	together = true
	defer func() { together = false }()
	for name, test := range map[string]func(*testing.T){
		"Authentication":        TestAuthentication,
		"Commands":              TestCommands,
		"Conformance":           TestConformance,
		"FlushedScripts":        TestFlushedScripts,
		"LeastPermissions":      TestLeastPermissions,
		"LostReplies":           TestLostReplies,
		"OutOfMemory":           TestOutOfMemory,
		"ReadOnlyServer":        TestReadOnlyServer,
		"RestartedServer":       TestRestartedServer,
		"SilentServer":          TestSilentServer,
		"SilentServerManyCalls": TestSilentServerManyCalls,
	} {
		t.Run(name, test)
	}
}

// A crowd travels in company, and every key has one owner and its own answer.
func TestCrowd(t *testing.T) {
	both(t, redistest.Start(t), func(t *testing.T, connect func() *rueidis.Backend) {
		store := connect()
		complete(t, store, "warm", "")
		const callers, keys, rounds = 200, 150, 20
		owners := make([][keys]atomic.Int64, rounds)
		var calls sync.WaitGroup
		for caller := range callers {
			calls.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for round := range rounds {
					n := caller % keys
					key, tok := fmt.Sprint(round, " ", n), token()
					record, err := store.Claim(ctx, key, taking(tok))
					if err != nil {
						t.Error(err)
						return
					}
					switch {
					case record.State == backend.Claimed && record.Token == tok:
						owners[round][n].Add(1)
						if err := store.Commit(ctx, key, completing(tok, "outcome of "+key)); err != nil {
							t.Error(err)
						}
					case record.State == backend.Completed:
						if string(record.Outcome) != "outcome of "+key {
							t.Errorf("%s: %q", key, record.Outcome)
						}
					}
				}
			})
		}
		calls.Wait()
		for round := range owners {
			for n := range owners[round] {
				if got := owners[round][n].Load(); got != 1 {
					t.Errorf("round %d, key %d: %d owners", round, n, got)
				}
			}
		}
	})
}
