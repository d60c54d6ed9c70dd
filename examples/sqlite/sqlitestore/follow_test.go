package sqlitestore

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// until waits until it holds.
func until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("still not true: %s", what)
		}
	}
}

func (ws *waiters) count() (waiting int, following bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, waiters := range ws.byKey {
		waiting += len(waiters)
	}
	return waiting, ws.cancel != nil
}

// waitInBackground waits for the first holder of each key.
func waitInBackground(ctx context.Context, t *testing.T, store *Store, keys, each int) *sync.WaitGroup {
	var done sync.WaitGroup
	for i := range keys * each {
		done.Go(func() {
			record, err := store.Wait(ctx, fmt.Sprint("key-", i%keys), backend.Token{1})
			if ctx.Err() == nil && (err != nil || record.State != backend.Completed) {
				t.Errorf("woken with %+v, %v", record, err)
			}
		})
	}
	until(t, "all wait", func() bool { n, _ := store.waiters.count(); return n == keys*each })
	return &done
}

func TestItFollowsOnlyWhileSomebodyWaits(t *testing.T) {
	g := newGate()
	file := filepath.Join(t.TempDir(), "records.db")
	store, other := openGated(t, g, file), openGated(t, newGate(), file)
	const keys = 20
	for i := range keys {
		hold(t, store, fmt.Sprint("key-", i), 1)
	}
	if _, following := store.waiters.count(); following {
		t.Error("it follows though nobody waits")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // less than backend.MaxSleep
	defer cancel()
	done := waitInBackground(ctx, t, store, keys, 10)
	for i := range keys {
		complete(t, other, fmt.Sprint("key-", i), 1, "answer")
	}
	done.Wait()
	if ctx.Err() != nil {
		t.Error("somebody wasn't woken")
	}
	if waiting, following := store.waiters.count(); waiting > 0 || following {
		t.Errorf("%d are still registered, following: %v", waiting, following)
	}
	until(t, "the connection is back", func() bool { return store.reader.Stats().InUse == 0 })
	if n := g.opened.Load(); n > readers+1 {
		t.Errorf("200 waiters opened %d connections", n)
	}
}

// More is logged between two questions than the log holds.
func TestWhoIsBehindTheLogLooksAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.db")
	store, other := openStore(t, file, Options{PollInterval: time.Second}), openStore(t, file, Options{})
	hold(t, store, "key-0", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	done := waitInBackground(ctx, t, store, 1, 1)
	until(t, "it follows", func() bool { return store.reader.Stats().InUse == 1 })
	complete(t, other, "key-0", 1, "answer")
	tx, err := openRaw(t, file).Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`DELETE FROM reprise_wakeups; INSERT INTO reprise_wakeups (key) VALUES (x'00')`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	if ctx.Err() != nil {
		t.Error("it slept on")
	}
}

func TestTheLogStaysShort(t *testing.T) {
	store, file := newStore(t, Options{})
	raw := openRaw(t, file)
	if _, err := raw.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
		INSERT INTO reprise_wakeups (key) SELECT x'00' FROM n`); err != nil {
		t.Fatal(err)
	}
	if err := store.Forget(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	var logged int
	if err := raw.QueryRow(`SELECT count(*) FROM reprise_wakeups`).Scan(&logged); err != nil || logged != 1000 {
		t.Errorf("%d are logged, %v", logged, err)
	}
}
