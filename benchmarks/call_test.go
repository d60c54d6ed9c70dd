package benchmarks

import (
	"context"
	"errors"
	"testing"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
)

var errReply = errors.New("not the reply that was expected")

// BenchmarkFloor is what the client can do at best.
func BenchmarkFloor(b *testing.B) {
	for _, client := range clients.Distinct() {
		b.Run(client.Name, func(b *testing.B) {
			r := newRig(b, client)
			for _, what := range []string{"set", "2set", "get"} {
				b.Run(what, func(b *testing.B) {
					for _, size := range upTo(sizes...) {
						b.Run(sizeName(size), func(b *testing.B) {
							atEach(b, r, false, func(b *testing.B, c int) {
								contender := r.floor(b, what, payloadOf(size))
								options := measure.Options{Goroutines: c}
								if what != "get" {
									options.Between = func() { r.empty(b) }
								}
								measure.Against(b, options, contender)
							})
						})
					}
				})
			}
		})
	}
}

// floor is a contender on the client as it comes.
func (r *rig) floor(tb testing.TB, what string, payload []byte) measure.Contender {
	value := string(payload)
	switch what {
	case "set":
		return repeat("floor", func(ctx context.Context) error { return r.raw.Set(ctx, nextKey('s'), value) })
	case "2set":
		return repeat("floor", func(ctx context.Context) error {
			key := nextKey('s')
			if err := r.raw.Set(ctx, key, value); err != nil {
				return err
			}
			return r.raw.Set(ctx, key, value)
		})
	}
	key := nextKey('g')
	if err := r.raw.Set(tb.Context(), key, value); err != nil {
		tb.Fatal(err)
	}
	return repeat("floor", func(ctx context.Context) error {
		if n, err := r.raw.Get(ctx, key); err != nil {
			return err
		} else if n != len(value) {
			return errReply
		}
		return nil
	})
}

// BenchmarkBare is the protocol without this library: the same commands by the
// same client, in a loop.
func BenchmarkBare(b *testing.B) {
	for _, client := range clients.Distinct() {
		b.Run(client.Name, func(b *testing.B) {
			r := newRig(b, client)
			for _, what := range []string{"fresh", "replay"} {
				b.Run(what, func(b *testing.B) {
					for _, size := range upTo(sizes...) {
						b.Run(sizeName(size), func(b *testing.B) {
							atEach(b, r, false, func(b *testing.B, c int) {
								against := r.against(b, what, payloadOf(size), c)
								measure.Against(b, against.options(c), against.bare, against.floor)
							})
						})
					}
				})
			}
		})
	}
}

// BenchmarkCall is a call of an executor: fresh runs the action, replay gets its
// answer from the server, hot from the cache in the client.
func BenchmarkCall(b *testing.B) {
	for _, client := range clients.All {
		b.Run(client.Name, func(b *testing.B) {
			r := newRig(b, client)
			for _, what := range []string{"fresh", "replay", "hot"} {
				if what == "hot" && !client.Caches || what == "replay" && client.Caches {
					continue // where there is a cache, a replay is hot
				}
				b.Run(what, func(b *testing.B) {
					for _, size := range sizes {
						b.Run(sizeName(size), func(b *testing.B) {
							atEach(b, r, size == 128, func(b *testing.B, c int) {
								against := r.against(b, what, payloadOf(size), c)
								against.count(b)
								measure.Against(b, against.options(c), against.call(r.x), against.floor, against.bare)
								b.ReportMetric(against.connections(b, c), "conns")
							})
						})
					}
				})
			}
		})
	}
}

// against is a call, its bare protocol and its floor.
type against struct {
	rig         *rig
	call        func(x *idempotency.Executor) measure.Contender
	bare, floor measure.Contender
	between     func()
}

func (a *against) options(goroutines int) measure.Options {
	return measure.Options{Goroutines: goroutines, Between: a.between}
}

func (r *rig) against(tb testing.TB, what string, payload []byte, goroutines int) *against {
	tb.Helper()
	a := &against{rig: r}
	action, key := answer(payload), func(int) string { return nextKey('f') }
	completed := make([]string, goroutines) // one each: calls of one key would join
	if what != "fresh" {
		for g := range completed {
			completed[g] = nextKey('r')
			if _, err := idempotency.Run(tb.Context(), r.x, completed[g], action); err != nil {
				tb.Fatal(err)
			}
		}
		action, key = notAgain, func(goroutine int) string { return completed[goroutine] }
	}
	a.call = func(x *idempotency.Executor) measure.Contender {
		return repeatBy("call", func(ctx context.Context, goroutine int) error {
			value, err := idempotency.Run(ctx, x, key(goroutine), action)
			if err == nil && len(value) != len(payload) {
				return errReply
			}
			return err
		})
	}
	if what == "fresh" {
		a.floor = r.floor(tb, "2set", payload)
		protocol := r.fresh(tb, payload)
		a.bare = repeat("bare", func(ctx context.Context) error { return protocol.Send(ctx, r.bare, nextKey('b')) })
		a.between = func() { r.empty(tb) }
		return a
	}
	a.floor = r.floor(tb, "get", payload)
	protocol := r.replay(tb, completed[0])
	a.bare = repeat("bare", func(ctx context.Context) error {
		n, err := protocol.Replay(ctx, r.bare)
		if err == nil && n < len(payload) {
			return errReply
		}
		return err
	})
	// From the third replay on a cache answers, where there is one.
	for _, x := range []*idempotency.Executor{r.x, r.onTap} {
		for g := range completed {
			if err := a.call(x).Run(tb.Context(), g, 3); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return a
}

// count reports commands and round trips of a call of one goroutine, and what it
// allocates, also over the bare protocol.
func (a *against) count(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	n := 50
	if measure.PlanOf().Smoke() {
		n = 5
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	a.rig.tap.Take()
	if err := a.call(a.rig.onTap).Run(ctx, 0, n); err != nil {
		b.Fatal(err)
	}
	commands, trips := a.rig.tap.Count()
	allocs := func(contender measure.Contender) (count, bytes float64) {
		return measure.Allocs(n, func() {
			if err := contender.Run(ctx, 0, 1); err != nil {
				b.Fatal(err)
			}
		})
	}
	count, bytes := allocs(a.call(a.rig.x))
	bare, _ := allocs(a.bare)
	b.ReportMetric(float64(commands)/float64(n), "cmds/op")
	b.ReportMetric(float64(trips)/float64(n), "rtt/op")
	b.ReportMetric(count, "allocs/op")
	b.ReportMetric(bytes, "B/op")
	b.ReportMetric(count-bare, "allocs-over-bare")
}

// connections is how many a client opens that so many goroutines use at once.
func (a *against) connections(b *testing.B, goroutines int) float64 {
	b.Helper()
	tap := new(measure.Tap)
	x := newExecutor(b, a.rig.client.Open(b, a.rig.server.Addr(), tap.Dial), idempotency.Options{})
	plan := measure.Plan{Slices: 1, Blocks: 1, Ops: 4 * goroutines}
	if _, err := measure.Compare(b.Context(), plan, a.options(goroutines), a.call(x)); err != nil {
		b.Fatal(err)
	}
	return float64(tap.Conns())
}
