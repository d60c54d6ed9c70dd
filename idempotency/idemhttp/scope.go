package idemhttp

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// Global is the Options.Scope of an API whose clients are all one: whoever knows
// a key can read its response.
func Global(*http.Request) (string, error) { return globalScope, nil }

const globalScope = "global"

// maxScope is the length of the longest scope that is kept as it is. With it, the
// longest key and what lies between, a key is just below idempotency.MaxKey.
const maxScope = 251

// Key is the key under which the executor keeps the response to a client's key in
// a scope, for its Lookup and Forget. No two pairs of scope and key share one,
// whatever bytes they hold: the scope's length comes first. A scope of more than
// 251 bytes is replaced by its SHA-256.
//
// The path is no part of it. The same key on two paths is one key, as in the IETF
// draft: the second request has another fingerprint and gets 422.
func Key(scope, key string) string {
	if len(scope) > maxScope {
		sum := sha256.Sum256([]byte(scope))
		return hashedScope + base64.RawURLEncoding.EncodeToString(sum[:]) + ":" + key
	}
	return strconv.Itoa(len(scope)) + ":" + scope + ":" + key
}

const (
	hashedScope  = "sha256:"
	hashedLength = len(hashedScope) + 43 // base64 of 32 bytes
)

// SplitKey undoes [Key], for Options.Reconcile. A scope that was hashed comes back
// as its hash, with sha256: before it. ok is false for what Key doesn't make.
func SplitKey(storage string) (scope, key string, ok bool) {
	if strings.HasPrefix(storage, hashedScope) {
		if len(storage) < hashedLength+1 || storage[hashedLength] != ':' {
			return "", "", false
		}
		return storage[:hashedLength], storage[hashedLength+1:], true
	}
	length, rest, found := strings.Cut(storage, ":")
	n, err := strconv.Atoi(length)
	if !found || err != nil || n < 0 || n > maxScope || strconv.Itoa(n) != length || len(rest) <= n || rest[n] != ':' {
		return "", "", false
	}
	return rest[:n], rest[n+1:], true
}
