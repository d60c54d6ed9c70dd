package wire

import (
	"sync"

	"github.com/reprise-go/reprise/backend"
)

// maxBuffer is how large a buffer may be that is kept for the next commit.
const maxBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// Buffer is room for the frame of a large commit. To allocate it for each costs
// as much as to send it.
type Buffer struct{ bytes []byte }

// NewBuffer returns a buffer, and the frame of the request in it.
func NewBuffer(request *backend.CommitRequest) (*Buffer, []byte) {
	b := buffers.Get().(*Buffer)
	if b.bytes == nil {
		b.bytes = AppendCommit(nil, request)
	} else {
		b.bytes = AppendCommit(b.bytes[:0], request)
	}
	return b, b.bytes
}

// Release gives the buffer back. It may only be called when nothing refers to
// the frame any more: not after an error, which may leave the client sending.
func (b *Buffer) Release() {
	if b != nil && cap(b.bytes) <= maxBuffer {
		buffers.Put(b)
	}
}
