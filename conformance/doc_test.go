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
		b.WriteString("//   - " + rule.Name + ":")
		column := len("//   - " + rule.Name + ":")
		for word := range strings.FieldsSeq(rule.Prose) {
			if column+1+len(word) > 80 {
				b.WriteString("\n//    ")
				column = len("//    ")
			}
			b.WriteString(" " + word)
			column += 1 + len(word)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestDocListsTheRules keeps the list in the package's documentation true. Run it
// with -update when a rule has changed.
func TestDocListsTheRules(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	const head, tail = "// # Rules\n//\n", "package conformance\n"
	before, rest, found := strings.Cut(string(source), head)
	if !found {
		t.Fatal("doc.go has no list of rules")
	}
	if *update {
		if err := os.WriteFile("doc.go", []byte(before+head+ruleList()+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if list, _, _ := strings.Cut(rest, tail); list != ruleList() {
		t.Error("the list of rules in doc.go isn't that of Rules(): run go test -run TestDocListsTheRules -update")
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
