package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance"
)

// server is the store of the README's example of a conformance test.
type server struct{ store *memory.Backend }

func startServer(tb testing.TB) server {
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	return server{store}
}

func (s server) connect() backend.Backend { return s.store }

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Open: func(tb testing.TB) (connect func() backend.Backend) {
			server := startServer(tb) // a fresh, empty store
			return func() backend.Backend { return server.connect() }
		},
	})
}

// unindented is code without the indentation of its lines, which depends on where
// it stands.
func unindented(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

func TestEveryGoBlockOfTheREADMEIsCompiledHere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../benchmarks/rivals/byhand.go") // compiled by that module's tests
	var compiled []string
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, unindented(string(code)))
	}
	all := strings.Join(compiled, "\n")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 10 {
		t.Errorf("only %d blocks of Go were found", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(all, unindented(block[1])) {
			t.Errorf("no file of this folder has the README's block\n%s", block[1])
		}
	}
}
