package idemclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// body is what a request sends, as often as it is tried.
type body struct {
	first      io.ReadCloser // of the first try; nil: there is none
	again      func() (io.ReadCloser, error)
	length     int64 // for Request.ContentLength
	repeatable bool
}

func (b *body) open(try int) (io.ReadCloser, error) {
	if try == 1 || b.again == nil {
		return b.first, nil
	}
	return b.again()
}

// bodyOf makes the request's body repeatable if it can. It owns the body: where
// it fails, it has closed it.
func (t *Transport) bodyOf(req *http.Request) (body, error) {
	b := body{first: req.Body, again: req.GetBody, length: req.ContentLength, repeatable: true}
	if req.Body == nil || req.Body == http.NoBody {
		b.again = nil
		return b, nil
	}
	if req.GetBody != nil {
		return b, nil
	}
	b.repeatable = false
	if t.options.MaxAttempts == 1 || req.ContentLength > t.options.MaxBody {
		return b, nil
	}
	data, whole, err := readUpTo(req.Context(), req.Body, t.options.MaxBody)
	switch {
	case err != nil:
		_ = req.Body.Close()
		return body{}, err
	case !whole:
		b.first = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(data), req.Body), req.Body}
		return b, nil
	}
	_ = req.Body.Close()
	if req.ContentLength > 0 && req.ContentLength != int64(len(data)) {
		// The transport refuses that, and says it better.
		b.first = io.NopCloser(bytes.NewReader(data))
		return b, nil
	}
	if len(data) == 0 {
		return body{first: http.NoBody, repeatable: true}, nil
	}
	if len(req.Trailer) == 0 { // trailers need a body of unknown length
		b.length = int64(len(data))
	}
	b.again = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	b.first, _ = b.again()
	b.repeatable = true
	return b, nil
}

// readUpTo reads at most limit bytes and one. A reader that ignores that it was
// closed can't hold up a ctx that has ended.
func readUpTo(ctx context.Context, from io.ReadCloser, limit int64) (data []byte, whole bool, err error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(from, limit+1))
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, int64(len(r.data)) <= limit, r.err
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
