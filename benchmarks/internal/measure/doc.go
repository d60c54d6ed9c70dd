// Package measure compares things that are too fast, on machines that are too
// noisy, for one after the other to mean anything.
//
// [Against] runs a subject and what it is measured against in turn, in slices of
// ten milliseconds, takes the ratio of their throughputs within a block of such
// slices, and reports the median over at least five blocks. [Pin] puts client
// and server on one CPU, without which a single goroutine gives one of two
// results, as the scheduler likes. A [Tap] counts what a client sends, in
// commands and in round trips. [Child] is the test binary once more, for what
// takes several processes.
//
// Units: "x-NAME" is the throughput of the subject divided by that of NAME (1 is
// as fast, 0.5 half as fast), "NAME-ns" the time of one operation of NAME;
// "cmds/op" and "rtt/op" are commands and round trips of one operation, "conns"
// open connections, "p50-us" and "p99-us" percentiles of a latency, "last-ms"
// the time until the last of many callers had its answer.
package measure
