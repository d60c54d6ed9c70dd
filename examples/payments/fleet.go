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

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 3 * time.Second
)

// fleet is the instances of the API, each a process of its own.
type fleet struct {
	mu        sync.Mutex
	command   func() (*exec.Cmd, error)
	instances []*process // one a slot; a dead one stays until its successor runs
	restarts  sync.WaitGroup
	stopping  bool
	failed    error // of a restart
}

// process is one run of an instance.
type process struct {
	url   string
	pid   int
	stdin io.Closer
	kill  func() error
	ended chan struct{}
}

// start starts n instances with command, which makes the command line of one.
// They run until stop, whatever ends us: their stdin ends with us.
func (f *fleet) start(n int, command func() (*exec.Cmd, error)) error {
	var wg sync.WaitGroup
	started, errs := make([]*process, n), make([]error, n)
	for i := range n {
		wg.Go(func() { started[i], errs[i] = startProcess(command) })
	}
	wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.command, f.instances = command, started
	return errors.Join(errs...)
}

func startProcess(command func() (*exec.Cmd, error)) (*process, error) {
	cmd, err := command()
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("instance: %w", err)
	}
	p := &process{pid: cmd.Process.Pid, stdin: stdin, kill: cmd.Process.Kill, ended: make(chan struct{})}
	announced := make(chan string, 1)
	go func() {
		defer close(p.ended)
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		announced <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	}()
	select {
	case p.url = <-announced:
	case <-time.After(startTimeout):
	}
	if p.url == "" {
		p.crash()
		return nil, errors.New("instance: it ended, or did not tell its address")
	}
	return p, nil
}

// stop ends the process: politely, and after the timeout for certain.
func (p *process) stop(timeout time.Duration) {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(timeout):
		p.crash()
	}
}

// crash ends the process at once: SIGKILL.
func (p *process) crash() {
	_ = p.kill()
	<-p.ended
	_ = p.stdin.Close()
}

// url is the address of slot i, counted round the fleet.
func (f *fleet) url(i int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.instances[i%len(f.instances)].url
}

// kill ends the instance with that process ID as a crash does, and
// returns once it is dead. A new one starts in its place meanwhile. Slot is -1
// where there is no such instance.
func (f *fleet) kill(pid int) (slot int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.instances {
		if p == nil || p.pid != pid || f.stopping {
			continue
		}
		p.crash()
		f.restarts.Go(func() { f.restart(i) })
		return i
	}
	return -1
}

func (f *fleet) restart(slot int) {
	p, err := startProcess(f.command)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed = err
		return
	}
	f.instances[slot] = p
}

// stop ends all instances and returns when none is left. The error is that of an
// instance that could not be started again.
func (f *fleet) stop() error {
	f.mu.Lock()
	f.stopping = true
	f.mu.Unlock()
	f.restarts.Wait()
	var wg sync.WaitGroup
	for _, p := range f.instances {
		if p != nil {
			wg.Go(func() { p.stop(stopTimeout) })
		}
	}
	wg.Wait()
	return f.failed
}
