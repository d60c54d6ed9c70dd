package consumer_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
)

// What a delivery costs on the store in memory, beside the bare operation.
func BenchmarkHandle(b *testing.B) {
	store := memory.New()
	b.Cleanup(func() { store.Close() })
	x, err := idempotency.New(store, idempotency.Options{})
	if err != nil {
		b.Fatal(err)
	}
	c, err := consumer.New(x, consumer.Options[message]{
		Name:   "orders",
		Key:    func(m message) string { return m.id },
		Handle: func(context.Context, message) error { return nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if v := c.Handle(b.Context(), message{id: b.Name() + strconv.Itoa(i)}); v.Err != nil {
				b.Fatal(v.Err)
			}
		}
	})
	b.Run("new, bare", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			err := idempotency.Exec(b.Context(), x, b.Name()+strconv.Itoa(i), func(context.Context) error { return nil })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("duplicate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v := c.Handle(b.Context(), message{id: "one"}); v.Action != consumer.Ack {
				b.Fatal(v)
			}
		}
	})
}
