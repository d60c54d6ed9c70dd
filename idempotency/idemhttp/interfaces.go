package idemhttp

import (
	"bufio"
	"net"
	"net/http"
)

// The optional interfaces of a ResponseWriter that say by their presence what a
// handler may do. The handler's writer has those that the server's has.

type flusher struct{ *writer }

func (f flusher) Flush() { f.FlushError() }

type hijacker struct{ *writer }

// Hijack hands the connection to the handler, after what it has written.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w := h.writer
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 {
		w.pass()
		if flush := flusherOf(w.rw); flush != nil { // net/http would lose what it has buffered
			flush()
		}
	}
	conn, buffer, err := w.rw.(http.Hijacker).Hijack()
	if err == nil {
		w.hijacked = true
	}
	return conn, buffer, err
}

// optional returns the writer with the interfaces that the server's has.
// http.Flusher is told by its own type: FlushError is there for
// http.ResponseController in any case.
func (w *writer) optional() http.ResponseWriter {
	_, flushes := w.rw.(http.Flusher)
	_, hijacks := w.rw.(http.Hijacker)
	pusher, pushes := w.rw.(http.Pusher)
	f, h := flusher{w}, hijacker{w}
	switch {
	case flushes && hijacks && pushes:
		return struct {
			*writer
			http.Flusher
			http.Hijacker
			http.Pusher
		}{w, f, h, pusher}
	case flushes && hijacks:
		return struct {
			*writer
			http.Flusher
			http.Hijacker
		}{w, f, h}
	case flushes && pushes:
		return struct {
			*writer
			http.Flusher
			http.Pusher
		}{w, f, pusher}
	case hijacks && pushes:
		return struct {
			*writer
			http.Hijacker
			http.Pusher
		}{w, h, pusher}
	case flushes:
		return struct {
			*writer
			http.Flusher
		}{w, f}
	case hijacks:
		return struct {
			*writer
			http.Hijacker
		}{w, h}
	case pushes:
		return struct {
			*writer
			http.Pusher
		}{w, pusher}
	}
	return w
}
