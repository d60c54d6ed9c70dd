package idempotency_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/reprise-go/reprise/"

// Who may import whom. A row lists the packages outside the standard library
// that a folder's packages may depend on, directly or not; test files are free.
var mayImport = map[string][]string{
	"./backend":         {module + "backend"},
	"./codec":           {module + "codec"},
	"./codec/aesgcm":    {module + "codec"},
	"./codec/msgpack":   {module + "codec", "github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2"},
	"./codec/neterrors": {module + "codec"},
	"./codec/protobuf":  {module + "codec", "google.golang.org/protobuf"},
	"./codec/sqlerrors": {module + "codec"},
	"./codec/zstd":      {module + "codec", "github.com/klauspost/compress"},
	// The OpenTelemetry API, never the SDK.
	"./tracing":                      {module + "tracing", module + "idempotency", module + "backend", module + "codec", "go.opentelemetry.io/otel", "go.opentelemetry.io/auto/sdk", "github.com/go-logr", "github.com/cespare/xxhash/v2"},
	"./tracing/logging":              {module + "tracing/logging", module + "idempotency", module + "backend", module + "codec"},
	"./idempotency":                  {module + "idempotency", module + "backend", module + "codec"},
	"./conformance":                  {module + "conformance", module + "backend"},
	"./conformance/faults":           {module + "conformance", module + "backend"},
	"./conformance/linearizability":  {module + "conformance", module + "backend", "github.com/anishathalye/porcupine"},
	"./idempotency/idemhttp":         {module + "idempotency", module + "backend", module + "codec"},
	"./idempotency/idemclient":       {module + "idempotency/idemclient", "github.com/cenkalti/backoff/v5"},
	"./idempotency/consumer":         {module + "idempotency", module + "backend", module + "codec"},
	"./idempotency/consumer/webhook": {module + "idempotency/consumer/webhook"},
	"./backends/memory":              {module + "backends/memory", module + "backend"},
	"./backends/goredis":             {module + "backends/goredis", module + "backends/internal", module + "backend", "github.com/redis/go-redis/v9", "github.com/cespare/xxhash/v2", "go.uber.org/atomic", "golang.org/x/sys"},
	"./backends/redigo":              {module + "backends/redigo", module + "backends/internal", module + "backend", "github.com/gomodule/redigo"},
	"./backends/rueidis":             {module + "backends/rueidis", module + "backends/internal", module + "backend", "github.com/redis/rueidis", "golang.org/x/sys"},
	"./backends/internal/...":        {module + "backends/internal", module + "backend"},
	"./internal/embedded":            {module + "internal/embedded", "github.com/alicebob/miniredis/v2", "github.com/yuin/gopher-lua"},
	"./internal/redistest":           {module + "internal", "github.com/alicebob/miniredis/v2", "github.com/yuin/gopher-lua"},
}

func TestImportRules(t *testing.T) {
	for pattern, allowed := range mayImport {
		t.Run(pattern, func(t *testing.T) {
			command := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pattern)
			command.Dir = ".."
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("go list: %v\n%s", err, out)
			}
			for path := range strings.FieldsSeq(string(out)) {
				if !within(path, allowed) || within(path, []string{"go.opentelemetry.io/otel/sdk"}) {
					t.Errorf("%s depends on %s", pattern, path)
				}
			}
		})
	}
}

func within(path string, allowed []string) bool {
	for _, root := range allowed {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}
