package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type message struct {
	id, body string
}

var (
	errPoison = errors.New("poison")
	errBusy   = errors.New("busy")
)

func newStore(t *testing.T) backend.Backend {
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return store
}

func newExecutor(t *testing.T, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	t.Helper()
	x, err := idempotency.New(store, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := x.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return x
}

func newConsumer(t *testing.T, x *idempotency.Executor, options consumer.Options[message]) *consumer.Consumer[message] {
	t.Helper()
	if options.Key == nil {
		options.Key = func(m message) string { return m.id }
	}
	if options.Name == "" {
		options.Name = "messages"
	}
	c, err := consumer.New(x, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A message that another consumer has handled is not this one's duplicate.
func TestTwoConsumersOfOneNamespace(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	handle := func(context.Context, message) error { return nil }
	emails := newConsumer(t, x, consumer.Options[message]{Name: "emails", Handle: handle})
	bookings := newConsumer(t, x, consumer.Options[message]{Name: "bookings", Handle: handle})
	check(t, emails.Handle(t.Context(), message{"1", ""}), consumer.Ack, consumer.Handled)
	check(t, bookings.Handle(t.Context(), message{"1", ""}), consumer.DeadLetter, consumer.Mismatch)
	check(t, emails.Handle(t.Context(), message{"1", ""}), consumer.Ack, consumer.Duplicate)
}

func check(t *testing.T, got consumer.Verdict, action consumer.Action, reason consumer.Reason) {
	t.Helper()
	if got.Action != action || got.Reason != reason {
		t.Errorf("%v, %s (%v), want %v, %s", got.Action, got.Reason, got.Err, action, reason)
	}
	if got.Action != consumer.Nack && got.Delay != 0 {
		t.Errorf("%v with a delay of %v", got.Action, got.Delay)
	}
	if (got.Err == nil) != (reason == consumer.Handled || reason == consumer.Duplicate) {
		t.Errorf("%s: error %v", reason, got.Err)
	}
	if text := fmt.Sprint(got.Err); strings.Contains(text, "secret-id") {
		t.Errorf("the error shows the key: %s", text)
	}
}

func within(t *testing.T, d, lo, hi time.Duration) {
	t.Helper()
	if d < lo || d > hi {
		t.Errorf("delay %v, want %v to %v", d, lo, hi)
	}
}

func TestHandledOnce(t *testing.T) {
	store, n := newStore(t), 0
	var execution idempotency.Execution
	options := consumer.Options[message]{
		Name:        "orders",
		Fingerprint: func(m message) []byte { return []byte(m.body) },
		Metadata:    func(m message) map[string]string { return map[string]string{"body": m.body} },
		Handle: func(ctx context.Context, m message) error {
			n++
			execution, _ = idempotency.ExecutionOf(ctx)
			return nil
		},
	}
	x := newExecutor(t, store, idempotency.Options{})
	c := newConsumer(t, x, options)
	m := message{"secret-id", "a"}
	v := c.Handle(t.Context(), m)
	check(t, v, consumer.Ack, consumer.Handled)
	if v.Replayed || v.Attempt != 1 || execution.Operation != "orders" || execution.Fence == 0 {
		t.Errorf("%+v, %+v", v, execution)
	}
	for _, other := range []*consumer.Consumer[message]{c, newConsumer(t, newExecutor(t, store, idempotency.Options{}), options)} {
		v = other.Handle(t.Context(), m)
		check(t, v, consumer.Ack, consumer.Duplicate)
		if !v.Replayed || v.Attempt != 1 || n != 1 {
			t.Errorf("%+v after %d runs", v, n)
		}
	}
	check(t, c.Handle(t.Context(), message{"secret-id", "b"}), consumer.DeadLetter, consumer.Mismatch)
	if info, err := x.Lookup(t.Context(), m.id); err != nil || info.Metadata["body"] != "a" {
		t.Errorf("%+v, %v", info, err)
	}
	check(t, c.Handle(t.Context(), message{"", ""}), consumer.DeadLetter, consumer.Invalid)
	check(t, c.Handle(t.Context(), message{strings.Repeat("k", 513), ""}), consumer.DeadLetter, consumer.Invalid)
	check(t, c.Handle(t.Context(), message{"k", strings.Repeat("k", 65)}), consumer.DeadLetter, consumer.Invalid)
}

func TestErrors(t *testing.T) {
	final := idempotency.ErrorIs(errPoison)
	for _, test := range []struct {
		name    string
		err     error
		options consumer.Options[message]
		first   consumer.Action
		reason  consumer.Reason
		runs    int // after the second delivery
		second  consumer.Action
		reason2 consumer.Reason
	}{
		{"any", errBusy, consumer.Options[message]{}, consumer.Nack, consumer.Retry, 2, consumer.Nack, consumer.Retry},
		{"harmless", errBusy, consumer.Options[message]{Harmless: idempotency.ErrorIs(errBusy), OnAbandoned: idempotency.Fail}, consumer.Nack, consumer.Retry, 2, consumer.Nack, consumer.Retry},
		{"final", errPoison, consumer.Options[message]{Final: final}, consumer.DeadLetter, consumer.Failed, 1, consumer.DeadLetter, consumer.Failed},
		{"final, acknowledged", errPoison, consumer.Options[message]{Final: final, OnFinal: consumer.Ack}, consumer.Ack, consumer.Failed, 1, consumer.Ack, consumer.Failed},
		{"final before harmless", errPoison, consumer.Options[message]{Final: final, Harmless: final}, consumer.DeadLetter, consumer.Failed, 1, consumer.DeadLetter, consumer.Failed},
		{"not final", errBusy, consumer.Options[message]{Final: final}, consumer.Nack, consumer.Retry, 2, consumer.Nack, consumer.Retry},
		{"asked first", errBusy, consumer.Options[message]{OnAbandoned: idempotency.Fail}, consumer.Nack, consumer.Retry, 1, consumer.Nack, consumer.Abandoned},
		{"asked first, put aside", errBusy, consumer.Options[message]{OnAbandoned: idempotency.Fail, WhenAbandoned: consumer.DeadLetter}, consumer.Nack, consumer.Retry, 1, consumer.DeadLetter, consumer.Abandoned},
		{"once only", errBusy, consumer.Options[message]{MaxAttempts: 1}, consumer.Nack, consumer.Retry, 1, consumer.DeadLetter, consumer.Exhausted},
		{"of another operation", &idempotency.Error{Step: "commit", Err: &idempotency.CommitError{Err: io.EOF}}, consumer.Options[message]{}, consumer.Nack, consumer.Retry, 2, consumer.Nack, consumer.Retry},
		{"like ours", &idempotency.InProgressError{LeaseLeft: time.Hour}, consumer.Options[message]{}, consumer.Nack, consumer.Retry, 2, consumer.Nack, consumer.Retry},
		{"a timeout of its own", context.DeadlineExceeded, consumer.Options[message]{}, consumer.Nack, consumer.Retry, 2, consumer.Nack, consumer.Retry},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			options := test.options
			options.Handle = func(context.Context, message) error { n++; return test.err }
			c := newConsumer(t, newExecutor(t, newStore(t), idempotency.Options{}), options)
			first := c.Handle(t.Context(), message{id: "secret-id"})
			check(t, first, test.first, test.reason)
			if first.Err != test.err || first.Replayed || first.Attempt != 1 {
				t.Errorf("%+v", first)
			}
			if first.Action == consumer.Nack {
				within(t, first.Delay, time.Second, 1200*time.Millisecond)
			}
			second := c.Handle(t.Context(), message{id: "secret-id"})
			check(t, second, test.second, test.reason2)
			if n != test.runs {
				t.Errorf("%d runs, want %d", n, test.runs)
			}
			switch test.reason2 {
			case consumer.Failed:
				if second.Err.Error() != test.err.Error() || !second.Replayed {
					t.Errorf("%+v", second)
				}
			case consumer.Retry:
				within(t, second.Delay, 2*time.Second, 2400*time.Millisecond)
			case consumer.Abandoned:
				if second.Action == consumer.Nack {
					within(t, second.Delay, 5*time.Minute, 5*time.Minute)
				}
			case consumer.Exhausted:
				check(t, c.Handle(t.Context(), message{id: "secret-id"}), consumer.DeadLetter, consumer.Exhausted)
			}
		})
	}
}

func TestReconcile(t *testing.T) {
	decision := idempotency.Unknown[struct{}]()
	n := 0
	c := newConsumer(t, newExecutor(t, newStore(t), idempotency.Options{}), consumer.Options[message]{
		Handle: func(context.Context, message) error { n++; return errBusy },
		Reconcile: func(context.Context, idempotency.Abandoned) (idempotency.Decision[struct{}], error) {
			return decision, nil
		},
	})
	check(t, c.Handle(t.Context(), message{id: "k"}), consumer.Nack, consumer.Retry)
	check(t, c.Handle(t.Context(), message{id: "k"}), consumer.Nack, consumer.Abandoned)
	decision = idempotency.Answer(struct{}{}, nil)
	check(t, c.Handle(t.Context(), message{id: "k"}), consumer.Ack, consumer.Duplicate)
	if n != 1 {
		t.Errorf("%d runs", n)
	}
}

func TestPanics(t *testing.T) {
	for name, test := range map[string]struct {
		final  func(error) bool
		runs   int
		action consumer.Action
		reason consumer.Reason
	}{
		"retried": {nil, 2, consumer.Nack, consumer.Retry},
		"final":   {idempotency.IsPanic, 1, consumer.DeadLetter, consumer.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c := newConsumer(t, newExecutor(t, newStore(t), idempotency.Options{}), consumer.Options[message]{
				Final:  test.final,
				Handle: func(context.Context, message) error { n++; panic(errPoison) },
			})
			v := c.Handle(t.Context(), message{id: "k"})
			check(t, v, test.action, test.reason)
			var panicked *idempotency.PanicError
			if !errors.As(v.Err, &panicked) || len(panicked.Stack) == 0 || v.Attempt != 1 {
				t.Errorf("%+v", v)
			}
			if !errors.Is(v.Err, errPoison) {
				t.Error(v.Err)
			}
			check(t, c.Handle(t.Context(), message{id: "k"}), test.action, test.reason)
			if n != test.runs {
				t.Errorf("%d runs", n)
			}
		})
	}
	for name, options := range map[string]consumer.Options[message]{
		"Key":   {Key: func(message) string { panic("no key") }, Handle: func(context.Context, message) error { return nil }},
		"Final": {Final: func(error) bool { panic("no idea") }, Handle: func(context.Context, message) error { return errBusy }},
	} {
		c := newConsumer(t, newExecutor(t, newStore(t), idempotency.Options{}), options)
		if v := c.Handle(t.Context(), message{id: "k"}); v.Action != consumer.Nack || !idempotency.IsPanic(v.Err) {
			t.Errorf("a panic of %s: %+v", name, v)
		}
	}
}

