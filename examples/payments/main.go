package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/reprise-go/reprise/internal/embedded"
)

func main() { os.Exit(run()) }

const (
	instances = 3
	deadline  = time.Minute // for the whole run, which takes a few seconds
)

// run returns the exit status: 0 when all is well, 1 when the check or the
// program failed, 2 for wrong arguments.
func run() int {
	flags := flag.NewFlagSet("payments", flag.ContinueOnError)
	naive := flags.Bool("naive", false, "play the same file without the library, and show the double charges")
	// The program starts itself with these.
	instance := flags.Bool("instance", false, "be one instance of the API (internal)")
	redis := flags.String("redis", "", "address of Redis (internal)")
	network := flags.String("network", "", "URL of the card network (internal)")
	namespace := flags.String("namespace", "", "namespace of the keys (internal)")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	var err error
	if *instance {
		err = runInstance(instanceConfig{redis: *redis, network: *network, namespace: *namespace, naive: *naive})
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = runExample(ctx, *naive)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "payments:", err)
		return 1
	}
	return 0
}

var errCheckFailed = errors.New("check failed")

// runExample starts the world, plays the file and looks at what came of it. It
// leaves no process behind, however it ends.
func runExample(ctx context.Context, naive bool) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not finished within %v", deadline))
	defer cancel()
	payments, err := readPayments(requestsFile)
	if err != nil {
		return err
	}
	redis, how := "", "without the library"
	if !naive {
		server, err := embedded.Redis(ctx)
		if err != nil {
			return err
		}
		defer server.Stop()
		redis, how = server.Addr, "sharing "+server.String()
	}

	out := newProgress(os.Stdout, len(payments))
	api := new(fleet)
	bank := newNetwork(payments, func(_ string, pid int) {
		if slot := api.kill(pid); slot >= 0 {
			out.event("instance %d killed: its charge is booked, and nobody was told", slot+1)
		}
	})
	bankURL, stopBank, err := serve(bank.handler())
	if err != nil {
		return err
	}
	defer stopBank()

	// A namespace of its own for each run: on a Redis that remembers, the second run
	// would replay the first one.
	namespace := fmt.Sprintf("example-payments-%d", time.Now().UnixNano())
	defer func() { err = errors.Join(err, api.stop()) }()
	err = api.start(instances, func() (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args := []string{"-instance", "-redis", redis, "-network", bankURL, "-namespace", namespace}
		if naive {
			args = append(args, "-naive")
		}
		return exec.Command(self, args...), nil
	})
	if err != nil {
		return err
	}

	fmt.Printf("%d instances of the payments API, %s; playing %d payments\n", instances, how, len(payments))
	began := time.Now()
	shop := newClient(api)
	results := shop.playAll(ctx, payments, out.finished)
	shop.close()
	out.end()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fmt.Printf("played in %.1f s\n\n", time.Since(began).Seconds())
	writeTable(os.Stdout, results, bank)
	fmt.Println()
	if naive {
		lines, money := doubleCharges(results, bank)
		fmt.Printf("without the library: %d of %d keys were charged more than once, %s too much\n", len(lines), len(results), money)
		writeList(os.Stdout, lines)
		return nil
	}
	if wrong := check(results, bank); len(wrong) > 0 {
		fmt.Printf("check failed: %d problems\n", len(wrong))
		writeList(os.Stdout, wrong)
		return errCheckFailed
	}
	fmt.Println("check passed: each key was charged once (a declined card: asked once), and all who used a key got the same answer")
	return nil
}

// serve serves a handler on a free port of the loopback interface.
func serve(handler http.Handler) (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}
