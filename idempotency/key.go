package idempotency

import (
	"encoding/binary"
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

const (
	// MaxKey is the length of the longest key in bytes. Keys may hold any bytes.
	MaxKey = 512
	// MaxNamespace is the length of the longest Options.Namespace in bytes.
	MaxNamespace = 256
	// MaxName is the length of the longest OperationOptions.Name in bytes.
	MaxName = 256
	// MaxFingerprint is the length of the longest Call.Fingerprint in bytes. For
	// longer ones, use a hash.
	MaxFingerprint = backend.MaxFingerprint
)

// namespacePrefix is what every storage key of a namespace begins with. The
// length comes first, so that no two pairs of namespace and key share a storage
// key, whatever bytes they hold.
func namespacePrefix(namespace string) string {
	return string(binary.AppendUvarint(nil, uint64(len(namespace)))) + namespace
}

func checkKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: key has %d bytes, want 1 to %d", ErrInvalidKey, len(key), MaxKey)
	}
	return nil
}
