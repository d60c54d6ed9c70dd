package idempotency_test

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

// wantRefused checks that err is an *idempotency.Error whose text names all of
// names.
func wantRefused(t *testing.T, err error, names ...string) {
	t.Helper()
	var own *idempotency.Error
	if !errors.As(err, &own) {
		t.Fatalf("error is %v (%T), want an *idempotency.Error", err, err)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q doesn't name %s", err, name)
		}
	}
}

type nilObserver struct{}

func (*nilObserver) StepStart(ctx context.Context, _ *idempotency.Step) context.Context { return ctx }
func (*nilObserver) StepEnd(context.Context, *idempotency.Step)                         {}

type nilCodec struct{}

func (*nilCodec) Name() string                             { return "nil" }
func (*nilCodec) Append(dst []byte, _ any) ([]byte, error) { return dst, nil }
func (*nilCodec) Decode([]byte, any) error                 { return nil }

func TestNewRefusesBadOptions(t *testing.T) {
	durations := []string{"Retention", "Lease", "Keep", "WaitTimeout", "MaxHold", "CommitTimeout"}
	for _, field := range durations {
		for _, d := range []time.Duration{-1, -time.Hour, 1, time.Millisecond - 1, math.MaxInt64 - 1} {
			t.Run(field+"="+d.String(), func(t *testing.T) {
				var options idempotency.Options
				reflect.ValueOf(&options).Elem().FieldByName(field).SetInt(int64(d))
				_, err := idempotency.New(newStore(t), options)
				wantRefused(t, err, "Options."+field, d.String())
			})
		}
	}
	for name, test := range map[string]struct {
		options idempotency.Options
		names   []string
	}{
		"namespace too long":               {idempotency.Options{Namespace: strings.Repeat("n", 257)}, []string{"Options.Namespace", "257", "256"}},
		"retention shorter than lease":     {idempotency.Options{Retention: time.Second, Lease: 2 * time.Second}, []string{"Options.Retention", "1s", "Options.Lease", "2s"}},
		"standard retention, longer lease": {idempotency.Options{Retention: time.Second}, []string{"Options.Retention", "Options.Lease", "30s"}},
		"negative payload":                 {idempotency.Options{MaxPayload: -1}, []string{"Options.MaxPayload", "-1"}},
		"payload above its bound":          {idempotency.Options{MaxPayload: idempotency.MaxMaxPayload + 1}, []string{"Options.MaxPayload"}},
		"unlimited retention":              {idempotency.Options{Retention: idempotency.Unlimited}, []string{"Options.Retention"}},
		"unlimited lease":                  {idempotency.Options{Lease: idempotency.Unlimited}, []string{"Options.Lease"}},
		"typed nil codec":                  {idempotency.Options{Codec: (*nilCodec)(nil)}, []string{"Options.Codec", "nil"}},
		"nil accepted codec":               {idempotency.Options{Accept: []codec.Codec{nil}}, []string{"Options.Accept[0]"}},
		"nil transform":                    {idempotency.Options{Transforms: []codec.Transform{nil}}, []string{"Options.Transforms[0]"}},
		"a transform twice":                {idempotency.Options{Transforms: []codec.Transform{&xor{key: 1}, &xor{key: 1}}}, []string{"Options.Transforms", "xor1"}},
		"typed nil observer":               {idempotency.Options{Observer: (*nilObserver)(nil)}, []string{"Options.Observer"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := idempotency.New(newStore(t), test.options)
			wantRefused(t, err, test.names...)
		})
	}
	t.Run("nil store", func(t *testing.T) {
		_, err := idempotency.New(nil, idempotency.Options{})
		wantRefused(t, err, "store")
	})
	t.Run("typed nil store", func(t *testing.T) {
		_, err := idempotency.New((*memory.Backend)(nil), idempotency.Options{})
		wantRefused(t, err, "store", "memory.Backend")
	})
}

func TestNewTakesTheBounds(t *testing.T) {
	for _, options := range []idempotency.Options{
		{},
		{Namespace: strings.Repeat("n", 256)},
		{Retention: time.Millisecond, Lease: time.Millisecond, Keep: time.Millisecond, WaitTimeout: time.Millisecond, MaxHold: time.Millisecond, CommitTimeout: time.Millisecond},
		{Retention: idempotency.MaxRetention, Lease: idempotency.MaxLease, Keep: idempotency.MaxRetention, WaitTimeout: idempotency.MaxWaitTimeout, MaxHold: idempotency.MaxMaxHold, CommitTimeout: idempotency.MaxCommitTimeout},
		{WaitTimeout: idempotency.Unlimited, MaxHold: idempotency.Unlimited},
		{MaxPayload: 1},
	} {
		synctest.Test(t, func(t *testing.T) { // a lease of a millisecond needs a clock that stands still
			x := newExecutor(t, newStore(t), options)
			if v, err := idempotency.Run(t.Context(), x, "k", (&answers[int]{value: 7}).run); v != 7 || err != nil {
				t.Errorf("%+v: %v, %v", options, v, err)
			}
		})
	}
}

