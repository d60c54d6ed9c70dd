package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unindented is code without the indentation of its lines, which depends on where
// it stands.
func unindented(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

func TestTheGuidesCodeIsThatOfTheFiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"*.go", "*/*.go", "*/*.sql"} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, matches...)
	}
	var all strings.Builder
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(unindented(string(code)) + "\n")
	}
	blocks := regexp.MustCompile("(?s)```(?:go|sql)\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 10 {
		t.Errorf("only %d blocks of code were found", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(all.String(), unindented(block[1])) {
			t.Errorf("no file has the guide's block\n%s", block[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("the guide's link leads nowhere: %v", err)
		}
	}
}
