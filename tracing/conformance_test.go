package tracing_test

import (
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/tracing"
)

func TestWrappedStoreConforms(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			store := newStore(tb)
			return func() backend.Backend {
				wrapped, err := tracing.Wrap(store)
				if err != nil {
					tb.Fatal(err)
				}
				return wrapped
			}
		},
	})
}
