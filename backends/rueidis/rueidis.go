package rueidis

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/hub"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

const (
	// DefaultCacheKeys is how many keys a Backend asks the client-side cache for
	// where Options.CacheKeys is zero.
	DefaultCacheKeys = 16 << 10
	// MaxCacheKeys is the greatest Options.CacheKeys.
	MaxCacheKeys = 16 << 20
)

// Options are the parameters of [New] and [NewFromClient]. The zero value is
// ready to use.
type Options struct {
	// Prefix begins the name of every key and channel. All programs that share
	// records must agree on it, whatever client they use. At most 64 bytes,
	// without braces. Empty: "reprise:".
	Prefix string
	// CacheKeys is for how many completed keys, at most, replays are asked of
	// rueidis' client-side cache: those that were seen completed last. Each
	// costs about 300 bytes and twice the length of its key; the outcomes
	// themselves are in rueidis' cache and bounded by
	// ClientOption.CacheSizeEachConn. Zero: [DefaultCacheKeys]. Negative or above
	// [MaxCacheKeys]: an error.
	CacheKeys int
	// NoCache: every replay asks the server.
	NoCache bool
}

// Backend keeps records in Redis through a rueidis client. It implements
// backend.Backend, backend.Forgetter and io.Closer and is safe for concurrent
// use.
type Backend struct {
	layout wire.Layout
	line   *line
	hub    *hub.Hub
	seen   *sightings // nil without cache
	owned  bool       // the client is closed with the backend
	closed atomic.Bool
	loaded loaded
	hits   atomic.Uint64 // see CacheHits
	about  atomic.Pointer[server]
	last   atomic.Pointer[decimal]
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Forgetter = (*Backend)(nil)
	_ io.Closer         = (*Backend)(nil)
)

// New makes a client of its own from the option, connects it, and makes a
// Backend that closes it with [Backend.Close]. It fails where the client can't
// connect, within ClientOption.Dialer.Timeout.
//
// The option is the app's, with these exceptions. OnInvalidations is chained:
// the app's is called for every invalidation. AlwaysPipelining is switched on,
// for only a pipelining connection lets go of a call whose ctx was cancelled.
// DisableRetry is switched on, for the executor repeats what may be repeated.
// ReplicaOnly is an error. The client-side cache isn't used with DisableCache,
// and where ClientTrackingOptions track some prefixes only.
func New(client rueidislib.ClientOption, options Options) (*Backend, error) {
	if client.ReplicaOnly {
		return nil, refuse("ClientOption.ReplicaOnly is true, but records are written")
	}
	layout, err := options.check()
	if err != nil {
		return nil, err
	}
	options.NoCache = options.NoCache || client.DisableCache || tracksPrefixes(client.ClientTrackingOptions)

	var l atomic.Pointer[line]
	client.AlwaysPipelining = true
	client.DisableAutoPipelining = false
	client.DisableRetry = true
	client.OnInvalidations = chain(client.OnInvalidations, func() {
		if l := l.Load(); l != nil {
			l.lost()
		}
	})
	made, err := rueidislib.NewClient(client)
	if err != nil {
		return nil, connectError(err)
	}
	own := newLine(made, false)
	if made.Mode() != rueidislib.ClientModeCluster {
		own.proven = provenBy(client.PipelineMultiplex)
	}
	l.Store(own)
	b := newBackend(layout, own, options)
	b.owned = true
	return b, nil
}

// NewFromClient makes a Backend on the app's own client, which it neither
// closes nor configures. Nothing is sent before the first call.
//
// The client must send writes to masters, and its CLIENT TRACKING, unless it
// has DisableCache, must cover the keys of the Backend: with BCAST and PREFIX
// set Options.NoCache, or let one of the prefixes be Options.Prefix.
func NewFromClient(client rueidislib.Client, options Options) (*Backend, error) {
	if isNil(client) {
		return nil, refuse("the client is nil")
	}
	layout, err := options.check()
	if err != nil {
		return nil, err
	}
	return newBackend(layout, newLine(client, true), options), nil
}

func newBackend(layout wire.Layout, l *line, options Options) *Backend {
	b := &Backend{layout: layout, line: l}
	if !options.NoCache {
		b.seen = newSightings(options.CacheKeys)
	}
	b.hub = hub.New(b.observe, func(h *hub.Hub) hub.Subscriber { return newSubscriber(b, h) })
	return b
}

// check completes the options with their defaults.
func (o *Options) check() (wire.Layout, error) {
	layout, err := wire.NewLayout(o.Prefix)
	if err != nil {
		return layout, fmt.Errorf("rueidis: %w", err)
	}
	if o.CacheKeys < 0 || o.CacheKeys > MaxCacheKeys {
		return layout, refuse("Options.CacheKeys is %d, want 0 to %d", o.CacheKeys, MaxCacheKeys)
	}
	if o.CacheKeys == 0 {
		o.CacheKeys = DefaultCacheKeys
	}
	return layout, nil
}

// Close wakes everybody who waits with backend.ErrClosed, ends the Backend's
// subscriptions and, where New made the client, closes it. It returns soon also
// where the server is silent. Closing again does nothing.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	b.hub.Close()
	if b.owned {
		b.line.Client.Close()
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("rueidis: "+format+": %w", append(args, backend.ErrInvalid)...)
}

// tracksPrefixes tells whether the server would announce changes of some keys
// only.
func tracksPrefixes(tracking []string) bool {
	for _, option := range tracking {
		if strings.EqualFold(option, "PREFIX") {
			return true
		}
	}
	return false
}

// chain calls the app's callback, and lost when a connection was.
func chain(app func([]rueidislib.RedisMessage), lost func()) func([]rueidislib.RedisMessage) {
	return func(keys []rueidislib.RedisMessage) {
		if keys == nil {
			lost()
		}
		if app != nil {
			app(keys)
		}
	}
}

// connectError says which field mends what rueidis.NewClient complains of.
func connectError(err error) error {
	if errors.Is(err, rueidislib.ErrNoCache) {
		return fmt.Errorf("rueidis: the server has no CLIENT TRACKING or no RESP3, set ClientOption.DisableCache: %w", err)
	}
	return &wire.Error{Op: "rueidis: connect", Class: classify(err), Err: err}
}
