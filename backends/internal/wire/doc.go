// Package wire is the protocol that all Redis backends share: how keys and
// channels are named ([Layout]), how a record is laid out in a string value
// ([Decode], [AppendClaim], [AppendCommit]), the Lua scripts ([ClaimScript] and
// its neighbours), what replies mean and what the server's error texts mean
// ([Classify]). It knows no client: each backend sends the commands in the way
// its client is meant to be used, and hands the replies to the functions here.
//
// # The verbs in commands
//
// Claim, unless it is a renewal or names a Seen fence ([Direct]):
//
//	SET <Layout.Record> <AppendClaim> NX GET PX <ClaimPX>
//
// A nil reply means that the key was taken: the record is [Taken]. Any other
// reply goes to [ReadClaim], which says whether it settles the claim or whether
// the claim script must follow. A renewal and a claim with Seen are the claim
// script alone:
//
//	EVALSHA ClaimScript 1 <Layout.Record> <AppendClaim> <ClaimLease> <ClaimSeen>
//
// and its reply {frame, ttl} goes to [ReadScriptClaim]. The script does whatever
// the contract says for every state of the key, so it may follow SET NX GET
// whatever happened in between.
//
// Commit:
//
//	EVALSHA CommitScript 1 <Layout.Record> <AppendCommit> <CommitPX> <publish> <CommitHeld>
//
// where publish is [Publish] or [PublishSharded]; the reply, an integer, goes to
// [ReadCommit]. For outcomes of [LargeOutcome] bytes and more, in one pipeline:
//
//	SET <Layout.Side> <AppendCommit> PX <SidePX>
//	EVALSHA CommitLargeScript 2 <Layout.Record> <Layout.Side> <AppendCommit, its first CommitHead bytes> <CommitPX> <publish> <CommitHeld>
//
// If its reply is [CommitSideMissing], or if that pipeline failed with NOSCRIPT,
// TRYAGAIN or CROSSSLOT, the one-key CommitScript with the whole frame must
// follow; it is always right, for it compares everything.
//
// Fetch, and every look of Wait: EVALSHA LookScript 1 <record>; the reply
// {frame, ttl} goes to [ReadLook]. Never a GET: clients may answer that from a
// cache of theirs.
//
// Forget: EVALSHA ForgetScript 1 <record> <publish>.
//
// Every command here may be sent again after an unknown outcome: all of them are
// idempotent under the request's token.
//
// # Wake-ups
//
// The channel of a record has the name of its key ([Layout.Channel]), so that it
// lies in the same slot and under the same ACL prefix. A message is either a
// completed frame, when that is small (at most 4 KiB, see commit.lua), or empty.
// It is a hint: [ReadPush] tells whether it settles a wait for a token.
package wire
