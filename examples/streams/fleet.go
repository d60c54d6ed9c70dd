package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const stopTimeout = 5 * time.Second

// fleet is the workers, each a process of its own. One that asks for it is
// killed, and another one takes its place.
type fleet struct {
	redis, prefix string
	verdict       func(order, reason string) // of a worker
	killed        func(order string)
	failed        func(error) // a worker ended by itself

	mu       sync.Mutex
	workers  map[*exec.Cmd]io.Closer // their stdin: a worker ends with it
	started  int
	stopping bool
	wg       sync.WaitGroup
}

// start starts one more worker.
func (f *fleet) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	f.started++
	cmd := exec.Command(self, "-worker", fmt.Sprintf("worker-%d", f.started), "-redis", f.redis, "-prefix", f.prefix)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if f.workers == nil {
		f.workers = map[*exec.Cmd]io.Closer{}
	}
	f.workers[cmd] = stdin
	f.wg.Go(func() { f.follow(cmd, stdout) })
	return nil
}

// follow reads what a worker tells, one event a line, until it ends.
func (f *fleet) follow(cmd *exec.Cmd, stdout io.Reader) {
	killed := false
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		event, rest, _ := strings.Cut(lines.Text(), " ")
		order, reason, _ := strings.Cut(rest, " ")
		switch event {
		case "kill-me":
			killed = true
			f.killed(order)
			_ = cmd.Process.Kill() // SIGKILL, in the middle of its order
		case "verdict":
			f.verdict(order, reason)
		}
	}
	err := cmd.Wait()
	f.mu.Lock()
	stdin, stopping := f.workers[cmd], f.stopping
	delete(f.workers, cmd)
	f.mu.Unlock()
	_ = stdin.Close()
	switch {
	case stopping:
		return
	case killed:
		err = f.start()
	default:
		err = errors.Join(errors.New("a worker ended by itself"), err)
	}
	if err != nil {
		f.failed(err)
	}
}

// stop ends all workers: politely, and after a time for certain.
func (f *fleet) stop() {
	f.mu.Lock()
	f.stopping = true
	var left []*exec.Cmd
	for cmd, stdin := range f.workers {
		_ = stdin.Close()
		left = append(left, cmd)
	}
	f.mu.Unlock()
	late := time.AfterFunc(stopTimeout, func() {
		for _, cmd := range left {
			_ = cmd.Process.Kill()
		}
	})
	f.wg.Wait()
	late.Stop()
}
