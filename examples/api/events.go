package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// pace is the least time between two events of a page: a change shows at once,
	// and a storm of them as one.
	pace = 40 * time.Millisecond
	// alive is how often a silent connection says that it lives.
	alive = 15 * time.Second
)

// events are Server-Sent Events: the state of the board, and then its changes. An
// event's ID says which version the page has seen then, of which run of the
// program; a browser sends it back when it connects again.
type events struct {
	board   *board
	run     string
	stopped <-chan struct{}
}

func (s *events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	var version int64
	if run, seen, _ := strings.Cut(r.Header.Get("Last-Event-ID"), "."); run == s.run {
		version, _ = strconv.ParseInt(seen, 10, 64)
	}
	var buffer bytes.Buffer
	for {
		change, more := s.board.since(version)
		buffer.Reset()
		if change.version != version {
			version = change.version
			fmt.Fprintf(&buffer, "id: %s.%d\ndata: ", s.run, version)
			if json.NewEncoder(&buffer).Encode(change) != nil { // ends its line
				return
			}
			buffer.WriteByte('\n')
		} else {
			buffer.WriteString(": alive\n\n")
		}
		if _, err := w.Write(buffer.Bytes()); err != nil {
			return
		}
		if control.Flush() != nil {
			return
		}
		if !s.pause(r, pace, nil) || !s.pause(r, alive, more) {
			return
		}
	}
}

// pause waits for more, and for no longer than d. It reports false when the
// connection is over.
func (s *events) pause(r *http.Request, d time.Duration, more <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-more:
	case <-timer.C:
	case <-r.Context().Done():
		return false
	case <-s.stopped:
		return false
	}
	return true
}
