package redigo

import (
	"context"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backends/internal/hub"
)

// writePatience is how long a command may take to be written on the connection
// for wake-ups, which has no read timeout and perhaps no write timeout either.
const writePatience = 3 * time.Second

// dialSubscription opens a connection as the pool does, that isn't the pool's. It
// returns when ctx ends; a connection that comes later is closed.
func (b *Backend) dialSubscription(ctx context.Context, _ string) (hub.Conn, error) {
	type dialled struct {
		conn redis.Conn
		err  error
	}
	result := make(chan dialled)
	go func() {
		var d dialled
		if b.pool.DialContext != nil {
			d.conn, d.err = b.pool.DialContext(ctx)
		} else {
			d.conn, d.err = b.pool.Dial()
		}
		select {
		case result <- d:
		case <-ctx.Done():
			if d.err == nil {
				_ = d.conn.Close()
			}
		}
	}()
	select {
	case d := <-result:
		if d.err != nil {
			return nil, d.err
		}
		return &subscription{conn: d.conn}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// subscription is a connection that carries wake-ups.
type subscription struct{ conn redis.Conn }

// Subscribe implements hub.Conn.
func (s *subscription) Subscribe(channels []string) error { return s.send("SUBSCRIBE", channels) }

// Unsubscribe implements hub.Conn.
func (s *subscription) Unsubscribe(channels []string) error { return s.send("UNSUBSCRIBE", channels) }

// Ping implements hub.Conn.
func (s *subscription) Ping() error { return s.send("PING", nil) }

// Close implements hub.Conn.
func (s *subscription) Close() error { return s.conn.Close() }

func (s *subscription) send(command string, channels []string) error {
	args := make([]any, len(channels))
	for i, channel := range channels {
		args[i] = channel
	}
	// A server that doesn't read stops the writer sooner or later.
	timer := time.AfterFunc(writePatience, func() { _, _ = redis.ReceiveContext(s.conn, ranOut) })
	defer timer.Stop()
	if err := s.conn.Send(command, args...); err != nil {
		return err
	}
	return s.conn.Flush()
}

// Receive implements hub.Conn.
func (s *subscription) Receive() (hub.Event, error) {
	reply, err := s.receive()
	if err != nil {
		_ = s.conn.Close() // an error reply, to SUBSCRIBE say, leaves it open
		return hub.Event{}, fmt.Errorf("redigo: subscription: %w", err)
	}
	push, ok := reply.([]any)
	if !ok || len(push) < 3 {
		return hub.Event{}, nil // a pong
	}
	kind, _ := push[0].([]byte)
	channel, _ := push[1].([]byte)
	event := hub.Event{Channel: string(channel)}
	switch string(kind) {
	case "message":
		payload, _ := push[2].([]byte)
		event.Kind, event.Payload = hub.Message, string(payload)
	case "subscribe":
		event.Kind = hub.Subscribed
	case "unsubscribe":
		event.Kind = hub.Unsubscribed
	}
	return event, nil
}

// receive waits without the connection's read timeout, which is meant for the
// replies to commands. A connection that the application wrapped may not allow
// for that; then silence for that long is a lost connection.
func (s *subscription) receive() (any, error) {
	if conn, ok := s.conn.(redis.ConnWithTimeout); ok {
		return conn.ReceiveWithTimeout(0)
	}
	return s.conn.Receive()
}
