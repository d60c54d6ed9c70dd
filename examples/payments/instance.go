package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/reprise-go/reprise/backends/goredis"
)

// instanceConfig is what an instance of the API is told by who starts it.
type instanceConfig struct {
	redis     string // host:port
	network   string // the card network's URL
	namespace string
	naive     bool
}

// runInstance is one instance of the API, in a process of its own. It tells its
// URL on stdout, and ends when stdin does: whoever started it holds the other end,
// so that it can't outlive a parent that was killed.
func runInstance(config instanceConfig) error {
	signal.Ignore(os.Interrupt) // Ctrl-C goes to the whole group; the parent decides
	log.SetPrefix(fmt.Sprintf("instance %d: ", os.Getpid()))
	log.SetFlags(0)

	network := newGateway(config.network)
	a := &api{network: network}
	mux := http.NewServeMux()
	if config.naive {
		mux.HandleFunc("POST /v1/charges", a.createNaively)
	} else {
		client := newRedisClient(config.redis)
		defer client.Close()
		store, err := goredis.New(client, goredis.Options{})
		if err != nil {
			return err
		}
		defer store.Close() // before the client, after the server
		if a.charges, err = newCharges(store, config.namespace, network); err != nil {
			return err
		}
		mux.HandleFunc("POST /v1/charges", a.createCharge)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_, _ = io.Copy(io.Discard, os.Stdin)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // whoever is still connected had time enough
		}
	}()
	fmt.Printf("http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	// A charge that runs detached may still be under way. It is not waited for: if
	// the process ends before it is recorded, that is a crash, and reconciled.
	<-stopped
	return nil
}

func newRedisClient(addr string) *redislib.Client {
	return redislib.NewClient(&redislib.Options{
		Addr: addr,
		// A command ends with the ctx of its request.
		ContextTimeoutEnabled: true,
		// Only Redis Enterprise has these; elsewhere the client logs that it hasn't.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
