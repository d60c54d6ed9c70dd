package rueidis

import (
	"context"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// cacheTTL is the longest that rueidis keeps a record without asking again.
const cacheTTL = time.Hour

// recollection is what the client-side cache said of a key.
type recollection uint8

const (
	// nothing: the claim must ask the server.
	nothing recollection = iota
	// doubtful: there is a record, but nobody knows for how long yet. The claim
	// must ask by script, which tells.
	doubtful
	// certain: the record is completed, and not over.
	certain
)

// recall asks the client-side cache for the record of a key that was seen
// completed. It believes completed frames alone: a completed record is final
// until it is over or forgotten, and the server announces the latter.
func (b *Backend) recall(ctx context.Context, key string) (backend.Record, recollection) {
	if b.seen == nil || b.seen.off.Load() {
		return backend.Record{}, nothing
	}
	s := b.seen.find(key)
	if s == nil {
		return backend.Record{}, nothing
	}
	asked := b.line.now()
	result := b.line.recall(ctx, s.command, cacheTTL, s.until.Load() != 0)
	message, err := result.ToMessage()
	if err != nil {
		b.disappointed(s, err)
		return backend.Record{}, nothing
	}
	frame, err := message.ToString()
	if err != nil {
		return backend.Record{}, nothing
	}
	record, _, err := wire.Decode(frame)
	if err != nil || record.State != backend.Completed {
		b.seen.drop(key)
		return backend.Record{}, nothing
	}
	if message.IsCacheHit() {
		switch {
		case record.Token != s.token:
			// The server's announcement that this one is over is still under way.
			return backend.Record{}, nothing
		case int64(asked) >= s.until.Load():
			return backend.Record{}, doubtful
		}
		b.hits.Add(1)
		return record, certain
	}
	// This is the server's answer of now.
	left := message.CachePTTL()
	if left < 0 {
		b.seen.off.Store(true) // the client has no cache
		return record, certain
	}
	b.sighted(key, record.Token).lasts(asked, time.Duration(left)*time.Millisecond)
	return record, certain
}

// CacheHits is how many claims were answered from the client-side cache, without
// asking the server. Package tracing exports it.
func (b *Backend) CacheHits() uint64 { return b.hits.Load() }

// disappointed draws the conclusions from an error of the cache. It is never an
// answer: the claim asks the server.
func (b *Backend) disappointed(s *sighting, err error) {
	switch {
	case rueidislib.IsRedisNil(err):
		b.seen.drop(s.key)
	case classify(err) == backend.ErrPermanent:
		b.seen.off.Store(true) // may not GET
	}
}

// sighted notes that a claim's reply was a completed record.
func (b *Backend) sighted(key string, token backend.Token) *sighting {
	return b.seen.add(key, token, func() rueidislib.Cacheable {
		// Not Get().Cache(): that is marked as read-only, which an app's client
		// may send to replicas.
		name := b.layout.Record(key)
		return rueidislib.Cacheable(b.line.B().Arbitrary("GET").Keys(name).Build().Pin())
	})
}
