package idempotency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/codec"
)

// OperationOptions says what is particular to one kind of call. Zero fields take
// the executor's value; the bounds are those of Options.
type OperationOptions[T any] struct {
	// Name identifies the operation in records, errors and traces. It is no part
	// of the key: a rename runs nothing again. But a key that belongs to another
	// operation is ErrFingerprintMismatch where both have a name. At most MaxName
	// bytes. Default: empty.
	Name string
	// Retention, WaitTimeout: as in Options.
	Retention   time.Duration
	WaitTimeout time.Duration
	// NoWait: a call whose key is held by another gets ErrInProgress at once.
	NoWait bool
	// Codec, Accept, Transforms: as in Options. Nil takes the executor's.
	Codec      codec.Codec
	Accept     []codec.Codec
	Transforms []codec.Transform
	// Errors: as in Options. Nil takes the executor's.
	Errors *codec.Errors
	// Detach runs the action in a goroutine of its own, with a ctx that its caller
	// doesn't end, so that it finishes although everybody who waits has left.
	Detach bool
	// Shield lets the action finish like Detach, but in its caller's goroutine: the
	// action's ctx isn't ended by the call's, and the call returns when the action
	// has, also where its own ctx ended meanwhile. Drain waits for it. For actions
	// that can't outlive their caller, an HTTP handler with its ResponseWriter. An
	// error beside Detach.
	Shield bool
	// IgnoreError says which errors of the action are harmless: the key is
	// released instead of recording them, and the next call runs again. It must
	// only accept errors that mean that nothing has happened. An error of the
	// call's own ctx is never asked about: the key is then abandoned.
	IgnoreError func(err error) bool
	// RetentionFor chooses how long an outcome is kept: Default, For(d),
	// DoNotRecord or LeaveAbandoned. It is asked after IgnoreError; value is zero when err isn't nil.
	RetentionFor func(value T, err error) RetentionChoice
	// OnAbandoned says what a call does that meets an abandoned key. Default:
	// Rerun, or Reconcile where that function is set.
	OnAbandoned AbandonedPolicy
	// MaxAttempts is how many attempts a key gets; one more records
	// ErrTooManyAttempts instead of running the action. Released attempts count
	// too, and so does each takeover, also one on which Reconcile could not decide.
	// Where Reconcile is set it is asked first. Default, zero: no limit.
	MaxAttempts int
	// Canonical gives the call whose action ran the decoded copy that everybody
	// else gets, so that the first test shows what the codec loses. Errors are not
	// copied.
	Canonical bool
	// Reconcile finds out what an abandoned attempt did, by asking the payment
	// provider for example. The call has taken the key over meanwhile, under a
	// lease that is renewed; ctx ends when it is lost. An error counts as Unknown.
	Reconcile func(ctx context.Context, abandoned Abandoned) (Decision[T], error)

	// The hooks change what the caller gets, never what is recorded. They run in
	// the caller's goroutine, after the outcome was recorded: OnExecuted and
	// OnFailed for the call whose action ran, OnReplayed and OnErrorReplayed for
	// every other one. A hook that turns an error into nil is an error that names
	// the hook.
	OnExecuted      func(ctx context.Context, key string, value T) (T, error)
	OnFailed        func(ctx context.Context, key string, err error) error
	OnReplayed      func(ctx context.Context, key string, value T) (T, error)
	OnErrorReplayed func(ctx context.Context, key string, err error) error
}

// Call is what is particular to one call.
type Call struct {
	// Key is 1 to MaxKey bytes, any bytes.
	Key string
	// Fingerprint identifies the request, a hash of its payload for example. A key
	// that was used with another one is ErrFingerprintMismatch; it is compared
	// where both calls have one. At most MaxFingerprint bytes; it is copied before
	// anything runs.
	Fingerprint []byte
	// Metadata says more about the request: small pairs that Reconcile, Lookup and
	// observers see, an account's id for example. Kept in the clear. The bounds are
	// those of SetMetadata.
	Metadata map[string]string
	// WaitTimeout: as in Options. Zero: the operation's.
	WaitTimeout time.Duration
	// NoWait: as in OperationOptions, for this call.
	NoWait bool
}

