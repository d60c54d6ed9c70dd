package rivals

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkRival has the names Rival/NAME/SCENARIO/c=N. The scenarios are
//
//	fresh, replay             against two SETs, or one GET, of the same client
//	local-fresh, local-replay what works in one process, against singleflight
//	message, duplicate        the same for messages, whose senders get no answer
//	http-fresh, http-replay   a POST over loopback, against the bare server
//	wait, wait-across,        N callers at once of an action of 50 ms: last-ms is
//	http-wait                 how long after its end the last one has its answer,
//	                          in one process and in two; cmds/op and rtt/op are
//	                          those of all callers together
func BenchmarkRival(b *testing.B) {
	for _, rival := range All {
		b.Run(rival.Name, func(b *testing.B) {
			if rival.Client == "" {
				benchmarkLocal(b, rival)
			} else {
				benchmarkShared(b, rival)
			}
		})
	}
	for _, middleware := range Middlewares {
		b.Run(middleware.Name, func(b *testing.B) { benchmarkHTTP(b, middleware) })
	}
}

// benchmarkShared is a rival on a server of its own.
func benchmarkShared(b *testing.B, rival Rival) {
	server, tap := redistest.Start(b), new(measure.Tap)
	do, floor := rival.Open(b, server.Addr(), nil), raw(b, rival.Client, server.Addr())
	onTap := rival.Open(b, server.Addr(), tap.Dial)
	b.Run("fresh", func(b *testing.B) {
		atEach(b, []int{1, 16, clients.MaxGoroutines}, server, func(b *testing.B, c int) {
			tapped := fresh(onTap)
			count(b, fresh(do), &tapped, tap)
			measure.Against(b, measure.Options{Goroutines: c, Between: func() { empty(b, server) }}, fresh(do),
				repeat("floor", func(ctx context.Context, _ int) error {
					key := nextKey()
					if err := floor.Set(ctx, key, string(payload)); err != nil {
						return err
					}
					return floor.Set(ctx, key, string(payload))
				}))
		})
	})
	b.Run("replay", func(b *testing.B) {
		atEach(b, []int{1, 16, clients.MaxGoroutines}, server, func(b *testing.B, c int) {
			key := nextKey()
			if err := floor.Set(b.Context(), key, string(payload)); err != nil {
				b.Fatal(err)
			}
			call, tapped := replay(b, do, c), replay(b, onTap, 1)
			count(b, call, &tapped, tap)
			measure.Against(b, measure.Options{Goroutines: c}, call, repeat("floor", func(ctx context.Context, _ int) error {
				n, err := floor.Get(ctx, key)
				if err == nil && n != len(payload) {
					return errReply
				}
				return err
			}))
		})
	})
	b.Run("wait", func(b *testing.B) { benchmarkWait(b, []Do{do}, []Do{onTap}, tap) })
	if rival.Across {
		b.Run("wait-across", func(b *testing.B) {
			benchmarkWait(b, []Do{do, rival.Open(b, server.Addr(), nil)}, []Do{onTap, rival.Open(b, server.Addr(), tap.Dial)}, tap)
		})
	}
}

// benchmarkLocal is a rival in one process. Its floor is singleflight, which
// remembers nothing.
func benchmarkLocal(b *testing.B, rival Rival) {
	do, floor := rival.Open(b, "", nil), Singleflight.Open(b, "", nil)
	names := [2]string{"local-fresh", "local-replay"}
	if rival.Remembers && !rival.Keeps {
		names = [2]string{"message", "duplicate"}
	}
	run := func(b *testing.B, c int, call measure.Contender) {
		count(b, call, nil, nil)
		measure.Against(b, measure.Options{Goroutines: c}, call, renamed(fresh(floor), "floor"))
	}
	call := fresh
	if !rival.Keeps {
		call = sent
	}
	b.Run(names[0], func(b *testing.B) {
		atEach(b, []int{1, 16}, nil, func(b *testing.B, c int) { run(b, c, call(do)) })
	})
	if rival.Remembers {
		b.Run(names[1], func(b *testing.B) {
			atEach(b, []int{1, 16}, nil, func(b *testing.B, c int) {
				if rival.Keeps {
					run(b, c, replay(b, do, c))
				} else {
					run(b, c, duplicate(b, do, c))
				}
			})
		})
	}
	if rival.Waits {
		b.Run("wait", func(b *testing.B) { benchmarkWait(b, []Do{do}, nil, nil) })
	}
}

func renamed(contender measure.Contender, name string) measure.Contender {
	contender.Name = name
	return contender
}

// fresh are calls that run the action, and get its answer.
func fresh(do Do) measure.Contender {
	return repeat("call", func(ctx context.Context, _ int) error {
		value, err := do(ctx, nextKey(), answer)
		if err == nil && len(value) != len(payload) {
			return errReply
		}
		return err
	})
}

// sent are calls that run the action, and get nothing.
func sent(do Do) measure.Contender {
	return repeat("call", func(ctx context.Context, _ int) error {
		_, err := do(ctx, nextKey(), answer)
		return err
	})
}

// completed are keys whose action has run, one for each goroutine: calls of one
// key would wait for each other. The first replays fill the caches in the
// clients, where there are some.
func completed(tb testing.TB, do Do, goroutines int) []string {
	tb.Helper()
	all := make([]string, goroutines)
	for g := range all {
		all[g] = nextKey()
		for range 4 {
			if _, err := do(tb.Context(), all[g], answer); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return all
}

// replay are calls that get the answer of an earlier one.
func replay(tb testing.TB, do Do, goroutines int) measure.Contender {
	tb.Helper()
	keys := completed(tb, do, goroutines)
	return repeat("call", func(ctx context.Context, g int) error {
		value, err := do(ctx, keys[g], notAgain)
		if err == nil && len(value) != len(payload) {
			return errReply
		}
		return err
	})
}

// duplicate are messages that were handled before.
func duplicate(tb testing.TB, do Do, goroutines int) measure.Contender {
	tb.Helper()
	keys := completed(tb, do, goroutines)
	return repeat("call", func(ctx context.Context, g int) error {
		_, err := do(ctx, keys[g], notAgain)
		return err
	})
}
