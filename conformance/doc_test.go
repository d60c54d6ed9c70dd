package conformance

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the list of rules into doc.go")

// ruleList is the list of rules as doc.go has it.
func ruleList() string {
	var b strings.Builder
	for _, rule := range Rules() {
		listItem(&b, rule.Name, rule.Prose)
	}
	return b.String()
}

func listItem(b *strings.Builder, name, prose string) {
	b.WriteString("//   - " + name + ":")
	column := len("//   - " + name + ":")
	for word := range strings.FieldsSeq(prose) {
		if column+1+len(word) > 80 {
			b.WriteString("\n//    ")
			column = len("//    ")
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteString("\n")
}

// benchmarkList is the list of benchmarks as doc.go has it.
func benchmarkList() string {
	var b strings.Builder
	for _, bm := range benchmarks() {
		name := bm.name + "/c=N"
		if bm.sizes {
			name = bm.name + "/SIZE/c=N"
		}
		listItem(&b, name, bm.prose)
	}
	return b.String()
}

// TestDocListsRulesAndBenchmarks keeps the lists in the package's documentation
// true. Run it with -update when a rule or a benchmark has changed.
func TestDocListsRulesAndBenchmarks(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(source)
	for _, list := range []struct{ head, want, tail string }{
		{"//\n// All vary the number of goroutines: c=1, c=16 and c=128. Some vary the size of\n" +
			"// the outcome before that: 128B, 16KiB and 256KiB.\n//\n", benchmarkList(), "//\n// # Rules\n"},
		{"// # Rules\n//\n", ruleList(), "package conformance\n"},
	} {
		before, rest, found := strings.Cut(doc, list.head)
		if !found {
			t.Fatalf("doc.go lacks the lines %q", list.head)
		}
		got, after, _ := strings.Cut(rest, list.tail)
		if got != list.want && !*update {
			t.Errorf("a list in doc.go isn't what it should be: run go test -run TestDocLists -update\n%s", got)
		}
		doc = before + list.head + list.want + list.tail + after
	}
	if *update {
		if err := os.WriteFile("doc.go", []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRulesAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[A-Z][A-Za-z]+/[A-Z][A-Za-z]+$`)
	seen := map[string]bool{}
	last := ""
	groupsSeen := map[string]bool{}
	for _, rule := range Rules() {
		if !name.MatchString(rule.Name) {
			t.Errorf("the name %q isn't Group/Rule", rule.Name)
		}
		if seen[rule.Name] {
			t.Errorf("two rules are called %s", rule.Name)
		}
		seen[rule.Name] = true
		group, _, _ := strings.Cut(rule.Name, "/")
		if group != last && groupsSeen[group] {
			t.Errorf("the rules of %s aren't together", group)
		}
		last, groupsSeen[group] = group, true
		if first, _ := utf8.DecodeRuneInString(rule.Prose); !unicode.IsUpper(first) || !strings.HasSuffix(rule.Prose, ".") {
			t.Errorf("%s: the prose isn't a sentence: %q", rule.Name, rule.Prose)
		}
		if !strings.HasSuffix(rule.Mend, ".") {
			t.Errorf("%s: what to mend isn't told: %q", rule.Name, rule.Mend)
		}
		if rule.run == nil {
			t.Errorf("%s checks nothing", rule.Name)
		}
	}
	t.Log(fmt.Sprint(len(seen), " rules in ", len(groupsSeen), " groups"))
}
