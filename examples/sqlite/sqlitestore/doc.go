// Package sqlitestore keeps the records of package idempotency in a SQLite file:
// the example of the guide "Write your own backend". It is made to be read and
// copied.
//
// Any number of processes on one machine share a file, each through one or more
// Stores. The tables are reprise_records and reprise_wakeups; all others in the
// file are the application's.
//
// # What it keeps
//
// SQLite runs in WAL mode with synchronous=FULL: what a verb has acknowledged, or
// shown to anybody, survives a crash of the process and a loss of power, as far as
// the disk honours fsync. WAL needs shared memory, so the file must not be on a
// network file system.
//
// # The clock
//
// SQLite has no server, so the store's clock is the wall clock of the machine, as
// SQLite reads it: one clock for all processes. When somebody sets it forward,
// leases and retentions end early by that much; when it is set back, they end
// late. An early end lets a second action start beside the first one, as every
// overlong pause does; the first one's commit is refused all the same, because
// that depends on the token and not on the clock.
//
// # What it costs
//
// A Store holds at most eight connections: one that writes, up to seven that read.
// SQLite has one writer at a time per file; a verb that changes nothing (a replay,
// a lost claim, a look) takes no lock. One goroutine and one of the reading
// connections follow the changes of other processes, only while somebody waits.
// Forgotten rows are deleted a few at a time by the transactions that write.
package sqlitestore
