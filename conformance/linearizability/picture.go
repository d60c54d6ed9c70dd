package linearizability

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// dirVariable names the directory for pictures where Options.Dir doesn't.
const dirVariable = "REPRISE_LINEARIZABILITY_DIR"

// report fails the test unless the history is legal. Again says how the history
// is made once more.
func (v *verdict) report(tb testing.TB, key string, o Options, again string) {
	tb.Helper()
	if v.result == porcupine.Ok {
		return
	}
	message := v.describe(key)
	if again != "" {
		message += "\n\tagain: " + again
	}
	path, kept, err := v.draw(tb, key, o)
	switch {
	case err != nil:
		message += fmt.Sprintf("\n\tpicture: %v", err)
	case kept:
		message += "\n\tpicture: " + path
	default:
		message += fmt.Sprintf("\n\tpicture: %s (removed after the test, unless with go test -artifacts; or set %s)", path, dirVariable)
	}
	tb.Errorf("linearizability: %s", message)
}

// draw writes the whole history of the key as a page for a browser, and beside
// it as text. Kept tells whether they outlive the test whatever its flags.
func (v *verdict) draw(tb testing.TB, key string, o Options) (path string, kept bool, err error) {
	dir := o.Dir
	if dir == "" {
		dir = os.Getenv(dirVariable)
	}
	if kept = dir != ""; kept {
		err = os.MkdirAll(dir, 0o755)
	} else {
		dir = tb.ArtifactDir()
	}
	if err != nil {
		return "", false, err
	}
	base := filepath.Join(dir, fileName(tb.Name()+"-"+key))
	if v.culprit != nil {
		v.info.AddAnnotations([]porcupine.Annotation{{
			Tag: "contract", Start: v.culprit.begin, End: v.culprit.end, BackgroundColor: "#efaefc",
			Description: "the answer that can't be", Details: v.describe(key),
		}})
	}
	if err := os.WriteFile(base+".txt", []byte(v.text(key)), 0o644); err != nil {
		return "", false, err
	}
	v.model.steps.Store(maxSteps)
	err = porcupine.VisualizePath(v.model.porcupine(), v.info, base+".html")
	return base + ".html", kept, err
}

// text is the whole history, one operation a line.
func (v *verdict) text(key string) string {
	var b strings.Builder
	b.WriteString(v.describe(key))
	b.WriteString("\n\nThe whole history, in the order of the calls:\n")
	for _, o := range v.history {
		fmt.Fprintf(&b, "%d-%s %s\n", o.begin, strings.TrimSuffix(fmt.Sprint(o.end), "9223372036854775807"), line(o, v.model.names))
	}
	return b.String()
}

// fileName makes a name for a file out of any text. Texts that it can't keep as
// they are get a number of their own.
func fileName(text string) string {
	const most = 120
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, text)
	if name == text && len(name) <= most {
		return name
	}
	sum := fnv.New32a()
	_, _ = io.WriteString(sum, text)
	return fmt.Sprintf("%s-%08x", name[:min(len(name), most)], sum.Sum32())
}
