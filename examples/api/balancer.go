package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	keyHeader    = "Idempotency-Key"
	pressHeader  = "Demo-Press" // which press of the button, by the page's count
	tryHeader    = "Demo-Try"   // which try of it
	naivePrefix  = "/unprotected"
	clientSlowBy = 800 * time.Millisecond
)

var (
	errReplyLost = errors.New("the reply was lost")
	errCut       = errors.New("the connection was cut")
	errDown      = errors.New("the instance can't be reached")
)

// balancer is what stands before the instances, with the network that lies
// between them and their clients.
type balancer struct {
	fleet *fleet
	board *board
	link  *link
	// One request, one connection, in this direction and towards the client: both
	// net/http and browsers send a request once more by themselves when a kept
	// connection breaks under it. (Browsers also when it is one that they opened
	// ahead. The page marks those.)
	transport http.RoundTripper
}

func newBalancer(f *fleet, b *board, l *link) *balancer {
	return &balancer{fleet: f, board: b, link: l, transport: &http.Transport{DisableKeepAlives: true}}
}

type slotKey struct{}

// handler serves an instance, or with slot zero all of them in turn.
func (b *balancer) handler(slot int) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {}, // RoundTrip knows where to
		Transport: b,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, errDown) {
				panic(http.ErrAbortHandler) // closes the connection
			}
			w.Header().Set("Retry-After", "1")
			problem{Status: http.StatusBadGateway, Title: "The instance can't be reached, or died", Detail: "Send the same request with the same key again."}.write(w)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The page has an origin of its own for each instance: a browser sends six
		// requests at a time to one. Nothing here is secret.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "*")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
			w.Header().Set("Access-Control-Allow-Headers", strings.Join([]string{"Content-Type", keyHeader, pressHeader, tryHeader}, ", "))
			w.Header().Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Connection", "close")
		at := slot
		if at == 0 {
			at = b.fleet.choose()
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), slotKey{}, at)))
	})
}

// RoundTrip brings a request to its instance and the answer back, as far as the
// network lets it.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	slot := r.Context().Value(slotKey{}).(int)
	if r.Method != http.MethodPost {
		response, err := b.send(r, slot)
		if err != nil {
			return nil, errors.Join(errDown, err)
		}
		return response, nil
	}
	try, _ := strconv.Atoi(r.Header.Get(tryHeader))
	path, naive := strings.CutPrefix(r.URL.Path, naivePrefix)
	id := b.board.begin(row{
		Press: clip(r.Header.Get(pressHeader)), Try: max(try, 1), Key: clip(r.Header.Get(keyHeader)), Path: clip(path), Naive: naive, Instance: slot,
	})
	r.Header.Set(requestHeader, strconv.FormatInt(id, 10))
	response, err := b.deliver(r, slot)
	b.board.update(id, func(row *row, c *counters) {
		row.Ended = time.Now().UnixMilli()
		switch {
		case err == nil:
			row.Fate = "answered"
			row.read(response)
		case r.Context().Err() != nil:
			row.Fate = "left"
		case errors.Is(err, errReplyLost):
			row.Fate = "lost"
			c.Lost++
		case errors.Is(err, errCut):
			row.Fate = "cut"
			c.Lost++
		default:
			row.Fate = "down"
		}
	})
	return response, err
}

// deliver does to a request and its answer what the network does.
func (b *balancer) deliver(r *http.Request, slot int) (*http.Response, error) {
	f, slow := b.link.next()
	if slow {
		timer := time.NewTimer(clientSlowBy)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if f == cut { // soon after the request was delivered
		ctx, cancel := context.WithTimeoutCause(r.Context(), 100*time.Millisecond+rand.N(200*time.Millisecond), errCut)
		defer cancel()
		r = r.WithContext(ctx)
	}
	response, err := b.send(r, slot)
	switch {
	case f == cut:
		return nil, errCut
	case err != nil:
		return nil, errors.Join(errDown, err)
	case f == replyLost:
		return nil, errReplyLost
	}
	return response, nil
}

// send sends a request to an instance and reads the whole answer.
func (b *balancer) send(r *http.Request, slot int) (*http.Response, error) {
	p, err := b.fleet.at(slot)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(p.url)
	if err != nil {
		return nil, err
	}
	r.URL.Scheme, r.URL.Host = target.Scheme, target.Host
	response, err := b.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// read takes from an answer what the page shows of it.
func (r *row) read(response *http.Response) {
	r.Status = response.StatusCode
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	var about struct{ ID, Charge, Title string }
	if json.Unmarshal(body, &about) != nil {
		return
	}
	r.Title, r.Receipt = about.Title, about.ID
	if about.ID == "" {
		r.Receipt = about.Charge
	}
}

// clip bounds what a client sent, for the board.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most]
	}
	return s
}