// A worker isn't held up by another one's message, in its own process or not.
func TestInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		release, started := make(chan struct{}), make(chan struct{})
		options := consumer.Options[message]{Handle: func(context.Context, message) error {
			close(started)
			<-release
			return nil
		}}
		first := newConsumer(t, newExecutor(t, store, idempotency.Options{Lease: time.Minute}), options)
		other := newConsumer(t, newExecutor(t, store, idempotency.Options{}), options)
		var wg sync.WaitGroup
		wg.Go(func() { check(t, first.Handle(t.Context(), message{id: "k"}), consumer.Ack, consumer.Handled) })
		<-started
		began := time.Now()
		for _, c := range []*consumer.Consumer[message]{first, other} {
			v := c.Handle(t.Context(), message{id: "k"})
			check(t, v, consumer.Nack, consumer.InProgress)
			within(t, v.Delay, 50*time.Second, time.Minute)
		}
		options.MaxDelay = 10 * time.Second
		v := newConsumer(t, newExecutor(t, store, idempotency.Options{}), options).Handle(t.Context(), message{id: "k"})
		within(t, v.Delay, 10*time.Second, 10*time.Second)
		if took := time.Since(began); took > time.Second {
			t.Errorf("waited %v", took)
		}
		close(release)
		wg.Wait()
		check(t, other.Handle(t.Context(), message{id: "k"}), consumer.Ack, consumer.Duplicate)
	})
}

