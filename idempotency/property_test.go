package idempotency_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// TestExecutorAsStateMachine plays random scripts of what can happen to a few
// processes that call a few keys: concurrent calls, crashes, pauses, lost and
// late requests, callers that leave, time that goes by. What the calls got and
// what the store saw is held against a model. A script that breaks a promise is
// made as small as it still breaks it, and printed. More scripts:
// -rapid.checks=10000.
func TestExecutorAsStateMachine(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue && !testing.Short() {
		_ = checks.Value.Set("400") // of a millisecond or two each
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(t *rapid.T) {
		s := scripts().Draw(t, "script")
		rapid.SyncTest(t, func(t *rapid.T) {
			w := play(s)
			if len(w.model.broken) > 0 {
				t.Fatalf("%s\nscript:%v\nwhat happened:\n\t%s",
					strings.Join(w.model.broken, "\n"), s, strings.Join(w.model.journal, "\n\t"))
			}
		})
	})
}

var (
	errScriptDeclined = errors.New("declined")
	errScriptIgnored  = errors.New("busy")
)

// world is what a script is played in.
type world struct {
	model     *model
	processes [processes]*propProcess
	all       []*propProcess // those that died too
	calls     []*propCall
	texts     int
	mu        sync.Mutex // guards texts
}

// propCall is one call and what it got.
type propCall struct {
	number  int
	step    step
	process *propProcess
	cancel  context.CancelFunc
	ctx     context.Context
	begun   time.Time
	runs    []*propRun
	decided string // the text that its Reconcile answered with

	done   chan struct{}
	over   time.Time
	answer idempotency.Result[string]
	err    error
	panics any
	exited bool
	died   bool // its process was dead when it ended
}

// play plays a script, brings everything to rest, and checks what is left.
func play(s script) *world {
	store := memory.New()
	defer store.Close()
	w := &world{model: newModel(store)}
	for i := range w.processes {
		w.start(i)
	}
	for _, step := range s {
		w.do(step)
		synctest.Wait()
	}
	for _, p := range w.processes {
		p.line.resume()
	}
	patience := time.After(time.Hour)
	for _, c := range w.calls {
		select {
		case <-c.done:
		case <-patience:
			w.model.violated("call %d waits for ever", c.number)
			c.cancel()
			<-c.done
		}
	}
	for _, p := range w.all {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		if err := p.Drain(ctx); err != nil {
			w.model.violated("process %d still works in the background", p.name)
		}
		cancel()
	}
	time.Sleep(5 * propLease) // the latest of the late requests, and the last lease
	synctest.Wait()
	for _, p := range w.all {
		p.kill()
		p.injector.Close()
		if n := p.InFlight(); n != 0 {
			w.model.violated("process %d: %d flights, holds or timers are left", p.name, n)
		}
	}
	for _, c := range w.calls {
		w.checkCall(c)
	}
	w.checkRuns()
	w.model.checkTokens()
	w.checkKeys()
	synctest.Wait()
	return w
}

// start starts a process in the place of the one that has died.
func (w *world) start(name int) {
	p := &propProcess{name: name, injector: faults.NewInjector(nil), undisturbed: true}
	p.ctx, p.kill = context.WithCancel(context.Background())
	p.line = &line{model: w.model, next: p.injector.Wrap(w.model)}
	x, err := idempotency.New(p.line, idempotency.Options{
		Lease: propLease, Retention: propRetention, CommitTimeout: propCommit, WaitTimeout: propWait,
	})
	if err != nil {
		panic(err)
	}
	p.Executor = x
	p.operations = map[string]*idempotency.Operation[string]{}
	ignore := func(err error) bool { return errors.Is(err, errScriptIgnored) }
	for policy, options := range map[string]idempotency.OperationOptions[string]{
		"rerun": {}, "fail": {OnAbandoned: idempotency.Fail}, "detach": {Detach: true}, "shield": {Shield: true},
	} {
		options.IgnoreError = ignore
		if p.operations[policy], err = idempotency.NewOperation(x, options); err != nil {
			panic(err)
		}
	}
	w.processes[name] = p
	w.all = append(w.all, p)
}

