//go:build unix

package soak

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fleet is the worker processes, one a slot. A worker that crashes is followed by
// another one in its slot, until the fleet stops.
type fleet struct {
	log  *journal
	plan func(slot, id int) config

	mu       sync.Mutex
	slots    []*process
	stopping bool
	lastID   int
	failures []string
	starting sync.WaitGroup
}

// process is one run of a worker.
type process struct {
	id     int
	cmd    *exec.Cmd
	stdin  io.Closer
	output *output
	exited chan struct{}
	err    error // of the exit, once exited is closed

	paused sync.Mutex // held while it is stopped
}

const (
	stopTimeout = 60 * time.Second // of a worker that was told to stop
	outputLimit = 64 << 10
)

// output keeps the end of what a process wrote.
type output struct {
	mu   sync.Mutex
	data []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, p...)
	if extra := len(o.data) - outputLimit; extra > 0 {
		o.data = append([]byte(nil), o.data[extra:]...)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.data)
}

// start runs the test binary again, as a worker.
func startWorker(c config) (*process, error) {
	env, err := c.env()
	if err != nil {
		return nil, err
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{id: c.ID, cmd: exec.Command(path), output: &output{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// failure says what is wrong with how the process ended: it may end well, or by a
// SIGKILL, its own or its parent's.
func (p *process) failure() string {
	if p.err == nil {
		return ""
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return ""
		}
	}
	return fmt.Sprintf("worker %d ended with %v\n%s", p.id, p.err, p.output)
}

func (p *process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.output.Write(fmt.Appendf(nil, "signal %v: %v\n", s, err))
	}
}

// run starts all slots.
func (f *fleet) run(slots int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping, f.slots = false, make([]*process, slots)
	for slot := range slots {
		f.spawn(slot)
	}
}

// spawn starts a worker in a slot, and the next one when it has ended. Called
// under mu.
func (f *fleet) spawn(slot int) {
	f.lastID++
	id := f.lastID
	f.starting.Go(func() {
		p, err := startWorker(f.plan(slot, id))
		f.mu.Lock()
		if err != nil {
			f.failures = append(f.failures, err.Error())
			f.mu.Unlock()
			return
		}
		f.slots[slot] = p
		if f.stopping {
			_ = p.stdin.Close()
		}
		f.mu.Unlock()
		<-p.exited
		_ = p.stdin.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		if text := p.failure(); text != "" {
			f.failures = append(f.failures, text)
		} else if p.err == nil && !f.stopping {
			f.failures = append(f.failures, fmt.Sprintf("worker %d ended before it was told to\n%s", id, p.output))
		}
		if !f.stopping && len(f.failures) == 0 {
			f.spawn(slot)
		}
	})
}

// any picks a running worker.
func (f *fleet) any(random *rand.Rand) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots[random.IntN(len(f.slots))]
}

// in is the worker of a slot, nil before the first.
func (f *fleet) in(slot int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slot >= len(f.slots) || f.slots[slot] == nil {
		return 0
	}
	return f.slots[slot].id
}

// kill ends a worker as a crash does.
func (f *fleet) kill(p *process) {
	f.log.add(event{Kind: evKill, Worker: p.id})
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// pause stops a worker for some time, unless it is stopped already.
func (f *fleet) pause(p *process, d time.Duration) {
	if !p.paused.TryLock() {
		return
	}
	defer p.paused.Unlock()
	f.log.add(event{Kind: evStop, Worker: p.id})
	p.signal(syscall.SIGSTOP)
	select {
	case <-time.After(d):
	case <-p.exited:
	}
	p.signal(syscall.SIGCONT)
	f.log.add(event{Kind: evContinue, Worker: p.id})
}

// stop lets all workers end and returns when they have. One that doesn't end is
// asked for its goroutines, and is a failure.
func (f *fleet) stop() {
	f.mu.Lock()
	f.stopping = true
	for _, p := range f.slots {
		if p != nil {
			_ = p.stdin.Close()
		}
	}
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		f.starting.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return
	case <-time.After(stopTimeout):
	}
	f.mu.Lock()
	for _, p := range f.slots {
		if p != nil {
			p.signal(syscall.SIGQUIT)
		}
	}
	f.mu.Unlock()
	<-ended
}

// trouble is what went wrong with the processes themselves.
func (f *fleet) trouble() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.failures, "\n")
}
