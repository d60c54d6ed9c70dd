package idemhttp

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
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

// finish is called when the handler has returned. It makes what is recorded.
func (w *writer) finish() *Response {
	if w.hijacked {
		return &Response{notKept: "the handler took over its connection"}
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.passing {
		w.sniff()
	}
	w.trailer = w.trailers()
	response := &Response{Status: w.status, Body: w.body, notKept: w.lost, Trailer: w.m.keptTrailer(w.trailer)}
	response.Header = w.m.kept(w.sent, w.original())
	head := w.r.Method == http.MethodHead
	switch {
	case w.status < 200:
		response.notKept = "it switched protocols"
	case w.lost == "" && !head && bodyAllowed(w.status) && w.length > w.written:
		response.notKept = fmt.Sprintf("the handler announced %d bytes and wrote %d", w.length, w.written)
	case head:
		response.Body = nil
		if length := w.headLength(); length != "" {
			response.Header = with(response.Header, "Content-Length", length)
		}
	case w.status == http.StatusNotModified && w.length >= 0:
		response.Header = with(response.Header, "Content-Length", w.sent.Get("Content-Length"))
	}
	return response
}

func with(header http.Header, name, value string) http.Header {
	if header == nil {
		header = http.Header{}
	}
	header[name] = []string{value}
	return header
}

// headLength is the Content-Length of a response to HEAD, whose body isn't sent.
func (w *writer) headLength() string {
	switch {
	case w.length >= 0:
		return w.sent.Get("Content-Length")
	case w.written > 0:
		return strconv.FormatInt(w.written, 10)
	}
	return ""
}

// trailers returns those that the handler has declared and set, and those that it
// has set by http.TrailerPrefix.
func (w *writer) trailers() http.Header {
	var trailers http.Header
	set := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		if trailers == nil {
			trailers = http.Header{}
		}
		trailers[name] = slices.Clone(values)
	}
	for name := range declared(w.sent) {
		set(name, w.header[name])
	}
	for name, values := range w.header {
		if rest, found := strings.CutPrefix(name, http.TrailerPrefix); found {
			set(http.CanonicalHeaderKey(rest), values)
		}
	}
	return trailers
}

// send writes what was held back. Of a response that has passed through only the
// trailers are missing.
func (w *writer) send() {
	switch {
	case w.hijacked:
	case w.passing:
		target := w.rw.Header()
		known := maps.Collect(declared(w.sent))
		for name, values := range w.trailer {
			if _, is := known[name]; !is {
				name = http.TrailerPrefix + name
			}
			target[name] = values
		}
	default:
		for name := range w.sent {
			if strings.HasPrefix(name, http.TrailerPrefix) {
				delete(w.sent, name)
			}
		}
		if w.r.Method == http.MethodHead {
			if length := w.headLength(); length != "" {
				w.sent["Content-Length"] = []string{length}
			}
		}
		w.passing = true
		w.give(w.sent)
		deliver(w.rw, w.r, w.status, w.body, w.trailer)
	}
}

// declared yields the names of the trailers that a header announces.
func declared(header http.Header) iter.Seq2[string, struct{}] {
	return func(yield func(string, struct{}) bool) {
		for _, line := range header["Trailer"] {
			for name := range strings.SplitSeq(line, ",") {
				if name = strings.TrimSpace(name); name != "" && !yield(http.CanonicalHeaderKey(name), struct{}{}) {
					return
				}
			}
		}
	}
}

// deliver writes a whole response, with the header that rw has.
func deliver(rw http.ResponseWriter, r *http.Request, status int, body []byte, trailer http.Header) {
	header := rw.Header()
	if _, has := header["Content-Type"]; !has {
		header["Content-Type"] = nil // don't let the server guess
	}
	if len(trailer) > 0 {
		known := maps.Collect(declared(header))
		lines := slices.Clone(header["Trailer"])
		for _, name := range slices.Sorted(maps.Keys(trailer)) {
			if _, is := known[name]; !is {
				lines = append(lines, name)
			}
		}
		header["Trailer"] = lines
	}
	if _, has := header["Content-Length"]; !has && header["Trailer"] == nil && header["Transfer-Encoding"] == nil &&
		bodyAllowed(status) && r.Method != http.MethodHead {
		header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	rw.WriteHeader(status)
	if len(body) > 0 && r.Method != http.MethodHead {
		rw.Write(body)
	}
	for name, values := range trailer {
		header[name] = values
	}
}
