package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childEnv tells a test binary that it is a child, and of which kind.
const childEnv = "REPRISE_BENCHMARK_CHILD"

// Child is the test binary run once more, which [Children] has made obey lines.
type Child struct {
	tb  testing.TB
	in  io.WriteCloser
	out *bufio.Reader
}

// Children is called first in TestMain: in a child it reads lines from standard
// input and never returns, in a parent it does nothing. The function obeys one
// line and returns the answer.
func Children(obey func(words []string) string) {
	if os.Getenv(childEnv) == "" {
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(obey(strings.Fields(lines.Text())))
	}
	os.Exit(0)
}

// Start starts a child, which ends with the test.
func Start(tb testing.TB) *Child {
	tb.Helper()
	path, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close() // it reads the end of its input and leaves
		if err := cmd.Wait(); err != nil {
			tb.Errorf("child: %v", err)
		}
	})
	return &Child{tb: tb, in: in, out: bufio.NewReader(out)}
}

// Tell sends a line; Hear reads its answer. Lines are answered in turn.
func (c *Child) Tell(words ...any) {
	c.tb.Helper()
	if _, err := fmt.Fprintln(c.in, words...); err != nil {
		c.tb.Fatalf("child: %v", err)
	}
}

// Hear reads the next answer. One that begins with "error" ends the test.
func (c *Child) Hear() string {
	c.tb.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.tb.Fatalf("child: %v", err)
	}
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "error") {
		c.tb.Fatalf("child: %s", line)
	}
	return line
}

// Ask is Tell and Hear.
func (c *Child) Ask(words ...any) string {
	c.tb.Helper()
	c.Tell(words...)
	return c.Hear()
}
