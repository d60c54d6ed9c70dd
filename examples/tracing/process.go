package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"
)

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 5 * time.Second
)

// process is one process of the API, seen from the parent.
type process struct {
	name   string
	url    string
	stdin  io.Closer
	kill   func() error
	ended  chan struct{}
	failed error // why it ended; read once ended is closed
}

// startProcess starts a process and reads what it tells into the record. It runs
// until stop or crash, whatever ends us: its stdin ends with us.
func startProcess(name string, cmd *exec.Cmd, into *record) (*process, error) {
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
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &process{name: name, stdin: stdin, kill: cmd.Process.Kill, ended: make(chan struct{})}
	announced := make(chan string, 1)
	go func() {
		defer close(p.ended)
		defer close(announced)
		told := json.NewDecoder(stdout)
		for {
			var l line
			if told.Decode(&l) != nil { // the end, or a line that a kill cut off
				break
			}
			if l.URL != "" {
				announced <- l.URL
			}
			into.add(name, l)
		}
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			p.failed = fmt.Errorf("%s: %w", name, err)
		}
	}()
	select {
	case p.url = <-announced:
	case <-time.After(startTimeout):
	}
	if p.url == "" {
		p.crash()
		return nil, fmt.Errorf("%s: it ended, or did not tell its address", name)
	}
	return p, nil
}

// stop ends the process: politely, and after a time for certain.
func (p *process) stop() error {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
		return p.failed
	case <-time.After(stopTimeout):
		p.crash()
		return fmt.Errorf("%s: it did not end by itself", p.name)
	}
}

// crash ends the process at once: SIGKILL.
func (p *process) crash() {
	_ = p.kill()
	<-p.ended
	_ = p.stdin.Close()
}

// flush makes the process send what it has to the collector. Before a kill that is
// luck; here it makes every run alike.
func (p *process) flush(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/flush", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
