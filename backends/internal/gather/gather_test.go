package gather_test

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/reprise-go/reprise/backends/internal/gather"
)

// Everything that is added is sent once, in batches of bounded size.
func TestEverythingIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		var mu sync.Mutex
		sent := make(map[int]int, n)
		largest := 0
		g := gather.New(func(together []int) {
			mu.Lock()
			defer mu.Unlock()
			largest = max(largest, len(together))
			if len(together) == 0 {
				t.Error("nothing is sent")
			}
			for _, i := range together {
				sent[i]++
			}
		})
		for i := range n {
			if i%3 == 0 {
				go g.Add(i)
			} else {
				g.Add(i)
			}
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for i := range n {
			if sent[i] != 1 {
				t.Fatalf("%d is sent %d times", i, sent[i])
			}
		}
		if largest > gather.Most {
			t.Errorf("%d are sent together, want at most %d", largest, gather.Most)
		}
	})
}

// What is added while nobody else can run goes together, in its order; a send that
// hangs holds up nobody.
func TestGathered(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	hang := make(chan struct{})
	defer close(hang)
	batches := make(chan []int, 10)
	g := gather.New(func(together []int) {
		batches <- together
		<-hang
	})
	for range 2 {
		for i := range gather.Most + 10 {
			g.Add(i)
		}
		first, second := <-batches, <-batches
		if len(first) < len(second) {
			first, second = second, first
		}
		if len(first) != gather.Most || len(second) != 10 {
			t.Fatalf("%d and %d are sent together", len(first), len(second))
		}
		for i, got := range append(first, second...) {
			if got != i {
				t.Fatalf("at %d: %d", i, got)
			}
		}
	}
}
