package idemclient

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		value, date string
		want        time.Duration
		given       bool
	}{
		{"", "", 0, false},
		{"120", "", 2 * time.Minute, true},
		{" 0 ", "", 0, true},
		{"1.5", "", 0, false},
		{"-1", "", 0, false},
		{"99999999999", "", math.MaxInt64, true},
		{"Tue, 24 Nov 2026 12:00:30 GMT", "", 30 * time.Second, true},
		{"Tuesday, 24-Nov-26 12:00:30 GMT", "", 30 * time.Second, true},
		{"Tue, 24 Nov 2026 11:00:00 GMT", "", 0, true},
		{"Tue, 24 Nov 2026 10:00:30 GMT", "Tue, 24 Nov 2026 10:00:20 GMT", 10 * time.Second, true}, // whose clock is wrong doesn't matter
		{"Tue", "", 0, false},
	} {
		h := http.Header{}
		if test.value != "" {
			h.Set("Retry-After", test.value)
		}
		if test.date != "" {
			h.Set("Date", test.date)
		}
		got, given := retryAfter(&http.Response{Header: h}, now)
		if got != test.want || given != test.given {
			t.Errorf("%q: %v, %v", test.value, got, given)
		}
	}
}

type scripted struct {
	times []time.Time
	reply func(n int) (*http.Response, error)
}

func (s *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	s.times = append(s.times, time.Now())
	return s.reply(len(s.times))
}

// Nothing is left in a long-lived ctx once an answer was read or closed, and of
// a try that failed at once.
func TestContextsEnd(t *testing.T) {
	for name, finish := range map[string]func(*http.Response){
		"read":   func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body) },
		"closed": func(r *http.Response) { _ = r.Body.Close() },
	} {
		var sent []*http.Request
		base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
			sent = append(sent, req)
			if len(sent) == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader("x"))}, nil
		})
		transport, err := New(base, Options{MinBackoff: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/", nil)
		response, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if sent[0].Context().Err() == nil || sent[1].Context().Err() != nil {
			t.Errorf("%s: before: %v, %v", name, sent[0].Context().Err(), sent[1].Context().Err())
		}
		if finish(response); sent[1].Context().Err() == nil {
			t.Errorf("%s: the ctx of the try goes on", name)
		}
	}
}

// An answer that comes when AttemptTimeout has just ended its ctx can't be read:
// it is closed, and asked for again.
func TestAnswerAtTheTimeout(t *testing.T) {
	tries, closed := 0, false
	base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		if tries++; tries == 1 {
			<-req.Context().Done()
			return &http.Response{StatusCode: 200, ContentLength: -1, Body: closing{&closed}}, nil
		}
		return &http.Response{StatusCode: 201, Body: http.NoBody}, nil
	})
	var told error
	transport, err := New(base, Options{
		MinBackoff: time.Millisecond, AttemptTimeout: time.Millisecond,
		OnRetry: func(_ context.Context, r Retry) { told = r.Err },
	})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/", nil)
	response, err := transport.RoundTrip(req)
	if err != nil || response.StatusCode != 201 || !closed || told != errAttemptTimeout {
		t.Errorf("%+v, %v, closed %v, told %v", response, err, closed, told)
	}
}

type closing struct{ closed *bool }

func (c closing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (c closing) Close() error { *c.closed = true; return nil }

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// The waits on the clock of a bubble: exponential with jitter, and as long as
// the server asks for.
func TestWaits(t *testing.T) {
	run := func(t *testing.T, options Options, header http.Header) []time.Duration {
		var waits []time.Duration
		synctest.Test(t, func(t *testing.T) {
			base := &scripted{reply: func(int) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Header: header, Body: http.NoBody}, nil
			}}
			transport, err := New(base, options)
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/", nil)
			if _, err := transport.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(base.times); i++ {
				waits = append(waits, base.times[i].Sub(base.times[i-1]))
			}
		})
		return waits
	}
	within := func(t *testing.T, got, lo, hi time.Duration) {
		t.Helper()
		if got < lo || got > hi {
			t.Errorf("waited %v, want %v to %v", got, lo, hi)
		}
	}
	waits := run(t, Options{MaxAttempts: 6, MinBackoff: 100 * time.Millisecond, MaxBackoff: 400 * time.Millisecond}, nil)
	if len(waits) != 5 {
		t.Fatal(waits)
	}
	for i, about := range []time.Duration{100, 200, 400, 400, 400} {
		within(t, waits[i], about*time.Millisecond/2, about*time.Millisecond*3/2+1)
	}
	waits = run(t, Options{}, http.Header{"Retry-After": {"7"}})
	if len(waits) != 4 {
		t.Fatal(waits)
	}
	for _, wait := range waits {
		within(t, wait, 7*time.Second, 7200*time.Millisecond)
	}
	if waits = run(t, Options{MaxElapsed: 20 * time.Second}, http.Header{"Retry-After": {"7"}}); len(waits) != 2 {
		t.Errorf("MaxElapsed: waited %v", waits)
	}
	if waits = run(t, Options{MaxAttempts: 1}, nil); len(waits) != 0 {
		t.Errorf("MaxAttempts 1: waited %v", waits)
	}
}
