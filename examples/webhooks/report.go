package main

import (
	"fmt"
	"io"
	"sync"
)

// report counts the answers.
type report struct {
	mu      sync.Mutex
	answers map[string]map[int]int // path: status: how often
}

func newReport() *report { return &report{answers: map[string]map[int]int{}} }

func (r *report) note(path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers[path] == nil {
		r.answers[path] = map[int]int{}
	}
	r.answers[path][status]++
}

func (r *report) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(w, "\n%-18s %6s %6s %6s\n", "answers", "200", "503", "400")
	for _, path := range []string{"/webhooks/stripe", "/webhooks/github"} {
		a := r.answers[path]
		fmt.Fprintf(w, "%-18s %6d %6d %6d\n", path, a[200], a[503], a[400])
	}
	fmt.Fprintln(w, "200: booked, booked before, or put aside; 503: busy, or in progress: send it again; 400: forged or stale")
}