func userKey(key int) string { return fmt.Sprintf("k%d", key) }

// text makes a text that no other run and no decision has.
func (w *world) text(key int, what string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts++
	return fmt.Sprintf("k%d-%s-%d;", key, what, w.texts)
}

var texts = regexp.MustCompile(`k\d+-[a-z]+-\d+;`)

func (w *world) do(s step) {
	p := w.processes[s.process]
	switch s.kind {
	case "call":
		w.call(s)
	case "sleep":
		time.Sleep(s.for_)
	case "cancel":
		if s.nth < len(w.calls) {
			w.calls[s.nth].cancel()
		}
	case "crash":
		p.undisturbed = false
		p.line.cut()
		p.kill()
		w.start(s.process)
	case "pause":
		p.undisturbed = false
		p.line.pause()
	case "resume":
		p.line.resume()
	case "fault":
		p.undisturbed = false
		if s.fault == "slow reply" {
			p.line.mu.Lock()
			p.line.slow = s.for_
			p.line.mu.Unlock()
			return
		}
		var match func(faults.Call) bool
		if s.verb != 0 {
			match = faults.Of(s.verb)
		}
		p.injector.OnNth(match, s.nth, map[string]faults.Fault{
			"lose the reply": faults.LoseReply, "not applied": faults.NotApplied,
			"late": faults.LateCall(s.for_), "delay": faults.Delay(s.for_),
		}[s.fault])
	case "forget":
		w.aside(p, func(ctx context.Context) { _ = p.Forget(ctx, userKey(s.key)) })
	case "resolve":
		w.aside(p, func(ctx context.Context) {
			_ = p.operations["fail"].Resolve(ctx, userKey(s.key), w.text(s.key, "resolved"), nil)
		})
	}
}

// aside does what is no call, and may take as long as the process is paused.
func (w *world) aside(p *propProcess, do func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(p.ctx, 10*propLease)
	go func() {
		defer cancel()
		do(ctx)
	}()
}

func (w *world) call(s step) {
	p := w.processes[s.process]
	c := &propCall{number: len(w.calls), step: s, process: p, begun: time.Now(), done: make(chan struct{})}
	w.calls = append(w.calls, c)
	if s.call.limit > 0 {
		c.ctx, c.cancel = context.WithTimeout(p.ctx, s.call.limit)
	} else {
		c.ctx, c.cancel = context.WithCancel(p.ctx)
	}
	o := p.operations[s.call.policy]
	if s.call.policy == "reconcile" {
		var err error
		o, err = idempotency.NewOperation(p.Executor, idempotency.OperationOptions[string]{
			IgnoreError: func(err error) bool { return errors.Is(err, errScriptIgnored) },
			Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[string], error) {
				return w.reconcile(ctx, c, abandoned)
			},
		})
		if err != nil {
			panic(err)
		}
	}
	call := idempotency.Call{Key: userKey(s.key), NoWait: s.call.noWait}
	if s.call.fingerprint != "" {
		call.Fingerprint = []byte(s.call.fingerprint)
	}
	if s.call.patient {
		call.WaitTimeout = idempotency.Unlimited
	}
	go func() {
		defer close(c.done)
		c.exited = true
		defer func() {
			c.panics = recover()
			c.over, c.died = time.Now(), p.line.isDead()
			c.exited = c.exited && c.panics == nil
		}()
		c.answer, c.err = o.Do(c.ctx, call, func(ctx context.Context) (string, error) { return w.act(ctx, c) })
		c.exited = false
	}()
}

// act is the action of a call.
func (w *world) act(ctx context.Context, c *propCall) (string, error) {
	s := c.step.call
	execution, _ := idempotency.ExecutionOf(ctx)
	r := &propRun{call: c, ctx: ctx, fence: execution.Fence, text: w.text(c.step.key, "run")}
	c.runs = append(c.runs, r)
	key := storageKey(userKey(c.step.key))
	w.model.starts(r, key, execution.Attempt)
	timer := time.NewTimer(s.takes)
	defer timer.Stop()
	left := ctx.Done()
	if s.stubborn {
		left = nil
	}
	select {
	case <-timer.C:
	case <-left:
		w.model.ends(r, key, "cut")
		return "", ctx.Err()
	case <-c.process.ctx.Done(): // whatever the process was at
		w.model.ends(r, key, "dead")
		return "", context.Canceled
	}
	w.model.ends(r, key, s.end)
	switch s.end {
	case "declined":
		return "", fmt.Errorf("%s %w", r.text, errScriptDeclined)
	case "ignored":
		return "", fmt.Errorf("%s %w", r.text, errScriptIgnored)
	case "panic":
		panic(r.text)
	case "goexit":
		goexit()
	}
	return r.text, nil
}

