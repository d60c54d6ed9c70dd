package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// instanceConfig is what an instance of the API is told by who starts it.
type instanceConfig struct {
	slot      int    // from 1 on
	redis     string // host:port
	network   string // the card network's URL
	namespace string
	tracking  bool // Redis has CLIENT TRACKING
}

// lease is how long a key is blocked when its instance dies. It is renewed while
// the handler runs, so it may be shorter than the slowest payment, but not shorter
// than the longest pause of a process. The default of 30 s is a good one; this one
// is for people who watch.
const lease = 2 * time.Second

// runInstance is one instance of the API, in a process of its own. It tells its
// URL and then what it does on stdout, and ends when stdin does: whoever started
// it holds the other end, so that it can't outlive a parent that was killed.
func runInstance(config instanceConfig) error {
	signal.Ignore(os.Interrupt) // Ctrl-C goes to the whole group; the parent decides
	log.SetPrefix(fmt.Sprintf("instance %d: ", config.slot))
	log.SetFlags(0)

	store, closeStore, err := newStore(config.slot, config.redis, config.tracking)
	if err != nil {
		return err
	}
	defer closeStore()
	reports := newReporter(os.Stdout)
	executor, err := idempotency.New(store, idempotency.Options{
		// Instances share their answers because they share the namespace.
		Namespace: config.namespace,
		// How long a key is remembered. Promise your clients less than this: after it,
		// the same key charges again. Stripe keeps keys for 24 hours.
		Retention: 10 * time.Minute,
		Lease:     lease,
		// How long a request waits for another one with its key. Less than the timeout
		// of the clients and of the load balancer before us.
		WaitTimeout: 15 * time.Second,
		Observer:    reports,
	})
	if err != nil {
		return err
	}
	handler, err := newHandler(executor, newGateway(config.network, config.slot), reports)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: numbered(handler), ReadHeaderTimeout: 5 * time.Second}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, os.Stdin)
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout-time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // whoever is still connected had time enough
		}
		// A payment whose client has left may still be under way. What is not finished
		// by then is lost like in a crash, and reconciled.
		_ = executor.Drain(ctx)
	}()
	if err := json.NewEncoder(os.Stdout).Encode(hello{URL: "http://" + listener.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-drained
	return nil
}
