package benchmarks

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkServer is the time that the commands of a verb take in the server, as
// INFO commandstats has it (usec_per_call of what the client sends; what a script
// runs is in the script's), and its time on the CPU with all that goes with it:
// reading and writing sockets, expiry (server-cpu-us). Throughput is bounded by
// the second. All clients send the same, so one stands for them.
func BenchmarkServer(b *testing.B) {
	for _, size := range []int{128, 4 << 10, 16 << 10, 256 << 10} {
		b.Run(sizeName(size), func(b *testing.B) {
			server := redistest.Start(b)
			store := clients.All[0].Open(b, server.Addr(), nil)
			clients.Warm(b, store)
			v := &verbs{store: store, outcome: payloadOf(size)}
			n := max(20, min(3000, 16<<20/size))
			if measure.PlanOf().Smoke() {
				n = 20
			}
			for _, verb := range []struct {
				name string
				do   func(ctx context.Context, i int) error
			}{
				{"claim", v.claim},
				{"lost-claim", v.lostClaim},
				{"renewal", v.renew},
				{"commit", v.commit},
				{"replay", v.replay},
			} {
				redistest.Do(b, server.Addr(), "CONFIG", "RESETSTAT")
				before := serverCPU(b, server)
				for i := range n {
					if err := verb.do(b.Context(), i); err != nil {
						b.Fatalf("%s: %v", verb.name, err)
					}
				}
				cpu := serverCPU(b, server) - before
				spent := sent(b, server)
				b.Run(verb.name, func(b *testing.B) {
					if measure.PlanOf().Smoke() {
						return
					}
					b.ReportMetric(float64(cpu.Nanoseconds())/float64(n), "ns/op")
					b.ReportMetric(spent/float64(n), "server-us")
					b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(n), "server-cpu-us")
				})
			}
		})
	}
}

// verbs of a store, for many keys one after the other.
type verbs struct {
	store   backend.Backend
	outcome []byte
	claimed []backend.ClaimRequest
}

func (v *verbs) key(i int) string { return "\x08" + namespace + clients.Key('v', uint64(i)) }

func (v *verbs) claim(ctx context.Context, i int) error {
	request := backend.ClaimRequest{
		Token: backend.Token{1, byte(i), byte(i >> 8), byte(i >> 16)},
		Lease: 30 * time.Second, Keep: 24 * time.Hour, Fence: 1,
	}
	record, err := v.store.Claim(ctx, v.key(i), request)
	request.Renewal, request.Attempt, request.Fence = true, record.Attempt, record.Fence
	v.claimed = append(v.claimed, request)
	return err
}

func (v *verbs) lostClaim(ctx context.Context, i int) error {
	request := v.claimed[i]
	request.Renewal, request.Attempt, request.Token[0] = false, 0, 2
	record, err := v.store.Claim(ctx, v.key(i), request)
	return wantState(record, backend.Claimed, err)
}

func (v *verbs) renew(ctx context.Context, i int) error {
	record, err := v.store.Claim(ctx, v.key(i), v.claimed[i])
	return wantState(record, backend.Claimed, err)
}

func (v *verbs) commit(ctx context.Context, i int) error {
	claim := v.claimed[i]
	return v.store.Commit(ctx, v.key(i), backend.CommitRequest{
		Token: claim.Token, Ending: backend.Complete, Outcome: v.outcome, Retention: 24 * time.Hour,
		LeaseHeld: true, Attempt: claim.Attempt, Fence: claim.Fence,
	})
}

func (v *verbs) replay(ctx context.Context, i int) error {
	request := v.claimed[i]
	request.Renewal, request.Attempt, request.Token[0] = false, 0, 3
	record, err := v.store.Claim(ctx, v.key(i), request)
	return wantState(record, backend.Completed, err)
}

func wantState(record backend.Record, want backend.State, err error) error {
	if err == nil && record.State != want {
		return fmt.Errorf("%w: state %v, want %v", errReply, record.State, want)
	}
	return err
}

// sent is the time in microseconds of what clients sent since RESETSTAT: scripts
// with all they run, and SET outside of them. A script's own SETs have been
// counted with it; they are taken off by the number of claims that a SET can
// have been.
func sent(tb testing.TB, server *redistest.Server) float64 {
	tb.Helper()
	stats := commandStats(tb, server)
	script := stats["evalsha"].usec
	plain := stats["set"]
	if stats["evalsha"].calls == 0 {
		return plain.usec
	}
	// The SETs of commits run inside the script; a large outcome's side key and
	// the SET of a lost claim were sent. Nested or not, one takes as long as the
	// other of the same size, and no verb here does both.
	if stats["rename"].calls > 0 || stats["publish"].calls == 0 {
		return script + plain.usec
	}
	return script
}

type stat struct {
	calls int
	usec  float64
}

// commandStats are INFO commandstats by command.
func commandStats(tb testing.TB, server *redistest.Server) map[string]stat {
	tb.Helper()
	stats := make(map[string]stat)
	for _, line := range splitLines(redistest.Do(tb, server.Addr(), "INFO", "commandstats").(string)) {
		// cmdstat_set:calls=3,usec=12,usec_per_call=4.00,rejected_calls=0,failed_calls=0
		name, rest, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":")
		if !found {
			continue
		}
		var s stat
		if _, err := fmt.Sscanf(rest, "calls=%d,usec=%g", &s.calls, &s.usec); err != nil {
			tb.Fatalf("commandstats %q: %v", line, err)
		}
		stats[name] = s
	}
	return stats
}

// serverCPU is how long the server has computed.
func serverCPU(tb testing.TB, server *redistest.Server) time.Duration {
	tb.Helper()
	return time.Duration((infoField(tb, server, "cpu", "used_cpu_sys") + infoField(tb, server, "cpu", "used_cpu_user")) * 1e9)
}

func infoField(tb testing.TB, server *redistest.Server, section, field string) float64 {
	tb.Helper()
	for _, line := range splitLines(redistest.Do(tb, server.Addr(), "INFO", section).(string)) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), field+":"); found {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return value
		}
	}
	tb.Fatalf("INFO %s has no %s", section, field)
	return 0
}
