package browsertest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// program starts the example, as a newcomer does, and returns its URL. It is
// asked to end with the test, and must.
func program(t *testing.T) string {
	t.Helper()
	binary := build(t)
	cmd := exec.Command(binary, "-addr", "127.0.0.1:0")
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if url := regexp.MustCompile(`http://\S+`).FindString(lines.Text()); url != "" {
				told <- url
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Error("the program does not end after an interrupt")
			_ = cmd.Process.Kill()
			<-ended
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program: %v", err)
		}
	})
	select {
	case url := <-told:
		return url
	case <-ended:
		t.Fatal("the program ended")
	case <-time.After(time.Minute):
		t.Fatal("the program tells no URL")
	}
	return ""
}

var built struct {
	sync.Once
	dir, binary string
	output      []byte
	err         error
}

// build builds the example, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "reprise-example-api-"); built.err != nil {
			return
		}
		built.binary = filepath.Join(built.dir, "api")
		cmd := exec.Command("go", "build", "-o", built.binary, ".")
		cmd.Dir = ".."
		built.output, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("building the example: %v\n%s", built.err, built.output)
	}
	return built.binary
}

func TestMain(m *testing.M) {
	status := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(status)
}
