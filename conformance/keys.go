package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/reprise-go/reprise/backend"
)

// similar lists keys that a store might take for one another.
func similar() []string {
	keys := []string{
		"order", "Order", "ORDER", "order ", " order", "order\x00", "\x00order", "order\n", "order\r\n", "order\t", "orde", "orders",
		"a:b:c", "a:b", "a", "a:", ":a", "::", ":", "a::b", "{a}:b", "a:{b}", "{a:b}", "{}", "{", "}", "{a}", "{a}{b}", "{{a}}", "{}a",
		"\u00e9", "e\u0301", "\u212b", "\u00c5", "A\u030a", "\u017f", "s", "S", "\u2126", "\u03a9", "\u0131", "i", "I", "\u0130",
		"\xff", "\xfe", "\xff\xff", "\xc3", "\xc3\x28", "\ufffd", "\u00ff", "\xed\xa0\x80", "\x00", "\x00\x00", " ", "  ",
		"%00", "%2f", "/", "a/b", "a//b", "a/./b", "a/../b", ".", "..", "a%3Ab", "YTpi", "613a62", `a\b`, `a\\b`, `"a"`, "'a'", "*", "?", "[a]", "a*", "a?",
		"\r\n", "$1\r\na\r\n", "\r", "\n", "1", "01", "1.0", "+1", "-1", "1e0", "null", "nil", "true", "0", "", strings.Repeat("k", 255), strings.Repeat("k", 256), strings.Repeat("k", 257),
		strings.Repeat("\xff", backend.MaxKey), strings.Repeat("\xff", backend.MaxKey-1), strings.Repeat("\xff", backend.MaxKey-1) + "\xfe",
		strings.Repeat("\x00", backend.MaxKey), strings.Repeat("\x00", backend.MaxKey-1), "\x01" + strings.Repeat("\x00", backend.MaxKey-1),
	}
	kept := keys[:0]
	for _, key := range keys {
		if key != "" {
			kept = append(kept, key)
		}
	}
	return kept
}

// verb is one call of every verb that a backend has, for rules that hold for all.
type verb struct {
	name string
	call func(ctx context.Context, s backend.Backend, key string, token backend.Token) error
}

func verbs(s backend.Backend) []verb {
	all := []verb{
		{"Claim", func(ctx context.Context, s backend.Backend, key string, token backend.Token) error {
			_, err := s.Claim(ctx, key, foreign(taking(token)))
			return err
		}},
		{"Claim (renewal)", func(ctx context.Context, s backend.Backend, key string, token backend.Token) error {
			_, err := s.Claim(ctx, key, foreign(renewal(backend.Record{Token: token, Attempt: 1, Fence: 1}, long)))
			return err
		}},
		{"Wait", func(ctx context.Context, s backend.Backend, key string, token backend.Token) error {
			_, err := s.Wait(ctx, key, token)
			return err
		}},
		{"Fetch", func(ctx context.Context, s backend.Backend, key string, token backend.Token) error {
			_, err := s.Fetch(ctx, key)
			return err
		}},
	}
	for _, end := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
		all = append(all, verb{"Commit (" + end.String() + ")", func(ctx context.Context, s backend.Backend, key string, token backend.Token) error {
			return s.Commit(ctx, key, stray(ending(token, end)))
		}})
	}
	if _, ok := s.(backend.Forgetter); ok {
		all = append(all, verb{"Forget", func(ctx context.Context, s backend.Backend, key string, token backend.Token) error {
			return s.(backend.Forgetter).Forget(ctx, key)
		}})
	}
	return all
}

var keyRules = []Rule{
	{
		Name:     "Keys/AreDistinct",
		Prose:    "Keys are compared byte by byte: what differs by a letter's case, a space, a NUL, a normal form, a colon or a brace is another key, with a record of its own that all verbs find.",
		Mend:     "fold, trim, normalise, cut and decode nothing; prefix or length-encode what is put before the key.",
		ownStore: true,
		run: func(r *rig) {
			keys := similar()
			records := make([]backend.Record, len(keys))
			for i, key := range keys {
				request := taking(r.token())
				request.Metadata = []byte(key)
				got := r.claim(r.a, key, request)
				if d := difference(got, held(request, 1, 1)); d != "" {
					r.failf("the key %q isn't a key of its own beside %q...: %s; the claim returned %s", key, keys[:i], d, show(got))
				}
				records[i] = got
			}
			for i, key := range keys {
				r.is(fmt.Sprintf("Fetch of %q", key), r.fetch(r.b, key), records[i])
			}
			for i, key := range keys {
				r.commit(r.b, key, completing(records[i].Token, []byte("outcome of "+key)))
			}
			for i, key := range keys {
				want := completed(records[i], "outcome of "+key)
				r.is(fmt.Sprintf("Fetch of %q", key), r.fetch(r.a, key), want)
				r.is(fmt.Sprintf("Wait for %q", key), r.wait(r.a, key, records[i].Token), want)
			}
		},
	},
	{
		Name:     "Keys/AnyByte",
		Prose:    "A key may be any single byte.",
		Mend:     "the shortest key has one byte, and no byte means anything.",
		ownStore: true,
		run: func(r *rig) {
			records := make([]backend.Record, 256)
			for i := range records {
				request := taking(r.token())
				records[i] = r.claim(r.a, string([]byte{byte(i)}), request)
				r.is(fmt.Sprintf("the key %#02x", i), records[i], held(request, 1, 1))
			}
			for i := range records {
				r.is(fmt.Sprintf("the key %#02x", i), r.fetch(r.b, string([]byte{byte(i)})), records[i])
			}
		},
	},
	{
		Name:  "Keys/Bounds",
		Prose: "The empty key and keys of more than MaxKey bytes are ErrInvalid to every verb and store nothing.",
		Mend:  "call backend.CheckKey first in every verb.",
		run: func(r *rig) {
			longest := r.key()
			longest += strings.Repeat("k", backend.MaxKey-len(longest))
			for _, key := range []string{"", longest + "k", longest + longest} {
				for _, v := range verbs(r.a) {
					ctx, cancel := r.ctx()
					err := v.call(ctx, r.a, key, r.token())
					cancel()
					if !errors.Is(err, backend.ErrInvalid) {
						r.failf("%s with a key of %d bytes returned %v, want an error that is ErrInvalid", v.name, len(key), err)
					}
				}
			}
			r.unknown("the longest key, after longer ones were refused", longest)
		},
	},
}
