package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	redislib "github.com/redis/go-redis/v9"
)

// report counts what the workers tell.
type report struct {
	mu     sync.Mutex
	counts map[string]int // reason: deliveries
	kills  []string
}

func newReport() *report { return &report{counts: map[string]int{}} }

func (r *report) verdict(_, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[reason]++
}

func (r *report) killed(order string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills = append(r.kills, order)
	fmt.Printf("  a worker is killed while it has %s\n", order)
}

// result is what is left in Redis at the end.
type result struct {
	booked map[string]string // order: how often
	dead   []string          // "order: reason", sorted
}

// await waits until every order is booked or a dead letter, and nothing is
// pending.
func (r *report) await(ctx context.Context, client *redislib.Client, prefix string, orders int) (result, error) {
	g, l := groupOf(prefix), &ledger{client, prefix + "ledger"}
	for {
		booked, err := l.all(ctx)
		var entries []redislib.XMessage
		if err == nil {
			entries, err = client.XRange(ctx, g.deadLetters, "-", "+").Result()
		}
		if err == nil && len(booked)+len(entries) >= orders && allDone(ctx, client, g) {
			out := result{booked: booked}
			for _, entry := range entries {
				out.dead = append(out.dead, fmt.Sprintf("%v: %v", entry.Values["message:id"], entry.Values["reason"]))
			}
			slices.Sort(out.dead)
			return out, nil
		}
		pause(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return result{}, context.Cause(ctx)
		}
	}
}

// allDone tells whether every entry of the stream was delivered and acknowledged.
func allDone(ctx context.Context, client *redislib.Client, g group) bool {
	groups, err := client.XInfoGroups(ctx, g.stream).Result()
	if err != nil || len(groups) != 1 || groups[0].Pending != 0 {
		return false
	}
	last, err := client.XRevRangeN(ctx, g.stream, "+", "-", 1).Result()
	return err == nil && len(last) == 1 && last[0].ID == groups[0].LastDeliveredID
}

func (r *report) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(w, "%-14s %s\n", "verdict", "deliveries")
	for _, row := range []struct{ reason, means string }{
		{"handled", "booked now: ack"},
		{"duplicate", "booked before, or found in the ledger after a crash: ack"},
		{"in_progress", "being booked elsewhere: comes again"},
		{"retry", "failed: comes again"},
		{"failed", "can never be booked: dead letter"},
		{"exhausted", "three attempts: dead letter"},
		{"invalid", "no id: dead letter"},
	} {
		fmt.Fprintf(w, "%-14s %10d  %s\n", row.reason, r.counts[row.reason], row.means)
	}
	fmt.Fprintf(w, "%-14s %10d\n", "workers killed", len(r.kills))
}

// check says what is wrong.
func check(r result) (wrong []string) {
	var booked, dead []string
	for _, p := range plans {
		for i := range p.orders {
			id := fmt.Sprintf("order-%s-%d", p.plan, i)
			switch {
			case p.booked:
				booked = append(booked, id)
			case p.plan == panics:
				dead = append(dead, id+": exhausted")
			case p.plan == nameless:
				dead = append(dead, ": invalid")
			default:
				dead = append(dead, id+": failed")
			}
		}
	}
	slices.Sort(dead)
	for _, id := range booked {
		if n := r.booked[id]; n != "1" {
			wrong = append(wrong, fmt.Sprintf("%s was booked %s times", id, max(n, "0")))
		}
	}
	if len(r.booked) != len(booked) {
		wrong = append(wrong, fmt.Sprintf("%d orders were booked, want %d", len(r.booked), len(booked)))
	}
	if !slices.Equal(r.dead, dead) {
		wrong = append(wrong, "dead letters: "+strings.Join(r.dead, ", "))
	}
	return wrong
}
