package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

func main() { os.Exit(run()) }

const defaultAddr = "127.0.0.1:8080"

// run returns the exit status: 0 when all is well, 1 when the program failed, 2
// for wrong arguments.
func run() int {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	addr := flags.String("addr", "", "address of the page; \""+defaultAddr+"\", or a free port where that is taken")
	open := flags.Bool("open", false, "open the page in a browser")
	// The program starts itself with these.
	var config instanceConfig
	flags.IntVar(&config.slot, "instance", 0, "be an instance of the API (internal)")
	flags.StringVar(&config.redis, "redis", "", "address of Redis (internal)")
	flags.StringVar(&config.network, "network", "", "URL of the card network (internal)")
	flags.StringVar(&config.namespace, "namespace", "", "namespace of the keys (internal)")
	flags.BoolVar(&config.tracking, "tracking", false, "Redis has CLIENT TRACKING (internal)")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case config.slot < 0 || config.slot > len(clients):
		fmt.Fprintln(os.Stderr, "api: -instance: there is no such slot")
		return 2
	}
	var err error
	if config.slot != 0 {
		err = runInstance(config)
	} else {
		err = runDemo(*addr, *open)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		return 1
	}
	return 0
}

// runDemo serves the page until the program is told to end, and leaves no process
// behind.
func runDemo(addr string, open bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := listen(addr)
	if err != nil {
		return err
	}
	d, err := startDemo(ctx, listener, func(args ...string) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return exec.Command(self, args...), nil
	})
	if err != nil {
		return err
	}
	defer d.stop()
	fmt.Printf("Three instances of the API share a Redis (%s). Open the page:\n\n\t%s\n\nCtrl-C ends it.\n", d.redisIs, d.url)
	if open {
		if err := openBrowser(d.url); err != nil {
			fmt.Fprintln(os.Stderr, "api: -open:", err)
		}
	}
	<-ctx.Done()
	stop() // a second Ctrl-C ends it at once
	fmt.Println("\nending: requests that are under way are finished")
	return nil
}

// openBrowser opens a URL as the system's users do.
func openBrowser(url string) error {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}
