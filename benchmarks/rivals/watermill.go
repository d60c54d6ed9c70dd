package rivals

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Watermill is github.com/ThreeDotsLabs/watermill v1.5.1, middleware.Deduplicator with its
// expiring repository, against package consumer of this module.
//
// Usage: documentation of Deduplicator (the README has nothing on it): a
// repository of its own with a window, and NewMessageHasherSHA256 "for minimal
// collisions", of the first 1,024 bytes as in its tests; with the default,
// Adler-32, two messages of different content can be taken for one. There is no
// repository over Redis.
//
//	waits?          no: a duplicate is dropped, and acknowledged, while the first
//	                one still runs
//	error replay?   no: a message whose handler failed is marked as seen all the
//	                same, so what the broker delivers again is dropped
//	fencing?        no
//	holder crash?   nothing survives the process
//	result kept?    no: a duplicate gets nothing
var Watermill = watermill("watermill", middleware.NewMessageHasherSHA256(1024))

// WatermillByID is the same with NewMessageHasherFromMetadataField: the sender has
// named the message, so nothing is hashed. This is what package consumer does,
// whose key is the message's UUID.
var WatermillByID = watermill("watermill-by-id", middleware.NewMessageHasherFromMetadataField(idField))

const idField = "id"

func watermill(name string, keyOf middleware.MessageHasher) Rival {
	return Rival{
		Name: name, Remembers: true, Errors: true,
		Open: func(tb testing.TB, _ string, _ clients.Dial) Do {
			seen, err := middleware.NewMapExpiringKeyRepository(inProcess)
			if err != nil {
				tb.Fatal(err)
			}
			deduplicator := &middleware.Deduplicator{KeyFactory: keyOf, Repository: seen, Timeout: time.Second}
			handle := deduplicator.Middleware(func(m *message.Message) ([]*message.Message, error) {
				_, err := actionOf(m)(m.Context())
				return nil, err
			})
			return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
				_, err := handle(newMessage(ctx, key, action))
				return nil, err
			}
		},
	}
}

// newMessage is a message as a subscriber makes it. A handler is set once, and
// what it does hangs on the message; here that is the action.
func newMessage(ctx context.Context, key string, action func(context.Context) ([]byte, error)) *message.Message {
	m := message.NewMessage(key, message.Payload(key))
	m.Metadata.Set(idField, key)
	m.SetContext(context.WithValue(ctx, actionKey{}, action))
	return m
}

func actionOf(m *message.Message) func(context.Context) ([]byte, error) {
	return m.Context().Value(actionKey{}).(func(context.Context) ([]byte, error))
}

// inProcess is how long what works in one process remembers, so that millions of
// calls don't fill the memory.
const inProcess = 10 * time.Second

type actionKey struct{}
