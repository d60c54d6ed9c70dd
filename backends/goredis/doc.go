// Package goredis keeps the records of package idempotency in Redis or Valkey,
// through a client of github.com/redis/go-redis/v9 that the application already
// has.
//
//	store, err := goredis.New(client, goredis.Options{})
//	defer store.Close()
//
// It works with *redis.Client (standalone and Sentinel) and
// *redis.ClusterClient, on Redis 7.0 or later and on Valkey. Other Reprise
// backends for Redis use the same records: a claim made here may be waited for
// through redigo and completed for rueidis.
//
// The client is neither closed nor changed. Its retry options are respected
// (MaxRetries, MinRetryBackoff, MaxRetryBackoff), but the retries are the
// backend's own, so that it knows whether a request may have been applied.
// Under load, commands of several calls go together, as one pipeline on one
// connection (not in a cluster); each call still returns when its own ctx ends,
// and has a result of its own. The client has a pool of its own for pipelines
// (PipelinePoolSize), and reads all their replies within one ReadTimeout: where
// answers are large, 64 of them must have time enough. Hooks see a pipeline with the
// ctx of the first of its calls.
// While somebody waits for a key the backend has one connection more than the
// client's pool (in a cluster one per master in use), made by the client's
// Subscribe, which is closed a few seconds after the last waiter has gone.
//
// # Timeouts
//
// Every verb returns when its ctx ends, whatever the client's options and also
// when the server is silent. A command that is stuck then is left to a goroutine
// which ends when the client's own timeouts end it, so don't turn those off
// (ReadTimeout, WriteTimeout, DialTimeout).
//
// # Permissions
//
// A user of the server needs the keys and channels of the prefix
// (~reprise:* &reprise:*) and the commands SET, GET, GETRANGE, STRLEN, EXISTS,
// PTTL, PEXPIRE, RENAME, DEL, PUBLISH, EVAL, EVALSHA, SUBSCRIBE, UNSUBSCRIBE,
// HELLO and PING, in a cluster also SPUBLISH, SSUBSCRIBE, SUNSUBSCRIBE and what
// the client needs for itself (CLUSTER SLOTS, COMMAND).
// Without the right to subscribe waiters poll once a second; without the right
// to publish nobody wakes before they look by themselves.
package goredis
