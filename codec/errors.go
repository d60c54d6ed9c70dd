package codec

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// MaxErrorName bounds the names of sentinels and error types, in bytes.
const MaxErrorName = 128

// ErrorSet gives errors the names under which they travel in records. It is
// plain data, so that the packages of a program can each have one and
// [NewErrors] puts them together.
//
// A name is 1 to [MaxErrorName] bytes long and never changes its meaning:
// records that were written a week ago, and by other versions of the program,
// are read by it. The package's path or name before the error's own keeps sets
// apart: "billing.ErrDeclined".
type ErrorSet struct {
	// Sentinels are the values that callers compare with errors.Is. A value must
	// be comparable, and can have one name only.
	Sentinels map[string]error
	// Types are the error types that callers look for with errors.As, made by
	// [ErrorTypeOf]. A type can have one name only.
	Types []ErrorType
	// Aliases are names of the past, each with the name that it has now. They are
	// read and never written.
	Aliases map[string]string
}

// Errors turns trees of errors into records and back. It knows the sentinels and
// types of its sets and those of the standard library (see the package's
// documentation); of every other error it keeps the text and the type's name.
//
// A nil *Errors knows the standard library's. An Errors never changes, and is
// safe for concurrent use.
type Errors struct {
	sets      []ErrorSet
	sentinels map[string]error
	names     map[error]string // holds hashable errors only
	byName    []string         // the names in it, sorted: the order in which Is methods are asked
	types     map[string]*ErrorType
	byType    map[reflect.Type]*ErrorType
	typeOrder []*ErrorType
}

// NewErrors returns a registry of the sets. It returns an error that names the
// field and the entry for a name that is given twice, empty or too long, a nil
// sentinel or one that can't be compared, the same sentinel or type under two
// names, and a type that can't be encoded and decoded or told apart from others.
//
// The standard library's errors are always known. An entry of a set takes
// precedence where it names one of those again.
func NewErrors(sets ...ErrorSet) (*Errors, error) {
	r := &Errors{
		sets:      slices.Clone(sets),
		sentinels: map[string]error{}, names: map[error]string{},
		types: map[string]*ErrorType{}, byType: map[reflect.Type]*ErrorType{},
	}
	for _, set := range sets {
		for _, name := range slices.Sorted(maps.Keys(set.Sentinels)) {
			if err := r.addSentinel(name, set.Sentinels[name]); err != nil {
				return nil, fmt.Errorf("codec: ErrorSet.Sentinels[%q]: %w", name, err)
			}
		}
		for i, t := range set.Types {
			if err := r.addType(t); err != nil {
				return nil, fmt.Errorf("codec: ErrorSet.Types[%d] (%q): %w", i, t.name, err)
			}
		}
	}
	if err := r.addStandard(standardErrors()); err != nil {
		return nil, err
	}
	for _, set := range sets {
		for _, old := range slices.Sorted(maps.Keys(set.Aliases)) {
			if err := r.addAlias(old, set.Aliases[old]); err != nil {
				return nil, fmt.Errorf("codec: ErrorSet.Aliases[%q]: %w", old, err)
			}
		}
	}
	r.byName = slices.Sorted(maps.Values(r.names))
	for _, name := range slices.Sorted(maps.Keys(r.types)) {
		if t := r.types[name]; t.name == name && r.byType[t.typ] == t {
			r.typeOrder = append(r.typeOrder, t)
		}
	}
	return r, nil
}

// With returns a registry that knows the sets too. Its errors are those of
// [NewErrors]; r may be nil.
func (r *Errors) With(sets ...ErrorSet) (*Errors, error) {
	if r == nil {
		return NewErrors(sets...)
	}
	return NewErrors(append(slices.Clone(r.sets), sets...)...)
}

// standardOnly is what a nil *Errors stands for.
var standardOnly = sync.OnceValue(func() *Errors {
	r, err := NewErrors()
	if err != nil {
		panic(err) // the set is a constant of this package, and tested
	}
	return r
})

