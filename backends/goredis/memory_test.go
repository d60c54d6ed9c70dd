package goredis_test

import (
	"fmt"
	"strings"
	"testing"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redistest"
)

// What a completed record costs the server: a storage key of 25 bytes, metadata
// of 8 and an outcome of 130 (128 of payload and its envelope).
func TestMemoryPerRecord(t *testing.T) {
	server := redistest.Start(t)
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	used := func() (n int64) {
		info := server.Do(t, "INFO", "memory").(string)
		_, rest, _ := strings.Cut(info, "used_memory:")
		if _, err := fmt.Sscan(rest, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	outcome := strings.Repeat("x", 130)
	tok := token()
	take(t, store, "warm", tok)
	complete(t, store, "warm", tok, outcome)
	const n = 16_000 // a little less than a power of two: the table is full
	before := used()
	for i := range n {
		key := fmt.Sprintf("\x08payments%016d", i)
		tok := token()
		take(t, store, key, tok)
		complete(t, store, key, tok, outcome)
	}
	perRecord := float64(used()-before) / n
	t.Logf("%.0f bytes per record", perRecord)
	if perRecord > 345 {
		t.Errorf("%.0f bytes per record, want at most 345", perRecord)
	}
	name := record(t, "", fmt.Sprintf("\x08payments%016d", 0))
	t.Logf("MEMORY USAGE %v, value of %v bytes", server.Do(t, "MEMORY", "USAGE", name), server.Do(t, "STRLEN", name))
}
