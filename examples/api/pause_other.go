//go:build !unix

package main

import (
	"errors"
	"os"
)

var errNoPause = errors.New("this system has no signal that pauses a process")

func pause(*os.Process) error   { return errNoPause }
func proceed(*os.Process) error { return errNoPause }
