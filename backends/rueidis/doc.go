// Package rueidis keeps idempotency records in Redis or Valkey through rueidis,
// on a client of its own ([New]) or on the app's ([NewFromClient]).
//
//	store, err := rueidis.New(rueidislib.ClientOption{InitAddress: []string{"localhost:6379"}}, rueidis.Options{})
//	if err != nil { ... }
//	defer store.Close()
//
// It shares its records with the other Redis backends of this module: a claim
// made through redigo is waited for here and completed through go-redis. All of
// them need Redis 7.0 or later, or Valkey; standalone, Sentinel and Cluster.
//
// # What this client gives
//
// Replays from memory. A key that was answered as completed once is asked of
// rueidis' client-side cache from then on: the first replay costs one command,
// the second fills the cache (one round trip), and from the third on nothing is
// sent while the record lasts and the connection lives. The cache is asked for
// completed records only, which never change, and for claims only: Wait and
// Fetch always read from the server. An answer from memory is never given after
// the record's retention. Forget, a FLUSHALL or an eviction reaches the caches
// of other processes as an invalidation on their connections: usually within a
// millisecond, but not before Forget returns. A process whose connection has
// silently died may replay a forgotten record until rueidis notices
// (ClientOption.ConnWriteTimeout, 10 s by default).
//
// Auto-pipelining: the commands of all goroutines share the client's pipelining
// connections, also where it has DisableAutoPipelining. Under load, commands of
// several calls go together, as one pipeline on one connection (not in a
// cluster); each call still returns when its own ctx ends, and has a result of
// its own. Wake-ups of waiters
// come by the same connections (with RESP2, by one more); a key that is waited
// for is one subscription of the process, whatever the number of waiters.
//
// # Without client-side caching
//
// Servers without CLIENT TRACKING (some managed ones, miniredis) need
// ClientOption.DisableCache; everything else works, and replays cost one command.
// With AlwaysRESP2 rueidis doesn't make a lost subscription connection anew
// while its other connection lives: waiters then look once a second.
//
// # Calls and their ctx
//
// Every verb returns when its ctx ends, also while the server is silent or
// rueidis is connecting. What was sent may still be applied then.
//
// # Permissions
//
// The ACL of a user that can do all of it on a single server, for the default
// prefix:
//
//	ACL SETUSER reprise on >secret ~reprise:* &reprise:* -@all
//	  +ping +set +get +del +getrange +strlen +exists +rename +pttl
//	  +pexpire +eval +evalsha +publish +subscribe +unsubscribe
//	  +cluster|slots +client|tracking +client|caching +multi +exec
//
// Rueidis asks for cluster|slots to find out whether it is a cluster, unless
// ForceSingleClient is set. Through sentinels the master needs no more, and +role.
// A cluster needs +spublish +ssubscribe +sunsubscribe +asking (Redis 8 and
// Valkey 8: +cluster|shards too) instead of the three pub/sub commands. Without
// cache, client|tracking, client|caching, multi and exec can go. Without the
// pub/sub commands waiters look once a second.
package rueidis