// Result is the answer of a call. Its fields but Value are filled on errors too.
type Result[T any] struct {
	// Value is the answer; zero beside an error, except beside a *CommitError.
	Value T
	// Replayed: the answer is that of another call, or of Reconcile.
	Replayed bool
	// Attempt and Fence are those of the record that the answer comes from, or
	// that stood in the way; zero where none was seen.
	Attempt uint32
	Fence   uint64
	// Metadata is what the call that ran and its action put beside the answer.
	Metadata map[string]string
	// Outcome says how the call got its answer; zero where it was refused before
	// anything happened.
	Outcome Outcome
	// Unprotected: the action ran although the store was down (Options.FailOpen).
	Unprotected bool
}

// plan is the untyped half of an operation, with every default filled in.
type plan struct {
	x           *Executor
	name        string
	retention   time.Duration
	waitTimeout time.Duration
	noWait      bool
	codec       codec.Codec
	accept      []codec.Codec
	transforms  []codec.Transform
	errors      *codec.Errors
	valueless   bool // T is struct{}: Exec
	maxAttempts int
	detach      bool
	shield      bool
	ignoreError func(error) bool
	policy      AbandonedPolicy
}

// Operation runs actions of one kind. It is safe for concurrent use.
type Operation[T any] struct {
	plan    plan
	options OperationOptions[T]
	spent   sync.Pool // of *invocation[T]: those that nobody refers to any more
}

// NewOperation declares an operation. It returns an error that names the field
// for options that are out of their bounds or contradict each other, and for a T
// that can't be replayed: an interface with methods, a channel, a function, and
// what the codec refuses.
func NewOperation[T any](x *Executor, options OperationOptions[T]) (*Operation[T], error) {
	if x == nil {
		return nil, optionError("executor is nil")
	}
	o := options
	if len(o.Name) > MaxName {
		return nil, optionError("OperationOptions.Name has %d bytes, want at most %d", len(o.Name), MaxName)
	}
	if err := fillDuration("OperationOptions.Retention", &o.Retention, x.options.Retention, MaxRetention, false); err != nil {
		return nil, err
	}
	if o.Retention < x.options.Lease {
		return nil, optionError("OperationOptions.Retention (%v) is shorter than Options.Lease (%v)", o.Retention, x.options.Lease)
	}
	if err := fillDuration("OperationOptions.WaitTimeout", &o.WaitTimeout, x.options.WaitTimeout, MaxWaitTimeout, true); err != nil {
		return nil, err
	}
	switch {
	case o.MaxAttempts < 0 || o.MaxAttempts > math.MaxInt32:
		return nil, optionError("OperationOptions.MaxAttempts is %d, want 1 to %d, or 0 for no limit", o.MaxAttempts, math.MaxInt32)
	case o.OnAbandoned > Reconcile:
		return nil, optionError("OperationOptions.OnAbandoned is %d, want Rerun, Fail or Reconcile", o.OnAbandoned)
	case o.OnAbandoned == Reconcile && o.Reconcile == nil:
		return nil, optionError("OperationOptions.Reconcile is nil, but OnAbandoned is Reconcile")
	case o.OnAbandoned == Fail && o.Reconcile != nil:
		return nil, optionError("OperationOptions.Reconcile is set, but OnAbandoned is Fail")
	case o.Detach && o.Shield:
		return nil, optionError("OperationOptions.Shield is set, but so is Detach")
	case o.Reconcile != nil:
		o.OnAbandoned = Reconcile
	}
	if err := checkCodecs("OperationOptions", o.Codec, o.Accept); err != nil {
		return nil, err
	}
	if err := checkTransforms("OperationOptions", o.Transforms); err != nil {
		return nil, err
	}
	if o.Codec == nil {
		o.Codec = x.options.Codec
	}
	if o.Accept == nil {
		o.Accept = x.options.Accept
	}
	if o.Transforms == nil {
		o.Transforms = x.options.Transforms
	}
	if err := checkType(reflect.TypeFor[T](), o.Codec); err != nil {
		return nil, err
	}
	if o.Errors == nil {
		o.Errors = x.options.Errors
	}
	registry, err := o.Errors.With(ownErrors)
	if err != nil {
		return nil, optionError("OperationOptions.Errors: %w", err)
	}
	return &Operation[T]{options: o, plan: plan{
		x: x, name: o.Name, retention: o.Retention, waitTimeout: o.WaitTimeout, noWait: o.NoWait,
		codec: o.Codec, accept: slices.Clone(o.Accept), transforms: slices.Clone(o.Transforms), errors: registry,
		valueless:   reflect.TypeFor[T]() == reflect.TypeFor[struct{}](),
		maxAttempts: o.MaxAttempts, detach: o.Detach, shield: o.Shield, ignoreError: o.IgnoreError, policy: o.OnAbandoned,
	}}, nil
}

