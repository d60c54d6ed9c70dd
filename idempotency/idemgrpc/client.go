package idemgrpc

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// ClientOptions says which calls get a key.
type ClientOptions struct {
	// Methods lists the methods whose calls get a new key, as in Options. Default:
	// none; only calls with [WithKey] have one then.
	Methods []string
	// MetadataKey is the name of the metadata that carries the key. Default:
	// [MetadataKey].
	MetadataKey string
	// NewKey makes a key: 1 to MaxKey printable ASCII bytes, never the same again.
	// It is called by many goroutines at once. Default: 130 random bits
	// (crypto/rand.Text).
	NewKey func() string
}

type ctxKey struct{}

// WithKey gives the call that is made with ctx this key: one that outlives the
// process, for example. Metadata that ctx already has goes before. Use ctx for
// that one call. A key that isn't 1 to [MaxKey] printable ASCII bytes makes the
// call fail.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, ctxKey{}, key)
}

// UnaryClientInterceptor makes an interceptor that gives calls a key. gRPC repeats
// calls below it, so all tries of one call have the same key. It sends nothing
// again by itself: that is for the retryPolicy of the service config. It returns
// an error that names the field for options that are out of their bounds.
func UnaryClientInterceptor(options ClientOptions) (grpc.UnaryClientInterceptor, error) {
	methods := slices.Clone(options.Methods)
	for i, method := range methods {
		if !isMethod(method) {
			return nil, optionError("Methods[%d] is %q, want /service/Method or /service/*", i, method)
		}
	}
	name := strings.ToLower(options.MetadataKey)
	if name == "" {
		name = MetadataKey
	}
	if !isName(name) || strings.HasSuffix(name, "-bin") || strings.HasPrefix(name, "grpc-") {
		return nil, optionError("MetadataKey is %q, want the name of text metadata", name)
	}
	newKey := options.NewKey
	if newKey == nil {
		newKey = rand.Text
	}
	return func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, calls ...grpc.CallOption) error {
		key, given := ctx.Value(ctxKey{}).(string)
		outgoing, _ := metadata.FromOutgoingContext(ctx)
		if len(outgoing[name]) == 0 && (given || listed(methods, method)) {
			if !given {
				key = newKey()
			}
			if why := wrong(key); why != "" {
				return status.Error(codes.InvalidArgument, "idempotency: the key "+why)
			}
			ctx = metadata.AppendToOutgoingContext(ctx, name, key)
		}
		return invoke(ctx, method, request, reply, conn, calls...)
	}, nil
}
