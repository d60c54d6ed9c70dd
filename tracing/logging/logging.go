// Package logging writes what happens to executions into a log/slog logger: for
// applications without OpenTelemetry, with the same events as package tracing.
//
//	observer, err := logging.NewObserver(slog.Default(), logging.Options{})
//	payments, err := idempotency.New(store, idempotency.Options{Observer: observer})
//
//	level  event                                     when
//	-----  ----------------------------------------  ---------------------------------------------
//	Debug  "idempotency: call"                       a call got its answer, whatever it is
//	Debug  "idempotency: lease renewed"              a renewal was confirmed
//	Info   "idempotency: refused"                    a call met another one's key, or waited too long
//	Warn   "idempotency: took over an abandoned key" an earlier attempt ended without an outcome
//	Warn   "idempotency: abandoned"                  an action was cut short: nobody knows what it did
//	Warn   "idempotency: undecided"                  a call met an abandoned key and did not run
//	Warn   "idempotency: lease lost"                 an action ran past its lease
//	Warn   "idempotency: fenced"                     an ending was refused: another holder was quicker
//	Warn   "idempotency: unprotected"                an action ran although the store was down
//	Warn   "idempotency: renewal failed"             the store did not confirm a renewal
//	Error  "idempotency: commit failed"              the store did not confirm an ending
//	Error  "idempotency: call failed"                a call failed for the store or an unreadable answer
//
// Records have the attributes operation, namespace, attempt, fence, outcome,
// waited, ending and error_type where they apply. Never a key, payload, token or
// fingerprint, and no text of an error of the action, unless Options says so.
//
// Each event of level Info and above is written at most Options.Burst times per
// Options.Interval; the first one after that says how many were left out. So an
// outage doesn't fill the disk.
package logging

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// Options of an observer. Zero fields mean their defaults.
type Options struct {
	// Burst is how many records of one event are written per Interval. Default:
	// 10; negative is an error.
	Burst int
	// Interval is the period that Burst counts in. Default: 10 s; below a
	// millisecond is an error.
	Interval time.Duration
	// KeySecret, where it is set, adds the attribute key_hash: the first 8 bytes
	// of an HMAC-SHA-256 of the key under it, in hex. At least 16 bytes.
	KeySecret []byte
	// RawKey adds the attribute key, the key as it is. Whoever reads the log can
	// then use it.
	RawKey bool
}

// Observer is an [idempotency.Observer]. It is safe for concurrent use.
type Observer struct {
	logger  *slog.Logger
	options Options

	mu     sync.Mutex
	counts map[string]*count
}

// count is how often an event was written in the current interval.
type count struct {
	since   time.Time
	written int
	dropped int
}

// NewObserver makes an observer that writes to logger.
func NewObserver(logger *slog.Logger, options Options) (*Observer, error) {
	switch {
	case logger == nil:
		return nil, errors.New("logging: logger is nil")
	case options.Burst < 0:
		return nil, fmt.Errorf("logging: Options.Burst is %d, want at least 1, or 0 for 10", options.Burst)
	case options.Interval != 0 && options.Interval < time.Millisecond:
		return nil, fmt.Errorf("logging: Options.Interval is %v, want at least 1ms, or 0 for 10s", options.Interval)
	case len(options.KeySecret) > 0 && len(options.KeySecret) < 16:
		return nil, fmt.Errorf("logging: Options.KeySecret has %d bytes, want at least 16", len(options.KeySecret))
	}
	if options.Burst == 0 {
		options.Burst = 10
	}
	if options.Interval == 0 {
		options.Interval = 10 * time.Second
	}
	options.KeySecret = slices.Clone(options.KeySecret)
	return &Observer{logger: logger, options: options, counts: map[string]*count{}}, nil
}

// StepStart implements [idempotency.Observer].
func (o *Observer) StepStart(ctx context.Context, _ *idempotency.Step) context.Context { return ctx }

