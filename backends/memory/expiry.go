package memory

import (
	"math"
	"math/bits"
	"slices"
)

// expiry files records by when they are to be forgotten: in buckets that end at
// most 1/32 of the remaining time (and at least minWidth) after it, so that a
// few dozen buckets hold any number of records. A record whose time grows stays
// where it is and is filed anew when its bucket is swept; one whose time
// shrinks is moved at once, for nothing may be kept long after its time.
type expiry struct {
	buckets []*bucket // ascending by end
	last    *bucket   // one of buckets, the one used last; may be nil
}

// bucket is a list of records whose memory is given back when it ends.
type bucket struct {
	end   int64
	first *record
}

const (
	never = math.MaxInt64
	// minWidth is the binary logarithm of the narrowest bucket: 0.27 seconds.
	minWidth = 28
)

// bucketEnd is when memory that is needed until forgetAt is given back.
func bucketEnd(forgetAt, now int64) int64 {
	width := max(minWidth, bits.Len64(uint64(max(forgetAt-now, 0)))-6)
	return (forgetAt>>width + 1) << width
}

// file sets when the record is forgotten.
func (e *expiry) file(r *record, forgetAt, now int64) {
	r.forgetAt = forgetAt
	end := bucketEnd(forgetAt, now)
	if r.bucket != nil {
		if r.bucket.end <= end {
			return
		}
		e.unfile(r)
	}
	b := e.last
	if b == nil || b.end != end {
		b = e.at(end)
		e.last = b
	}
	r.bucket, r.next = b, b.first
	if b.first != nil {
		b.first.prev = r
	}
	b.first = r
}

// unfile takes the record out of its bucket.
func (e *expiry) unfile(r *record) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		r.bucket.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.bucket, r.prev, r.next = nil, nil, nil
}

// at returns the bucket that ends then, a new one if there is none.
func (e *expiry) at(end int64) *bucket {
	i, found := slices.BinarySearchFunc(e.buckets, end, func(b *bucket, end int64) int {
		switch {
		case b.end < end:
			return -1
		case b.end > end:
			return 1
		}
		return 0
	})
	if !found {
		e.buckets = slices.Insert(e.buckets, i, &bucket{end: end})
	}
	return e.buckets[i]
}

// earliest is the end of the first bucket, never where there is none.
func (e *expiry) earliest() int64 {
	if len(e.buckets) == 0 {
		return never
	}
	return e.buckets[0].end
}

// drop takes the first bucket out, which must be empty.
func (e *expiry) drop() {
	if e.last == e.buckets[0] {
		e.last = nil
	}
	e.buckets = slices.Delete(e.buckets, 0, 1)
}
