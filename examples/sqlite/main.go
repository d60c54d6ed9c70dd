package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return show(ctx, os.Stdout) }
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		run = func() error { return work(ctx, os.Args[2:], os.Stdin, os.Stdout) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// show starts two processes on one file and passes on what they say.
func show(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "reprise-sqlite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "bank.db")

	first, said, err := startWorker(ctx, nil, "-file", file, "-name", "first", "-takes", "2s", "payment-123")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.Wait()) }()
	if !said.Scan() { // it holds the key now
		return errors.New("the first process said nothing")
	}
	fmt.Fprintln(out, said.Text())

	second, saidToo, err := startWorker(ctx, nil, "-file", file, "-name", "second", "-takes", "2s", "payment-123")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Wait()) }()
	for _, lines := range []*bufio.Scanner{said, saidToo} {
		for lines.Scan() {
			fmt.Fprintln(out, lines.Text())
		}
	}
	return nil
}

// startWorker starts this program once more, as a worker, whose lines can be read.
func startWorker(ctx context.Context, stdin io.Reader, args ...string) (*exec.Cmd, *bufio.Scanner, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	worker := exec.CommandContext(ctx, self, append([]string{"worker"}, args...)...)
	worker.Stdin, worker.Stderr = stdin, os.Stderr
	stdout, err := worker.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return worker, bufio.NewScanner(stdout), worker.Start()
}
