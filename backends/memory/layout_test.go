package memory

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/reprise-go/reprise/backend"
)

func TestRecordFillsItsSizeClass(t *testing.T) {
	if size := unsafe.Sizeof(record{}); unsafe.Sizeof(uintptr(0)) == 8 && size != 208 {
		t.Errorf("a record has %d bytes, want 208, the size class that inlineText is chosen for", size)
	}
}

func TestBucketsEndSoonAfterTheirRecords(t *testing.T) {
	for range 1_000_000 {
		now := rand.Int64N(int64(backend.MaxDuration))
		left := rand.Int64N(2 * int64(backend.MaxDuration) >> rand.IntN(60))
		end := bucketEnd(now+left, now)
		if late := end - (now + left); late <= 0 || late > max(1<<minWidth, left/32) {
			t.Fatalf("what is kept for %d ns from %d on is given back %d ns late", left, now, late)
		}
	}
}
