package idemhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// readBody reads the whole body of a request. The server's own reader sends
// 100 Continue at the first read, so a client that expects it sends nothing that
// would be refused for its key or its length.
func (m *middleware) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Problem) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	tooLarge := func(limit int64) *Problem {
		return &Problem{Code: CodeBodyTooLarge, Status: http.StatusRequestEntityTooLarge,
			Title:  "Request body is too large",
			Detail: fmt.Sprintf("A request with an idempotency key may have a body of at most %d bytes.", limit)}
	}
	if r.ContentLength > m.MaxBody {
		return nil, tooLarge(m.MaxBody)
	}
	// One byte more than is announced, so that the end is seen without growing; and
	// no more than this on a client's mere word.
	body := make([]byte, 0, min(max(r.ContentLength, 511)+1, 64<<10))
	reader := http.MaxBytesReader(w, r.Body, m.MaxBody)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			var limit *http.MaxBytesError
			switch {
			case errors.As(err, &limit):
				return nil, tooLarge(limit.Limit)
			case errors.Is(err, os.ErrDeadlineExceeded):
				return nil, &Problem{Code: CodeBodyUnreadable, Status: http.StatusRequestTimeout,
					Title: "Request body did not arrive in time", Err: err}
			}
			return nil, &Problem{Code: CodeBodyUnreadable, Status: http.StatusBadRequest,
				Title: "Request body could not be read", Err: err}
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
	return body, nil
}

// parsedForm stands for a body that something before the middleware has read: its
// form's values in the order of their names. Without it two different requests
// would look the same.
func parsedForm(r *http.Request) ([]byte, *Problem) {
	switch {
	case r.MultipartForm != nil:
		return nil, &Problem{Code: CodeInternal, Status: http.StatusInternalServerError,
			Title: "Request can't be told from another", Err: errors.New("idemhttp: the multipart body was parsed before the middleware")}
	case len(r.PostForm) > 0:
		return []byte(r.PostForm.Encode()), nil
	}
	return nil, nil
}

// replayableBody is a body that was read, to be read again.
type replayableBody struct {
	bytes.Reader
	closed bool
}

func newBody(data []byte) *replayableBody {
	b := &replayableBody{}
	b.Reset(data)
	return b
}

func (b *replayableBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

func (b *replayableBody) WriteTo(w io.Writer) (int64, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.WriteTo(w)
}

func (b *replayableBody) Close() error {
	b.closed = true
	return nil
}
