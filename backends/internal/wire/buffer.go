package wire

import (
	"sync"

	"github.com/reprise-go/reprise/backend"
)

// maxBuffer is how large a buffer may be that is kept for the next request.
const maxBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// Buffer is room for the frame of a request and the name of its record. To
// allocate it for each large one costs as much as to send it.
type Buffer struct{ bytes, name []byte }

// NewBuffer returns a buffer.
func NewBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Record returns the name of the record, in the buffer; see [Layout.Record].
func (b *Buffer) Record(layout Layout, storageKey string) []byte {
	b.name = layout.appendRecord(b.name[:0], storageKey)
	return b.name
}

// Claim returns the frame of the request, in the buffer; see [AppendClaim].
func (b *Buffer) Claim(request *backend.ClaimRequest) []byte {
	b.bytes = AppendClaim(b.bytes[:0:cap(b.bytes)], request)
	return b.bytes
}

// Commit returns the frame of the request, in the buffer; see [AppendCommit].
func (b *Buffer) Commit(request *backend.CommitRequest) []byte {
	b.bytes = AppendCommit(b.bytes[:0:cap(b.bytes)], request)
	return b.bytes
}

// Release gives the buffer back. It may only be called when nothing refers to
// frame and name any more: not after an error, which may leave the client sending.
func (b *Buffer) Release() {
	if b != nil && cap(b.bytes) <= maxBuffer {
		buffers.Put(b)
	}
}
