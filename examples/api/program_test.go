package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// runProgram starts the whole program as a process of its own.
func runProgram(t *testing.T, args ...string) (cmd *exec.Cmd, url string, output func() string) {
	t.Helper()
	cmd, err := program(args...)
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told, all := make(chan string, 10), make(chan string, 1)
	go func() {
		var text strings.Builder
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			if url := regexp.MustCompile(`http://\S+`).FindString(lines.Text()); url != "" {
				told <- url
			}
		}
		all <- text.String()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	select {
	case url = <-told:
	case text := <-all:
		t.Fatalf("it ended: %s", text)
	case <-time.After(patience):
		t.Fatal("it tells no URL")
	}
	return cmd, url, func() string { return <-all }
}

func TestProgramEndsAsAsked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a system with interrupts")
	}
	cmd, url, output := runProgram(t, "-addr", "127.0.0.1:0")
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	text := output() // ends when no process holds it any more, the instances included
	if err := cmd.Wait(); err != nil || strings.Contains(text, "DATA RACE") {
		t.Errorf("%v\n%s", err, text)
	}
}

// No instance outlives a program that was killed: they hold its output.
func TestKilledProgramLeavesNothing(t *testing.T) {
	cmd, _, output := runProgram(t, "-addr", "127.0.0.1:0")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() { done <- output() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("somebody still holds its output")
	}
	_ = cmd.Wait()
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"-instance", "4"}, {"-instance", "-1"}} {
		cmd, err := program(args...)
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("%v: exit status %d\n%s", args, cmd.ProcessState.ExitCode(), out)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := listen(taken.Addr().String()); err == nil {
		t.Error("listened on an address that is taken")
	}
	// The default address may be taken; then another one serves.
	listener, err := listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	second, err := listen("")
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}
