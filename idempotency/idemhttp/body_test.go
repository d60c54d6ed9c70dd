package idemhttp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// chunked hides a body's length.
type chunked struct{ io.Reader }

func TestBodyLimit(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{MaxBody: 1000}, func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	for _, size := range []int{0, 1, 511, 512, 513, 999, 1000, 1001, 5000} {
		for _, chunks := range []bool{false, true} {
			r := request(t, server.URL, fmt.Sprint("k", size, chunks), strings.Repeat("x", size))
			if chunks {
				r.Body, r.ContentLength = io.NopCloser(chunked{strings.NewReader(strings.Repeat("x", size))}), -1
			}
			a := send(t, server.Client(), r)
			if size > 1000 {
				wantProblem(t, a, http.StatusRequestEntityTooLarge, idemhttp.CodeBodyTooLarge)
			} else if a.body != fmt.Sprint(size, nil) {
				t.Errorf("%d bytes, chunked %v: %v %q", size, chunks, a.Status, a.body)
			}
		}
	}
	if runs.Load() != 14 {
		t.Errorf("ran %d times", runs.Load())
	}
}

// A limit outside, and a body that something outside breaks.
func TestBodyReaderOutside(t *testing.T) {
	protected := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})(mustNotRun(t))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Break") {
		case "limit":
			r.Body = http.MaxBytesReader(w, r.Body, 3)
		case "gzip":
			r.Body = io.NopCloser(brokenReader{errors.New("gzip: invalid header")})
		case "deadline":
			r.Body = io.NopCloser(brokenReader{fmt.Errorf("read: %w", os.ErrDeadlineExceeded)})
		}
		protected.ServeHTTP(w, r)
	}))
	defer server.Close()
	wantProblem(t, post(t, server, "k", "hello", "X-Break", "limit"), http.StatusRequestEntityTooLarge, idemhttp.CodeBodyTooLarge)
	if a := post(t, server, "k", "hello", "X-Break", "gzip"); strings.Contains(a.body, "gzip") {
		t.Errorf("%q", a.body)
	} else {
		wantProblem(t, a, http.StatusBadRequest, idemhttp.CodeBodyUnreadable)
	}
	wantProblem(t, post(t, server, "k", "hello", "X-Break", "deadline"), http.StatusRequestTimeout, idemhttp.CodeBodyUnreadable)
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// The handler gets the request that it would have got.
func TestRequestIsKept(t *testing.T) {
	seen := make(chan *http.Request, 1)
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if string(body) != "hello" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		for range 2 {
			again, err := r.GetBody()
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(again); string(body) != "hello" || err != nil {
				t.Errorf("GetBody: %q, %v", body, err)
			}
		}
		if r.Context().Value(http.ServerContextKey) == nil {
			t.Error("the ctx has lost the server")
		}
		seen <- r
	})
	r := request(t, server.URL+"/p?q", "plain", "hello")
	send(t, server.Client(), r)
	if got := <-seen; got.ContentLength != 5 || got.TransferEncoding != nil || got.RequestURI != "/p?q" {
		t.Errorf("%+v", got)
	}
	r = request(t, server.URL, "chunked", "")
	r.Body, r.ContentLength = io.NopCloser(chunked{strings.NewReader("hello")}), -1
	r.Trailer = http.Header{"X-Sum": {"1"}}
	send(t, server.Client(), r)
	if got := <-seen; got.ContentLength != -1 || len(got.TransferEncoding) != 1 || got.Trailer.Get("X-Sum") != "1" {
		t.Errorf("%+v", got)
	}
}

// Forms work, and their temporary files are removed.
func TestMultipart(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	server := serve(t, idemhttp.Options{FingerprintHeaders: []string{"Content-Type"}}, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
			return
		}
		file, header, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if _, onDisk := file.(*os.File); !onDisk {
			t.Error("the test needs a file on disk")
		}
		fmt.Fprint(w, header.Size, " ", r.FormValue("name"))
	})
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	writer.WriteField("name", "value")
	part, _ := writer.CreateFormFile("file", "f")
	part.Write(bytes.Repeat([]byte("x"), 100_000))
	writer.Close()
	for i := range 2 {
		a := post(t, server, "k", form.String(), "Content-Type", writer.FormDataContentType())
		if a.body != "100000 value" || a.replayed() != (i == 1) {
			t.Errorf("%v %q", a.Status, a.body)
		}
	}
	server.Close()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A form that was parsed outside is a part of the request all the same.
func TestFormParsedOutside(t *testing.T) {
	protected := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PostFormValue("amount")) }))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseMultipartForm(1 << 20)
		protected.ServeHTTP(w, r)
	}))
	defer server.Close()
	const form = "application/x-www-form-urlencoded"
	for i, body := range []string{"amount=1&to=x", "to=x&amount=1"} {
		if a := post(t, server, "k", body, "Content-Type", form); a.body != "1" || a.replayed() != (i == 1) {
			t.Errorf("%v %q", a.Status, a.body)
		}
	}
	wantProblem(t, post(t, server, "k", "amount=2&to=x", "Content-Type", form), http.StatusUnprocessableEntity, idemhttp.CodeKeyReused)
	multi := "--b\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n3\r\n--b--\r\n"
	wantProblem(t, post(t, server, "l", multi, "Content-Type", "multipart/form-data; boundary=b"), http.StatusInternalServerError, idemhttp.CodeInternal)
}
