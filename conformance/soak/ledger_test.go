//go:build unix

package soak

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
)

// ledger is the other side, on which the actions have their effect: files that
// all processes append to. It is fence-aware: it accepts an effect unless it has
// seen a newer fence of that key before, as an effect or as a barrier. The order
// of the lines of a key in its file is the order in which the other side saw them.
type ledger struct {
	dir    string
	worker int
}

const ledgerFiles = 64

func ledgerPath(dir string, file int) string {
	return filepath.Join(dir, fmt.Sprintf("ledger-%02d.log", file))
}

func (l *ledger) path(key string) string {
	h := fnv.New32a()
	h.Write([]byte(key))
	return ledgerPath(l.dir, int(h.Sum32()%ledgerFiles))
}

// add appends an event about a key and returns what the ledger has of that key,
// up to that event at least.
func (l *ledger) add(e event) (entries []event, err error) {
	path := l.path(e.Key)
	j, err := openJournal(path, l.worker)
	if err != nil {
		return nil, err
	}
	j.add(e)
	if err := j.close(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	mark := fmt.Appendf(nil, `"key":%q,`, e.Key)
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) || !bytes.Contains(line, mark) {
			continue
		}
		found, err := parseEvent(line)
		if err != nil {
			return nil, err
		}
		if found.Key == e.Key {
			entries = append(entries, found)
		}
	}
	return entries, nil
}

// effect has the effect. It reports false where the ledger refused it.
func (l *ledger) effect(key string, fence uint64, attempt uint32, value string) (accepted bool, err error) {
	entries, err := l.add(event{Kind: evEffect, Key: key, Fence: fence, Attempt: attempt, Value: value})
	if err != nil {
		return false, err
	}
	for _, e := range acceptedEffects(entries) {
		if e.Fence == fence && e.Worker == l.worker {
			return true, nil
		}
	}
	return false, nil
}

// ask finds the last effect that the ledger has accepted for the key, and has it
// refuse those of attempts before fence from now on.
func (l *ledger) ask(key string, fence uint64) (effect event, found bool, err error) {
	entries, err := l.add(event{Kind: evBarrier, Key: key, Fence: fence})
	if err != nil {
		return event{}, false, err
	}
	accepted := acceptedEffects(entries)
	if len(accepted) == 0 {
		return event{}, false, nil
	}
	return accepted[len(accepted)-1], true, nil
}

// acceptedEffects are the effects of one key that the ledger accepted.
func acceptedEffects(entries []event) []event {
	var newest uint64
	var accepted []event
	for _, e := range entries {
		if e.Fence < newest {
			continue
		}
		newest = e.Fence
		if e.Kind == evEffect {
			accepted = append(accepted, e)
		}
	}
	return accepted
}
