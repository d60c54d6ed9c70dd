//go:build unix

package main

import (
	"os"
	"syscall"
)

// pause stops a process in the middle of whatever it does, as a long garbage
// collection, a swapping machine or a moved virtual machine do.
func pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// proceed lets it go on.
func proceed(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
