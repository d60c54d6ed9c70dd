package benchmarks

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// process is a testing.TB for a child process, where no test runs: what fails
// ends the process, and what would be cleaned up ends with it.
type process struct {
	testing.TB // for what is never called
	ctx        context.Context
}

func (process) Helper()                    {}
func (process) Cleanup(func())             {}
func (p process) Context() context.Context { return p.ctx }

func (process) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func (process) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
