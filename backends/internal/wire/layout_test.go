package wire

import (
	"errors"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
)

func TestNewLayout(t *testing.T) {
	for _, prefix := range []string{"", "a", "app:prod:", strings.Repeat("p", MaxPrefix), "\xff\x00"} {
		layout, err := NewLayout(prefix)
		if err != nil {
			t.Errorf("prefix %q: %v", prefix, err)
		}
		if prefix != "" && layout.Prefix() != prefix {
			t.Errorf("prefix %q became %q", prefix, layout.Prefix())
		}
	}
	for _, prefix := range []string{"{", "a}", "{tag}", strings.Repeat("p", MaxPrefix+1)} {
		if _, err := NewLayout(prefix); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "Options.Prefix") {
			t.Errorf("prefix %q: error %v, want ErrInvalid that names Options.Prefix", prefix, err)
		}
	}
}

// read is the inverse of Record.
func read(t *testing.T, name string) (prefix, storageKey string) {
	prefix, rest, ok := strings.Cut(name, "{")
	if !ok || len(rest) < 6 || rest[4] != '}' || rest[5] != kindRecord {
		t.Fatalf("%q is no record's name", name)
	}
	return prefix, rest[6:]
}

func FuzzRecordIsInjective(f *testing.F) {
	f.Add("", "k")
	f.Add("a{", "{x}}:!")
	f.Add("app:", "\x00\r\n")
	f.Fuzz(func(t *testing.T, prefix, storageKey string) {
		layout, err := NewLayout(prefix)
		if err != nil {
			return
		}
		name := layout.Record(storageKey)
		gotPrefix, gotKey := read(t, name)
		if gotPrefix != layout.Prefix() || gotKey != storageKey {
			t.Fatalf("%q reads as prefix %q and key %q, was %q and %q", name, gotPrefix, gotKey, layout.Prefix(), storageKey)
		}
		side := layout.Side(storageKey, tokenA)
		if tag(name) != tag(side) {
			t.Fatalf("record and side key have the tags %q and %q", tag(name), tag(side))
		}
		if side[len(layout.Prefix())+6] == kindRecord {
			t.Fatalf("the side key %q has the name of a record", side)
		}
		if side == layout.Side(storageKey, tokenA) {
			t.Fatalf("two side keys have the same name")
		}
	})
}

// tag is what Redis Cluster hashes: the first braces with something between.
func tag(name string) string {
	_, rest, _ := strings.Cut(name, "{")
	tag, _, _ := strings.Cut(rest, "}")
	return tag
}

func TestTagsSpreadOverSlots(t *testing.T) {
	layout, _ := NewLayout("")
	const n = 1 << 16
	tags := make(map[string]int)
	var key [25]byte
	for i := range n {
		putUint(key[17:], uint64(i))
		tags[tag(layout.Record(string(key[:])))]++
	}
	if len(tags) < n*9/10 {
		t.Errorf("%d keys share %d tags", n, len(tags))
	}
}

func TestSeenSurvivesAsBytes(t *testing.T) {
	for _, fence := range []uint64{1, 255, 256, backend.MaxFence - 1} {
		seen := ClaimSeen(&backend.ClaimRequest{Seen: fence})
		if len(seen) != 7 || readUint(seen) != fence {
			t.Errorf("fence %d became %x", fence, seen)
		}
	}
}

func TestSlot(t *testing.T) {
	for name, want := range map[string]int{
		"123456789": 0x31c3, "foo": 12182, "{foo}": 12182, "a{foo}b{bar}": 12182, "": 0,
	} {
		if got := Slot(name); got != want {
			t.Errorf("%q is in slot %d, want %d", name, got, want)
		}
	}
}
