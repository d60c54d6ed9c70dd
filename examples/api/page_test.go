package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// stream is a page's connection.
type stream struct {
	t      *testing.T
	lines  *bufio.Scanner
	cancel context.CancelFunc
	last   string // Last-Event-ID
}

func (c *client) listen(last string) *stream {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	c.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/demo/events", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { response.Body.Close() })
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		c.t.Errorf("Content-Type %q", got)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return &stream{t: c.t, lines: lines, cancel: cancel}
}

// next is the next event.
func (s *stream) next() (c change) {
	s.t.Helper()
	for s.lines.Scan() {
		switch name, value, _ := strings.Cut(s.lines.Text(), ": "); name {
		case "id":
			s.last = value
		case "data":
			if err := json.Unmarshal([]byte(value), &c); err != nil {
				s.t.Fatal(err)
			}
			return c
		}
	}
	s.t.Fatalf("the connection ended: %v", s.lines.Err())
	return c
}

func TestEvents(t *testing.T) {
	c := start(t)
	s := c.listen("")
	first := s.next()
	if !first.Reset || first.World == nil || len(first.World.Instances) != 3 || first.Counters == nil {
		t.Errorf("the first event: %+v", first)
	}
	_, payment := c.order()
	c.post(0, "/v1/payments", "key", payment)
	var seen row
	paid := false
	for seen.Ended == 0 || seen.Outcome == "" || !paid {
		change := s.next()
		if change.Reset {
			t.Errorf("a reset in between: %+v", change)
		}
		for _, r := range change.Rows {
			if r.Key == "key" {
				seen = r
			}
		}
		for _, a := range change.Accounts {
			paid = paid || a.Charges == 1
		}
	}
	if seen.Status != http.StatusOK || seen.Outcome != "executed" || seen.Receipt == "" || seen.Instance == 0 {
		t.Errorf("the board: %+v", seen)
	}

	// A page that comes back is told what it missed, and nothing else.
	s.cancel()
	c.post(0, "/v1/payments", "key", payment)
	s = c.listen(s.last)
	missed := s.next()
	if missed.Reset || missed.World != nil || len(missed.Rows) == 0 {
		t.Errorf("what was missed: %+v", missed)
	}
	for _, r := range missed.Rows {
		if r.ID <= seen.ID {
			t.Errorf("it was told again of request %d", r.ID)
		}
	}
	// One that comes from an earlier run of the program is told everything.
	if change := c.listen("other." + strings.Split(s.last, ".")[1]).next(); !change.Reset || len(change.Rows) != 3 {
		t.Errorf("after another run: %+v", change)
	}
	if a, err := c.send(http.MethodPost, c.url+"/demo/reset", "", ""); err != nil || a.status != http.StatusNoContent {
		t.Fatalf("reset: %d %v", a.status, err)
	}
	for change := s.next(); !change.Reset; change = s.next() {
	}
	if state := c.state(); len(state.Rows)+len(state.Accounts) != 0 || *state.Counters != (counters{}) {
		t.Errorf("after the reset: %+v", state)
	}
}

func TestSwitches(t *testing.T) {
	c := start(t)
	put := func(body string, header ...string) int {
		t.Helper()
		a, err := c.send(http.MethodPut, c.url+"/demo/switches", "", body, header...)
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	if status := put(`{"redis": {"slow": true}, "latency_ms": 100, "declines": 100, "arm": "pause"}`); status != http.StatusNoContent {
		t.Errorf("switches: %d", status)
	}
	if got := c.state().World.Switches; !got.Redis.Slow || got.LatencyMS != 100 || got.Declines != 100 || got.Arm != "pause" {
		t.Errorf("switches: %+v", got)
	}
	for _, body := range []string{"", "{", `{"latency_ms": -1}`, `{"latency_ms": 10001}`, `{"declines": 101}`, `{"arm": "explode"}`} {
		if status := put(body); status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, status)
		}
	}
	// A page from elsewhere must not switch anything.
	if status := put(`{}`, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", status)
	}
	for path, want := range map[string]int{"/demo/instances/4/kill": 409, "/demo/instances/x/pause": 409, "/demo/instances/1/feed": 404} {
		if a, err := c.send(http.MethodPost, c.url+path, "", ""); err != nil || a.status != want {
			t.Errorf("%s: %d %v, want %d", path, a.status, err, want)
		}
	}
}

// The lanes have origins of their own: the browser asks before it sends.
func TestPreflight(t *testing.T) {
	c := start(t)
	a, err := c.send(http.MethodOptions, c.at(2, "/v1/payments"), "", "", "Origin", "http://localhost", "Access-Control-Request-Headers", "idempotency-key")
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), keyHeader) {
		t.Errorf("%d %v", a.status, a.header)
	}
	if len(c.state().Rows) != 0 {
		t.Error("it is on the board")
	}
}

// The page works where there is no network but this program.
func TestPageIsWhole(t *testing.T) {
	files, err := fs.Sub(page, "page")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "index.html", "style.css", "app.js", "timeline.js"); err != nil {
		t.Fatal(err)
	}
	outside := regexp.MustCompile(`(?i)(src|href|from|import|url)\s*[=(]?\s*["']?(https?:)?//`)
	c := start(t)
	for _, name := range []string{"", "style.css", "app.js", "timeline.js"} {
		a := c.get("/" + name)
		if a.status != http.StatusOK || len(a.body) == 0 {
			t.Errorf("/%s: %d", name, a.status)
		}
		if found := outside.Find(a.body); found != nil {
			t.Errorf("/%s refers to something outside: %s", name, found)
		}
	}
}
