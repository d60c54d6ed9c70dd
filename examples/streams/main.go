package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/idempotency/consumer"
	"github.com/reprise-go/reprise/internal/embedded"
)

func main() { os.Exit(run()) }

const (
	workers  = 3
	deadline = time.Minute // for the whole run, which takes a few seconds
)

// run returns the exit status: 0 when all is well, 1 when the check or the
// program failed, 2 for wrong arguments.
func run() int {
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	// The program starts itself with these.
	name := flags.String("worker", "", "be a worker of this name (internal)")
	redis := flags.String("redis", "", "address of Redis (internal)")
	prefix := flags.String("prefix", "", "what all keys begin with (internal)")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	var err error
	if *name != "" {
		err = runWorker(*name, *redis, *prefix)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = runExample(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "streams:", err)
		return 1
	}
	return 0
}

func groupOf(prefix string) group {
	// The braces keep the two in one slot of a Cluster: they change together.
	return group{stream: "{" + prefix + "orders}", name: "booking", deadLetters: "{" + prefix + "orders}:dead"}
}

// runWorker is one worker, in a process of its own. It ends when stdin does:
// whoever started it holds the other end.
func runWorker(name, redis, prefix string) error {
	signal.Ignore(os.Interrupt) // Ctrl-C goes to the whole group; the parent decides
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	client := newRedisClient(redis)
	defer client.Close()
	store, err := goredis.New(client, goredis.Options{Prefix: prefix})
	if err != nil {
		return err
	}
	defer store.Close()
	orders, executor, err := newOrders(store, "orders", &ledger{client, prefix + "ledger"}, askToBeKilled)
	if err != nil {
		return err
	}
	w := &worker{
		client: client, group: groupOf(prefix), name: name, idle: 600 * time.Millisecond, handle: orders.Handle,
		decided: func(order Order, verdict consumer.Verdict) {
			fmt.Printf("verdict %s %s\n", printable(order), verdict.Reason)
		},
	}
	if err := w.group.create(ctx, client); err != nil {
		return err
	}
	w.run(ctx)
	drain, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	return executor.Drain(drain)
}

// askToBeKilled stops the worker where an order's plan says that it dies there.
func askToBeKilled(ctx context.Context, order Order, booked bool) {
	if !firstAttempt(ctx) || order.Plan != diesBefore && order.Plan != diesAfter || booked != (order.Plan == diesAfter) {
		return
	}
	fmt.Printf("kill-me %s\n", printable(order))
	<-ctx.Done() // SIGKILL is on its way, unless who sends it is dead itself
	os.Exit(1)
}

// forget removes what has no time to live; the library's records have one.
func forget(client *redislib.Client, prefix string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	g := groupOf(prefix)
	for _, key := range []string{g.stream, g.deadLetters, prefix + "ledger"} { // not in one slot of a Cluster
		_ = client.Del(ctx, key).Err()
	}
}

func printable(order Order) string {
	if order.ID == "" {
		return "-"
	}
	return order.ID
}

var errCheckFailed = errors.New("check failed")

// runExample starts the world, adds the orders and looks at what came of them. It
// leaves no process behind, however it ends.
func runExample(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not finished within %v", deadline))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	redis, err := embedded.Redis(ctx)
	if err != nil {
		return err
	}
	defer redis.Stop()
	client := newRedisClient(redis.Addr)
	defer client.Close()
	// Keys of its own for each run: on a Redis that remembers, the second run would
	// replay the first one.
	prefix := fmt.Sprintf("example-streams-%d:", time.Now().UnixNano())
	defer forget(client, prefix)
	orders, err := produce(ctx, client, groupOf(prefix).stream)
	if err != nil {
		return err
	}
	r := newReport()
	f := &fleet{redis: redis.Addr, prefix: prefix, verdict: r.verdict, killed: r.killed, failed: fail}
	defer f.stop()
	fmt.Printf("%d workers on %s; %d orders in the stream\n", workers, redis, orders)
	began := time.Now()
	for range workers {
		if err := f.start(); err != nil {
			return err
		}
	}
	result, err := r.await(ctx, client, prefix, orders)
	if err != nil {
		return err
	}
	fmt.Printf("done in %.1f s\n\n", time.Since(began).Seconds())
	r.print(os.Stdout)
	wrong := check(result)
	for _, line := range wrong {
		fmt.Println("  " + line)
	}
	if len(wrong) > 0 {
		return errCheckFailed
	}
	fmt.Printf("\ncheck passed: %d orders booked once each, %d in the dead-letter stream, nothing pending\n",
		len(result.booked), len(result.dead))
	return nil
}
