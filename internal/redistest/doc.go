// Package redistest starts Redis servers for tests: [Address] is a server that
// the whole test binary shares, [Start] one of the test's own (to stop, pause or
// fill it), [Mini] one inside the test process; [StartCluster] and
// [StartSentinels] start several. It speaks to them through a connection of its
// own ([Conn]), not through a client under test, and counts what clients send
// ([Watch]).
//
// A test that needs a redis-server where there is none is skipped and says so;
// with REPRISE_REQUIRE_REDIS=1 it fails. REPRISE_REDIS_ADDR names a server to
// use for [Address] instead of starting one; tests keep to a [Prefix] there.
package redistest
