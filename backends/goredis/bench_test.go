package goredis_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkFresh is a claim and its commit; Bare is the same commands without
// this package.
func BenchmarkFresh(b *testing.B) {
	addr := redistest.Address(b)
	for _, size := range []int{128, 16 << 10} {
		outcome := strings.Repeat("x", size)
		b.Run(fmt.Sprintf("backend/%d", size), func(b *testing.B) {
			client := redislib.NewClient(quiet(addr))
			store := open(b, client, redistest.Prefix(b))
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key, tok := fresh(i)
				record, err := store.Claim(ctx, key, taking(tok))
				if err != nil {
					b.Fatal(err)
				}
				commit := completing(tok, outcome)
				commit.Fence = record.Fence
				if err := store.Commit(ctx, key, commit); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) {
			client := redislib.NewClient(quiet(addr))
			defer client.Close()
			layout, _ := wire.NewLayout(redistest.Prefix(b))
			script := redislib.NewScript(wire.CommitScript)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key, tok := fresh(i)
				claim, commit := taking(tok), completing(tok, outcome)
				name := layout.Record(key)
				err := client.SetArgs(ctx, name, wire.AppendClaim(nil, &claim),
					redislib.SetArgs{Mode: "NX", Get: true, TTL: time.Hour}).Err()
				if !errors.Is(err, redislib.Nil) {
					b.Fatal(err)
				}
				err = script.Run(ctx, client, []string{name}, wire.AppendCommit(nil, &commit), 3600_000, "PUBLISH", "1").Err()
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func fresh(i int) (string, backend.Token) {
	return strconv.Itoa(1_000_000 + i), backend.Token{1, byte(i), byte(i >> 8), byte(i >> 16)}
}

// BenchmarkReplay is a claim of a completed key; Bare is its command.
func BenchmarkReplay(b *testing.B) {
	addr := redistest.Address(b)
	for _, size := range []int{128, 16 << 10} {
		prefix := redistest.Prefix(b)
		client := redislib.NewClient(quiet(addr))
		store := open(b, client, prefix)
		take(b, store, "k", token())
		record, err := store.Fetch(b.Context(), "k")
		if err != nil {
			b.Fatal(err)
		}
		complete(b, store, "k", record.Token, strings.Repeat("x", size))
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		request := taking(token())
		b.Run(fmt.Sprintf("backend/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if record, err := store.Claim(ctx, "k", request); err != nil || record.State != backend.Completed {
					b.Fatal(record, err)
				}
			}
		})
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) {
			layout, _ := wire.NewLayout(prefix)
			name, frame := layout.Record("k"), wire.AppendClaim(nil, &request)
			b.ReportAllocs()
			for b.Loop() {
				if err := client.SetArgs(ctx, name, frame, redislib.SetArgs{Mode: "NX", Get: true, TTL: time.Hour}).Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCommitWay compares the two ways of a commit by size of the outcome.
func BenchmarkCommitWay(b *testing.B) {
	addr := redistest.Address(b)
	client := redislib.NewClient(quiet(addr))
	defer client.Close()
	layout, _ := wire.NewLayout(redistest.Prefix(b))
	small, large := redislib.NewScript(wire.CommitScript), redislib.NewScript(wire.CommitLargeScript)
	ctx := context.Background()
	for _, script := range []*redislib.Script{small, large} {
		if err := script.Load(ctx, client).Err(); err != nil {
			b.Fatal(err)
		}
	}
	for _, kib := range []int{1, 2, 4, 8, 16, 64, 256} {
		outcome := strings.Repeat("x", kib<<10)
		for _, way := range []string{"script", "side"} {
			b.Run(fmt.Sprintf("%s/%dKiB", way, kib), func(b *testing.B) {
				name := layout.Record("k")
				for i := 0; b.Loop(); i++ {
					_, tok := fresh(i)
					claim, commit := taking(tok), completing(tok, outcome)
					commit.Fence = claim.Fence
					if err := client.Set(ctx, name, wire.AppendClaim(nil, &claim), time.Hour).Err(); err != nil {
						b.Fatal(err)
					}
					frame := wire.AppendCommit(nil, &commit)
					if way == "script" {
						if err := small.EvalSha(ctx, client, []string{name}, frame, 3600_000, "PUBLISH", "1").Err(); err != nil {
							b.Fatal(err)
						}
						continue
					}
					side := layout.Side("k", tok)
					pipe := client.Pipeline()
					pipe.Do(ctx, "set", side, frame, "px", 10_000)
					run := large.EvalSha(ctx, pipe, []string{name, side}, frame[:wire.CommitHead(&commit)], 3600_000, "PUBLISH", "1")
					if _, err := pipe.Exec(ctx); err != nil || run.Val() != int64(1) {
						b.Fatal(err, run.Val())
					}
				}
			})
		}
	}
}
