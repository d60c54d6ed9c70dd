package redigo_test

import (
	"context"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkFresh is a claim and a commit, against the bare commands.
func BenchmarkFresh(b *testing.B) {
	pool := newPool(b, redistest.Address(b))
	pool.MaxIdle = 256
	prefix := redistest.Prefix(b)
	raw := &bare{pool: pool, commit: redis.NewScript(1, wire.CommitScript)}
	store := open(b, pool)
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	one := map[string]func(){
		"bare": func() {
			token := newToken()
			raw.fresh(b, prefix+string(token[:]), token)
		},
	}
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": cancellable} {
		one[name] = func() {
			token := newToken()
			key := string(token[:])
			if _, err := store.Claim(ctx, key, claiming(token)); err != nil {
				b.Fatal(err)
			}
			if err := store.Commit(ctx, key, completing(token, "outcome")); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, name := range []string{"bare", "background", "cancellable"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one[name]()
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one[name]()
				}
			})
		})
	}
}
