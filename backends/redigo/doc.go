// Package redigo keeps the records of package idempotency in Redis or Valkey,
// through a pool of github.com/gomodule/redigo that the application already has.
//
//	store, err := redigo.New(pool, redigo.Options{})
//	defer store.Close()
//
// It works with one server, or with the master that Sentinels name if the pool
// dials that: Redis 7.0 or later, or Valkey. Other Reprise backends for Redis use
// the same records: a claim made here may be waited for through rueidis and
// completed for go-redis.
//
// # What this client gives
//
// A fresh call costs two round trips (claim and commit), a replay one, a claim
// that another holds two. Outcomes of 8 KiB and more go out as two commands in
// one round trip. Under load, commands of several calls go together, as one
// pipeline on one connection; each call still returns when its own ctx ends, and
// has a result of its own.
//
// Waiters are woken by pub/sub, over one connection for all of them. It is
// dialled like the pool's (by Pool.DialContext, or Pool.Dial), but isn't one of
// them and doesn't count for Pool.MaxActive; it is opened when somebody waits,
// opened again when it breaks or the server doesn't answer a PING, and closed
// some seconds after the last waiter has gone. Nobody who waits holds a
// connection of the pool: a pool of one serves any number of waiters.
//
// redigo doesn't speak to a Redis Cluster: the first verb on a pool whose server
// is a node of one says so, with [backend.ErrPermanent]. It has no client-side
// cache either: a replay always asks the server. Use backends/goredis or
// backends/rueidis for those.
//
// # The pool
//
// It is neither closed nor changed. Every verb returns when its ctx ends,
// whatever the pool's options and also when the server is silent. A command that
// is under way then loses its connection, which doesn't go back into the pool; one
// that calls share is lost with the last that waits. A dial that takes no notice of
// its ctx (Pool.Dial, a TLS handshake) or a TestOnBorrow is left to a goroutine
// that ends with it: give the dial timeouts, and the pool a MaxActive.
//
// Pools with a DialContext that uses its ctx, and without TestOnBorrow and
// TestOnBorrowContext, are served best: a verb that finds an idle connection works
// in its caller's goroutine. All others work through a goroutine of the backend's,
// for nobody could leave while the pool tests a connection or dials; on a machine
// with idle processors that costs some ten microseconds per verb.
//
// An exhausted pool and a failed dial are [backend.ErrNotApplied]. Idle
// connections that died unnoticed, after a restart of the server say, fail their
// first command: looks and new claims are sent again on other connections by
// this package, commits and renewals by the executor.
//
// # Permissions
//
// A user of the server needs the keys and channels of the prefix and these
// commands:
//
//	~reprise:* &reprise:* +eval +evalsha +set +get +getrange +strlen +exists
//	+pttl +pexpire +rename +del +publish +subscribe +unsubscribe +ping
//
// and what the pool's own dialling sends (SELECT, CLIENT SETNAME). HELLO is sent
// once and always allowed. Without the right to subscribe waiters poll once a
// second; without the right to publish nobody wakes before they look by
// themselves.
package redigo
