package aesgcm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
)

// What was sealed: version, length of the key's id, the id, the salt from which
// the answer's own key is derived, then nonce, ciphertext and tag as
// cipher.NewGCMWithRandomNonce writes them. Version and id are authenticated
// together with the associated data.
const (
	version  = 1
	saltSize = 12
	overhead = 12 + 16 // nonce and tag
)

var (
	// ErrKeyUnknown: the answer was encrypted with a key that isn't among
	// Options.Keys. The error's text names the id.
	ErrKeyUnknown = errors.New("aesgcm: the key is unknown")
	// ErrAuthentication: the answer can't be authenticated. It was changed, or made
	// for another storage key, operation or fingerprint, or its key's id now names
	// another key.
	ErrAuthentication = errors.New("aesgcm: the answer can't be authenticated")
	// ErrFormat: these are no bytes that Seal made, or a newer version made them.
	ErrFormat = errors.New("aesgcm: broken or newer format")
	// ErrTooLarge: the plain bytes are more than the limit.
	ErrTooLarge = errors.New("aesgcm: the plain bytes are more than the limit")
)

// Transform encrypts and authenticates. It is safe for concurrent use.
type Transform struct {
	current string
	keys    map[string]*key
}

// New returns a transform. It returns an error that names the field for a key or
// id of another length than allowed, a key of zeros, and a Current that isn't
// among the Keys. No error shows any of a key.
func New(options Options) (*Transform, error) {
	t := &Transform{current: options.Current, keys: map[string]*key{}}
	if len(options.Keys) == 0 {
		return nil, errors.New("aesgcm: Options.Keys is empty")
	}
	for _, id := range options.ids() {
		secret := options.Keys[id]
		switch {
		case id == "" || len(id) > MaxKeyID:
			return nil, fmt.Errorf("aesgcm: Options.Keys has an id of %d bytes, want 1 to %d", len(id), MaxKeyID)
		case len(secret) != KeySize:
			return nil, fmt.Errorf("aesgcm: Options.Keys[%q] has %d bytes, want %d", id, len(secret), KeySize)
		case !slices.ContainsFunc(secret, func(b byte) bool { return b != 0 }):
			return nil, fmt.Errorf("aesgcm: Options.Keys[%q] is all zeros", id)
		}
		k, err := newKey(secret)
		if err != nil {
			return nil, fmt.Errorf("aesgcm: Options.Keys[%q]: %w", id, err)
		}
		t.keys[id] = k
	}
	if t.keys[options.Current] == nil {
		return nil, fmt.Errorf("aesgcm: Options.Current is %q, which isn't among Options.Keys", options.Current)
	}
	return t, nil
}

// Name is "xaes-256-gcm".
func (t *Transform) Name() string { return "xaes-256-gcm" }

// Seal appends plain to dst, encrypted with the current key and bound to
// associated. It is longer than plain by 42 bytes and the key's id.
func (t *Transform) Seal(dst, plain, associated []byte) ([]byte, error) {
	var salt [saltSize]byte
	rand.Read(salt[:]) // never fails: the program ends instead
	aead, err := t.keys[t.current].derive(salt)
	if err != nil {
		return nil, fmt.Errorf("aesgcm: %w", err)
	}
	header := append(append(make([]byte, 0, 2+len(t.current)+len(associated)), version, byte(len(t.current))), t.current...)
	dst = slices.Grow(dst, len(header)+saltSize+len(plain)+overhead)
	dst = append(append(dst, header...), salt[:]...)
	return aead.Seal(dst, nil, plain, append(header, associated...)), nil
}

// Open appends the plain bytes to dst. Its errors are [ErrFormat],
// [ErrKeyUnknown], [ErrTooLarge] and [ErrAuthentication].
func (t *Transform) Open(dst, sealed, associated []byte, limit int) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != version {
		return nil, ErrFormat
	}
	end := 2 + int(sealed[1])
	if sealed[1] == 0 || sealed[1] > MaxKeyID || len(sealed) < end+saltSize+overhead {
		return nil, ErrFormat
	}
	header, salt, rest := sealed[:end], sealed[end:end+saltSize], sealed[end+saltSize:]
	k, ok := t.keys[string(header[2:])]
	if !ok {
		return nil, fmt.Errorf("%w: its id is %q", ErrKeyUnknown, header[2:])
	}
	if len(rest)-overhead > limit {
		return nil, ErrTooLarge
	}
	aead, err := k.derive([saltSize]byte(salt))
	if err != nil {
		return nil, fmt.Errorf("aesgcm: %w", err)
	}
	bound := append(append(make([]byte, 0, len(header)+len(associated)), header...), associated...)
	plain, err := aead.Open(dst, nil, rest, bound)
	if err != nil {
		return nil, ErrAuthentication
	}
	return plain, nil
}

// key derives the keys of answers: CMAC in counter mode, as XAES-256-GCM says.
type key struct {
	block cipher.Block
	k1    [aes.BlockSize]byte
}

func newKey(secret []byte) (*key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	k := &key{block: block}
	block.Encrypt(k.k1[:], k.k1[:])
	var msb byte
	for i := len(k.k1) - 1; i >= 0; i-- {
		msb, k.k1[i] = k.k1[i]>>7, k.k1[i]<<1|msb
	}
	k.k1[len(k.k1)-1] ^= msb * 0b10000111
	return k, nil
}

func (k *key) derive(salt [saltSize]byte) (cipher.AEAD, error) {
	derived := make([]byte, 0, KeySize)
	for counter := byte(1); counter <= 2; counter++ {
		block := append([]byte{0, counter, 'X', 0}, salt[:]...)
		for i := range block {
			block[i] ^= k.k1[i]
		}
		k.block.Encrypt(block, block)
		derived = append(derived, block...)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
