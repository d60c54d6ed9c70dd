//go:build unix

package soak

import (
	"encoding/json"
	"fmt"
	"time"
)

// config is all that a worker is told; it travels in its environment.
type config struct {
	ID     int               `json:"id"`
	Client string            `json:"client"` // goredis, rueidis, redigo
	Kind   string            `json:"kind"`   // single, sentinel, cluster
	Addrs  []string          `json:"addrs"`  // of servers, or of sentinels
	Routes map[string]string `json:"routes"` // address -> proxy in front of it
	Prefix string            `json:"prefix"`
	Dir    string            `json:"dir"` // of the journal and the ledger
	Seed   uint64            `json:"seed"`
	Start  int64             `json:"start"` // of the scenario, by now()
	Pace   pace              `json:"pace"`
	Times  times             `json:"times"`

	Callers int     `json:"callers"`
	Crash   crash   `json:"crash"`
	Faults  float64 `json:"faults"`           // share of verbs that are broken in the process
	Mutant  string  `json:"mutant,omitempty"` // the bug that its backend has
	Sweep   string  `json:"sweep,omitempty"`  // file of keys to call once each, instead of a load
}

// crash says where a worker kills itself: the nth time that it comes by the point.
type crash struct {
	Point string `json:"point,omitempty"`
	Nth   int    `json:"nth,omitempty"`
}

// times are the durations of a scenario.
type times struct {
	Lease time.Duration `json:"lease"`
	Wait  time.Duration `json:"wait"`  // WaitTimeout
	Call  time.Duration `json:"call"`  // the deadline of most calls
	Slack time.Duration `json:"slack"` // how late a call may return
	Wake  time.Duration `json:"wake"`  // how long after an answer is known a waiter may still sleep
}

// Everything is kept for longer than any soak lasts: what a key forgets, it must
// not forget.
const kept = 24 * time.Hour

const (
	workerEnv     = "REPRISE_SOAK_WORKER"
	journalName   = "journal.log"
	prefix        = "soak:"
	commitTimeout = 5 * time.Second
)

func (c config) env() (string, error) {
	data, err := json.Marshal(c)
	return workerEnv + "=" + string(data), err
}

func parseConfig(text string) (config, error) {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("%s: %w", workerEnv, err)
	}
	return c, nil
}
