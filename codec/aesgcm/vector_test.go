package aesgcm

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The test vectors of C2SP's XAES-256-GCM: what Seal writes is that construction,
// and can be opened by any implementation of it.
func TestVectorsOfXAES(t *testing.T) {
	nonce := "ABCDEFGHIJKLMNOPQRSTUVWX"
	for _, test := range []struct {
		key        byte
		associated string
		want       string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		k, err := newKey(bytes.Repeat([]byte{test.key}, KeySize))
		if err != nil {
			t.Fatal(err)
		}
		aead, err := k.derive([saltSize]byte([]byte(nonce[:saltSize])))
		if err != nil {
			t.Fatal(err)
		}
		ciphertext, err := hex.DecodeString(test.want)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := aead.Open(nil, nil, append([]byte(nonce[saltSize:]), ciphertext...), []byte(test.associated))
		if err != nil || string(plain) != "XAES-256-GCM" {
			t.Errorf("key %d: %q, %v", test.key, plain, err)
		}
	}
}
