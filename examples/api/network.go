package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	instanceHeader = "Instance" // who asks the card network: the slot of the instance
	slowBy         = 1500 * time.Millisecond
)

// network is the card network: the ledger behind a link that can be made bad.
type network struct {
	ledger  *ledger
	link    *link
	latency atomic.Int64 // of a charge, in nanoseconds
	// booked is called when a charge has been booked, before the reply.
	booked func(slot int)
}

func (n *network) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /book", n.book)
	mux.HandleFunc("GET /booked", n.find)
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		order, ok := n.ledger.findOrder(r.PathValue("id"))
		answerFound(w, Booked{Order: &order}, ok)
	})
	mux.HandleFunc("GET /payments/{id}", func(w http.ResponseWriter, r *http.Request) {
		payment, ok := n.ledger.findPayment(r.PathValue("id"))
		answerFound(w, Booked{Payment: &payment}, ok)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, slow := n.link.next()
		if slow {
			time.Sleep(slowBy)
		}
		switch f {
		case cut:
			panic(http.ErrAbortHandler)
		case replyLost:
			mux.ServeHTTP(&deafWriter{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// book books, whether or not anybody still listens for the answer.
func (n *network) book(w http.ResponseWriter, r *http.Request) {
	var b Booking
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	latency := time.Duration(n.latency.Load())
	if b.Payment == nil {
		latency /= 10
	}
	time.Sleep(latency / 2)
	booked, err := n.ledger.book(b)
	if err == nil && b.Payment != nil {
		if slot, err := strconv.Atoi(r.Header.Get(instanceHeader)); err == nil {
			n.booked(slot)
		}
	}
	time.Sleep(latency / 2)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.message, http.StatusUnprocessableEntity)
	case err != nil:
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	default:
		writeJSON(w, http.StatusOK, booked)
	}
}

// find answers what was booked under a reference, and keeps the attempts up to
// the fence from booking anything under it.
func (n *network) find(w http.ResponseWriter, r *http.Request) {
	fence, err := strconv.ParseUint(r.FormValue("fence"), 10, 64)
	if err != nil {
		http.Error(w, "fence: "+err.Error(), http.StatusBadRequest)
		return
	}
	booked, ok := n.ledger.find(r.FormValue("reference"), fence)
	answerFound(w, booked, ok)
}

func answerFound(w http.ResponseWriter, booked Booked, found bool) {
	if !found {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, booked)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// deafWriter is the answer to somebody who can't be reached any more.
type deafWriter struct{ header http.Header }

func (w *deafWriter) Header() http.Header         { return w.header }
func (w *deafWriter) WriteHeader(int)             {}
func (w *deafWriter) Write(p []byte) (int, error) { return len(p), nil }