func (r *Errors) orStandard() *Errors {
	if r == nil {
		return standardOnly()
	}
	return r
}

func (r *Errors) checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > MaxErrorName:
		return fmt.Errorf("the name has %d bytes, want at most %d", len(name), MaxErrorName)
	case r.knows(name):
		return errors.New("the name is used twice")
	}
	return nil
}

func (r *Errors) knows(name string) bool {
	_, sentinel := r.sentinels[name]
	_, typ := r.types[name]
	return sentinel || typ
}

func (r *Errors) addSentinel(name string, sentinel error) error {
	if err := r.checkName(name); err != nil {
		return err
	}
	if isNilError(sentinel) {
		return errors.New("the sentinel is nil")
	}
	if !hashable(sentinel) {
		return fmt.Errorf("values of type %T can't be compared, so errors.Is never finds it; register the type", sentinel)
	}
	if other, ok := r.names[sentinel]; ok {
		return fmt.Errorf("it is the same value as %q", other)
	}
	r.sentinels[name], r.names[sentinel] = sentinel, name
	return nil
}

func (r *Errors) addType(t ErrorType) error {
	if t.typ == nil && t.err == nil {
		return errors.New("the ErrorType is empty; make it with ErrorTypeOf")
	}
	if err := r.checkName(t.name); err != nil {
		return err
	}
	if t.err != nil {
		return t.err
	}
	if other, ok := r.byType[t.typ]; ok {
		return fmt.Errorf("type %v is registered as %q already", t.typ, other.name)
	}
	r.types[t.name], r.byType[t.typ] = &t, &t
	return nil
}

// addStandard adds what the sets left free.
func (r *Errors) addStandard(set ErrorSet) error {
	for name, sentinel := range set.Sentinels {
		if r.knows(name) {
			if known, ok := r.sentinels[name]; !ok || known != sentinel {
				return fmt.Errorf("codec: ErrorSet: the name %q belongs to the standard library's error", name)
			}
			continue
		}
		r.sentinels[name] = sentinel
		if _, ok := r.names[sentinel]; !ok {
			r.names[sentinel] = name
		}
	}
	for _, t := range set.Types {
		if r.knows(t.name) {
			if known, ok := r.types[t.name]; !ok || known.typ != t.typ {
				return fmt.Errorf("codec: ErrorSet: the name %q belongs to the standard library's type", t.name)
			}
			continue
		}
		if t.err != nil {
			return fmt.Errorf("codec: standard type %q: %w", t.name, t.err)
		}
		r.types[t.name] = &t
		if _, ok := r.byType[t.typ]; !ok {
			r.byType[t.typ] = &t
		}
	}
	return nil
}

func (r *Errors) addAlias(old, name string) error {
	if err := r.checkName(old); err != nil {
		return err
	}
	if sentinel, ok := r.sentinels[name]; ok {
		r.sentinels[old] = sentinel
		return nil
	}
	if t, ok := r.types[name]; ok {
		r.types[old] = t
		return nil
	}
	return fmt.Errorf("nothing is registered as %q", name)
}

// nameOf returns the name of a registered sentinel.
func (r *Errors) nameOf(err error) (string, bool) {
	if !hashable(err) {
		return "", false
	}
	name, ok := r.names[err]
	return name, ok
}

// hashable tells whether err can be compared and be a map's key without a panic.
func hashable(err error) bool {
	t := reflect.TypeOf(err)
	if t == nil || !t.Comparable() {
		return false
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Array:
		return reflect.ValueOf(err).Comparable()
	}
	return true
}

// identical is ==, without the panic of values that can't be compared.
func identical(a, b error) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && hashable(a) && hashable(b) && a == b
}

func isNilError(err error) bool {
	if err == nil {
		return true
	}
	switch v := reflect.ValueOf(err); v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}
