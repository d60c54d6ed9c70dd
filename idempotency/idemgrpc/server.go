package idemgrpc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const (
	replayedName    = "idempotency-replayed"
	unprotectedName = "idempotency-unprotected"
)

// UnaryServerInterceptor makes an interceptor that keeps its responses with the
// executor. It belongs after those that authenticate, which Scope needs. It
// returns an error that names the field for options that are missing or out of
// their bounds, and for a nil executor.
func UnaryServerInterceptor(x *idempotency.Executor, options Options) (grpc.UnaryServerInterceptor, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	i := &interceptor{Options: options}
	i.operation, err = idempotency.NewOperation(x, idempotency.OperationOptions[*Reply]{
		Name: options.Name, Retention: options.Retention, WaitTimeout: options.WaitTimeout, NoWait: options.NoWait,
		Codec: Codec, Accept: []codec.Codec{}, Shield: true,
		RetentionFor: i.retentionFor, OnAbandoned: options.OnAbandoned, Reconcile: options.Reconcile,
		MaxAttempts: options.MaxAttempts,
	})
	if err != nil {
		return nil, fmt.Errorf("idemgrpc: %w", err)
	}
	return i.intercept, nil
}

type interceptor struct {
	Options
	operation *idempotency.Operation[*Reply]
}

// intercept is the whole flow: the key, who it belongs to, what is asked for;
// then one execution and its response, or the recorded one.
func (i *interceptor) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !i.protects(info.FullMethod) {
		return handler(ctx, request)
	}
	key, err := i.key(ctx)
	switch {
	case err != nil:
		return nil, err
	case key == "":
		return handler(ctx, request)
	}
	call, err := i.call(ctx, key, info.FullMethod, request)
	if err != nil {
		return nil, err
	}
	e := &execution{i: i, ctx: ctx, request: request, handler: handler}
	result, err := i.operation.Do(ctx, call, e.run)
	return e.answer(result, err)
}

// key returns the key of a call; empty where it has none and needs none.
func (i *interceptor) key(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, i.MetadataKey)
	switch {
	case len(values) == 0 && i.Required:
		return "", refusal(codes.InvalidArgument, ReasonKeyMissing, "the metadata "+i.MetadataKey+" is missing", 0)
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", malformed("it is given more than once")
	}
	if why := wrong(values[0]); why != "" {
		return "", malformed("it " + why)
	}
	return values[0], nil
}

func malformed(why string) error {
	return refusal(codes.InvalidArgument, ReasonKeyMalformed, "the key is malformed: "+why, 0)
}

// wrong says what is wrong with a key; empty: nothing.
func wrong(key string) string {
	if key == "" || len(key) > MaxKey {
		return fmt.Sprintf("has %d bytes, want 1 to %d", len(key), MaxKey)
	}
	for n := range len(key) {
		if key[n] < ' ' || key[n] > '~' {
			return "has a character that is not printable ASCII"
		}
	}
	return ""
}

// call makes what is known of the request before anything runs.
func (i *interceptor) call(ctx context.Context, key, method string, request any) (call idempotency.Call, err error) {
	scope, err := i.Scope(ctx, method)
	if err != nil || scope == "" {
		return call, ownStatus(err, refusal(codes.Internal, ReasonInternal, "the client of the call could not be told", 0))
	}
	call.Key = idemhttp.Key(scope, key)
	if i.Fingerprint != nil {
		if call.Fingerprint, err = i.Fingerprint(ctx, method, request); err != nil {
			return call, ownStatus(err, refusal(codes.InvalidArgument, ReasonInternal, "the request could not be told from another", 0))
		}
		return call, nil
	}
	message, err := messageOf(request)
	if err == nil {
		var data []byte
		if data, err = deterministic.MarshalAppend(append([]byte(method), 0), message); err == nil {
			sum := sha256.Sum256(data)
			call.Fingerprint = sum[:]
			return call, nil
		}
	}
	return call, refusal(codes.Internal, ReasonInternal, "the request could not be told from another: Options.Fingerprint is needed", 0)
}

func (i *interceptor) retentionFor(reply *Reply, err error) idempotency.RetentionChoice {
	var panicked *idempotency.PanicError
	if errors.As(err, &panicked) {
		return i.RetentionFor(nil, panicked.Value)
	}
	return i.RetentionFor(reply, nil)
}

// execution is one call, which may turn out to run the handler.
type execution struct {
	i       *interceptor
	ctx     context.Context
	request any
	handler grpc.UnaryHandler
	own     *stream // nil unless this call's handler ran
	made    *Reply
}

// run is the action: the handler on a stream that keeps its metadata.
func (e *execution) run(ctx context.Context) (*Reply, error) {
	e.own = &stream{method: methodOf(ctx)}
	message, err := e.handler(grpc.NewContextWithServerTransportStream(ctx, e.own), e.request)
	header, trailer := e.own.taken()
	reply := &Reply{Header: header, Trailer: trailer}
	if err != nil {
		reply.Status = statusOf(err)
		if ctx.Err() != nil && (reply.Status.Code() == codes.Canceled || reply.Status.Code() == codes.DeadlineExceeded) {
			return nil, context.Cause(ctx) // the lease is lost
		}
	} else {
		reply.Message = message
	}
	e.made = reply
	recorded := *reply
	recorded.Header, recorded.Trailer = e.i.recorded(header), e.i.recorded(trailer)
	return &recorded, nil
}

// recorded is the part of metadata that is kept.
func (i *interceptor) recorded(md metadata.MD) metadata.MD {
	var kept metadata.MD
	for name, values := range md {
		if slices.Contains(i.Metadata, name) {
			if kept == nil {
				kept = metadata.MD{}
			}
			kept[name] = values
		}
	}
	return kept
}

// answer is what the client gets.
func (e *execution) answer(result idempotency.Result[*Reply], err error) (any, error) {
	var commit *idempotency.CommitError
	reply := result.Value
	switch {
	case e.made != nil && !result.Replayed && (err == nil || errors.As(err, &commit)):
		// This call's handler ran. A response that isn't recorded, or may not be, is
		// the client's all the same.
		reply = e.made
	case err != nil:
		return nil, e.refused(err)
	}
	header := metadata.Join(reply.Header)
	if result.Replayed {
		header.Set(replayedName, "true")
	}
	if result.Unprotected {
		header.Set(unprotectedName, "true")
	}
	// Nobody is left to get them where these fail.
	if header.Len() > 0 {
		_ = grpc.SetHeader(e.ctx, header)
	}
	if reply.Trailer.Len() > 0 {
		_ = grpc.SetTrailer(e.ctx, reply.Trailer)
	}
	if reply.Status.Code() != codes.OK {
		return nil, reply.Status.Err()
	}
	return reply.Message, nil
}

// statusOf is the status that gRPC would make of a handler's error.
func statusOf(err error) *status.Status {
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return status.FromContextError(err)
	case s.Code() == codes.OK: // an error all the same
		return status.New(codes.Unknown, err.Error())
	}
	return s
}
