package idemgrpc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/idempotency"
)

// MetadataKey is the default name of the metadata that carries the key.
const MetadataKey = "idempotency-key"

// MaxKey is the length of the longest key in bytes.
const MaxKey = 255

// Options says which calls are protected and how. Methods and Scope are required.
// The zero value of any other field is its default; one that is out of its bounds
// is an error of UnaryServerInterceptor that names the field. The functions are
// called by many goroutines at once.
type Options struct {
	// Methods lists the protected methods by their full names, /shop.Orders/Pay, or
	// all of a service's, /shop.Orders/*. Calls of others go to their handlers as
	// they are.
	Methods []string
	// Scope returns who the call comes from, as the server knows it: a tenant, a
	// user, an account. Two clients share answers if and only if their scopes are
	// equal, so it must come from the authentication and never from what a client
	// may choose. [Global] where all clients are one. It returns 1 byte or more. A
	// status error is returned to the client as it is; any other one, and an empty
	// scope, is Internal. Nothing runs then.
	Scope func(ctx context.Context, method string) (string, error)
	// MetadataKey is the name of the metadata that carries the key. Default:
	// [MetadataKey].
	MetadataKey string
	// Required: a call without a key is refused. Default: it goes to the handler,
	// unprotected.
	Required bool
	// Fingerprint replaces the computation: at most idempotency.MaxFingerprint
	// bytes; none means that any call with the key is the same. Needed where requests
	// aren't Protocol Buffers messages. An error that is a status is returned to the
	// client as it is, any other one as InvalidArgument.
	Fingerprint func(ctx context.Context, method string, request any) ([]byte, error)
	// NoWait: a call whose key is held by another is refused at once. Default: it
	// waits, and gets the same response.
	NoWait bool
	// WaitTimeout is how long a call waits in total for others; it is refused then.
	// Default: the executor's; idempotency.Unlimited: as long as its client.
	WaitTimeout time.Duration
	// RetentionFor says what becomes of the handler's response. Panicked is what the
	// handler panicked with; then reply is nil. Neither may be changed. Default:
	// [StandardRetention].
	RetentionFor func(reply *Reply, panicked any) idempotency.RetentionChoice
	// Metadata lists the names of header and trailer metadata that are recorded and
	// replayed. What authenticates, cookies, and gRPC's own (grpc-...) are never
	// recorded: naming one is an error. Default: none.
	Metadata []string
	// Name is the operation's: see idempotency.OperationOptions. Default: grpc.
	Name string
	// Retention is how long a response is replayed. Default: the executor's.
	Retention time.Duration
	// OnAbandoned says what a retry gets after a crash, or after a response that
	// wasn't recorded and may have had an effect. Default: Rerun, or Reconcile where
	// that function is set.
	OnAbandoned idempotency.AbandonedPolicy
	// Reconcile finds out what an abandoned attempt did; see
	// idempotency.OperationOptions. Its keys are made by idemhttp.Key.
	Reconcile func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[*Reply], error)
	// MaxAttempts is how many attempts a key gets: see idempotency.OperationOptions.
	// Default: no limit.
	MaxAttempts int
}

// Global is the Options.Scope of a server whose clients are all one: whoever
// knows a key can read its response.
func Global(context.Context, string) (string, error) { return "global", nil }

// StandardRetention is what Options.RetentionFor is by default. Messages are
// recorded, and so are all statuses but these: ResourceExhausted and Aborted, by
// which a handler says that it did nothing and that the call may be repeated,
// release the key; Unavailable, Canceled, DeadlineExceeded and a panic, after
// which nobody knows what was done (whom the handler called may have died after
// doing it), leave it abandoned.
func StandardRetention(reply *Reply, panicked any) idempotency.RetentionChoice {
	if panicked != nil || reply == nil {
		return idempotency.LeaveAbandoned
	}
	switch reply.Status.Code() {
	case codes.ResourceExhausted, codes.Aborted:
		return idempotency.DoNotRecord
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return idempotency.LeaveAbandoned
	}
	return idempotency.Default
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Methods) == 0 {
		return o, optionError("Methods is empty: it says which methods are protected")
	}
	o.Methods = slices.Clone(o.Methods)
	for i, method := range o.Methods {
		if !isMethod(method) {
			return o, optionError("Methods[%d] is %q, want /service/Method or /service/*", i, method)
		}
	}
	if o.Scope == nil {
		return o, optionError("Scope is nil: it says which client a key belongs to; idemgrpc.Global where all are one")
	}
	if o.MetadataKey == "" {
		o.MetadataKey = MetadataKey
	}
	o.MetadataKey = strings.ToLower(o.MetadataKey)
	if !isName(o.MetadataKey) || strings.HasSuffix(o.MetadataKey, "-bin") || strings.HasPrefix(o.MetadataKey, "grpc-") {
		return o, optionError("MetadataKey is %q, want the name of text metadata", o.MetadataKey)
	}
	o.Metadata = slices.Clone(o.Metadata)
	for i, name := range o.Metadata {
		name = strings.ToLower(name)
		switch {
		case !isName(name):
			return o, optionError("Metadata[%d] is %q, want the name of metadata", i, name)
		case neverRecorded(name):
			return o, optionError("Metadata[%d] is %s, which is never recorded", i, name)
		}
		o.Metadata[i] = name
	}
	if o.RetentionFor == nil {
		o.RetentionFor = StandardRetention
	}
	if o.Name == "" {
		o.Name = "grpc"
	}
	return o, nil
}

// isMethod tells a full method name, or one of a service with a star.
func isMethod(method string) bool {
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return ok && method[0] == '/' && service != "" && service != "*" && name != "" && !strings.Contains(name, "/")
}

// protects tells whether a method is listed.
func (o *Options) protects(method string) bool { return listed(o.Methods, method) }

func listed(methods []string, method string) bool {
	service := method[:strings.LastIndexByte(method, '/')+1]
	return slices.ContainsFunc(methods, func(m string) bool { return m == method || m == service+"*" })
}

// isName tells names of metadata in lower case (gRPC over HTTP/2, Custom-Metadata).
func isName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return name != ""
}

func neverRecorded(name string) bool {
	switch name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate", "proxy-authenticate",
		"content-type", "te", "user-agent", "connection":
		return true
	}
	return strings.HasPrefix(name, "grpc-") || name == replayedName || name == unprotectedName
}

func optionError(format string, args ...any) error {
	return &idempotency.Error{Step: "options", Err: fmt.Errorf("idemgrpc: "+format, args...)}
}
