package idempotency_test

import "runtime"

func goexit() { runtime.Goexit() }

// inGoroutine runs f in a goroutine of its own and waits for it.
func inGoroutine(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