func (w *world) reconcile(ctx context.Context, c *propCall, abandoned idempotency.Abandoned) (idempotency.Decision[string], error) {
	execution, _ := idempotency.ExecutionOf(ctx)
	w.model.mu.Lock()
	w.model.verdicts[execution.Fence] = c.step.call.verdict
	if abandoned.Fence >= execution.Fence {
		w.model.breaks("reconcile under fence %d is asked about fence %d", execution.Fence, abandoned.Fence)
	}
	w.model.mu.Unlock()
	switch c.step.call.verdict {
	case "again":
		return idempotency.RunAgain[string](), nil
	case "answer":
		c.decided = w.text(c.step.key, "decided")
		return idempotency.Answer(c.decided, nil), nil
	case "error":
		return idempotency.Decision[string]{}, errors.New("the provider is down")
	}
	return idempotency.Unknown[string](), nil
}

// recorded finds the outcome with the text among those that the store had at
// some moment between from and to.
func (w *world) recorded(key int, text string, from, to time.Time) *outcome {
	for _, o := range w.model.key(storageKey(userKey(key))).outcomes {
		if strings.Contains(string(o.record.Outcome), text) && !o.from.After(to) && !o.to.Before(from) {
			return o
		}
	}
	return nil
}

// checkRuns expects every outcome of an action to be recorded, whose process
// wasn't disturbed until its commit's end, and whose claim the store didn't
// forget.
func (w *world) checkRuns() {
	for _, c := range w.calls {
		for _, r := range c.runs {
			final := r.how == "value" || r.how == "declined" || r.how == "panic"
			if !final || !c.process.undisturbed || r.epoch != w.model.key(storageKey(userKey(c.step.key))).epochAt(r.ended) {
				continue
			}
			if o := w.recorded(c.step.key, r.text, r.ended, r.ended.Add(propCommit)); o == nil {
				w.model.violated("call %d: %s ended in %s and was never recorded", c.number, r.text, r.how)
			}
		}
	}
}

// checkKeys expects every key to be at rest, and a call to get what is recorded.
func (w *world) checkKeys() {
	sound, err := idempotency.New(w.model, idempotency.Options{Lease: propLease})
	if err != nil {
		panic(err)
	}
	failing, err := idempotency.NewOperation(sound, idempotency.OperationOptions[string]{OnAbandoned: idempotency.Fail, NoWait: true})
	if err != nil {
		panic(err)
	}
	for key := range keys {
		record, _ := w.model.store.Fetch(context.Background(), storageKey(userKey(key)))
		ran := false
		result, err := failing.Do(context.Background(), idempotency.Call{Key: userKey(key)}, func(context.Context) (string, error) {
			ran = true
			return "ran", nil
		})
		got := result.Value
		if err != nil {
			got = err.Error()
		}
		got = texts.FindString(got)
		switch record.State {
		case backend.Claimed:
			w.model.violated("key %d is claimed though everybody has ended", key)
		case backend.Completed:
			if ran || got == "" || !strings.Contains(string(record.Outcome), got) {
				w.model.violated("key %d is completed, and a call got %q, %v (its action ran: %v)", key, result.Value, err, ran)
			}
		case backend.Abandoned:
			if ran || !errors.Is(err, idempotency.ErrAbandoned) {
				w.model.violated("key %d is abandoned, and a call got %q, %v (its action ran: %v)", key, result.Value, err, ran)
			}
		default:
			if !ran || err != nil {
				w.model.violated("key %d is vacant, and a call got %q, %v (its action ran: %v)", key, result.Value, err, ran)
			}
		}
	}
}
