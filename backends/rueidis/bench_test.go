package rueidis_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// contender is one thing to measure; run does it n times, for one goroutine of
// many.
type contender struct {
	name string
	run  func(ctx context.Context, goroutine, n int)
}

// interleave runs the contenders in turn, in slices of 10 ms, and reports the
// time of each operation and the ratio of each throughput to the first's: the
// median of the ratios within blocks of ten slices. Only ratios mean anything on
// a machine that is shared.
func interleave(b *testing.B, goroutines int, contenders ...contender) {
	b.Helper()
	const slice, perBlock = 10 * time.Millisecond, 10
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	batch := make([]int, len(contenders))
	run := func(i int, d time.Duration) float64 {
		var group sync.WaitGroup
		counts := make([]int, goroutines)
		contenders[i].run(ctx, 0, 3) // it was idle while the others ran
		begun := time.Now()
		for g := range goroutines {
			group.Go(func() {
				for time.Since(begun) < d {
					contenders[i].run(ctx, g, batch[i])
					counts[g] += batch[i]
				}
			})
		}
		group.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		return float64(total) / time.Since(begun).Seconds()
	}
	for i := range contenders {
		batch[i] = 1
		batch[i] = max(1, int(run(i, 50*time.Millisecond)/float64(goroutines)/4000))
	}
	rates := make([][]float64, len(contenders))
	ratios := make([][]float64, len(contenders))
	b.ResetTimer()
	for b.Loop() {
		sums := make([]float64, len(contenders))
		for range perBlock {
			for i := range contenders {
				sums[i] += run(i, slice)
			}
		}
		for i := range contenders {
			rates[i] = append(rates[i], sums[i]/perBlock)
			ratios[i] = append(ratios[i], sums[i]/sums[0])
		}
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	b.ReportMetric(0, "ns/op")
	for i, c := range contenders {
		b.ReportMetric(1e9/median(rates[i]), c.name+"-ns")
		if i > 0 {
			b.ReportMetric(median(ratios[i]), c.name+"/"+contenders[0].name)
		}
	}
}

const benchLease, benchKeep = 30 * time.Second, time.Hour

func benchBackend(b *testing.B) (addr string, store *rueidis.Backend, bare rueidislib.Client) {
	server := redistest.Start(b)
	store = warm(b, open(b, option(server.Addr()), rueidis.Options{}))
	piped := option(server.Addr())
	piped.AlwaysPipelining = true
	return server.Addr(), store, client(b, piped)
}

// warm makes the backend trust its connections.
func warm(b *testing.B, store *rueidis.Backend) *rueidis.Backend {
	b.Helper()
	for range 5000 {
		if _, err := store.Fetch(b.Context(), "warm"); err != nil {
			b.Fatal(err)
		}
	}
	return store
}

func claims(b *testing.B, store backend.Backend, key string, want backend.State) {
	b.Helper()
	record, err := store.Claim(b.Context(), key, taking(token()))
	if err != nil || record.State != want {
		b.Fatalf("Claim: %v, %v", record.State, err)
	}
}

// BenchmarkHotReplay compares a replay from memory, and one by the server, with
// a GET.
func BenchmarkHotReplay(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		for _, c := range []int{1, 16, 128} {
			b.Run(strconv.Itoa(size)+"B/c="+strconv.Itoa(c), func(b *testing.B) {
				addr, store, bare := benchBackend(b)
				cold := warm(b, open(b, option(addr), rueidis.Options{NoCache: true}))
				outcome := strings.Repeat("x", size)
				request := taking(token())
				if _, err := store.Claim(b.Context(), "payments:payment-12345678", request); err != nil {
					b.Fatal(err)
				}
				if err := store.Commit(b.Context(), "payments:payment-12345678", completing(request.Token, outcome)); err != nil {
					b.Fatal(err)
				}
				for range 3 {
					claims(b, store, "payments:payment-12345678", backend.Completed)
				}
				replay := func(store backend.Backend) func(ctx context.Context, _, n int) {
					return func(ctx context.Context, _, n int) {
						for range n {
							record, err := store.Claim(ctx, "payments:payment-12345678", request)
							if err != nil || len(record.Outcome) != size {
								b.Errorf("Claim: %v, %v", record.State, err)
								return
							}
						}
					}
				}
				layout, _ := wire.NewLayout("")
				name := layout.Record("payments:payment-12345678")
				frame := string(wire.AppendClaim(nil, &request))
				interleave(b, c,
					contender{"get", func(ctx context.Context, _, n int) {
						for range n {
							if v, err := bare.Do(ctx, bare.B().Get().Key(name).Build()).ToString(); err != nil || len(v) < size {
								b.Errorf("GET: %v", err)
								return
							}
						}
					}},
					contender{"bare", func(ctx context.Context, _, n int) {
						for range n {
							px := time.Duration(wire.ClaimPX(&request)) * time.Millisecond
							v, err := bare.Do(ctx, bare.B().Set().Key(name).Value(frame).Nx().Get().Px(px).Build()).ToString()
							if err != nil || len(v) < size {
								b.Errorf("SET: %v", err)
								return
							}
						}
					}},
					contender{"replay", replay(cold)},
					contender{"hot", replay(store)},
				)
			})
		}
	}
}

