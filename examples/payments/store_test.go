package main

import (
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

func newMemory(t *testing.T) backend.Backend {
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return store
}
