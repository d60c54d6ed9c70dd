package benchmarks

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/aesgcm"
	"github.com/reprise-go/reprise/codec/msgpack"
	"github.com/reprise-go/reprise/codec/protobuf"
	"github.com/reprise-go/reprise/codec/zstd"
	"github.com/reprise-go/reprise/idempotency"
)

// receipt is an answer as services give it: about 128 bytes of JSON.
type receipt struct {
	ID       string
	Amount   int64
	Currency string
	Customer string
	Paid     bool
	Lines    []string
}

func newReceipt() receipt {
	return receipt{
		ID: "ch_3PqXyZ2eZvKYlo2C", Amount: 4200, Currency: "EUR", Customer: "cus_9s6XKzkNRiz8i3", Paid: true,
		Lines: []string{"subscription", "tax"},
	}
}

func newMessage(tb testing.TB) *structpb.Struct {
	tb.Helper()
	r := newReceipt()
	message, err := structpb.NewStruct(map[string]any{
		"ID": r.ID, "Amount": r.Amount, "Currency": r.Currency, "Customer": r.Customer, "Paid": r.Paid,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return message
}

// BenchmarkCodec is what codecs and transforms add to a call on the memory
// backend, which has no network to hide it: x-raw is the ratio to the same call
// with 128 bytes as they are.
func BenchmarkCodec(b *testing.B) {
	compress, err := zstd.New(zstd.Options{})
	if err != nil {
		b.Fatal(err)
	}
	encrypt, err := aesgcm.New(aesgcm.Options{Keys: map[string][]byte{"k1": payloadOf(aesgcm.KeySize)}, Current: "k1"})
	if err != nil {
		b.Fatal(err)
	}
	for _, what := range []string{"fresh", "replay"} {
		b.Run(what, func(b *testing.B) {
			raw := calls(b, "raw", what, codec.Raw, nil, payloadOf(128))
			large := calls(b, "raw", what, codec.Raw, nil, payloadOf(16<<10))
			for _, c := range []struct {
				name      string
				call, raw measure.Contender
			}{
				{"json", calls(b, "json", what, codec.JSON, nil, newReceipt()), raw},
				{"gob", calls(b, "gob", what, codec.Gob, nil, newReceipt()), raw},
				{"msgpack", calls(b, "msgpack", what, msgpack.Codec, nil, newReceipt()), raw},
				{"protobuf", calls(b, "protobuf", what, protobuf.Codec, nil, newMessage(b)), raw},
				{"aesgcm", calls(b, "aesgcm", what, codec.Raw, []codec.Transform{encrypt}, payloadOf(128)), raw},
				{"zstd-16KiB", calls(b, "zstd", what, codec.Raw, []codec.Transform{compress}, payloadOf(16<<10)), large},
				{"aesgcm-16KiB", calls(b, "aesgcm", what, codec.Raw, []codec.Transform{encrypt}, payloadOf(16<<10)), large},
			} {
				b.Run(c.name, func(b *testing.B) {
					reportAllocs(b, c.call)
					measure.Against(b, measure.Options{}, c.call, c.raw)
				})
			}
		})
	}
}

// calls are fresh calls, or replays, on a memory backend of their own.
func calls[T any](tb testing.TB, name, what string, c codec.Codec, transforms []codec.Transform, value T) measure.Contender {
	tb.Helper()
	store := memory.New()
	tb.Cleanup(func() { _ = store.Close() })
	options := idempotency.Options{Codec: c, Transforms: transforms}
	if what == "fresh" { // a large answer is soon forgotten, for the memory of the process
		options.Retention, options.Lease = time.Second, time.Second
	}
	x := newExecutor(tb, store, options)
	action := func(context.Context) (T, error) { return value, nil }
	completed := nextKey('m')
	if _, err := idempotency.Run(tb.Context(), x, completed, action); err != nil {
		tb.Fatal(err)
	}
	return repeat(name, func(ctx context.Context) error {
		key := completed
		if what == "fresh" {
			key = nextKey('m')
		}
		_, err := idempotency.Run(ctx, x, key, action)
		return err
	})
}

// reportAllocs reports what one operation of a contender allocates.
func reportAllocs(b *testing.B, contender measure.Contender) {
	b.Helper()
	b.ReportAllocs()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	n := 200
	if measure.PlanOf().Smoke() {
		n = 5
	}
	count, bytes := measure.Allocs(n, func() {
		if err := contender.Run(ctx, 0, 1); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(count, "allocs/op")
	b.ReportMetric(bytes, "B/op")
}

// onEach runs a benchmark on the memory backend, and on go-redis, where a round
// trip puts the same cost in proportion.
func onEach(b *testing.B, run func(b *testing.B, open func(tb testing.TB) opened)) {
	b.Run("memory", func(b *testing.B) {
		run(b, func(tb testing.TB) opened {
			store := memory.New()
			tb.Cleanup(func() { _ = store.Close() })
			return opened{store: store}
		})
	})
	b.Run("goredis", func(b *testing.B) {
		r := newRig(b, clients.All[0])
		pin(b, r.server.Process().Pid)
		run(b, func(tb testing.TB) opened {
			store := clients.All[0].Open(tb, r.server.Addr(), nil)
			clients.Warm(tb, store)
			return opened{store: store, between: func() { r.empty(tb) }}
		})
	})
}