// Many workers, in several processes, get the same messages at once.
func TestManyWorkers(t *testing.T) {
	store := newStore(t)
	const messages, workers = 20, 8
	var runs [messages]atomic.Int32
	var wg sync.WaitGroup
	for range workers {
		c := newConsumer(t, newExecutor(t, store, idempotency.Options{}), consumer.Options[message]{
			Handle: func(_ context.Context, m message) error { runs[m.id[0]-'a'].Add(1); return nil },
		})
		wg.Go(func() {
			for i := range messages {
				for {
					v := c.Handle(t.Context(), message{id: string(rune('a' + i))})
					if v.Action == consumer.Ack {
						break
					}
					if v.Reason != consumer.InProgress {
						t.Errorf("%+v", v)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			t.Errorf("message %d was handled %d times", i, n)
		}
	}
}

func TestStoreDown(t *testing.T) {
	injector := faults.NewInjector(func(faults.Call) faults.Fault { return faults.Fail(backend.ErrPermanent) })
	defer injector.Close()
	n := 0
	options := consumer.Options[message]{Handle: func(context.Context, message) error { n++; return nil }}
	c := newConsumer(t, newExecutor(t, injector.Wrap(newStore(t)), idempotency.Options{}), options)
	v := c.Handle(t.Context(), message{id: "k"})
	check(t, v, consumer.Nack, consumer.Store)
	within(t, v.Delay, time.Second, time.Second)
	if n != 0 {
		t.Error("it ran without a claim")
	}
	open := newConsumer(t, newExecutor(t, injector.Wrap(newStore(t)), idempotency.Options{FailOpen: true}), options)
	check(t, open.Handle(t.Context(), message{id: "k"}), consumer.Ack, consumer.Handled)
	if n != 1 {
		t.Errorf("%d runs without protection", n)
	}

	corrupt := faults.NewInjector(func(faults.Call) faults.Fault { return faults.Fail(backend.ErrCorrupt) })
	defer corrupt.Close()
	c = newConsumer(t, newExecutor(t, corrupt.Wrap(newStore(t)), idempotency.Options{}), options)
	v = c.Handle(t.Context(), message{id: "k"})
	check(t, v, consumer.Nack, consumer.Unreadable)
	within(t, v.Delay, 5*time.Minute, 5*time.Minute)
}

// The work is done, and nobody could write that down: it isn't asked for again.
func TestUnrecorded(t *testing.T) {
	for name, handled := range map[string]error{"success": nil, "final error": errPoison, "error": errBusy} {
		injector := faults.NewInjector(func(call faults.Call) faults.Fault {
			if call.Verb == faults.Commit {
				return faults.Fail(backend.ErrPermanent)
			}
			return faults.None
		})
		defer injector.Close()
		c := newConsumer(t, newExecutor(t, injector.Wrap(newStore(t)), idempotency.Options{}), consumer.Options[message]{
			Final:  idempotency.ErrorIs(errPoison),
			Handle: func(context.Context, message) error { return handled },
		})
		v := c.Handle(t.Context(), message{id: name})
		switch handled {
		case nil:
			check(t, v, consumer.Ack, consumer.Unrecorded)
		case errPoison:
			check(t, v, consumer.DeadLetter, consumer.Failed)
		default:
			check(t, v, consumer.Nack, consumer.Retry)
		}
	}
}

func TestLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		first := make(chan struct{})
		options := consumer.Options[message]{Handle: func(ctx context.Context, m message) error {
			if e, _ := idempotency.ExecutionOf(ctx); e.Attempt > 1 {
				<-t.Context().Done()
				return nil
			}
			close(first)
			<-ctx.Done()
			return ctx.Err()
		}}
		c := newConsumer(t, newExecutor(t, store, idempotency.Options{Lease: time.Second, MaxHold: time.Second}), options)
		v := c.Handle(t.Context(), message{id: "k"})
		<-first
		check(t, v, consumer.Nack, consumer.LeaseLost)
		within(t, v.Delay, time.Second, time.Second)
	})
}

func TestShutdown(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	options := consumer.Options[message]{Handle: func(ctx context.Context, m message) error {
		if n++; n > 1 {
			return nil
		}
		cancel(io.ErrClosedPipe)
		<-ctx.Done()
		return fmt.Errorf("query: %w", ctx.Err())
	}}
	x := newExecutor(t, newStore(t), idempotency.Options{})
	c := newConsumer(t, x, options)
	v := c.Handle(ctx, message{id: "k"})
	check(t, v, consumer.Nack, consumer.Stopped)
	if v.Delay != 0 {
		t.Errorf("delay %v: another worker may have it at once", v.Delay)
	}
	check(t, c.Handle(ctx, message{id: "other"}), consumer.Nack, consumer.Stopped)
	if n != 1 {
		t.Error("a worker that stops began another message")
	}
	check(t, c.Handle(t.Context(), message{id: "k"}), consumer.Ack, consumer.Handled)

	stopped, stop := context.WithCancel(t.Context())
	shield := newConsumer(t, x, consumer.Options[message]{Shield: true, Handle: func(ctx context.Context, m message) error {
		stop()
		return ctx.Err()
	}})
	v = shield.Handle(stopped, message{id: "shielded"})
	if v.Action != consumer.Ack {
		t.Errorf("%+v", v)
	}
}

func TestOptions(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	ok := func() consumer.Options[message] {
		return consumer.Options[message]{
			Name:   "orders",
			Key:    func(m message) string { return m.id },
			Handle: func(context.Context, message) error { return nil },
		}
	}
	for want, change := range map[string]func(*consumer.Options[message]){
		"Key":           func(o *consumer.Options[message]) { o.Key = nil },
		"Handle":        func(o *consumer.Options[message]) { o.Handle = nil },
		"OnFinal":       func(o *consumer.Options[message]) { o.OnFinal = 7 },
		"WhenAbandoned": func(o *consumer.Options[message]) { o.WhenAbandoned = consumer.Ack },
		"MinDelay":      func(o *consumer.Options[message]) { o.MinDelay = -1 },
		"MaxDelay":      func(o *consumer.Options[message]) { o.MaxDelay = time.Millisecond },
		"Retention":     func(o *consumer.Options[message]) { o.Retention = -1 },
		"MaxAttempts":   func(o *consumer.Options[message]) { o.MaxAttempts = -1 },
		"Name":          func(o *consumer.Options[message]) { o.Name = strings.Repeat("n", 257) },
		"Name is empty": func(o *consumer.Options[message]) { o.Name = "" },
	} {
		options := ok()
		change(&options)
		if _, err := consumer.New(x, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := consumer.New[message](nil, ok()); err == nil {
		t.Error("a nil executor was taken")
	}
}

func Example() {
	type event struct{ ID, Kind string }
	store := memory.New()
	defer store.Close()
	executor, err := idempotency.New(store, idempotency.Options{Namespace: "billing"})
	if err != nil {
		panic(err)
	}
	events, err := consumer.New(executor, consumer.Options[event]{
		Name: "events",
		Key:  func(e event) string { return e.ID },
		Handle: func(ctx context.Context, e event) error {
			fmt.Println("booking", e.Kind)
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	for range 2 { // the broker delivers twice
		verdict := events.Handle(context.Background(), event{"evt_1", "charge.succeeded"})
		fmt.Println(verdict.Action, verdict.Reason)
	}
	// Output:
	// booking charge.succeeded
	// ack handled
	// ack duplicate
}
