package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(tb testing.TB, options Options) (*Store, string) {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "records.db")
	return openStore(tb, file, options), file
}

func openStore(tb testing.TB, file string, options Options) *Store {
	tb.Helper()
	store, err := Open(file, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

// openRaw opens the file without this package.
func openRaw(tb testing.TB, file string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", file+"?_txlock=immediate&_busy_timeout=5000")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func claimOf(token byte) backend.ClaimRequest {
	return backend.ClaimRequest{Token: backend.Token{token}, Lease: time.Hour, Keep: time.Hour}
}

func completeOf(token byte, outcome string) backend.CommitRequest {
	return backend.CommitRequest{Token: backend.Token{token}, Ending: backend.Complete, Outcome: []byte(outcome), Retention: time.Hour}
}

func hold(tb testing.TB, store backend.Backend, key string, token byte) {
	tb.Helper()
	record, err := store.Claim(tb.Context(), key, claimOf(token))
	if err != nil || record.State != backend.Claimed || record.Token != (backend.Token{token}) {
		tb.Fatalf("not claimed: %+v, %v", record, err)
	}
}

func complete(tb testing.TB, store backend.Backend, key string, token byte, outcome string) {
	tb.Helper()
	if err := store.Commit(tb.Context(), key, completeOf(token, outcome)); err != nil {
		tb.Fatal(err)
	}
}

func TestOpenNamesABadOption(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.db")
	for field, options := range map[string]Options{
		"PollInterval": {PollInterval: -1},
		"LockTimeout":  {LockTimeout: time.Hour},
	} {
		if _, err := Open(file, options); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v doesn't name %s", err, field)
		}
	}
	for _, file := range []string{"", ":memory:"} {
		if _, err := Open(file, Options{}); err == nil {
			t.Errorf("%q was opened", file)
		}
	}
}

func TestOpenRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Run("a table of that name", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "records.db")
		if _, err := openRaw(t, file).Exec(`CREATE TABLE reprise_records (forget_at INTEGER, song TEXT)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file, Options{}); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("error %v is no ErrCorrupt", err)
		}
	})
	t.Run("a file that is no database", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "records.db")
		if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file, Options{}); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("error %v is no ErrCorrupt", err)
		}
	})
	t.Run("a folder that isn't there", func(t *testing.T) {
		if _, err := Open(filepath.Join(t.TempDir(), "nowhere", "records.db"), Options{}); !errors.Is(err, backend.ErrPermanent) {
			t.Errorf("error %v is no ErrPermanent", err)
		}
	})
}

func TestAFileMayHaveAnyName(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"a?mode=ro", "100%41", "with space#1", "ключ"} {
		hold(t, openStore(t, filepath.Join(folder, name), Options{}), "key", 1)
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestManyOpenANewFileAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.db")
	var done sync.WaitGroup
	for range 16 {
		done.Go(func() {
			store, err := Open(file, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			store.Close()
		})
	}
	done.Wait()
}

// Everybody else's transaction is a lock here, as that of a process that was
// stopped in the middle of one.
func TestWhileAnotherHoldsTheLock(t *testing.T) {
	store, file := newStore(t, Options{LockTimeout: 100 * time.Millisecond})
	hold(t, store, "held", 1)
	hold(t, store, "done", 1)
	complete(t, store, "done", 1, "answer")
	tx, err := openRaw(t, file).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()

	t.Run("what changes something is not applied", func(t *testing.T) {
		_, err := store.Claim(t.Context(), "new", claimOf(2))
		if !errors.Is(err, backend.ErrNotApplied) || !busy(err) {
			t.Errorf("claim: %v", err)
		}
		if err := store.Commit(t.Context(), "held", completeOf(1, "answer")); !errors.Is(err, backend.ErrNotApplied) {
			t.Errorf("commit: %v", err)
		}
	})
	t.Run("the ctx ends the waiting for it", func(t *testing.T) {
		patient := openStore(t, file, Options{LockTimeout: time.Minute}) // which needs no lock either
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := patient.Claim(ctx, "new", claimOf(2)); !errors.Is(err, context.Canceled) {
			t.Errorf("claim: %v", err)
		}
	})
	t.Run("what changes nothing goes on", func(t *testing.T) {
		if record, err := store.Claim(t.Context(), "done", claimOf(2)); err != nil || string(record.Outcome) != "answer" {
			t.Errorf("replay: %+v, %v", record, err)
		}
		if record, err := store.Claim(t.Context(), "held", claimOf(2)); err != nil || record.Token != (backend.Token{1}) {
			t.Errorf("lost claim: %+v, %v", record, err)
		}
		if err := store.Commit(t.Context(), "held", completeOf(2, "other")); !errors.Is(err, backend.ErrSuperseded) {
			t.Errorf("commit of another: %v", err)
		}
		if record, err := store.Fetch(t.Context(), "held"); err != nil || record.State != backend.Claimed {
			t.Errorf("fetch: %+v, %v", record, err)
		}
	})
}

// A COMMIT whose outcome nobody knows is none of the contract's errors, and its
// repetition finds out.
func TestACommitOfUnknownOutcome(t *testing.T) {
	g := newGate()
	store := openGated(t, g, filepath.Join(t.TempDir(), "records.db"))
	g.lose.Store(true)
	_, err := store.Claim(t.Context(), "key", claimOf(1))
	if !errors.Is(err, errLost) {
		t.Fatalf("claim: %v", err)
	}
	for _, kind := range []error{backend.ErrNotApplied, backend.ErrPermanent, backend.ErrClosed, backend.ErrCorrupt, backend.ErrSuperseded} {
		if errors.Is(err, kind) {
			t.Errorf("a claim that was applied is called %v", kind)
		}
	}
	hold(t, store, "key", 1)
	g.lose.Store(true)
	if err := store.Commit(t.Context(), "key", completeOf(1, "answer")); !errors.Is(err, errLost) {
		t.Fatalf("commit: %v", err)
	}
	complete(t, store, "key", 1, "answer")
	if record, err := store.Fetch(t.Context(), "key"); err != nil || record.Attempt != 1 || string(record.Outcome) != "answer" {
		t.Errorf("%+v, %v", record, err)
	}
}

func TestABrokenRowIsNoRecord(t *testing.T) {
	store, file := newStore(t, Options{})
	raw := openRaw(t, file)
	for i, broken := range []string{"format = 0", "state = 'on holiday'", "token = x'00'", "attempt = -1", "attempt = 4294967296", "fence = 0", "fence = -1"} {
		key := fmt.Sprint("key-", i)
		hold(t, store, key, 1)
		if _, err := raw.Exec("UPDATE reprise_records SET "+broken+" WHERE key = ?", []byte(key)); err != nil {
			t.Fatal(err)
		}
		if record, err := store.Fetch(t.Context(), key); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", broken, record, err)
		}
		if record, err := store.Claim(t.Context(), key, claimOf(2)); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", broken, record, err)
		}
	}
}

func TestForgottenRowsAreSwept(t *testing.T) {
	store, file := newStore(t, Options{})
	short := claimOf(1)
	short.Lease, short.Keep = time.Millisecond, time.Millisecond
	const keys = 200
	for i := range keys {
		if _, err := store.Claim(t.Context(), fmt.Sprint("key-", i), short); err != nil {
			t.Fatal(err)
		}
	}
	rows := 0
	for i := range keys { // each writing takes some of them along
		hold(t, store, fmt.Sprint("later-", i), 1)
		if err := store.Forget(t.Context(), fmt.Sprint("later-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := openRaw(t, file).QueryRow(`SELECT count(*) FROM reprise_records`).Scan(&rows); err != nil || rows > 4 {
		t.Errorf("%d rows are left of %d that are forgotten, %v", rows, keys, err)
	}
}
