package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/memory"
)

const (
	instances = 2
	deadline  = time.Minute // for the whole run, which takes a second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "webhooks:", err)
		os.Exit(1)
	}
}

var errCheckFailed = errors.New("check failed")

// run starts the receivers, plays the senders and looks at the books.
func run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not finished within %v", deadline))
	defer cancel()
	store, how, closeStore, err := openStore(ctx)
	if err != nil {
		return err
	}
	defer closeStore()
	books := newBooks()
	story, err := newStory(books)
	if err != nil {
		return err
	}
	// A namespace of its own for each run: on a Redis that remembers, the second run
	// would replay the first one.
	namespace := fmt.Sprintf("example-webhooks-%d", time.Now().UnixNano())
	var urls []string
	for range instances {
		url, stop, err := serve(store, namespace, books)
		if err != nil {
			return err
		}
		defer stop()
		urls = append(urls, url)
	}
	fmt.Printf("%d receivers on %s; %d events and forgeries to deliver\n", instances, how, len(story.deliveries))

	report := newReport()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	if err := play(ctx, &sender{client: client, urls: urls, note: report.note}, story.deliveries); err != nil {
		return err
	}
	report.print(os.Stdout)
	if wrong := story.check(books); len(wrong) > 0 {
		for _, line := range wrong {
			fmt.Println("  " + line)
		}
		return errCheckFailed
	}
	fmt.Printf("\ncheck passed: %d events booked once each, %d commits built once each, 2 deliveries put aside, nothing forged got in\n",
		len(story.events), len(story.commits))
	return nil
}

// play sends everything, some at a time and all copies of one event at once.
func play(ctx context.Context, s *sender, deliveries []delivery) error {
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	slots := make(chan struct{}, 12)
	for _, d := range deliveries {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var copies sync.WaitGroup
			for range d.copies {
				copies.Go(func() {
					if _, err := s.send(ctx, d); err != nil {
						select {
						case errs <- err:
						default:
						}
					}
				})
			}
			copies.Wait()
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// serve starts an instance of the receiver on a free port.
func serve(store backend.Backend, namespace string, books *books) (url string, stop func(), err error) {
	r, err := newReceiver(store, namespace, books)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	return "http://" + listener.Addr().String(), func() {
		// First the requests, then what outlived them, then the store.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		_ = r.drain(ctx)
		<-done
	}, nil
}

// openStore opens the store that the instances share: the Redis at
// REPRISE_REDIS_ADDR, or one in memory, for they are all in this process.
func openStore(ctx context.Context) (store backend.Backend, how string, closeStore func(), err error) {
	addr := os.Getenv("REPRISE_REDIS_ADDR")
	if addr == "" {
		store := memory.New()
		return store, "a store in memory", func() { store.Close() }, nil
	}
	client := redislib.NewClient(&redislib.Options{
		Addr:                  addr,
		ContextTimeoutEnabled: true,
		// Only Redis Enterprise has these; elsewhere the client logs that it hasn't.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if err := client.Ping(ctx).Err(); err != nil {
		client.Close()
		return nil, "", nil, fmt.Errorf("REPRISE_REDIS_ADDR: %w", err)
	}
	redis, err := goredis.New(client, goredis.Options{})
	if err != nil {
		client.Close()
		return nil, "", nil, err
	}
	return redis, "the Redis at " + addr, func() {
		redis.Close()
		client.Close()
	}, nil
}
