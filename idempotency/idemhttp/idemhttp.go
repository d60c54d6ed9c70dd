package idemhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

// New returns a middleware that keeps its responses with the executor. It returns
// an error that names the field for options that are out of their bounds, and for
// a nil executor. The middleware may wrap any number of handlers; wrapping nil
// panics.
func New(x *idempotency.Executor, options Options) (func(http.Handler) http.Handler, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &middleware{Options: options, executor: x, allowed: map[string]bool{}}
	for _, name := range options.ResponseHeaders {
		if prefix, found := strings.CutSuffix(name, "*"); found {
			m.allowedPrefixes = append(m.allowedPrefixes, prefix)
		} else {
			m.allowed[name] = true
		}
	}
	m.operation, err = idempotency.NewOperation(x, idempotency.OperationOptions[*Response]{
		Name: options.Name, Retention: options.Retention, WaitTimeout: options.WaitTimeout, NoWait: options.NoWait,
		Codec: Codec, Accept: []codec.Codec{}, Shield: true,
		RetentionFor: m.retentionFor, OnAbandoned: options.OnAbandoned, Reconcile: options.Reconcile,
		MaxAttempts: options.MaxAttempts,
	})
	if err != nil {
		return nil, fmt.Errorf("idemhttp: %w", err)
	}
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("idemhttp: next handler is nil")
		}
		return &handler{m: m, next: next}
	}, nil
}

type middleware struct {
	Options
	executor        *idempotency.Executor
	operation       *idempotency.Operation[*Response]
	allowed         map[string]bool
	allowedPrefixes []string
}

type handler struct {
	m    *middleware
	next http.Handler
}

// ServeHTTP is the whole flow: the key, who it belongs to, what is asked for; then
// one execution and its response, or the recorded one.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := h.m
	if !slices.Contains(m.Methods, r.Method) {
		h.next.ServeHTTP(w, r)
		return
	}
	key, present, err := requestKey(r.Header, m.Headers, m.MaxKey, m.Strict)
	switch {
	case err != nil:
		m.refuse(w, r, m.malformed(err))
		return
	case !present && m.Required:
		m.refuse(w, r, m.missing())
		return
	case !present:
		h.next.ServeHTTP(w, r)
		return
	}
	call, body, problem := m.call(w, r, key)
	if problem != nil {
		m.refuse(w, r, problem)
		return
	}
	e := &execution{h: h, w: w, r: r, key: call.Key, body: body}
	result, err := m.operation.Do(r.Context(), call, e.run)
	e.answer(result, err)
}

// call makes what is known of the request before anything runs.
func (m *middleware) call(w http.ResponseWriter, r *http.Request, key string) (call idempotency.Call, body []byte, problem *Problem) {
	scope, err := m.Scope(r)
	if err == nil && scope == "" {
		err = errors.New("idemhttp: Options.Scope returned an empty scope")
	}
	if err != nil {
		return call, nil, ownProblem(err, &Problem{Code: CodeInternal, Status: http.StatusInternalServerError,
			Title: "Client of the request could not be told"})
	}
	call.Key = Key(scope, key)
	if body, problem = m.readBody(w, r); problem != nil {
		return call, nil, problem
	}
	subject := body
	if len(body) == 0 {
		if subject, problem = parsedForm(r); problem != nil {
			return call, nil, problem
		}
	}
	if m.Fingerprint == nil {
		call.Fingerprint = m.fingerprint(r, subject)
	} else if call.Fingerprint, err = m.Fingerprint(r, subject); err != nil {
		return call, nil, ownProblem(err, &Problem{Code: CodeInternal, Status: http.StatusBadRequest,
			Title: "Request could not be told from another"})
	}
	if m.Metadata != nil {
		call.Metadata = m.Metadata(r)
	}
	return call, body, nil
}

// ownProblem is the problem that err is or wraps, or else the standard one.
func ownProblem(err error, standard *Problem) *Problem {
	var own *Problem
	if !errors.As(err, &own) {
		standard.Err = err
		return standard
	}
	p := *own
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	return &p
}

// execution is one request, which may turn out to run the handler.
type execution struct {
	h    *handler
	w    http.ResponseWriter
	r    *http.Request
	key  string
	body []byte
	own  *writer // nil unless this request's handler ran
	made *Response
}

// run is the action: the handler on a writer that records. It runs in the
// goroutine of ServeHTTP, so that a panic keeps its stack and the ResponseWriter
// is never touched after ServeHTTP has returned.
func (e *execution) run(ctx context.Context) (*Response, error) {
	running, _ := idempotency.ExecutionOf(ctx)
	e.own = e.h.m.newWriter(e.w, e.r, running.Attempt == 0)
	request := e.request(ctx)
	defer func() {
		// What was set on our copy of the request is looked for on the original: the
		// pattern by who logs, the form's temporary files by the server.
		e.r.Pattern = request.Pattern
		if request.MultipartForm != nil && e.r.MultipartForm == nil {
			request.MultipartForm.RemoveAll()
		}
	}()
	e.h.next.ServeHTTP(e.own.optional(), request)
	e.made = e.own.finish()
	if e.made.notKept != "" {
		// For whoever asks later; the marker has no room for it.
		idempotency.SetMetadata(ctx, metadataStatus, strconv.Itoa(e.made.Status))
	}
	return e.made, nil
}

// metadataStatus is where the status of a response is found that was not kept.
const metadataStatus = "http.status"

// request is the request as the handler would have got it.
func (e *execution) request(ctx context.Context) *http.Request {
	request := e.r.WithContext(ctx)
	if len(e.body) > 0 {
		body := e.body
		request.Body = newBody(body)
		request.GetBody = func() (io.ReadCloser, error) { return newBody(body), nil }
	}
	return request
}

// answer writes the response.
func (e *execution) answer(result idempotency.Result[*Response], err error) {
	m := e.h.m
	var commit *idempotency.CommitError
	switch {
	case e.own != nil && !result.Replayed && (err == nil || errors.As(err, &commit)):
		// This request's handler ran. A response that isn't recorded, or may not be,
		// is the client's all the same.
		e.own.send()
		return
	case !result.Replayed && errors.Is(err, idempotency.ErrReentrant):
		// An outer middleware on the same executor protects this request already.
		e.h.next.ServeHTTP(e.w, e.request(e.r.Context()))
		return
	case e.own != nil && e.own.hijacked:
		return
	case e.own != nil && e.own.passing:
		// Another attempt's response is the key's, and a part of ours has gone out.
		panic(http.ErrAbortHandler)
	case e.own != nil:
		e.own.withdraw()
	}
	if result.Value != nil && (err == nil || errors.As(err, &commit)) {
		m.replay(e.w, e.r, result.Value, result.Unprotected)
		return
	}
	m.refuse(e.w, e.r, m.problem(e.r, e.key, result.Metadata, err))
}
