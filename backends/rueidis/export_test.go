package rueidis

import "context"

// Sightings is how many keys the client-side cache is asked for.
func Sightings(b *Backend) int { return b.seen.len() }

// Doubts tells whether the next call is one that may be left behind.
func Doubts(ctx context.Context, b *Backend) bool { return !b.line.trusted(ctx, b.line.now()) }
