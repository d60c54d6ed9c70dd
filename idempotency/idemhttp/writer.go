package idemhttp

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
)

// writer is the handler's ResponseWriter. It holds the response back until its
// outcome is recorded, so that no client has an answer that the key hasn't. It
// lets go, and passes through from then on, at the first Flush, when the handler
// takes over the connection, and when the body becomes too large to be kept.
// Where it isn't held back it is still recorded, up to the limit.
type writer struct {
	m  *middleware
	rw http.ResponseWriter
	r  *http.Request // as the middleware got it

	header http.Header // the handler's; goes on changing after WriteHeader
	sent   http.Header // as it was at WriteHeader
	before http.Header // what rw had before the handler, once rw's was changed
	status int         // zero before WriteHeader
	length int64       // the Content-Length that the handler declared; -1: none
	// written counts what the handler wrote, body what is kept of it.
	written int64
	body    []byte
	passing bool   // the header has gone out
	lost    string // why the body isn't kept; empty while it is
	failed  error  // of a write to the client

	hijacked bool
	trailer  http.Header // once the handler has returned
}

func (m *middleware) newWriter(rw http.ResponseWriter, r *http.Request, unprotected bool) *writer {
	w := &writer{m: m, rw: rw, r: r, length: -1, header: rw.Header().Clone()}
	if w.header == nil {
		w.header = http.Header{}
	}
	if unprotected {
		w.header[m.UnprotectedHeader] = []string{"true"}
	}
	return w
}

// Unwrap lets http.ResponseController reach what the server's writer has: its
// deadlines and EnableFullDuplex.
func (w *writer) Unwrap() http.ResponseWriter { return w.rw }

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http
	}
	if w.hijacked || w.status != 0 {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.give(w.header)
		w.rw.WriteHeader(status)
		return
	}
	w.status, w.sent = status, w.header.Clone()
	if declared := w.sent.Get("Content-Length"); declared != "" {
		if n, err := strconv.ParseInt(declared, 10, 64); err == nil && n >= 0 {
			w.length = n
		} else {
			delete(w.sent, "Content-Length") // as net/http
		}
	}
}

func (w *writer) Write(p []byte) (int, error)       { return w.write(len(p), p, "") }
func (w *writer) WriteString(s string) (int, error) { return w.write(len(s), nil, s) }

// write takes n bytes, in p or in s.
func (w *writer) write(n int, p []byte, s string) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case n == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(n) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(n)
	if w.lost == "" && len(w.body)+n > w.m.MaxResponse {
		w.pass()
		w.lost, w.body = fmt.Sprintf("it is longer than Options.MaxResponse, %d bytes", w.m.MaxResponse), nil
	}
	if w.lost == "" {
		if p != nil {
			w.body = append(w.body, p...)
		} else {
			w.body = append(w.body, s...)
		}
	}
	if !w.passing {
		return n, nil
	}
	var written int
	err := w.failed
	if err == nil {
		if p != nil {
			written, err = w.rw.Write(p)
		} else {
			written, err = io.WriteString(w.rw, s)
		}
		w.failed = err
	}
	if err != nil && w.lost == "" {
		return n, nil // the client has gone; what is recorded is to be whole
	}
	return written, err
}

// ReadFrom uses the server's own way once the body isn't kept.
func (w *writer) ReadFrom(source io.Reader) (n int64, err error) {
	if w.passing && w.lost != "" && w.failed == nil && w.length < 0 && !w.hijacked && bodyAllowed(w.status) {
		n, err = io.Copy(w.rw, source)
		w.written += n
		return n, err
	}
	return io.Copy(struct{ io.Writer }{w}, source)
}

// FlushError sends what there is, and what comes from now on as it comes. It is
// still recorded.
func (w *writer) FlushError() error {
	flush := flusherOf(w.rw)
	switch {
	case w.hijacked:
		return http.ErrHijacked
	case flush == nil:
		return fmt.Errorf("idemhttp: %w", http.ErrNotSupported)
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.pass()
	if w.failed == nil {
		w.failed = flush()
	}
	if w.lost == "" {
		return nil
	}
	return w.failed
}

// flusherOf finds the Flush that http.ResponseController would find.
func flusherOf(rw http.ResponseWriter) func() error {
	for {
		switch t := rw.(type) {
		case interface{ FlushError() error }:
			return t.FlushError
		case http.Flusher:
			return func() error { t.Flush(); return nil }
		case interface{ Unwrap() http.ResponseWriter }:
			rw = t.Unwrap()
		default:
			return nil
		}
	}
}

// pass sends the header and what was held back.
func (w *writer) pass() {
	if w.passing {
		return
	}
	w.passing = true
	w.sniff()
	w.give(w.sent)
	w.rw.WriteHeader(w.status)
	if len(w.body) > 0 {
		_, w.failed = w.rw.Write(w.body)
	}
}

// sniff sets the Content-Type that net/http would find, so that it is the same
// whatever of the body is there when the header goes out, and on a replay.
func (w *writer) sniff() {
	if _, has := w.sent["Content-Type"]; has || len(w.body) == 0 ||
		w.sent.Get("Content-Encoding") != "" || w.sent.Get("Transfer-Encoding") != "" {
		return
	}
	w.sent["Content-Type"] = []string{http.DetectContentType(w.body)}
}

// give makes header that of the server's writer.
func (w *writer) give(header http.Header) {
	target := w.rw.Header()
	if w.before == nil {
		w.before = target.Clone()
	}
	clear(target)
	maps.Copy(target, header)
}

// original returns what the server's writer had before the handler.
func (w *writer) original() http.Header {
	if w.before != nil {
		return w.before
	}
	return w.rw.Header()
}

// withdraw forgets a response that was held back, for another one to be written.
func (w *writer) withdraw() {
	if w.before != nil {
		w.give(w.before)
	}
}
