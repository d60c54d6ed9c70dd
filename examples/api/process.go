package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second // above what an instance takes to drain
)

// process is one run of an instance.
type process struct {
	url   string
	os    *os.Process
	stdin io.Closer
	ended chan struct{}
}

// hello is an instance's first line; its reports follow.
type hello struct {
	URL string `json:"url"`
}

// startProcess starts an instance and waits until it serves. Every line that it
// reports goes to told, the last ones before ended is closed.
func startProcess(cmd *exec.Cmd, told func(report)) (*process, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("instance: %w", err)
	}
	p := &process{os: cmd.Process, stdin: stdin, ended: make(chan struct{})}
	announced := make(chan string, 1)
	go func() {
		defer close(p.ended)
		defer func() { _ = cmd.Wait() }()
		lines := bufio.NewScanner(stdout)
		var first hello
		if lines.Scan() {
			_ = json.Unmarshal(lines.Bytes(), &first)
		}
		announced <- first.URL
		for lines.Scan() {
			var e report
			if json.Unmarshal(lines.Bytes(), &e) == nil { // a killed one's last line may be cut
				told(e)
			}
		}
	}()
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case p.url = <-announced:
	case <-timer.C:
	}
	if p.url == "" {
		p.crash()
		return nil, errors.New("instance: it ended, or did not tell its address")
	}
	return p, nil
}

// stop ends the process: politely, by the end of its stdin, and after a while for
// certain.
func (p *process) stop() {
	_ = proceed(p.os) // a paused one wouldn't notice
	_ = p.stdin.Close()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.crash()
	}
}

// crash ends the process at once, by SIGKILL where there is one.
func (p *process) crash() {
	_ = p.os.Kill()
	<-p.ended
	_ = p.stdin.Close()
}
