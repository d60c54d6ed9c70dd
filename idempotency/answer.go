package idempotency

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
)

// seal turns the outcome that the call holds into what is recorded. What can't
// be kept becomes a marker, so that the key never runs again; notKept says why.
// It may lie in room. claimedAt is that of the claim; zero where it isn't certain.
func (c *call) seal(room []byte, holder *identity, actionErr error, claimedAt, now time.Time) (data []byte, notKept error) {
	p := c.plan
	o := outcome{kind: kindValue, at: now, pairs: c.set}
	if actionErr != nil {
		o.kind = kindError
	} else if !p.valueless {
		o.codec = p.codec.Name()
	}
	for _, t := range p.transforms {
		o.transforms = append(o.transforms, t.Name())
	}
	var err error
	if len(p.transforms) == 0 {
		if room == nil {
			room = make([]byte, 0, 256)
		}
		data = o.append(room[:0], claimedAt)
		header := len(data)
		if data, err = c.encode(data, actionErr); err == nil {
			err = p.checkSize(len(data) - header)
		}
	} else {
		associated := associatedData(c.storageKey, holder.operation, holder.fingerprint)
		if o.payload, err = c.encode(nil, actionErr); err == nil {
			o.payload, err = p.transform(o.payload, associated)
		}
		data = o.append(nil, claimedAt)
	}
	if err != nil {
		return notKeptOutcome(now, c.set, "too large, or refused by its codec or a transform"), err
	}
	return data, nil
}

// notKeptOutcome is the marker. Its reason is stored in the clear, so it holds
// nothing of the answer.
func notKeptOutcome(now time.Time, pairs map[string]string, reason string) []byte {
	return outcome{kind: kindNotKept, at: now, pairs: pairs, payload: []byte(reason)}.append(nil, time.Time{})
}

// encode appends the encoded value or error. A panic in the user's code is an
// error like others: the action has run, and that must be recorded.
func (c *call) encode(dst []byte, actionErr error) (data []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			data, err = nil, fmt.Errorf("panic while encoding: %v", v)
		}
	}()
	if actionErr != nil {
		return c.plan.errors.Append(dst, actionErr, c.plan.x.options.MaxPayload)
	}
	return c.work.encode(dst)
}

func (p *plan) checkSize(n int) error {
	if n > p.x.options.MaxPayload {
		return fmt.Errorf("the encoded answer has %d bytes, Options.MaxPayload is %d", n, p.x.options.MaxPayload)
	}
	return nil
}

func (p *plan) transform(payload, associated []byte) (sealed []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in a transform: %v", v)
		}
	}()
	if err := p.checkSize(len(payload)); err != nil {
		return nil, err
	}
	for _, t := range p.transforms {
		if payload, err = t.Seal(nil, payload, associated); err != nil {
			return nil, fmt.Errorf("transform %q: %w", t.Name(), err)
		}
	}
	return payload, p.checkSize(len(payload))
}

// replay makes a recorded outcome the call's answer.
func (c *call) replay(record *backend.Record, how Outcome) error {
	c.saw(record)
	c.result.outcome = Failed
	var metadata claimMetadata
	if err := metadata.parse(record.Metadata, record.Fence, c.plan.name); err != nil {
		return c.fail("replay", fmt.Errorf("%w: metadata: %w", ErrUndecodable, err))
	}
	who := identity{operation: metadata.operation, fingerprint: record.Fingerprint}
	if err := c.mismatch(&who); err != nil {
		c.result.outcome = Refused
		return c.fail("replay", err)
	}
	c.origin = metadata.carrier
	var o outcome
	if err := o.parse(record.Outcome, metadata.claimedAt, c.plan.codec.Name()); err != nil {
		return c.fail("replay", fmt.Errorf("%w: %w", ErrUndecodable, err))
	}
	c.result.metadata = mergedMetadata(metadata.pairs, o.pairs)
	if err := c.restore(&o, record, metadata.operation); err != nil {
		if replayed, ok := err.(*ReplayedError); ok {
			c.result.replayed, c.result.outcome = true, how
			return replayed
		}
		return c.fail("replay", fmt.Errorf("%w: %w", ErrUndecodable, err))
	}
	c.result.replayed, c.result.outcome = true, how
	return nil
}

// restore decodes an outcome: into the call's value, or into a *ReplayedError.
// Any other error says why it can't be read.
func (c *call) restore(o *outcome, record *backend.Record, operation string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic while decoding: %v", v)
		}
	}()
	if o.kind == kindNotKept {
		return &ReplayedError{
			Operation: operation, Attempt: record.Attempt, At: o.at,
			text: fmt.Sprintf("%v: %s", ErrNotKept, o.payload), err: ErrNotKept,
		}
	}
	payload, err := c.plan.open(o, func() []byte {
		return associatedData(c.storageKey, operation, record.Fingerprint)
	})
	if err != nil {
		return err
	}
	if o.kind == kindError {
		decoded, err := c.plan.errors.Decode(payload)
		if err != nil {
			return err
		}
		return &ReplayedError{
			Operation: operation, Attempt: record.Attempt, At: o.at, TypeName: decoded.TypeName,
			text: decoded.Text, err: decoded.Err,
		}
	}
	if c.plan.valueless {
		return nil
	}
	from, err := c.plan.codecNamed(o.codec)
	if err != nil {
		return err
	}
	return c.work.decode(from, payload, c.sole)
}

// open undoes the transforms that the record names.
func (p *plan) open(o *outcome, associated func() []byte) ([]byte, error) {
	limit := p.x.options.MaxPayload
	if len(o.payload) > limit {
		return nil, fmt.Errorf("the answer has %d bytes, Options.MaxPayload is %d", len(o.payload), limit)
	}
	if len(o.transforms) == 0 {
		return o.payload, nil
	}
	data, payload := associated(), o.payload
	for i := len(o.transforms) - 1; i >= 0; i-- {
		t := p.transformNamed(o.transforms[i])
		if t == nil {
			return nil, fmt.Errorf("it was made with transform %q, which this operation doesn't list", o.transforms[i])
		}
		opened, err := t.Open(nil, payload, data, limit)
		if err != nil {
			return nil, fmt.Errorf("transform %q: %w", o.transforms[i], err)
		}
		if len(opened) > limit {
			return nil, fmt.Errorf("transform %q opened %d bytes, Options.MaxPayload is %d", o.transforms[i], len(opened), limit)
		}
		payload = opened
	}
	return payload, nil
}

func (p *plan) transformNamed(name string) codec.Transform {
	for _, t := range p.transforms {
		if t.Name() == name {
			return t
		}
	}
	return nil
}

func (p *plan) codecNamed(name string) (codec.Codec, error) {
	if p.codec.Name() == name {
		return p.codec, nil
	}
	for _, c := range p.accept {
		if c.Name() == name {
			return c, nil
		}
	}
	if name == "" {
		return nil, fmt.Errorf("it was recorded without a value")
	}
	return nil, fmt.Errorf("it was encoded by codec %q, this operation reads %q and those in Accept", name, p.codec.Name())
}
