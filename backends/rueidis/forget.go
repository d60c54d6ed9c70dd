package rueidis

import (
	"context"
)

// Forget implements backend.Forgetter. The caches of other processes learn of it
// from the server, as soon as their connections carry it to them.
func (b *Backend) Forget(ctx context.Context, key string) error {
	const op = "rueidis: forget"
	if err := b.ready(ctx, op, key); err != nil {
		return err
	}
	about, err := b.server(ctx)
	if err != nil {
		return b.failure(ctx, op, err)
	}
	err = b.eval(ctx, forgetScript, []string{b.layout.Record(key)}, []string{about.publish}).Error()
	if b.seen != nil {
		// Also after an error: it may have been applied. The announcement for
		// this process may come later than the reply, on another connection.
		b.seen.drop(key)
	}
	return b.failure(ctx, op, err)
}
