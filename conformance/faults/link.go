package faults

import (
	"io"
	"net"
	"sync"
	"time"
)

// drainTimeout bounds how long a cut connection waits for the server to finish
// with what it was sent.
const drainTimeout = 5 * time.Second

// link is one client connection and its connection to the server.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	held *heldRequest // what Late made of this connection

	mu        sync.Mutex
	dropReply bool      // the client is closed instead of being answered
	notBefore time.Time // when the next reply may be delivered
}

func (l *link) run() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.replies()
	}()
	l.requests()
	<-done
	l.cut()
	if l.held != nil {
		close(l.held.done)
	}
}

// cut closes both directions. Whatever reads or writes on them returns.
func (l *link) cut() {
	l.client.Close()
	l.server.Close()
}

// requests moves what the client sends to the server, one request at a time.
func (l *link) requests() {
	buffer := make([]byte, 64<<10)
	var request []byte
	for {
		n, err := l.client.Read(buffer)
		request = append(request, buffer[:n]...)
		whole := l.proxy.options.Complete == nil || err != nil || l.proxy.options.Complete(request)
		if len(request) > 0 && whole {
			if !l.proxy.pass() || !l.forward(request) {
				return
			}
			request = request[:0]
		}
		if err != nil {
			// The client has said all that it will. The server answers what it
			// was sent, sees the end and closes, which ends the replies.
			l.finish()
			return
		}
	}
}

// forward does one request's action. It reports false when the client's side of
// the connection is over.
func (l *link) forward(request []byte) bool {
	action := l.proxy.pick(request)
	switch action.kind {
	case cutBefore:
		l.proxy.record(request, action, false)
		l.client.Close()
		l.finish()
		return false
	case blackhole:
		l.proxy.record(request, action, false)
		l.swallow()
		l.finish()
		return false
	case late:
		l.deliverLate(request, action)
		return false
	case cutReply:
		l.mu.Lock()
		l.dropReply = true
		l.mu.Unlock()
	case delayReply:
		l.mu.Lock()
		l.notBefore = time.Now().Add(action.delay)
		l.mu.Unlock()
	}
	l.proxy.record(request, action, true)
	_, err := l.server.Write(request)
	return err == nil
}

// swallow reads until the client closes.
func (l *link) swallow() {
	_, _ = io.Copy(io.Discard, l.client)
}

// deliverLate holds the request back on its own connection to the server, so
// that it arrives in the session that it was sent in.
func (l *link) deliverLate(request []byte, action Action) {
	p := l.proxy
	l.held = &heldRequest{deliver: make(chan struct{}), done: make(chan struct{})}
	p.mu.Lock()
	p.held[l.held] = struct{}{}
	p.mu.Unlock()
	// Only now: whoever sees the cut may ask for the delivery.
	l.client.Close()

	var due <-chan time.Time
	if action.delay > 0 {
		timer := time.NewTimer(action.delay)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-l.held.deliver:
	case <-due:
	case <-p.ctx.Done():
		p.record(request, action, false)
		l.cut()
		return
	}
	p.record(request, action, true)
	if _, err := l.server.Write(request); err != nil {
		l.cut()
		return
	}
	l.finish()
}

// finish tells the server that no more requests come and waits until it has
// closed, so that it has handled what it was sent: a plain close could reset the
// connection and take unread requests with it.
func (l *link) finish() {
	if half, ok := l.server.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = l.server.SetReadDeadline(time.Now().Add(drainTimeout))
}

// replies moves what the server says to the client.
func (l *link) replies() {
	buffer := make([]byte, 64<<10)
	clientGone := false
	for {
		n, err := l.server.Read(buffer)
		if n > 0 && !clientGone {
			clientGone = !l.reply(buffer[:n])
		}
		if err != nil {
			l.client.Close()
			return
		}
	}
}

// reply delivers a reply, or doesn't. It reports false when the client is gone;
// what the server still says is then read and dropped.
func (l *link) reply(data []byte) bool {
	if !l.proxy.pass() {
		return false
	}
	l.mu.Lock()
	drop, notBefore := l.dropReply, l.notBefore
	l.notBefore = time.Time{}
	l.mu.Unlock()
	if drop {
		l.client.Close()
		return false
	}
	if wait := time.Until(notBefore); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.proxy.ctx.Done():
			return false
		}
	}
	_, err := l.client.Write(data)
	return err == nil
}
