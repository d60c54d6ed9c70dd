package redigo

import (
	"sync"

	"github.com/reprise-go/reprise/backends/internal/gather"
)

// Ride makes all calls ride that can, as if many were under way.
func Ride(b *Backend) { b.claims, b.commits = 0, 0 }

// RideTogether is Ride with n calls in each ride, which waits for them. It returns
// how many wait for company.
func RideTogether(b *Backend, n int) func() int {
	Ride(b)
	var mu sync.Mutex
	var waiting []*call
	b.gatherer = gather.New(func(some []*call) {
		mu.Lock()
		waiting = append(waiting, some...)
		together := waiting
		if len(together) >= n {
			waiting = nil
		}
		mu.Unlock()
		if len(together) >= n {
			b.drive(together)
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(waiting)
	}
}
