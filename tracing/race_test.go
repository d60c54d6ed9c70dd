//go:build race

package tracing_test

// raceEnabled: the race detector makes sync.Pool forget on purpose, so that
// counted allocations mean nothing.
const raceEnabled = true