// StepEnd implements [idempotency.Observer].
func (o *Observer) StepEnd(ctx context.Context, step *idempotency.Step) {
	switch step.Kind {
	case idempotency.StepRun:
		o.run(ctx, step)
	case idempotency.StepClaim:
		if step.Takeover {
			o.write(ctx, slog.LevelWarn, "idempotency: took over an abandoned key", step)
		}
	case idempotency.StepAction:
		if step.LeaseLost {
			o.write(ctx, slog.LevelWarn, "idempotency: lease lost", step)
		}
	case idempotency.StepRenew:
		if step.Err != nil {
			o.write(ctx, slog.LevelWarn, "idempotency: renewal failed", step)
		} else if !step.LeaseLost { // a loss is told when the action ends
			o.write(ctx, slog.LevelDebug, "idempotency: lease renewed", step)
		}
	case idempotency.StepCommit:
		ending := slog.String("ending", step.Ending.String())
		switch {
		case step.Superseded:
			o.write(ctx, slog.LevelWarn, "idempotency: fenced", step, ending)
		case step.Unfinished: // the step in the background tells how it ended
		case step.Err != nil:
			o.write(ctx, slog.LevelError, "idempotency: commit failed", step, ending, slog.Int("sends", step.Sends))
		case step.Ending == backend.Abandon:
			o.write(ctx, slog.LevelWarn, "idempotency: abandoned", step)
		}
	}
}

func (o *Observer) run(ctx context.Context, step *idempotency.Step) {
	outcome := slog.String("outcome", step.Outcome.String())
	waited := slog.Duration("waited", step.Waited)
	o.write(ctx, slog.LevelDebug, "idempotency: call", step, outcome, waited)
	switch step.Outcome {
	case idempotency.Refused:
		o.write(ctx, slog.LevelInfo, "idempotency: refused", step, waited)
	case idempotency.GaveUp:
		o.write(ctx, slog.LevelWarn, "idempotency: undecided", step)
	case idempotency.Failed:
		if !errors.Is(step.Err, context.Canceled) && !errors.Is(step.Err, context.DeadlineExceeded) {
			o.write(ctx, slog.LevelError, "idempotency: call failed", step)
		}
	}
	if step.Unprotected {
		o.write(ctx, slog.LevelWarn, "idempotency: unprotected", step)
	}
}

func (o *Observer) write(ctx context.Context, level slog.Level, event string, step *idempotency.Step, more ...slog.Attr) {
	if !o.logger.Enabled(ctx, level) {
		return
	}
	attributes := make([]slog.Attr, 0, 8+len(more))
	if level > slog.LevelDebug {
		dropped, ok := o.admit(event)
		if !ok {
			return
		}
		if dropped > 0 {
			attributes = append(attributes, slog.Int("left_out", dropped))
		}
	}
	if step.Operation != "" {
		attributes = append(attributes, slog.String("operation", step.Operation))
	}
	if step.Namespace != "" {
		attributes = append(attributes, slog.String("namespace", step.Namespace))
	}
	if step.Fence != 0 {
		attributes = append(attributes, slog.Uint64("attempt", uint64(step.Attempt)), slog.Uint64("fence", step.Fence))
	}
	if step.Err != nil {
		attributes = append(attributes, slog.String("error_type", idempotency.ErrorType(step.Err)))
	}
	if len(o.options.KeySecret) > 0 {
		mac := hmac.New(sha256.New, o.options.KeySecret)
		mac.Write([]byte(step.Key))
		attributes = append(attributes, slog.String("key_hash", hex.EncodeToString(mac.Sum(nil)[:8])))
	}
	if o.options.RawKey {
		attributes = append(attributes, slog.String("key", step.Key))
	}
	o.logger.LogAttrs(ctx, level, event, append(attributes, more...)...)
}

// admit tells whether an event may be written now, and how many were left out
// since the last one.
func (o *Observer) admit(event string) (dropped int, ok bool) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.counts[event]
	if c == nil {
		c = &count{since: now}
		o.counts[event] = c
	}
	if now.Sub(c.since) >= o.options.Interval {
		dropped = c.dropped
		*c = count{since: now}
	}
	if c.written == o.options.Burst {
		c.dropped++
		return 0, false
	}
	c.written++
	return dropped, true
}
