package main

import (
	"errors"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// states of an instance.
const (
	stateStarting = "starting"
	stateUp       = "up"
	statePaused   = "paused"
	stateDown     = "down"
)

// fleet is the instances of the API, each a process of its own.
type fleet struct {
	command func(slot int) (*exec.Cmd, error)
	told    func(report)
	died    func(slot int)
	changed func()
	down    time.Duration // how long a killed instance stays down
	stopped chan struct{}
	running sync.WaitGroup // restarts and pauses

	mu       sync.Mutex
	slots    []slot
	stopping bool
	next     int
}

type slot struct {
	process *process // nil while there is none
	state   string
	err     error // of the last start
}

// start starts an instance in every slot. After an error, stop what there is.
func (f *fleet) start() error {
	f.stopped = make(chan struct{})
	f.slots = make([]slot, len(clients))
	var wg sync.WaitGroup
	for i := range f.slots {
		wg.Go(func() { f.launch(i + 1) })
	}
	wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, s := range f.slots {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}

// launch starts an instance in a slot that has none.
func (f *fleet) launch(slot int) {
	f.set(slot, nil, stateStarting, nil)
	cmd, err := f.command(slot)
	var p *process
	if err == nil {
		p, err = startProcess(cmd, f.told)
	}
	if err != nil {
		f.set(slot, nil, stateDown, err)
		return
	}
	if !f.set(slot, p, stateUp, nil) {
		p.stop()
		return
	}
	f.running.Go(func() {
		<-p.ended
		f.buried(slot, p)
	})
}

// set puts a process, or none, into a slot. It reports false when the fleet is
// stopping: then nothing is put anywhere.
func (f *fleet) set(slot int, p *process, state string, err error) bool {
	f.mu.Lock()
	stopping := f.stopping
	if !stopping {
		s := &f.slots[slot-1]
		s.process, s.state, s.err = p, state, err
	}
	f.mu.Unlock()
	f.changed()
	return !stopping
}

// buried starts another instance where one has ended, however it did.
func (f *fleet) buried(slot int, p *process) {
	f.died(slot)
	_ = p.stdin.Close()
	if !f.set(slot, nil, stateDown, nil) {
		return
	}
	timer := time.NewTimer(f.down)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.stopped:
		return
	}
	f.launch(slot)
}

// kill ends an instance as a crash does, and returns once it is dead. Another one
// starts in its place after a while.
func (f *fleet) kill(slot int) error {
	p, err := f.at(slot)
	if err != nil {
		return err
	}
	p.crash()
	return nil
}

var errNoInstance = errors.New("there is no instance in this slot just now")

func (f *fleet) at(slot int) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slot < 1 || slot > len(f.slots) || f.slots[slot-1].process == nil {
		return nil, errNoInstance
	}
	return f.slots[slot-1].process, nil
}

// pause stops an instance for a while, in the middle of what it does. The channel
// is closed when the while is over.
func (f *fleet) pause(slot int, d time.Duration) (over <-chan struct{}, err error) {
	p, err := f.at(slot)
	if err != nil {
		return nil, err
	}
	if !f.move(slot, p, stateUp, statePaused) {
		return nil, errNoInstance
	}
	if err := pause(p.os); err != nil {
		f.move(slot, p, statePaused, stateUp)
		return nil, err
	}
	ended := make(chan struct{})
	f.running.Go(func() {
		defer close(ended)
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.stopped:
		case <-p.ended:
			return
		}
		_ = proceed(p.os)
		f.move(slot, p, statePaused, stateUp)
	})
	return ended, nil
}

// move changes the state of a process that is still the one in its slot.
func (f *fleet) move(slot int, p *process, from, to string) bool {
	f.mu.Lock()
	s := &f.slots[slot-1]
	ok := !f.stopping && s.process == p && s.state == from
	if ok {
		s.state = to
	}
	f.mu.Unlock()
	if ok {
		f.changed()
	}
	return ok
}

// choose is an instance in turn that is not known to be down, as a load balancer
// chooses. A paused one is chosen: its port is open.
func (f *fleet) choose() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.slots {
		f.next++
		if slot := (f.next-1)%len(f.slots) + 1; f.slots[slot-1].process != nil {
			return slot
		}
	}
	return (f.next-1)%len(f.slots) + 1
}

// states are those of the slots, from the first one on.
func (f *fleet) states() []slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.slots)
}

// stop ends all instances and returns when none is left.
func (f *fleet) stop() {
	f.mu.Lock()
	f.stopping = true
	f.mu.Unlock()
	close(f.stopped)
	var wg sync.WaitGroup
	for _, s := range f.states() {
		if s.process != nil {
			wg.Go(s.process.stop)
		}
	}
	wg.Wait()
	f.running.Wait()
}
