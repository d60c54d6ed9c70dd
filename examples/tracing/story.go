package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"sync"
	"time"
)

// The idempotency keys of the story. They are in none of its traces.
const (
	keyRetried  = "pay_4a7f31c9"
	keyDeclined = "pay_e02b6d55"
	keyOrphaned = "pay_91d3c8e0"
)

// request is one request of the story.
type request struct {
	step  string
	title string
	// panel is the picture that it is in; empty: none.
	panel string
	// want is the outcomes that its call may have, and status that of its answer;
	// none and 0 where its process is killed before.
	want   []string
	status int
}

// story is what happens. Nothing in it is left to luck: each request is sent when
// the one before is known to be where it should be.
type story struct {
	command func(name string) *exec.Cmd
	record  *record

	requests  []request // as they were sent
	client    *http.Client
	processes []*process
	fail      context.CancelCauseFunc // ends the story

	mu     sync.Mutex
	victim *process      // is killed when keyOrphaned is booked
	held   chan struct{} // closed when keyRetried is booked
	resume chan struct{} // closed to let that charge go on
	killed chan struct{} // closed once the victim is dead
	flawed error         // of the kill
	// A booking that comes twice, after a lease was lost, happens but once.
	hold, kill sync.Once
}

func newStory() *story {
	return &story{
		record: newRecord(), client: &http.Client{},
		held: make(chan struct{}), resume: make(chan struct{}), killed: make(chan struct{}),
	}
}

// Two panels of the picture.
const (
	panelRetries = "One payment, asked for four times at two processes: charged once"
	panelCrash   = "A process is killed after the card was charged, and before anybody was told"
)

func (s *story) tell(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		cancel(nil)
	}()
	s.fail = cancel

	first, err := s.start("api-1")
	if err != nil {
		return err
	}
	second, err := s.start("api-2")
	if err != nil {
		return err
	}

	retried := payment{Reference: keyRetried, Amount: 4200, Card: "tok_visa"}
	charge := s.send(ctx, first, retried, request{"charge", "a charge", panelRetries, []string{"executed"}, http.StatusOK})
	if err := until(ctx, s.held); err != nil {
		return err
	}
	click := s.send(ctx, first, retried, request{"click", "a double click meanwhile", panelRetries, []string{"joined"}, http.StatusOK})
	if err := s.record.untilWaiting(ctx, click); err != nil {
		return err
	}
	retry := s.send(ctx, second, retried, request{"retry", "a retry at the other process meanwhile", panelRetries, []string{"waited"}, http.StatusOK})
	if err := s.record.untilWaiting(ctx, retry); err != nil {
		return err
	}
	close(s.resume)
	if err := errors.Join(charge.answered(), click.answered(), retry.answered()); err != nil {
		return err
	}
	late := s.send(ctx, second, retried, request{"late", "another retry, afterwards", panelRetries, []string{"replayed"}, http.StatusOK})
	if err := late.answered(); err != nil {
		return err
	}
	other := retried
	other.Amount++
	refused := s.send(ctx, second, other, request{"other", "the same key for another amount", "", []string{"refused"}, http.StatusUnprocessableEntity})
	if err := refused.answered(); err != nil {
		return err
	}

	declined := payment{Reference: keyDeclined, Amount: 9900, Card: declinedCard}
	decline := s.send(ctx, second, declined, request{"decline", "a card that is declined", "", []string{"executed"}, http.StatusPaymentRequired})
	if err := decline.answered(); err != nil {
		return err
	}
	again := s.send(ctx, first, declined, request{"again", "its retry (an error is an answer too)", "", []string{"replayed"}, http.StatusPaymentRequired})
	if err := again.answered(); err != nil {
		return err
	}

	orphaned := payment{Reference: keyOrphaned, Amount: 1500, Card: "tok_visa"}
	s.mu.Lock()
	s.victim = first
	s.mu.Unlock()
	dead := s.send(ctx, first, orphaned, request{"crash", "a charge, in which the process is killed", panelCrash, nil, 0})
	if err := until(ctx, s.killed); err != nil {
		return err
	}
	if err := errors.Join(s.flawed, dead.answered()); err != nil {
		return err
	}
	// A second later than usual, on a machine that stood still, nobody is waited for.
	takeover := s.send(ctx, second, orphaned,
		request{"takeover", "its retry, which asks the card network", panelCrash, []string{"waited", "replayed"}, http.StatusOK})
	if err := takeover.answered(); err != nil {
		return err
	}
	restarted, err := s.start("api-1 restarted")
	if err != nil {
		return err
	}
	last := s.send(ctx, restarted, orphaned, request{"last", "another retry, afterwards", panelCrash, []string{"replayed"}, http.StatusOK})
	return last.answered()
}

// booked is called by the card network, before it answers.
func (s *story) booked(ctx context.Context, reference string) {
	switch reference {
	case keyRetried:
		s.hold.Do(func() { close(s.held) })
		_ = until(ctx, s.resume)
	case keyOrphaned:
		s.kill.Do(func() {
			s.mu.Lock()
			victim := s.victim
			s.mu.Unlock()
			s.flawed = victim.flush(ctx)
			victim.crash()
			s.record.killed(victim.name, time.Now())
			close(s.killed)
		})
	}
}

func until(ctx context.Context, happened <-chan struct{}) error {
	select {
	case <-happened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *story) start(name string) (*process, error) {
	p, err := startProcess(name, s.command(name), s.record)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

// stop ends all processes. That one was killed on purpose is no error.
func (s *story) stop() error {
	s.client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	var wg sync.WaitGroup
	errs := make([]error, len(s.processes))
	for i, p := range s.processes {
		wg.Go(func() {
			if err := p.stop(); p != s.victim {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// send sends a request. Another answer than the one that it should get ends the
// story.
func (s *story) send(ctx context.Context, to *process, p payment, r request) *sent {
	s.requests = append(s.requests, r)
	out := &sent{request: r, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		status, err := s.post(ctx, to.url, p, r.step)
		if status != r.status {
			out.failed = fmt.Errorf("%s: status %d, want %d (%v)", r.title, status, r.status, err)
			s.fail(out.failed)
		}
	}()
	return out
}

// sent is a request that is under way.
type sent struct {
	request
	done   chan struct{} // closed when it was answered, or ctx has ended
	failed error
}

func (s *sent) answered() error {
	<-s.done
	return s.failed
}

func (s *story) post(ctx context.Context, url string, p payment, step string) (status int, err error) {
	key := p.Reference
	p.Reference = ""
	body, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/charges", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Idempotency-Key", key)
	request.Header.Set(stepHeader, step)
	// A transport sends a request with this header a second time by itself when its
	// connection breaks.
	request.GetBody = nil
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, nil
}
