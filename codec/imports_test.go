package codec_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Every program that uses Reprise compiles this package: what is heavy belongs in
// a folder below.
func TestStaysLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	deps := strings.Fields(string(out))
	for _, heavy := range []string{"net", "net/http", "net/url", "crypto/tls", "database/sql", "testing"} {
		if slices.Contains(deps, heavy) {
			t.Errorf("codec depends on %s", heavy)
		}
	}
}
