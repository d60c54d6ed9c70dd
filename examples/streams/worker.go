package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/idempotency/consumer"
)

// group is a consumer group on a stream.
type group struct {
	stream, name string
	// deadLetters is the stream of messages that are put aside. In a Redis Cluster
	// the two need a common hash tag.
	deadLetters string
}

// worker is one consumer of a group.
type worker struct {
	client *redislib.Client
	group  group
	name   string // of no other worker of the group
	// idle is after how long a message that was delivered and not acknowledged is
	// taken over, be its worker dead or its verdict a Nack. A live worker that is
	// slower loses nothing: its lease is renewed, and whoever takes the message over
	// finds it in progress. Streams know no delay, so idle stands for Verdict.Delay.
	idle    time.Duration
	handle  func(ctx context.Context, order Order) consumer.Verdict
	decided func(order Order, verdict consumer.Verdict)

	cursor string    // where XAUTOCLAIM goes on
	looked time.Time // when it was last asked
}

// create makes the group, and the stream, unless they are there.
func (g group) create(ctx context.Context, client *redislib.Client) error {
	err := client.XGroupCreateMkStream(ctx, g.stream, g.name, "0").Err()
	if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return nil
	}
	return err
}

// run handles messages until ctx ends. Redis being away only holds it up.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		messages, err := w.next(ctx)
		if err != nil && ctx.Err() == nil {
			pause(ctx, 100*time.Millisecond)
		}
		for _, message := range messages {
			if ctx.Err() != nil {
				return // the rest comes back after idle
			}
			w.deliver(ctx, message)
		}
	}
}

// next returns messages that others left lying, or new ones.
func (w *worker) next(ctx context.Context) ([]redislib.XMessage, error) {
	if time.Since(w.looked) > w.idle/4 || w.cursor != "" {
		messages, cursor, err := w.client.XAutoClaim(ctx, &redislib.XAutoClaimArgs{
			Stream: w.group.stream, Group: w.group.name, Consumer: w.name,
			MinIdle: w.idle, Start: max(w.cursor, "0-0"), Count: 4,
		}).Result()
		if err != nil {
			return nil, err
		}
		w.looked, w.cursor = time.Now(), cursor
		if cursor == "0-0" {
			w.cursor = ""
		}
		if len(messages) > 0 {
			return messages, nil
		}
	}
	streams, err := w.client.XReadGroup(ctx, &redislib.XReadGroupArgs{
		Group: w.group.name, Consumer: w.name, Streams: []string{w.group.stream, ">"},
		Count: 4, Block: 100 * time.Millisecond,
	}).Result()
	if errors.Is(err, redislib.Nil) || len(streams) == 0 {
		return nil, ignoreNil(err)
	}
	return streams[0].Messages, err
}

// deliver handles one message and does what the verdict says.
func (w *worker) deliver(ctx context.Context, message redislib.XMessage) {
	order := orderOf(message.Values)
	verdict := w.handle(ctx, order)
	// What is decided is told to Redis although the worker is stopping. Where that
	// fails, the message comes again, and is a duplicate then.
	told, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var err error
	switch verdict.Action {
	case consumer.Ack:
		err = w.client.XAck(told, w.group.stream, w.group.name, message.ID).Err()
	case consumer.DeadLetter:
		err = w.putAside(told, message, verdict)
	case consumer.Nack:
		// Not acknowledged, it comes back after idle, to whichever worker.
	}
	if err == nil {
		w.decided(order, verdict)
	}
}

// putAside moves a message to the dead letters in one transaction. (If its answer
// is lost, the message may be there twice.)
func (w *worker) putAside(ctx context.Context, message redislib.XMessage, verdict consumer.Verdict) error {
	values := map[string]any{"entry": message.ID, "reason": string(verdict.Reason), "error": fmt.Sprint(verdict.Err)}
	for name, value := range message.Values {
		values["message:"+name] = value
	}
	_, err := w.client.TxPipelined(ctx, func(tx redislib.Pipeliner) error {
		tx.XAdd(ctx, &redislib.XAddArgs{Stream: w.group.deadLetters, Values: values})
		tx.XAck(ctx, w.group.stream, w.group.name, message.ID)
		return nil
	})
	return err
}

func ignoreNil(err error) error {
	if errors.Is(err, redislib.Nil) {
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
