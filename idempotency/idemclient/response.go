package idemclient

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// readsAhead tells whether a response is read before it is returned.
func (x *exchange) readsAhead(response *http.Response) bool {
	o := &x.t.options
	return !o.StreamResponses && x.body.repeatable && o.MaxAttempts > 1 &&
		x.req.Method != http.MethodHead && response.StatusCode != http.StatusSwitchingProtocols &&
		response.ContentLength > 0 && response.ContentLength <= o.MaxResponse
}

// readAhead puts the response's body into memory. Where that breaks off, the body
// is what came, followed by the error, which is returned too.
func readAhead(response *http.Response) error {
	// ReadFrom wants that much room to see the end.
	data := bytes.NewBuffer(make([]byte, 0, min(response.ContentLength, 64<<10)+bytes.MinRead))
	_, err := data.ReadFrom(response.Body)
	_ = response.Body.Close()
	response.Body = &memoryBody{data: data, err: err}
	return err
}

// memoryBody is a body in memory, and the error with which it broke off.
type memoryBody struct {
	data *bytes.Buffer
	err  error
}

func (b *memoryBody) Read(p []byte) (int, error) {
	n, err := b.data.Read(p)
	if err == io.EOF && b.err != nil {
		err = b.err
	}
	return n, err
}

func (b *memoryBody) Close() error { return nil }

// Bounds of what is read of an answer that nobody wants, to keep its connection.
const (
	maxDrain     = 64 << 10
	maxDrainTime = time.Second
)

// drain reads what is left of a body, within bounds, and closes it.
func drain(body io.ReadCloser, abandon func()) {
	timer := time.AfterFunc(maxDrainTime, abandon)
	_, _ = io.CopyN(io.Discard, body, maxDrain+1)
	timer.Stop()
	_ = body.Close()
}

// endWith calls end once the body is read or closed.
func endWith(body io.ReadCloser, end func()) io.ReadCloser {
	b := &endingBody{ReadCloser: body, end: sync.OnceFunc(end)}
	if w, ok := body.(io.Writer); ok { // 101 Switching Protocols
		return struct {
			*endingBody
			io.Writer
		}{b, w}
	}
	return b
}

type endingBody struct {
	io.ReadCloser
	end func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
