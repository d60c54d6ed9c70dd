package rueidis

import (
	"context"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Claim implements backend.Backend. A claim of a key that is known to be
// completed may be answered from rueidis' client-side cache.
func (b *Backend) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	const op = "rueidis: claim"
	if err := b.ready(ctx, op, key); err != nil {
		return backend.Record{}, err
	}
	if err := request.Check(); err != nil {
		return backend.Record{}, err
	}
	direct := wire.Direct(&request)
	if !request.Renewal {
		record, recalled := b.recall(ctx, key)
		switch recalled {
		case certain:
			return record, nil
		case doubtful:
			direct = false
		}
	}
	if _, err := b.server(ctx); err != nil {
		return backend.Record{}, b.failure(ctx, op, err)
	}
	buffer := b.buffer()
	name := rueidislib.BinaryString(buffer.Record(b.layout, key))
	frame := rueidislib.BinaryString(buffer.Claim(&request))
	if direct {
		record, settled, err := b.claimDirect(ctx, key, name, frame, &request)
		if err != nil {
			return backend.Record{}, b.failure(ctx, op, err)
		}
		if settled {
			b.release(buffer)
			return record, nil
		}
	}
	record, err := b.claimByScript(ctx, key, name, frame, &request)
	if err != nil {
		return backend.Record{}, b.failure(ctx, op, err)
	}
	b.release(buffer)
	return record, nil
}

func (b *Backend) claimDirect(ctx context.Context, key, name, frame string, request *backend.ClaimRequest) (record backend.Record, settled bool, err error) {
	px := time.Duration(wire.ClaimPX(request)) * time.Millisecond
	command := b.line.B().Set().Key(name).Value(frame).Nx().Get().Px(px).Build()
	reply, err := b.line.send(ctx, command, b.line.claims).AsBytes()
	if rueidislib.IsRedisNil(err) {
		return wire.Taken(request), true, nil
	}
	if err != nil {
		return backend.Record{}, false, err
	}
	// The reply is nobody else's: it isn't cached.
	record, settled, err = wire.AdoptClaim(reply)
	if record.State == backend.Completed && b.seen != nil {
		b.sighted(key, record.Token)
	}
	return record, settled, err
}

func (b *Backend) claimByScript(ctx context.Context, key, name, frame string, request *backend.ClaimRequest) (backend.Record, error) {
	asked := b.line.now()
	args := []string{frame, b.decimal(wire.ClaimLease(request)), wire.ClaimSeen(request)}
	var on rueidislib.Client = b.line
	if request.Renewal {
		on = alone{b.line} // none may be sent once its ctx has ended
	}
	reply, ttl, err := frameAndTTL(b.evalOn(ctx, on, claimScript, []string{name}, args))
	if err != nil {
		return backend.Record{}, err
	}
	record, err := wire.ReadScriptClaim(request, reply, ttl)
	if record.State == backend.Completed && b.seen != nil {
		left := time.Duration(ttl) * time.Millisecond
		if ttl < 0 {
			left = cacheTTL // without end
		}
		b.sighted(key, record.Token).lasts(asked, left)
	}
	return record, err
}
