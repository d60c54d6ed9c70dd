package idemclient_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency/idemclient"
)

func TestKeys(t *testing.T) {
	server := newRawServer(t, status(200))
	uuid := `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	send := func(t *testing.T, options idemclient.Options, change func(*http.Request) *http.Request) (*http.Response, []string) {
		t.Helper()
		response, err := newClient(t, options).Do(change(newRequest(t, "POST", server.url(), "x")))
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		seen := server.seen()
		return response, seen[len(seen)-1].key
	}
	as := func(req *http.Request) *http.Request { return req }
	withKey := func(key string) func(*http.Request) *http.Request {
		return func(req *http.Request) *http.Request {
			return req.WithContext(idemclient.WithKey(req.Context(), key))
		}
	}
	for _, test := range []struct {
		name    string
		options idemclient.Options
		change  func(*http.Request) *http.Request
		want    string
		sent    string
	}{
		{"new", idemclient.Options{}, as, `"` + uuid + `"`, uuid},
		{"raw", idemclient.Options{Raw: true}, as, uuid, uuid},
		{"made", idemclient.Options{NewKey: func() string { return "k1" }}, as, `"k1"`, "k1"},
		{"by ctx", idemclient.Options{}, withKey("order 7"), `"order 7"`, "order 7"},
		{"escaped", idemclient.Options{}, withKey(`a"b\c`), `"a\\"b\\\\c"`, `a"b\\c`},
		{"raw with a quote inside", idemclient.Options{Raw: true}, withKey(`a"b`), `a"b`, `a"b`},
		{"by header", idemclient.Options{}, func(req *http.Request) *http.Request {
			req.Header.Set("Idempotency-Key", "mine")
			return withKey("other")(req)
		}, `mine`, `mine`},
		{"another method by ctx", idemclient.Options{}, func(req *http.Request) *http.Request {
			req.Method = "PUT"
			return withKey("put")(req)
		}, `"put"`, `put`},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, got := send(t, test.options, test.change)
			if len(got) != 1 || !regexp.MustCompile("^"+test.want+"$").MatchString(got[0]) {
				t.Errorf("key %q, want %s", got, test.want)
			}
			if sent, ok := idemclient.SentOf(response); !ok || sent.Attempts != 1 || !regexp.MustCompile("^"+test.sent+"$").MatchString(sent.Key) {
				t.Errorf("sent %+v", sent)
			}
		})
	}
	for _, method := range []string{"GET", "HEAD"} {
		if _, got := send(t, idemclient.Options{}, func(req *http.Request) *http.Request {
			req.Method = method
			return withKey("k")(req)
		}); got != nil {
			t.Errorf("%s got the key %q", method, got)
		}
	}
	for _, key := range []string{"", strings.Repeat("k", 256), "a\nb", "é", "\x7f"} {
		req := withKey(key)(newRequest(t, "POST", server.url(), "x"))
		if response, err := newClient(t, quick()).Do(req); err == nil {
			response.Body.Close()
			t.Errorf("the key %q was sent", key)
		}
	}
	for _, key := range []string{` a`, `a `, `"a"`} {
		req := withKey(key)(newRequest(t, "POST", server.url(), "x"))
		if response, err := newClient(t, idemclient.Options{Raw: true}).Do(req); err == nil {
			response.Body.Close()
			t.Errorf("the raw key %q was sent", key)
		}
	}
}

// An entry without values: net/http's own sign of an idempotent request.
func TestKeyOfNoValue(t *testing.T) {
	server := newRawServer(t, reply{}, status(200))
	req := newRequest(t, "POST", server.url(), "x")
	req.Header["Idempotency-Key"] = nil
	response, err := newClient(t, quick()).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	read(t, response)
	if seen := server.seen(); len(seen) != 2 || seen[0].key != nil || seen[1].key != nil {
		t.Errorf("%+v", seen)
	}
}

func TestRedirects(t *testing.T) {
	var mu sync.Mutex
	var seen []request
	var failed bool
	note := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, request{key: r.Header["Idempotency-Key"], method: r.Method, path: r.URL.Path})
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		mu.Lock()
		defer mu.Unlock()
		if !failed {
			failed = true
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(other.Close)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		switch r.URL.Path {
		case "/307":
			http.Redirect(w, r, "/308", http.StatusTemporaryRedirect)
		case "/308":
			http.Redirect(w, r, other.URL+"/end", http.StatusPermanentRedirect)
		case "/303":
			http.Redirect(w, r, other.URL+"/end", http.StatusSeeOther)
		}
	}))
	t.Cleanup(first.Close)
	client := newClient(t, quick())
	post := func(path string) string {
		t.Helper()
		seen, failed = nil, false
		response, err := client.Do(newRequest(t, "POST", first.URL+path, "x"))
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		sent, _ := idemclient.SentOf(response)
		return sent.Key
	}
	key := post("/307")
	if len(seen) != 4 || seen[3].path != "/end" || oneKey(t, seen) != `"`+key+`"` {
		t.Errorf("%q: %+v", key, seen)
	}
	if post("/303"); len(seen) != 3 || seen[2].method != "GET" || seen[2].key != nil {
		t.Errorf("after 303: %+v", seen)
	}
	if post("/end") == key {
		t.Error("another request got the same key")
	}
}

func TestOptions(t *testing.T) {
	for want, options := range map[string]idemclient.Options{
		"MaxAttempts":    {MaxAttempts: -1},
		"MaxElapsed":     {MaxElapsed: -1},
		"MinBackoff":     {MinBackoff: time.Microsecond},
		"MaxBackoff":     {MaxBackoff: time.Millisecond},
		"MaxRetryAfter":  {MaxRetryAfter: 25 * time.Hour},
		"AttemptTimeout": {AttemptTimeout: -time.Second},
		"MaxBody":        {MaxBody: -1},
		"MaxResponse":    {MaxResponse: 1 << 31},
		"Methods":        {Methods: []string{"PO ST"}},
		"Header":         {Header: "Key:"},
	} {
		if _, err := idemclient.New(nil, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := idemclient.New((*http.Transport)(nil), idemclient.Options{}); err == nil {
		t.Error("a nil *http.Transport was taken")
	}
	if _, err := idemclient.New(nil, idemclient.Options{MinBackoff: time.Minute}); err != nil {
		t.Error(err)
	}
}
