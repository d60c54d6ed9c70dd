package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// span is a span of some process.
type span struct {
	otlpSpan
	process string
	ended   bool // otherwise its process was killed, and EndTime says when
}

// attribute is an attribute as text; empty where there is none.
func (s *span) attribute(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			switch v := a.Value; {
			case v.String != nil:
				return *v.String
			case v.Int != nil:
				return fmt.Sprint(*v.Int)
			case v.Bool != nil:
				return fmt.Sprint(*v.Bool)
			case v.Double != nil:
				return fmt.Sprint(*v.Double)
			}
		}
	}
	return ""
}

func (s *span) duration() time.Duration { return time.Duration(s.EndTime - s.StartTime) }

// record is everything that the processes have told.
type record struct {
	mu      sync.Mutex
	spans   map[string]*span // by ID
	changed chan struct{}    // closed and made anew by every change
	sent    int
	unsent  []string
}

func newRecord() *record {
	return &record{spans: map[string]*span{}, changed: make(chan struct{})}
}

func (r *record) add(process string, l line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case l.Started != nil:
		r.spans[l.Started.SpanID] = &span{otlpSpan: *l.Started, process: process}
	case l.Ended != nil:
		r.spans[l.Ended.SpanID] = &span{otlpSpan: *l.Ended, process: process, ended: true}
	case l.Unsent != "":
		r.unsent = append(r.unsent, l.Unsent)
	}
	r.sent += l.Sent
	close(r.changed)
	r.changed = make(chan struct{})
}

// killed ends the open spans of a process that is dead.
func (r *record) killed(process string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.process == process && !s.ended {
			s.EndTime = at.UnixNano()
		}
	}
}

// untilWaiting returns once the call of that request waits for another one.
func (r *record) untilWaiting(ctx context.Context, of *sent) error {
	for {
		r.mu.Lock()
		changed := r.changed
		waiting := false
		for _, s := range r.spans {
			if s.Name == "idempotency.wait" {
				root := r.rootOf(s)
				waiting = waiting || root != nil && root.attribute(stepAttribute) == of.step
			}
		}
		r.mu.Unlock()
		if waiting {
			return nil
		}
		select {
		case <-changed:
		case <-of.done:
			return fmt.Errorf("%s: it was answered, and did not wait", of.title)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *record) rootOf(s *span) *span {
	for s != nil && s.ParentID != "" {
		s = r.spans[s.ParentID]
	}
	return s
}

// requestTrace is one request of the story with its spans.
type requestTrace struct {
	request
	number   int // in the story, from 1
	root     *span
	children map[string][]*span // by the parent's ID, in the order in which they began
	story    map[string]linked  // by span ID: what links lead to
}

// linked is where a link leads.
type linked struct {
	*span
	trace *requestTrace
}

// traces is the requests in the order of the story, and their spans.
func (r *record) traces(requests []request) []*requestTrace {
	r.mu.Lock()
	defer r.mu.Unlock()
	byStep := map[string]*requestTrace{}
	var out []*requestTrace
	targets := map[string]linked{}
	for i, request := range requests {
		t := &requestTrace{request: request, number: i + 1, children: map[string][]*span{}, story: targets}
		byStep[request.step] = t
		out = append(out, t)
	}
	for _, s := range r.spans {
		root := r.rootOf(s)
		if root == nil {
			continue
		}
		t := byStep[root.attribute(stepAttribute)]
		if t == nil {
			continue
		}
		targets[s.SpanID] = linked{s, t}
		if s == root {
			t.root = s
		} else {
			t.children[s.ParentID] = append(t.children[s.ParentID], s)
		}
	}
	for _, t := range out {
		for _, siblings := range t.children {
			slices.SortFunc(siblings, func(a, b *span) int {
				return cmp.Or(cmp.Compare(a.StartTime, b.StartTime), cmp.Compare(a.SpanID, b.SpanID))
			})
		}
	}
	return out
}

// call is the span of the call: idempotency.run; nil where there is none.
func (t *requestTrace) call() *span {
	if t.root != nil {
		for _, s := range t.children[t.root.SpanID] {
			return s
		}
	}
	return nil
}

// walk visits the spans, parents before their children.
func (t *requestTrace) walk(visit func(s *span, depth int)) {
	var down func(s *span, depth int)
	down = func(s *span, depth int) {
		visit(s, depth)
		for _, child := range t.children[s.SpanID] {
			down(child, depth+1)
		}
	}
	if t.root != nil {
		down(t.root, 0)
	}
}

// writeSent tells what a collector took; an error where it didn't take all.
func (r *record) writeSent(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent > 0 {
		fmt.Fprintf(w, "\n%d spans sent to the collector\n", r.sent)
	}
	if len(r.unsent) > 0 {
		return fmt.Errorf("the collector did not take all spans: %s", r.unsent[0])
	}
	return nil
}

// checkOutcomes tells the calls that got their answer in another way than the
// story says.
func checkOutcomes(traces []*requestTrace) error {
	for _, t := range traces {
		call := t.call()
		if call == nil {
			return fmt.Errorf("request %d (%s): its call has no span", t.number, t.title)
		}
		if got := call.attribute("idempotency.outcome"); !slices.Contains(t.want, got) && (got != "" || t.want != nil) {
			return fmt.Errorf("request %d (%s): outcome %q, want one of %q", t.number, t.title, got, t.want)
		}
	}
	return nil
}
