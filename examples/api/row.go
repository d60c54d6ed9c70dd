package main

import "strings"

// row is a request on its way through the API.
type row struct {
	ID       int64  `json:"id"`
	Press    string `json:"press,omitempty"` // of the button, by the page's count
	Try      int    `json:"try"`             // 1, and one more for every retry
	Key      string `json:"key"`
	Path     string `json:"path"`
	Naive    bool   `json:"naive,omitempty"` // without the library
	Instance int    `json:"instance"`        // counted from 1
	Began    int64  `json:"began"`           // milliseconds since 1970, like all times here
	Ended    int64  `json:"ended,omitempty"` // when the client had its answer, or had lost it
	Status   int    `json:"status,omitempty"`
	Receipt  string `json:"receipt,omitempty"` // the ID of what the answer is about
	Title    string `json:"title,omitempty"`   // of a problem
	Fate     string `json:"fate,omitempty"`    // of the answer: "answered", "lost", "cut", "down", "left"

	// What the observer saw of it.
	Outcome  string `json:"outcome,omitempty"` // "executed", "replayed", "joined", "waited", "refused", "abandoned", "failed"
	Attempt  uint32 `json:"attempt,omitempty"`
	Takeover bool   `json:"takeover,omitempty"`
	Steps    []step `json:"steps,omitempty"`
	Died     bool   `json:"died,omitempty"` // the instance, in the middle of it

	version int64
}

// step is a part of the work on a request.
type step struct {
	Kind  string `json:"kind"` // an idempotency.StepKind
	Began int64  `json:"began"`
	Ended int64  `json:"ended,omitempty"`
	Err   bool   `json:"err,omitempty"`
}

// counts tells whether the request is one of those that the counters count.
func (r *row) counts() bool { return strings.HasSuffix(r.Path, "/payments") }

// endSteps ends the open steps and tells whether there were any.
func (r *row) endSteps(at int64) (any bool) {
	for i := range r.Steps {
		if r.Steps[i].Ended == 0 {
			r.Steps[i].Ended = at
			any = true
		}
	}
	return any
}

// report is what an instance tells about a step of a request, a line of JSON each.
type report struct {
	Request  int64  `json:"request"`
	Kind     string `json:"kind"`
	End      bool   `json:"end,omitempty"`
	At       int64  `json:"at"`
	Outcome  string `json:"outcome,omitempty"`
	Attempt  uint32 `json:"attempt,omitempty"`
	Takeover bool   `json:"takeover,omitempty"`
	Err      bool   `json:"err,omitempty"`
}

// apply puts a report into the row.
func (e report) apply(r *row, c *counters) {
	switch {
	case e.Kind == "run" && e.End:
		r.Outcome, r.Attempt = e.Outcome, e.Attempt
		switch e.Outcome {
		case "joined", "waited":
			c.Waited++
		case "replayed":
			c.Replayed++
		case "refused":
			c.Refused++
		}
	case e.Kind == "run":
	case !e.End:
		r.Steps = append(r.Steps, step{Kind: e.Kind, Began: e.At})
		if e.Kind == "action" {
			c.Ran++
		}
	default:
		for i := len(r.Steps) - 1; i >= 0; i-- {
			if s := &r.Steps[i]; s.Kind == e.Kind && s.Ended == 0 {
				s.Ended, s.Err = e.At, e.Err
				break
			}
		}
		if e.Takeover && !r.Takeover {
			r.Takeover = true
			c.Takeovers++
		}
	}
}
