package idempotency

import (
	"math"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
)

// Unlimited is "no limit" for WaitTimeout and MaxHold.
const Unlimited time.Duration = math.MaxInt64

// Bounds of the durations in option structs; the least is always a millisecond.
const (
	MaxRetention     = backend.MaxDuration // Retention and Keep: ten years
	MaxLease         = 24 * time.Hour
	MaxWaitTimeout   = 24 * time.Hour // or Unlimited
	MaxMaxHold       = backend.MaxDuration
	MaxCommitTimeout = time.Hour
	// MaxMaxPayload is the greatest Options.MaxPayload: 512 MiB, what Redis keeps
	// in one value.
	MaxMaxPayload = 512 << 20
)

// Options says where and for how long an executor keeps answers. The zero value
// of a field is its default; a negative one, a duration below a millisecond or
// one above its bound is an error of New that names the field.
type Options struct {
	// Namespace separates the keys of this executor from those of others on the
	// same store: two executors share answers if and only if their namespaces are
	// equal. At most MaxNamespace bytes, any bytes. Default: empty.
	Namespace string
	// Retention is how long an outcome is kept and replayed; afterwards the key
	// runs again. At least Lease. Default: 24 h.
	Retention time.Duration
	// Lease is how long a holder that died blocks its key. It is renewed at a
	// third of its length while the action runs, so it may be much shorter than
	// the action. Default: 30 s.
	Lease time.Duration
	// Keep is how long an abandoned key is remembered after its lease has ended;
	// afterwards it is vacant and runs again under any policy. Shorter than Lease it
	// may forget a lapsed lease before its holder comes back. Default: Retention.
	Keep time.Duration
	// WaitTimeout is how long a call waits in total for others that hold its key,
	// before it gets ErrWaitTimeout. Unlimited: as long as its ctx. Default: 60 s.
	WaitTimeout time.Duration
	// MaxHold is how long after its start an action's lease is still renewed; a
	// stuck action loses its key at most one lease later. Unlimited: for ever.
	// Default: 1 h.
	MaxHold time.Duration
	// CommitTimeout is how long an ending is repeated while the store doesn't
	// confirm it. Default: 10 s.
	CommitTimeout time.Duration
	// MaxPayload is the size in bytes of the largest encoded answer that is kept.
	// A larger one goes to the first caller only, and the key is marked as run
	// (ErrNotKept). Default: 1 MiB.
	MaxPayload int
	// Codec encodes values. Default: codec.JSON.
	Codec codec.Codec
	// Accept lists codecs that are only read: those that were used before.
	Accept []codec.Codec
	// Transforms are applied to encoded answers in this order, and undone in the
	// reverse. A record tells which were applied, so a list may grow; one that is
	// needed and not listed makes an answer ErrUndecodable.
	Transforms []codec.Transform
	// Errors names the errors whose identity survives a replay, for errors.Is and
	// errors.As. Nil: those of the standard library.
	Errors *codec.Errors
	// Observer sees every step. Nil costs nothing.
	Observer Observer
	// FailOpen runs the action without any protection when the store can't be
	// reached before the action has started. Result.Unprotected tells. Default:
	// the call fails and the action doesn't run.
	FailOpen bool
}

// withDefaults returns the options with every zero field filled in, or an error
// that names the first field that is out of its bounds.
func (o Options) withDefaults() (Options, error) {
	if len(o.Namespace) > MaxNamespace {
		return o, optionError("Options.Namespace has %d bytes, want at most %d", len(o.Namespace), MaxNamespace)
	}
	for _, field := range []struct {
		name          string
		value         *time.Duration
		standard, max time.Duration
		unlimited     bool
	}{
		{"Options.Retention", &o.Retention, 24 * time.Hour, MaxRetention, false},
		{"Options.Lease", &o.Lease, 30 * time.Second, MaxLease, false},
		{"Options.WaitTimeout", &o.WaitTimeout, time.Minute, MaxWaitTimeout, true},
		{"Options.MaxHold", &o.MaxHold, time.Hour, MaxMaxHold, true},
		{"Options.CommitTimeout", &o.CommitTimeout, 10 * time.Second, MaxCommitTimeout, false},
	} {
		if err := fillDuration(field.name, field.value, field.standard, field.max, field.unlimited); err != nil {
			return o, err
		}
	}
	if err := fillDuration("Options.Keep", &o.Keep, o.Retention, MaxRetention, false); err != nil {
		return o, err
	}
	if o.Retention < o.Lease {
		return o, optionError("Options.Retention (%v) is shorter than Options.Lease (%v)", o.Retention, o.Lease)
	}
	if o.MaxPayload < 0 || o.MaxPayload > MaxMaxPayload {
		return o, optionError("Options.MaxPayload is %d, want 1 to %d bytes, or 0 for %d", o.MaxPayload, MaxMaxPayload, backend.MaxOutcome)
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = backend.MaxOutcome
	}
	if o.Codec == nil {
		o.Codec = codec.JSON
	}
	if o.Observer != nil && isNil(o.Observer) {
		return o, optionError("Options.Observer is a nil %T", o.Observer)
	}
	if err := checkCodecs("Options", o.Codec, o.Accept); err != nil {
		return o, err
	}
	return o, checkTransforms("Options", o.Transforms)
}

// fillDuration puts the default into a field that is zero and checks any other
// value.
func fillDuration(name string, value *time.Duration, standard, most time.Duration, unlimited bool) error {
	d := *value
	switch {
	case d == 0:
		*value = standard
	case d == Unlimited && unlimited:
	case d < time.Millisecond || d > most:
		if unlimited {
			return optionError("%s is %v, want %v to %v, or Unlimited", name, d, time.Millisecond, most)
		}
		return optionError("%s is %v, want %v to %v", name, d, time.Millisecond, most)
	}
	return nil
}

const maxCodecName = 64

func checkCodecs(owner string, own codec.Codec, accept []codec.Codec) error {
	if own != nil {
		if isNil(own) {
			return optionError("%s.Codec is a nil %T", owner, own)
		}
		if n := len(own.Name()); n == 0 || n > maxCodecName {
			return optionError("%s.Codec has a name of %d bytes, want 1 to %d", owner, n, maxCodecName)
		}
	}
	for i, c := range accept {
		if isNil(c) {
			return optionError("%s.Accept[%d] is nil", owner, i)
		}
	}
	return nil
}

func checkTransforms(owner string, transforms []codec.Transform) error {
	seen := map[string]bool{}
	for i, t := range transforms {
		if isNil(t) {
			return optionError("%s.Transforms[%d] is nil", owner, i)
		}
		name := t.Name()
		if len(name) == 0 || len(name) > maxCodecName {
			return optionError("%s.Transforms[%d] has a name of %d bytes, want 1 to %d", owner, i, len(name), maxCodecName)
		}
		if seen[name] {
			return optionError("%s.Transforms lists %q twice", owner, name)
		}
		seen[name] = true
	}
	return nil
}
