package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/reprise-go/reprise/internal/embedded"
)

func main() { os.Exit(run()) }

const deadline = time.Minute // for the whole run, which takes three seconds

// run returns the exit status: 0 when all is well, 1 when a call got its answer in
// another way than it should or the program failed, 2 for wrong arguments.
func run() int {
	flags := flag.NewFlagSet("tracing", flag.ContinueOnError)
	svg := flags.String("svg", "", "draw the traces into this `file`")
	// The program starts itself with these.
	name := flags.String("process", "", "be this process of the API (internal)")
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
	if *name != "" {
		err = runProcess(processConfig{name: *name, redis: *redis, network: *network, namespace: *namespace})
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = runExample(ctx, *svg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tracing:", err)
		return 1
	}
	return 0
}

// runExample starts the world, lets the story happen, and shows its traces. It
// leaves no process behind, however it ends.
func runExample(ctx context.Context, svgFile string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not finished within %v", deadline))
	defer cancel()
	redis, err := embedded.Redis(ctx)
	if err != nil {
		return err
	}
	defer redis.Stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := newStory()
	bankURL, stopBank, err := serve(newNetwork(s.booked).handler())
	if err != nil {
		return err
	}
	defer stopBank()
	// A namespace of its own for each run: on a Redis that remembers, the second run
	// would replay the first one.
	namespace := fmt.Sprintf("example-tracing-%d", time.Now().UnixNano())
	s.command = func(name string) *exec.Cmd {
		return exec.Command(self, "-process", name, "-redis", redis.Addr, "-network", bankURL, "-namespace", namespace)
	}
	fmt.Printf("two processes of a payments API, sharing %s\n", redis)
	told := s.tell(ctx)
	if told != nil && ctx.Err() != nil {
		told = context.Cause(ctx)
	}
	// The last spans arrive when a process ends.
	if err := errors.Join(told, s.stop()); err != nil {
		return err
	}
	traces := s.record.traces(s.requests)
	writeTrees(os.Stdout, traces)
	if svgFile != "" {
		if err := os.WriteFile(svgFile, drawSVG(traces), 0o644); err != nil {
			return err
		}
		fmt.Printf("\ndrawn into %s\n", svgFile)
	}
	return errors.Join(s.record.writeSent(os.Stdout), checkOutcomes(traces))
}
