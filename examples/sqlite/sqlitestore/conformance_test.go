package sqlitestore

import (
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, newHarness(newGate()))
}

// newHarness gives the suite all that it can use: no rule is skipped.
func newHarness(g *gate) conformance.Harness {
	var mu sync.Mutex
	files := make(map[string]bool) // of the stores that are open: several, for the rules run in parallel
	return conformance.Harness{
		Open: func(tb testing.TB) (connect func() backend.Backend) {
			file := filepath.Join(tb.TempDir(), "records.db")
			tb.Cleanup(func() {
				mu.Lock()
				defer mu.Unlock()
				delete(files, file)
			})
			return func() backend.Backend {
				store := openGated(tb, g, file)
				mu.Lock()
				defer mu.Unlock()
				files[file] = true
				return store
			}
		},
		Corrupt: func(tb testing.TB, key string) { // it isn't told which store is meant
			mu.Lock()
			defer mu.Unlock()
			for file := range files {
				corrupt(tb, file, key)
			}
		},
		Disconnect: func(testing.TB) { g.cut() },
		Silence:    func(testing.TB) (restore func()) { return g.silence() },
	}
}

func openGated(tb testing.TB, g *gate, file string) *Store {
	tb.Helper()
	store, err := open(file, Options{}, g.wrap)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

// corrupt makes the key's row one of a program to come.
func corrupt(tb testing.TB, file, key string) {
	tb.Helper()
	db, err := sql.Open("sqlite", file+"?_busy_timeout=5000")
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE reprise_records SET format = 2, outcome = x'6e6f742079657420696e76656e746564' WHERE key = ?`, []byte(key)); err != nil {
		tb.Fatal(err)
	}
}