// checkType refuses a T that could be recorded but not replayed.
func checkType(t reflect.Type, c codec.Codec) error {
	switch {
	case t == reflect.TypeFor[struct{}]():
		return nil
	case t.Kind() == reflect.Interface && t.NumMethod() > 0:
		return optionError("T is %v, an interface with methods, which can't be replayed; use a concrete type", t)
	case t.Kind() == reflect.Chan || t.Kind() == reflect.Func:
		return optionError("T is %v, which can't be replayed", t)
	}
	if checker, ok := c.(codec.Checker); ok {
		if err := checker.Check(t); err != nil {
			return optionError("T can't be replayed with codec %q: %w", c.Name(), err)
		}
	}
	return nil
}

// Run runs action once for the key and returns its answer, or the recorded one
// where it has run before; see Do for the errors.
func Run[T any](ctx context.Context, x *Executor, key string, action func(ctx context.Context) (T, error)) (T, error) {
	o, err := operationFor[T](x)
	if err != nil {
		var zero T
		return zero, err
	}
	return o.Run(ctx, key, action)
}

// Exec is Run for an action without a value.
func Exec(ctx context.Context, x *Executor, key string, action func(ctx context.Context) error) error {
	o, err := operationFor[struct{}](x)
	if err != nil {
		return err
	}
	if action == nil {
		return &Error{Step: "call", Err: errNilAction}
	}
	_, err = o.Run(ctx, key, func(ctx context.Context) (struct{}, error) { return struct{}{}, action(ctx) })
	return err
}

// operationFor returns the executor's operation without options for T.
func operationFor[T any](x *Executor) (*Operation[T], error) {
	if x == nil {
		return nil, optionError("executor is nil")
	}
	t := reflect.TypeFor[T]()
	if known, ok := x.operations.Load(t); ok {
		return known.(*Operation[T]), nil
	}
	o, err := NewOperation(x, OperationOptions[T]{})
	if err != nil {
		return nil, err
	}
	known, _ := x.operations.LoadOrStore(t, o)
	return known.(*Operation[T]), nil
}

// Run is Do for a call that has only a key.
func (o *Operation[T]) Run(ctx context.Context, key string, action func(ctx context.Context) (T, error)) (T, error) {
	result, err := o.Do(ctx, Call{Key: key}, action)
	return result.Value, err
}

var errNilAction = errors.New("action is nil")

// Do runs action once for call.Key and returns its answer, or the recorded one.
//
// An error is the action's own, as it is, when the action ran in this call; a
// *ReplayedError with the same text when it was recorded by another; or an error
// of the library, which is or wraps an *Error: see the package's variables.
func (o *Operation[T]) Do(ctx context.Context, call Call, action func(ctx context.Context) (T, error)) (Result[T], error) {
	v, err := o.prepare(ctx, call, action)
	if err != nil {
		return Result[T]{}, err
	}
	err = v.do()
	result, err := o.hooked(v, err)
	if v.spent {
		*v = invocation[T]{}
		o.spent.Put(v)
	}
	return result, err
}

// prepare checks a call. Key, storage key and fingerprint are made here, once:
// what the action does to its input later changes none of them.
func (o *Operation[T]) prepare(ctx context.Context, call Call, action func(ctx context.Context) (T, error)) (*invocation[T], error) {
	if o == nil {
		return nil, &Error{Step: "call", Err: errors.New("operation is nil")}
	}
	p := &o.plan
	refuse := func(err error) (*invocation[T], error) {
		return nil, &Error{Operation: p.name, Step: "call", Err: err}
	}
	switch {
	case ctx == nil:
		return refuse(errors.New("ctx is nil"))
	case action == nil:
		return refuse(errNilAction)
	case len(call.Fingerprint) > MaxFingerprint:
		return refuse(fmt.Errorf("Call.Fingerprint has %d bytes, want at most %d", len(call.Fingerprint), MaxFingerprint))
	}
	if err := checkKey(call.Key); err != nil {
		return refuse(err)
	}
	if len(call.Metadata) > 0 {
		if err := checkMetadata(call.Metadata); err != nil {
			return refuse(fmt.Errorf("Call.Metadata: %w", err))
		}
	}
	if err := fillDuration("Call.WaitTimeout", &call.WaitTimeout, p.waitTimeout, MaxWaitTimeout, true); err != nil {
		return nil, err
	}
	v, _ := o.spent.Get().(*invocation[T])
	if v == nil {
		v = new(invocation[T])
	}
	v.operation, v.action = o, action
	v.plan, v.ctx, v.work = p, ctx, v
	v.key, v.storageKey = call.Key, p.x.prefix+call.Key
	v.fingerprint, v.metadata = slices.Clone(call.Fingerprint), maps.Clone(call.Metadata)
	v.waitTimeout, v.noWait = call.WaitTimeout, call.NoWait || p.noWait
	return v, nil
}

