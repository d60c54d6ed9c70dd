package idemhttp

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

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
