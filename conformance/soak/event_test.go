//go:build unix

package soak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// kind says what an event tells of.
type kind string

// The events. Those of a worker are written by it, one write(2) per line, so that
// a SIGKILL loses no line and tears none. What excuses something is written
// before it happens: a crash before the kill, a release before its request.
const (
	evStart  kind = "start"  // a process begins: What is its client
	evEnd    kind = "end"    // it ends of its own accord, after everything was closed
	evLeak   kind = "leak"   // it ends, and goroutines are left: Err
	evBroken kind = "broken" // it saw something that must not be: Err
	evCrash  kind = "crash"  // it kills itself now, at the point What

	evSend    kind = "send"    // a claim that takes is about to be sent: Token, Seen
	evGranted kind = "granted" // the store said that Token holds the key; sent at Sent
	evEnding  kind = "ending"  // What (complete, release, abandon) is about to be sent
	evEnded   kind = "ended"   // ... and was confirmed, or Err

	evRun       kind = "run"       // the action begins
	evReconcile kind = "reconcile" // Reconcile has decided: What, Value
	evResolve   kind = "resolve"   // somebody is about to put Value into an abandoned key
	evUnsettled kind = "unsettled" // the sweep gets no answer: What it got instead
	evAnswer    kind = "answer"    // a call that began at Sent has returned: What, Value

	evEffect  kind = "effect"  // the side effect Value, in the ledger
	evBarrier kind = "barrier" // the ledger refuses older fences from here on

	evKill     kind = "kill"     // the parent is about to kill Worker
	evStop     kind = "stop"     // the parent is about to stop Worker
	evContinue kind = "continue" // ... and has continued it
	evForget   kind = "forget"   // the parent forgets Key; nobody else runs
	evLosing   kind = "losing"   // from here on the store may forget what it confirmed
	evKept     kind = "kept"     // ... until here
	evSilent   kind = "silent"   // the store may be silent for Worker (0: all) until Until
	evAlive    kind = "alive"    // the servers have answered the parent, soon
	evNote     kind = "note"     // the parent did What to the server, for the reader
)

// The ends of a call, in event.What of an answer.
const (
	gotValue     = "value"       // an outcome: Value
	gotError     = "error"       // an outcome that is an error: Value is its text
	gotReleased  = "released"    // its own action's harmless error
	gotUnsure    = "unsure"      // its own action's outcome, which may not be recorded
	gotLost      = "lost"        // ErrLeaseLost
	gotAbandoned = "abandoned"   // ErrAbandoned
	gotTimeout   = "timeout"     // ErrWaitTimeout
	gotBusy      = "in progress" // ErrInProgress
	gotEnded     = "ended"       // its own ctx ended
	gotFailed    = "failed"      // the store failed
)

type event struct {
	At      int64  `json:"at"`
	Kind    kind   `json:"kind"`
	Worker  int    `json:"worker,omitempty"`
	Key     string `json:"key,omitempty"`
	Token   string `json:"token,omitempty"`
	Seen    uint64 `json:"seen,omitempty"`
	Fence   uint64 `json:"fence,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	Sent    int64  `json:"sent,omitempty"`
	Until   int64  `json:"until,omitempty"`
	Renewal bool   `json:"renewal,omitempty"`
	What    string `json:"what,omitempty"`
	How     string `json:"how,omitempty"`
	Value   string `json:"value,omitempty"`
	Err     string `json:"err,omitempty"`
}

// describe is the event as a line of a failure, with its time since start.
func (e event) describe(start int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10.3fms", float64(e.At-start)/1e6)
	if e.Worker != 0 {
		fmt.Fprintf(&b, " worker %d", e.Worker)
	} else {
		b.WriteString(" parent")
	}
	fmt.Fprintf(&b, " %s", e.Kind)
	if e.Renewal {
		b.WriteString(" (renewal)")
	}
	for _, field := range []struct{ name, value string }{{"", e.What}, {"", e.How}, {"value ", e.Value}, {"", e.Err}} {
		if field.value != "" {
			fmt.Fprintf(&b, " %s%q", field.name, field.value)
		}
	}
	if e.Token != "" {
		fmt.Fprintf(&b, " token %.6s", e.Token)
	}
	for _, field := range []struct {
		name  string
		value uint64
	}{{"attempt", uint64(e.Attempt)}, {"fence", e.Fence}, {"seen", e.Seen}} {
		if field.value != 0 {
			fmt.Fprintf(&b, " %s %d", field.name, field.value)
		}
	}
	if e.Sent != 0 {
		fmt.Fprintf(&b, " (%v before)", time.Duration(e.At-e.Sent).Round(10*time.Microsecond))
	}
	return b.String()
}

// journal is a file of events that many processes append to.
type journal struct {
	file   *os.File
	worker int
}

func openJournal(path string, worker int) (*journal, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{file: file, worker: worker}, nil
}

// add writes an event, with the time and the worker filled in where they are
// missing. Without its log a soak proves nothing: a failed write ends the process.
func (j *journal) add(e event) {
	if e.At == 0 {
		e.At = now()
	}
	if e.Worker == 0 {
		e.Worker = j.worker
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("soak: the log can't be written: %v", err))
	}
}

func (j *journal) close() error { return j.file.Close() }

// tail reads what was added to a file since the last time.
type tail struct {
	path   string
	offset int64
}

// lines gives every whole line that is new.
func (t *tail) lines(use func(line []byte) error) error {
	file, err := os.Open(t.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(t.offset, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return nil
		}
		if err := use(line); err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
		t.offset += int64(len(line)) + 1
		data = rest
	}
}

func parseEvent(line []byte) (event, error) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("line %q: %w", line, err)
	}
	return e, nil
}
