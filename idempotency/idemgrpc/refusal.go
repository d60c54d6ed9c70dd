package idemgrpc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// Domain is that of the google.rpc.ErrorInfo in the interceptor's own statuses.
const Domain = "idempotency.reprise-go"

// Reasons of the ErrorInfo; see the table in the package's documentation.
const (
	ReasonKeyMissing   = "KEY_MISSING"
	ReasonKeyMalformed = "KEY_MALFORMED"
	ReasonKeyReused    = "KEY_REUSED"
	ReasonInProgress   = "IN_PROGRESS"
	ReasonLeaseLost    = "LEASE_LOST"
	ReasonUnknown      = "OUTCOME_UNKNOWN"
	ReasonNotKept      = "RESPONSE_NOT_KEPT"
	ReasonFailed       = "FAILED"
	ReasonStoreDown    = "STORE_DOWN"
	ReasonInternal     = "INTERNAL"
)

// Reason is the reason of a status error that an interceptor of this package made
// on the server; empty for any other error.
func Reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == Domain {
			return info.Reason
		}
	}
	return ""
}

// retrySoon is what a client is told to wait where nobody knows better.
const retrySoon = time.Second

// refusal makes a status error; after, where it isn't zero, is for RetryInfo.
func refusal(code codes.Code, reason, text string, after time.Duration) error {
	s := status.New(code, "idempotency: "+text)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: Domain}}
	if after > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	}
	if detailed, err := s.WithDetails(details...); err == nil {
		s = detailed
	}
	return s.Err()
}

// refused is the status of a call that was not answered. It shows nothing of what
// is behind it; the executor's observer sees that.
func (e *execution) refused(err error) error {
	var busy *idempotency.InProgressError
	var panicked *idempotency.PanicError
	switch {
	case errors.As(err, &busy):
		return e.comeBack(codes.Aborted, ReasonInProgress, "a call with this key is in progress", busy.LeaseLeft)
	case errors.Is(err, idempotency.ErrWaitTimeout):
		return e.comeBack(codes.Aborted, ReasonInProgress, "a call with this key is still in progress", retrySoon)
	case errors.Is(err, idempotency.ErrFingerprintMismatch):
		return refusal(codes.FailedPrecondition, ReasonKeyReused, "the key was used for another call", 0)
	case errors.Is(err, idempotency.ErrLeaseLost):
		return e.comeBack(codes.Aborted, ReasonLeaseLost, "another attempt has taken over", retrySoon)
	case errors.Is(err, idempotency.ErrAbandoned) && e.i.Reconcile != nil:
		return e.comeBack(codes.Unavailable, ReasonUnknown, "what an earlier attempt did could not be found out yet", retrySoon)
	case errors.Is(err, idempotency.ErrAbandoned):
		return refusal(codes.Internal, ReasonUnknown, "an earlier attempt ended, and nobody knows what it did", 0)
	case errors.Is(err, idempotency.ErrTooManyAttempts):
		return refusal(codes.Internal, ReasonUnknown, "too many attempts ended without an outcome", 0)
	case errors.Is(err, idempotency.ErrNotKept):
		return refusal(codes.Internal, ReasonNotKept, "the call was executed, and its response could not be kept", 0)
	case errors.As(err, &panicked):
		return refusal(codes.Internal, ReasonFailed, "the call was executed, and failed", 0)
	case errors.Is(err, idempotency.ErrUndecodable), errors.Is(err, backend.ErrCorrupt):
		return refusal(codes.Internal, ReasonInternal, "what is recorded under the key can't be read", 0)
	case errors.Is(err, idempotency.ErrInvalidKey), errors.Is(err, idempotency.ErrReentrant):
		return refusal(codes.Internal, ReasonInternal, "the key can't be used", 0)
	case e.ctx.Err() != nil:
		return status.FromContextError(e.ctx.Err()).Err()
	}
	return e.comeBack(codes.Unavailable, ReasonStoreDown, "the store can't be reached; nothing was executed", retrySoon)
}

// comeBack is a refusal that says when to try again, to gRPC's own retries too.
func (e *execution) comeBack(code codes.Code, reason, text string, after time.Duration) error {
	after = max(after, time.Millisecond)
	pushback := metadata.Pairs("grpc-retry-pushback-ms", strconv.FormatInt(after.Milliseconds(), 10))
	_ = grpc.SetTrailer(e.ctx, pushback)
	return refusal(code, reason, text, after)
}

// ownStatus is err where that is a status, or else the standard one.
func ownStatus(err, standard error) error {
	if err == nil {
		return standard
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return s.Err()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return standard
}
