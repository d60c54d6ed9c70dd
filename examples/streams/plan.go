package main

import (
	"context"
	"fmt"

	redislib "github.com/redis/go-redis/v9"
)

// plan says what goes wrong with an order.
type plan string

const (
	goesWell   plan = ""
	addedTwice plan = "added-twice"
	diesBefore plan = "dies-before-booking"
	diesAfter  plan = "dies-after-booking"
	failsOnce  plan = "fails-once"
	panics     plan = "panics"
	unreadable plan = "bad-amount"
	nameless   plan = "no-id"
)

// plans is how many orders there are of each.
var plans = []struct {
	plan   plan
	orders int
	booked bool // in the end; if not, they are dead letters
}{
	{goesWell, 40, true},
	{addedTwice, 10, true},
	{diesBefore, 2, true},
	{diesAfter, 2, true},
	{failsOnce, 3, true},
	{panics, 2, false},
	{unreadable, 3, false},
	{nameless, 1, false},
}

// produce adds the orders to the stream, mixed, and returns how many of them
// there are.
func produce(ctx context.Context, client *redislib.Client, stream string) (orders int, err error) {
	add := func(order Order) {
		if err == nil {
			err = client.XAdd(ctx, &redislib.XAddArgs{Stream: stream, Values: []string{
				"id", order.ID, "amount", order.Amount, "plan", string(order.Plan),
			}}).Err()
		}
	}
	for i, more := 0, true; more; i++ {
		more = false
		for _, p := range plans {
			if i >= p.orders {
				continue
			}
			more = true
			orders++
			order := Order{ID: fmt.Sprintf("order-%s-%d", p.plan, i), Amount: fmt.Sprint(100 + i), Plan: p.plan}
			switch p.plan {
			case unreadable:
				order.Amount = "much"
			case nameless:
				order.ID = ""
			}
			add(order)
			if p.plan == addedTwice {
				add(order)
			}
		}
	}
	return orders, err
}
