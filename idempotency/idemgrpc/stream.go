package idemgrpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// stream is the grpc.ServerTransportStream of a handler: it keeps the metadata
// that the handler sets until its outcome is recorded. Handlers may use it from
// several goroutines.
type stream struct {
	method string

	mu              sync.Mutex
	header, trailer metadata.MD
	sent, ended     bool
}

func methodOf(ctx context.Context) string {
	method, _ := grpc.Method(ctx)
	return method
}

var errSent = status.Error(codes.Internal, "idemgrpc: the header was already sent")

func (s *stream) Method() string { return s.method }

func (s *stream) SetHeader(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if md.Len() == 0 {
		return nil
	}
	if s.sent || s.ended {
		return errSent
	}
	s.header = metadata.Join(s.header, md)
	return nil
}

// SendHeader closes the header, as the handler expects; it goes out later.
func (s *stream) SendHeader(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent || s.ended {
		return errSent
	}
	s.header, s.sent = metadata.Join(s.header, md), true
	return nil
}

func (s *stream) SetTrailer(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if md.Len() == 0 {
		return nil
	}
	if s.ended {
		return errSent
	}
	s.trailer = metadata.Join(s.trailer, md)
	return nil
}

// taken returns what the handler has set, and takes no more: the handler has
// returned.
func (s *stream) taken() (header, trailer metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.header, s.trailer
}
