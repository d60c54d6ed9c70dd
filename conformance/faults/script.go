package faults

import "sync"

// script holds what is to be done with the nth of the things that match.
type script[T, A any] struct {
	mu    sync.Mutex
	steps []*step[T, A]
}

type step[T, A any] struct {
	match  func(T) bool
	left   int
	action A
}

func (s *script[T, A]) onNth(match func(T) bool, n int, action A) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, &step[T, A]{match: match, left: max(n, 1), action: action})
}

// pick counts the thing for every step that it matches and returns the action of
// the first step whose turn it is. A step acts once.
func (s *script[T, A]) pick(thing T) (action A, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.steps[:0]
	for _, step := range s.steps {
		if step.match != nil && !step.match(thing) {
			kept = append(kept, step)
			continue
		}
		step.left--
		switch {
		case step.left > 0:
			kept = append(kept, step)
		case !found:
			action, found = step.action, true
		default:
			// Another step has this turn: this one acts on the next match.
			step.left = 1
			kept = append(kept, step)
		}
	}
	clear(s.steps[len(kept):])
	s.steps = kept
	return action, found
}
