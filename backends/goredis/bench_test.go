package goredis_test

import (
	"context"
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

func fresh(i int) (string, backend.Token) {
	return strconv.Itoa(1_000_000 + i), backend.Token{1, byte(i), byte(i >> 8), byte(i >> 16)}
}