// invocation is one call with its T.
type invocation[T any] struct {
	call
	operation *Operation[T]
	action    func(ctx context.Context) (T, error)
	value     T
}

func (v *invocation[T]) run(ctx context.Context) error {
	value, err := v.action(ctx)
	if err == nil {
		v.value = value
	}
	return err
}

func (v *invocation[T]) encode(dst []byte) ([]byte, error) {
	if v.plan.valueless {
		return dst, nil
	}
	return v.plan.codec.Append(dst, v.value)
}

func (v *invocation[T]) decode(from codec.Codec, data []byte, sole bool) (err error) {
	var zero T
	v.value = zero
	if adopter, ok := from.(codec.Adopter); ok && sole {
		err = adopter.Adopt(data, &v.value)
	} else {
		err = from.Decode(data, &v.value)
	}
	if err != nil {
		v.value = zero
	}
	return err
}

func (v *invocation[T]) retention(err error) RetentionChoice {
	if v.operation.options.RetentionFor == nil {
		return Default
	}
	return v.operation.options.RetentionFor(v.value, err)
}

func (v *invocation[T]) reconcile(ctx context.Context, abandoned Abandoned) (verdict, error, error) {
	found, err := v.operation.options.Reconcile(ctx, abandoned)
	if err == nil && found.verdict == verdictAnswer && found.err == nil {
		v.value = found.value
	}
	return found.verdict, found.err, err
}

// detached returns a copy of the call that goes on without it, and what hands
// the copy's answer back.
func (v *invocation[T]) detached() (*call, func()) {
	d := *v
	d.work = &d
	return &d.call, func() { v.value, v.result, v.origin = d.value, d.result, d.origin }
}

// hooked is what the caller gets.
func (o *Operation[T]) hooked(v *invocation[T], err error) (Result[T], error) {
	result := Result[T]{
		Replayed: v.result.replayed, Attempt: v.result.attempt, Fence: v.result.fence,
		Outcome: v.result.outcome, Metadata: v.result.metadata, Unprotected: v.result.unprotected,
	}
	hooks := &o.options
	switch {
	case v.result.ran:
		err = v.result.actionErr
		if err == nil && hooks.Canonical && v.result.commitErr == nil {
			err = v.canonical()
		}
		result.Value = v.value
		if err == nil && hooks.OnExecuted != nil {
			result.Value, err = hooks.OnExecuted(v.ctx, v.key, v.value)
		} else if err != nil && hooks.OnFailed != nil {
			err = v.hookError("OnFailed", err, hooks.OnFailed(v.ctx, v.key, err))
		}
		if v.result.commitErr != nil {
			err = &Error{Operation: v.plan.name, Step: "commit", Err: &CommitError{Err: v.result.commitErr, ActionErr: err}}
		}
	case v.result.replayed && err == nil:
		result.Value = v.value
		if hooks.OnReplayed != nil {
			result.Value, err = hooks.OnReplayed(v.ctx, v.key, v.value)
		}
	case v.result.replayed:
		if hooks.OnErrorReplayed != nil {
			err = v.hookError("OnErrorReplayed", err, hooks.OnErrorReplayed(v.ctx, v.key, err))
		}
	case v.result.commitErr != nil: // an answer of Reconcile that wasn't recorded
		result.Value = v.value
	}
	return result, err
}

// canonical replaces the value by what everybody else gets.
func (v *invocation[T]) canonical() (err error) {
	if v.plan.valueless {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the codec: %v", p)
		}
		if err != nil {
			err = v.fail("replay", fmt.Errorf("%w: %w", ErrUndecodable, err))
		}
	}()
	data, err := v.encode(nil)
	if err != nil {
		return err
	}
	return v.decode(v.plan.codec, data, true)
}

// hookError refuses a hook that made an error vanish: its caller would take a
// zero value for an answer.
func (c *call) hookError(hook string, err, hooked error) error {
	if hooked == nil {
		return c.fail("hook", fmt.Errorf("%s returned nil for the error: %w", hook, err))
	}
	return hooked
}
