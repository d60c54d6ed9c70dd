package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const module = "github.com/reprise-go/reprise"

// findRoot goes up from the working directory to the repository.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+module+"\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run it inside the repository")
		}
		dir = parent
	}
}

// machine is where and with what is measured: the configuration lines at the
// head of the raw results.
func machine(root string, o options) [][2]string {
	lines := [][2]string{
		{"date", time.Now().UTC().Format(time.RFC3339)},
		{"commit", output(root, "git", "describe", "--always", "--dirty", "--abbrev=12")},
		{"cpu-model", procField("/proc/cpuinfo", "model name")},
		{"cores", fmt.Sprint(runtime.NumCPU())},
		{"memory", procField("/proc/meminfo", "MemTotal")},
		{"kernel", output(root, "uname", "-sr")},
		{"go", runtime.Version()},
		{"redis", redisVersion(root)},
	}
	for _, client := range []string{"github.com/redis/go-redis/v9", "github.com/redis/rueidis", "github.com/gomodule/redigo"} {
		version := output(root, "go", "list", "-m", "-f", "{{.Version}}", client)
		lines = append(lines, [2]string{versionKey(client), version})
	}
	command := "go -C benchmarks/report run ."
	if o.quick {
		command += " -quick"
	}
	if o.selected != "" {
		command += " -select '" + o.selected + "'"
	}
	if o.count != 1 {
		command += fmt.Sprintf(" -count %d", o.count)
	}
	return append(lines, [2]string{"command", command})
}

func versionKey(path string) string {
	path = strings.TrimSuffix(path, "/v9")
	return path[strings.LastIndex(path, "/")+1:]
}

func redisVersion(root string) string {
	for _, word := range strings.Fields(output(root, "redis-server", "--version")) {
		if version, found := strings.CutPrefix(word, "v="); found {
			return version
		}
	}
	return "unknown"
}

// output is what a command prints, "unknown" where it can't be run.
func output(dir string, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil || len(text) == 0 {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// procField is a field of a file in /proc, "unknown" where there is none.
func procField(path, field string) string {
	file, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(name) == field {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