func TestNewOperationRefusesBadOptions(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	reconcile := func(context.Context, idempotency.Abandoned) (idempotency.Decision[int], error) {
		return idempotency.Unknown[int](), nil
	}
	for name, test := range map[string]struct {
		options idempotency.OperationOptions[int]
		names   []string
	}{
		"name too long":        {idempotency.OperationOptions[int]{Name: strings.Repeat("n", 257)}, []string{"OperationOptions.Name", "257", "256"}},
		"negative retention":   {idempotency.OperationOptions[int]{Retention: -1}, []string{"OperationOptions.Retention"}},
		"retention < lease":    {idempotency.OperationOptions[int]{Retention: time.Second}, []string{"OperationOptions.Retention", "1s", "Options.Lease", "30s"}},
		"sub-millisecond wait": {idempotency.OperationOptions[int]{WaitTimeout: 1}, []string{"OperationOptions.WaitTimeout"}},
		"unknown policy":       {idempotency.OperationOptions[int]{OnAbandoned: 9}, []string{"OperationOptions.OnAbandoned"}},
		"Reconcile missing":    {idempotency.OperationOptions[int]{OnAbandoned: idempotency.Reconcile}, []string{"OperationOptions.Reconcile"}},
		"Fail with Reconcile":  {idempotency.OperationOptions[int]{OnAbandoned: idempotency.Fail, Reconcile: reconcile}, []string{"OperationOptions.Reconcile", "Fail"}},
		"typed nil codec":      {idempotency.OperationOptions[int]{Codec: (*nilCodec)(nil)}, []string{"OperationOptions.Codec"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := idempotency.NewOperation(x, test.options)
			wantRefused(t, err, test.names...)
		})
	}
	_, err := idempotency.NewOperation[int](nil, idempotency.OperationOptions[int]{})
	wantRefused(t, err, "executor")
}

// A T that can't be replayed is refused before anything runs or is sent.
func TestUnreplayableTypesAreRefused(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	refused[error](t, x)
	refused[io.Reader](t, x)
	refused[chan int](t, x)
	refused[func()](t, x)
	refused[complex128](t, x)
	refused[[]chan int](t, x)
	refused[struct{ R io.Reader }](t, x)
	refused[map[struct{ A int }]string](t, x)
	refused[*struct{ F func() }](t, x)

	raw := newExecutor(t, newStore(t), idempotency.Options{Codec: codec.Raw})
	refused[int](t, raw)
	refused[struct{ A int }](t, raw)
}

func refused[T any](t *testing.T, x *idempotency.Executor) {
	t.Helper()
	_, err := idempotency.Run(t.Context(), x, "k", mustNotRun[T](t))
	wantRefused(t, err, "T")
	if info, err := x.Lookup(t.Context(), "k"); err != nil || info.State != backend.Vacant || info.Fence != 0 {
		t.Errorf("%v: the store was touched: %+v, %v", reflect.TypeFor[T](), info, err)
	}
}

func TestBadCallsAreRefusedBeforeAnythingHappens(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{Name: "charge"})
	for name, test := range map[string]struct {
		call idempotency.Call
		want error
		text string
	}{
		"empty key":            {idempotency.Call{}, idempotency.ErrInvalidKey, "0 bytes"},
		"key of 513 bytes":     {idempotency.Call{Key: strings.Repeat("k", 513)}, idempotency.ErrInvalidKey, "513"},
		"fingerprint of 65":    {idempotency.Call{Key: "k", Fingerprint: make([]byte, 65)}, nil, "Call.Fingerprint"},
		"negative wait":        {idempotency.Call{Key: "k", WaitTimeout: -1}, nil, "Call.WaitTimeout"},
		"sub-millisecond wait": {idempotency.Call{Key: "k", WaitTimeout: time.Microsecond}, nil, "Call.WaitTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.Do(t.Context(), test.call, mustNotRun[int](t))
			wantRefused(t, err, test.text)
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v isn't %v", err, test.want)
			}
		})
	}
	_, err := o.Run(t.Context(), "k", nil)
	wantRefused(t, err, "action")
	wantRefused(t, idempotency.Exec(t.Context(), x, "k", nil), "action")
	_, err = idempotency.Run[int](t.Context(), nil, "k", mustNotRun[int](t))
	wantRefused(t, err, "executor")
	wantRefused(t, idempotency.Exec(t.Context(), nil, "k", func(context.Context) error { return nil }), "executor")
	var none *idempotency.Operation[int]
	_, err = none.Run(t.Context(), "k", mustNotRun[int](t))
	wantRefused(t, err, "operation")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = o.Run(ended, "k", mustNotRun[int](t))
	wantRefused(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v isn't the ctx's", err)
	}
	if info, err := x.Lookup(t.Context(), "k"); err != nil || info.Fence != 0 {
		t.Errorf("the store was touched: %+v, %v", info, err)
	}
}