// BenchmarkFresh compares claim and commit with two SETs, and with the bare
// commands that they send.
func BenchmarkFresh(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		for _, c := range []int{1, 16, 128} {
			b.Run(strconv.Itoa(size)+"B/c="+strconv.Itoa(c), func(b *testing.B) {
				_, store, bare := benchBackend(b)
				outcome := []byte(strings.Repeat("x", size))
				layout, _ := wire.NewLayout("")
				var next [3][128]int
				key := func(kind, g int) string {
					next[kind][g]++
					// A thousand keys each, for the memory of the server.
					return "payments:" + strconv.Itoa(kind) + "-" + strconv.Itoa(g) + "-" + strconv.Itoa(next[kind][g])
				}
				retention := 5 * time.Second
				script := func(text string) string {
					sum := sha1.Sum([]byte(text))
					return hex.EncodeToString(sum[:])
				}
				commit, large := script(wire.CommitScript), script(wire.CommitLargeScript)
				interleave(b, c,
					contender{"sets", func(ctx context.Context, g, n int) {
						for range n {
							name := layout.Record(key(0, g))
							for range 2 {
								value := rueidislib.BinaryString(outcome)
								if err := bare.Do(ctx, bare.B().Set().Key(name).Value(value).Px(retention).Build()).Error(); err != nil {
									b.Errorf("SET: %v", err)
									return
								}
							}
						}
					}},
					contender{"bare", func(ctx context.Context, g, n int) {
						for range n {
							k := key(1, g)
							name := layout.Record(k)
							claim := backend.ClaimRequest{Token: token(), Lease: benchLease, Keep: benchKeep, Fence: 1}
							end := backend.CommitRequest{Token: claim.Token, Ending: backend.Complete, Outcome: outcome, Retention: retention, LeaseHeld: true}
							frame := rueidislib.BinaryString(wire.AppendClaim(nil, &claim))
							px := time.Duration(wire.ClaimPX(&claim)) * time.Millisecond
							err := bare.Do(ctx, bare.B().Set().Key(name).Value(frame).Nx().Get().Px(px).Build()).Error()
							if !rueidislib.IsRedisNil(err) {
								b.Errorf("SET: %v", err)
								return
							}
							frame = rueidislib.BinaryString(wire.AppendCommit(nil, &end))
							ttl := strconv.FormatInt(wire.CommitPX(&end), 10)
							if wire.Large(&end) {
								side := layout.Side(k, end.Token)
								r := bare.DoMulti(ctx,
									bare.B().Set().Key(side).Value(frame).Px(wire.SidePX*time.Millisecond).Build(),
									bare.B().Evalsha().Sha1(large).Numkeys(2).Key(name, side).
										Arg(frame[:wire.CommitHead(&end)], ttl, wire.Publish, "1").Build())
								err = r[1].Error()
							} else {
								err = bare.Do(ctx, bare.B().Evalsha().Sha1(commit).Numkeys(1).Key(name).
									Arg(frame, ttl, wire.Publish, "1").Build()).Error()
							}
							if err != nil && !strings.HasPrefix(err.Error(), "NOSCRIPT") {
								b.Errorf("EVALSHA: %v", err)
								return
							}
						}
					}},
					contender{"fresh", func(ctx context.Context, g, n int) {
						for range n {
							k := key(2, g)
							claim := backend.ClaimRequest{Token: token(), Lease: benchLease, Keep: benchKeep, Fence: 1}
							if record, err := store.Claim(ctx, k, claim); err != nil || record.State != backend.Claimed {
								b.Errorf("Claim: %v, %v", record.State, err)
								return
							}
							end := backend.CommitRequest{Token: claim.Token, Ending: backend.Complete, Outcome: outcome, Retention: retention, LeaseHeld: true}
							if err := store.Commit(ctx, k, end); err != nil {
								b.Errorf("Commit: %v", err)
								return
							}
						}
					}},
				)
			})
		}
	}
}

// BenchmarkAllocations counts what one call of each allocates.
func BenchmarkAllocations(b *testing.B) {
	_, store, bare := benchBackend(b)
	cold := warm(b, open(b, option(benchAddr(bare)), rueidis.Options{NoCache: true}))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	request := taking(token())
	if _, err := store.Claim(ctx, "payments:payment-12345678", request); err != nil {
		b.Fatal(err)
	}
	if err := store.Commit(ctx, "payments:payment-12345678", completing(request.Token, strings.Repeat("x", 128))); err != nil {
		b.Fatal(err)
	}
	replay := func(store backend.Backend) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := store.Claim(ctx, "payments:payment-12345678", request); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("hot", replay(store))
	b.Run("replay", replay(cold))
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = bare.Do(ctx, bare.B().Get().Key("nothing").Build()).Error()
		}
	})
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			key := "payments:" + strconv.Itoa(i)
			claim := backend.ClaimRequest{Token: token(), Lease: benchLease, Keep: benchKeep, Fence: 1}
			if _, err := store.Claim(ctx, key, claim); err != nil {
				b.Fatal(err)
			}
			end := backend.CommitRequest{Token: claim.Token, Ending: backend.Complete, Outcome: make([]byte, 128), Retention: time.Second}
			if err := store.Commit(ctx, key, end); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchAddr(c rueidislib.Client) string {
	for addr := range c.Nodes() {
		return addr
	}
	return ""
}
