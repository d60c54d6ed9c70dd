package idemhttp

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", MaxKeyLength)
	for _, test := range []struct {
		value, key string
		err        error
		strictErr  error
	}{
		{value: `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, key: "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{value: `8e03978e-40d5-43dd-bc93-6894a57f9324`, key: "8e03978e-40d5-43dd-bc93-6894a57f9324", strictErr: errNotString},
		{value: `"a b"`, key: "a b"},
		{value: `a b`, key: "a b", strictErr: errNotString},
		{value: ` "k" `, key: "k"},
		{value: "\tk\t", key: "k", strictErr: errNotString},
		{value: `"a\"b\\c"`, key: `a"b\c`},
		{value: `a\b`, key: `a\b`, strictErr: errNotString},
		{value: `" "`, key: " "},
		{value: `"a,b;c=d"`, key: "a,b;c=d"},
		{value: `a;b`, key: "a;b", strictErr: errNotString},
		{value: long, key: long, strictErr: errNotString},
		{value: `"` + long + `"`, key: long},
		{value: `"` + strings.Repeat(`\"`, MaxKeyLength) + `"`, key: strings.Repeat(`"`, MaxKeyLength)},

		{value: ``, err: errEmpty},
		{value: `  `, err: errEmpty},
		{value: `""`, err: errEmpty},
		{value: long + "k", err: errTooLong, strictErr: errNotString},
		{value: `"` + long + `k"`, err: errTooLong},
		{value: `"`, err: errUnterminated},
		{value: `"abc`, err: errUnterminated},
		{value: `"abc\"`, err: errUnterminated},
		{value: `"abc\`, err: errEscape},
		{value: `"a\b"`, err: errEscape},
		{value: `"a";q=1`, err: errAfterString},
		{value: `"a" ;q`, err: errAfterString},
		{value: `"a", "b"`, err: errAfterString},
		{value: `"a" "b"`, err: errAfterString},
		{value: `"a"b`, err: errAfterString},
		{value: `a, b`, err: errRaw, strictErr: errNotString},
		{value: `a,`, err: errRaw, strictErr: errNotString},
		{value: `a"b`, err: errRaw, strictErr: errNotString},
		{value: `("a" "b")`, err: errRaw, strictErr: errNotString},
		{value: "k\x00", err: errCharacter, strictErr: errNotString},
		{value: "k\x7f", err: errCharacter, strictErr: errNotString},
		{value: "k\tk", err: errCharacter, strictErr: errNotString},
		{value: "schlüssel", err: errCharacter, strictErr: errNotString},
		{value: "\"\x1f\"", err: errCharacter},
		{value: "\"\x80\"", err: errCharacter},
		{value: `"ü"`, err: errCharacter},
	} {
		key, err := parseKey(test.value, MaxKeyLength, false)
		if key != test.key || err != test.err {
			t.Errorf("%q: got %q, %v", test.value, key, err)
		}
		if test.strictErr == nil {
			test.strictErr = test.err
		} else {
			test.key = ""
		}
		key, err = parseKey(test.value, MaxKeyLength, true)
		if key != test.key || err != test.strictErr {
			t.Errorf("strictly, %q: got %q, %v", test.value, key, err)
		}
	}
}

func TestRequestKey(t *testing.T) {
	both := []string{"Idempotency-Key", "X-Key"}
	for _, test := range []struct {
		header  http.Header
		key     string
		present bool
		err     error
	}{
		{http.Header{}, "", false, nil},
		{http.Header{"Idempotency-Key": {}}, "", false, nil},
		{http.Header{"Idempotency-Key": {"a"}}, "a", true, nil},
		{http.Header{"X-Key": {`"a"`}}, "a", true, nil},
		{http.Header{"Idempotency-Key": {""}}, "", true, errEmpty},
		{http.Header{"Idempotency-Key": {"a", "a"}}, "", true, errSeveral},
		{http.Header{"Idempotency-Key": {"a"}, "X-Key": {"a"}}, "", true, errSeveral},
	} {
		key, present, err := requestKey(test.header, both, MaxKeyLength, false)
		if key != test.key || present != test.present || err != test.err {
			t.Errorf("%v: got %q, %v, %v", test.header, key, present, err)
		}
	}
}

// quote writes a key as a structured-field string.
func quote(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"k", `"k"`, `"a\"b\\"`, `"a";q=1`, `a, b`, "", `"`, `"\`, "ü", "a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := parseKey(value, MaxKeyLength, false)
		if err != nil {
			if key != "" {
				t.Errorf("%q: %q beside %v", value, key, err)
			}
			return
		}
		if key == "" || len(key) > MaxKeyLength || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c >= 0x7f }) {
			t.Errorf("%q: %q is no key", value, key)
		}
		// Written in either form it is the same key.
		for _, strict := range []bool{false, true} {
			if again, err := parseKey(quote(key), MaxKeyLength, strict); again != key || err != nil {
				t.Errorf("%q quoted: %q, %v", key, again, err)
			}
		}
		if !strings.ContainsAny(key, `",`) && strings.TrimSpace(key) == key {
			if again, err := parseKey(key, MaxKeyLength, false); again != key || err != nil {
				t.Errorf("%q raw: %q, %v", key, again, err)
			}
		}
		if _, err := parseKey(value, MaxKeyLength, true); err != nil && !errors.Is(err, errNotString) {
			t.Errorf("%q: strict says %v", value, err)
		}
	})
}

func FuzzKeyIsInjective(f *testing.F) {
	f.Add("a", "b:c", "a:b", "c")
	f.Add("1:a", "b", "1", "a:b")
	f.Add(strings.Repeat("s", 252), "k", "sha256", "k")
	f.Fuzz(func(t *testing.T, scope1, key1, scope2, key2 string) {
		one, two := Key(scope1, key1), Key(scope2, key2)
		if (one == two) != (scope1 == scope2 && key1 == key2) {
			t.Errorf("(%q, %q) and (%q, %q): %q, %q", scope1, key1, scope2, key2, one, two)
		}
		scope, key, ok := SplitKey(one)
		if !ok || key != key1 || len(scope1) <= maxScope && scope != scope1 {
			t.Errorf("%q splits into %q, %q, %v", one, scope, key, ok)
		}
	})
}

func TestKeyFitsTheExecutor(t *testing.T) {
	for n := range 600 {
		if key := Key(strings.Repeat("s", n), strings.Repeat("k", MaxKeyLength)); len(key) > 512 {
			t.Fatalf("a scope of %d bytes makes a key of %d", n, len(key))
		}
	}
}

func TestSplitKeyRefuses(t *testing.T) {
	for _, storage := range []string{"", ":", "a", "1:a", "1:ab", "01:a:k", "+1:a:k", "-1:a:k", "999:a:k", "sha256:abc:k", "sha256:" + strings.Repeat("x", 43)} {
		if scope, key, ok := SplitKey(storage); ok {
			t.Errorf("%q: %q, %q", storage, scope, key)
		}
	}
}
