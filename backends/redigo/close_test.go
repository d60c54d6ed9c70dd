package redigo_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/internal/redistest"
)

// Waits whose ctx ends in the moment of Close.
func TestCloseWhileWaitersLeave(t *testing.T) {
	addr := redistest.Address(t)
	pool := newPool(t, addr)
	for range 100 {
		b := open(t, pool)
		ctx, cancel := context.WithCancel(t.Context())
		prefix := "key"
		var waits sync.WaitGroup
		for n := range 20 {
			record := take(t, b, fmt.Sprint(prefix, n))
			waits.Go(func() { _, _ = b.Wait(ctx, fmt.Sprint(prefix, n), record.Token) })
		}
		waits.Go(cancel)
		_ = b.Close()
		waits.Wait()
	}
}
