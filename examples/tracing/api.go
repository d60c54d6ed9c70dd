package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// lease is how long a killed process blocks its key. The default of 30 s is a good
// one; two seconds make the example short.
const lease = 2 * time.Second

// api is one process of the payments API.
type api struct {
	tracer  trace.Tracer
	network *gateway
	charges *idempotency.Operation[Charge]
}

// newAPI is what to copy: the observer and the traced store get the same options,
// here the provider; without one they take the global provider.
func newAPI(store backend.Backend, namespace, network string, provider trace.TracerProvider) (*api, error) {
	observer, err := tracing.NewObserver(tracing.WithTracerProvider(provider))
	if err != nil {
		return nil, err
	}
	store, err = tracing.Wrap(store, tracing.WithTracerProvider(provider))
	if err != nil {
		return nil, err
	}
	payments, err := idempotency.New(store, idempotency.Options{
		Namespace: namespace,
		Retention: 10 * time.Minute, // of an example that cleans up after itself
		Lease:     lease,
		Observer:  observer,
	})
	if err != nil {
		return nil, err
	}
	a := &api{tracer: provider.Tracer("example")}
	a.network = &gateway{url: network, tracer: a.tracer}
	a.charges, err = idempotency.NewOperation(payments, idempotency.OperationOptions[Charge]{
		Name: "charge",
		// A process died in the middle of a charge. Only the card network knows how far
		// it got.
		Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[Charge], error) {
			charge, found, err := a.network.lookUp(ctx, abandoned.Key)
			switch {
			case err != nil:
				return idempotency.Unknown[Charge](), err
			case !found:
				return idempotency.RunAgain[Charge](), nil
			}
			return idempotency.Answer(charge, nil), nil
		},
	})
	return a, err
}

// stepHeader says which request of the story this is. It becomes an attribute of
// the request's span.
const (
	stepHeader    = "Example-Step"
	stepAttribute = "example.step"
)

func (a *api) createCharge(w http.ResponseWriter, r *http.Request) {
	ctx, span := a.tracer.Start(r.Context(), "POST /charges", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String(stepAttribute, r.Header.Get(stepHeader))))
	defer span.End()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var p payment
	if err := json.Unmarshal(body, &p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.Reference = r.Header.Get("Idempotency-Key")
	fingerprint := sha256.Sum256(body)
	result, err := a.charges.Do(ctx, idempotency.Call{Key: p.Reference, Fingerprint: fingerprint[:]},
		func(ctx context.Context) (Charge, error) { return a.network.charge(ctx, p) })
	var replayed *idempotency.ReplayedError
	switch {
	case err == nil:
		_ = json.NewEncoder(w).Encode(result.Value)
	case errors.Is(err, errDeclined), errors.As(err, &replayed) && replayed.Error() == errDeclined.Error():
		http.Error(w, errDeclined.Error(), http.StatusPaymentRequired)
	case errors.Is(err, idempotency.ErrFingerprintMismatch):
		http.Error(w, "the key was used for another request", http.StatusUnprocessableEntity)
	default:
		span.SetStatus(codes.Error, "")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// processConfig is what a process of the API is told by who starts it.
type processConfig struct {
	name      string
	redis     string // host:port
	network   string // the card network's URL
	namespace string
}

// runProcess is one process. It tells its URL and then all its spans on stdout,
// and ends when stdin does: whoever started it holds the other end, so that it
// can't outlive a parent that was killed.
func runProcess(config processConfig) error {
	signal.Ignore(os.Interrupt) // Ctrl-C goes to the whole group; the parent decides
	log.SetPrefix(config.name + ": ")
	log.SetFlags(0)
	out := &lines{w: os.Stdout}

	options := []sdktrace.TracerProviderOption{
		sdktrace.WithSpanProcessor(out),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "payments"), attribute.String("service.instance.id", config.name))),
	}
	exporter, err := newOTLPExporter(os.Getenv)
	if err != nil {
		return err
	}
	if exporter != nil {
		options = append(options, sdktrace.WithBatcher(countedExporter{exporter, out}))
	}
	provider := sdktrace.NewTracerProvider(options...)

	client := newRedisClient(config.redis)
	defer client.Close()
	store, err := goredis.New(client, goredis.Options{})
	if err != nil {
		return err
	}
	defer store.Close() // before the client, after the server
	a, err := newAPI(store, config.namespace, config.network, provider)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /charges", a.createCharge)
	mux.HandleFunc("POST /flush", func(w http.ResponseWriter, r *http.Request) {
		if err := provider.ForceFlush(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_, _ = io.Copy(io.Discard, os.Stdin)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // whoever is still connected had time enough
		}
	}()
	out.write(line{URL: fmt.Sprintf("http://%s", listener.Addr())})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return provider.Shutdown(ctx)
}
