package logging_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing/logging"
)

// log is an executor's log, as text without times.
type log struct {
	buffer bytes.Buffer
	x      *idempotency.Executor
}

func newLog(t *testing.T, level slog.Level, options logging.Options, executor idempotency.Options) *log {
	t.Helper()
	l := &log{}
	handler := slog.NewTextHandler(&l.buffer, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "fence" {
			return slog.Attr{}
		}
		return a
	}})
	observer, err := logging.NewObserver(slog.New(handler), options)
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	executor.Observer = observer
	if l.x, err = idempotency.New(store, executor); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *log) take() string {
	defer l.buffer.Reset()
	return l.buffer.String()
}

func operation(t *testing.T, l *log, options idempotency.OperationOptions[string]) *idempotency.Operation[string] {
	t.Helper()
	o, err := idempotency.NewOperation(l.x, options)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func ok(context.Context) (string, error) { return "s3cret payload", nil }

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, slog.LevelDebug, logging.Options{}, idempotency.Options{Namespace: "ns", Lease: time.Second, MaxHold: 2 * time.Second})
		o := operation(t, l, idempotency.OperationOptions[string]{Name: "charge"})
		fail := operation(t, l, idempotency.OperationOptions[string]{Name: "charge", OnAbandoned: idempotency.Fail})
		want := func(lines ...string) {
			t.Helper()
			got := l.take()
			for _, line := range lines {
				if !strings.Contains(got, line+"\n") {
					t.Errorf("the log\n%s\nhas no line\n%s", got, line)
				}
			}
		}
		o.Run(t.Context(), "s3cret-key", ok)
		want(`level=DEBUG msg="idempotency: call" operation=charge namespace=ns attempt=1 outcome=executed waited=0s`)
		o.Run(t.Context(), "s3cret-key", ok)
		want(`level=DEBUG msg="idempotency: call" operation=charge namespace=ns attempt=1 outcome=replayed waited=0s`)
		ctx, cancel := context.WithCancel(t.Context())
		o.Run(ctx, "a", func(ctx context.Context) (string, error) { cancel(); return "", ctx.Err() })
		want(`level=WARN msg="idempotency: abandoned" operation=charge namespace=ns attempt=1`)
		fail.Run(t.Context(), "a", ok)
		want(`level=WARN msg="idempotency: undecided" operation=charge namespace=ns attempt=1 error_type=abandoned`)
		o.Run(t.Context(), "a", ok)
		want(`level=WARN msg="idempotency: took over an abandoned key" operation=charge namespace=ns attempt=2`)
		o.Run(t.Context(), "b", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		want(`level=WARN msg="idempotency: lease lost" operation=charge namespace=ns attempt=1 error_type=canceled`,
			`level=DEBUG msg="idempotency: lease renewed" operation=charge namespace=ns attempt=1`)
		o.Run(t.Context(), "c", func(context.Context) (string, error) {
			o.Do(t.Context(), idempotency.Call{Key: "c", NoWait: true}, ok)
			return "", nil
		})
		want(`level=INFO msg="idempotency: refused" operation=charge namespace=ns attempt=1 error_type=in_progress waited=0s`)
	})
}

func TestNothingPrivateIsLogged(t *testing.T) {
	run := func(options logging.Options) string {
		l := newLog(t, slog.LevelDebug, options, idempotency.Options{})
		o := operation(t, l, idempotency.OperationOptions[string]{})
		for range 2 {
			o.Run(t.Context(), "s3cret-key", ok)
			o.Run(t.Context(), "s3cret-error", func(context.Context) (string, error) { return "", errors.New("s3cret text") })
		}
		return l.take()
	}
	if log := run(logging.Options{}); strings.Contains(log, "s3cret") {
		t.Error(log)
	}
	if log := run(logging.Options{KeySecret: make([]byte, 16)}); strings.Contains(log, "s3cret") || !strings.Contains(log, "key_hash=") {
		t.Error(log)
	}
	if log := run(logging.Options{RawKey: true}); !strings.Contains(log, "key=s3cret-key") || strings.Contains(log, "payload") || strings.Contains(log, "text") {
		t.Error(log)
	}
}

func TestEventsAreBoundedInRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, slog.LevelInfo, logging.Options{Burst: 3, Interval: time.Minute}, idempotency.Options{})
		a := operation(t, l, idempotency.OperationOptions[string]{Name: "a"})
		b := operation(t, l, idempotency.OperationOptions[string]{Name: "b"})
		a.Run(t.Context(), "k", ok)
		for range 100 {
			b.Run(t.Context(), "k", ok)
		}
		if n := strings.Count(l.take(), "refused"); n != 3 {
			t.Errorf("%d records, want 3", n)
		}
		time.Sleep(time.Minute)
		b.Run(t.Context(), "k", ok)
		if log := l.take(); !strings.Contains(log, "left_out=97") {
			t.Errorf("the log %q doesn't say how many were left out", log)
		}
	})
}

func TestBadOptionsAreRefused(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for field, make := range map[string]func() (*logging.Observer, error){
		"logger":           func() (*logging.Observer, error) { return logging.NewObserver(nil, logging.Options{}) },
		"Options.Burst":    func() (*logging.Observer, error) { return logging.NewObserver(logger, logging.Options{Burst: -1}) },
		"Options.Interval": func() (*logging.Observer, error) { return logging.NewObserver(logger, logging.Options{Interval: 1}) },
		"Options.KeySecret": func() (*logging.Observer, error) {
			return logging.NewObserver(logger, logging.Options{KeySecret: []byte("short")})
		},
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
