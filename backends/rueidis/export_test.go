package rueidis

import (
	"context"
	"time"
)

// Sightings is how many keys the client-side cache is asked for.
func Sightings(b *Backend) int { return b.seen.len() }

// Doubts tells whether the next call is one that may be left behind.
func Doubts(ctx context.Context, b *Backend) bool { return !b.line.trusted(ctx, b.line.now()) }

// Together has every call that can travel in company do so, however few there are,
// and whenever the last answer came.
func Together(b *Backend) {
	b.line.claims, b.line.scripts = 0, 0
	b.line.fresh = 24 * time.Hour
}
