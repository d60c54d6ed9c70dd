package conformance

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a testing.TB that keeps what a rule says to itself.
type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	skipped  bool
	messages []string
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) FailNow() {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

// observe runs a rule and returns what it said; a panic counts as a failure.
func observe(tb testing.TB, rule Rule, h Harness) *recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{TB: tb, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			cancel()
			for _, cleanup := range slices.Backward(r.cleanups) {
				cleanup()
			}
		}()
		rule.Run(r, h)
	}()
	<-done
	return r
}

func ruleNamed(t *testing.T, name string) Rule {
	t.Helper()
	for _, rule := range Rules() {
		if rule.Name == name {
			return rule
		}
	}
	t.Fatalf("there is no rule %s", name)
	return Rule{}
}

// mutants are the ways in which a backend may be wrong, each with the rules that
// must catch it.
var mutants = []struct {
	bug   string
	rules []string
}{
	{"claim reads, then writes", []string{"Concurrency/OneClaimWins", "Concurrency/OneTakeoverWins", "Concurrency/OneTakeoverWinsAtTheLeasesEnd", "Concurrency/RevivalOrTakeover"}},
	{"commit reads, then writes", []string{"Concurrency/OneOutcomeWins"}},
	{"a repeated send changes nothing", []string{"Claim/RepeatedSendKeepsTheClaim", "Claim/RepeatedSendRevivesALapsedClaim"}},
	{"a repeated send is a new attempt", []string{"Claim/RepeatedSendKeepsTheClaim", "TakeOver/RepeatedSendIsStillYours", "Concurrency/RepeatedSendsAreOne"}},
	{"a repeated send replaces the fingerprint", []string{"Claim/RepeatedSendKeepsTheClaim", "Renewal/SetsTheLease"}},
	{"a repeated send replaces Keep", []string{"Claim/RepeatedSendKeepsKeep", "Renewal/ExtendsTheWholeLife"}},
	{"a lease is never shortened", []string{"Claim/RepeatedSendSetsTheLease", "Renewal/SetsTheLease"}},
	{"a lapsed claim isn't revived", []string{"Claim/RepeatedSendRevivesALapsedClaim", "Renewal/RevivesALapsedClaim"}},
	{"a renewal changes nothing", []string{"Renewal/SetsTheLease", "Renewal/HoldsTheKey", "Renewal/RevivesALapsedClaim"}},
	{"a renewal forgets the end of the record", []string{"Renewal/ExtendsTheWholeLife"}},
	{"a renewal is a claim", []string{"Renewal/NeverTakesAVacantKey", "Renewal/NeverTakesAnAbandonedKey"}},
	{"a renewal extends anybody's lease", []string{"Renewal/NeverTakesALiveKey"}},
	{"a renewal re-creates nothing", []string{"Renewal/RecreatesAForgottenClaim", "Forget/TheHolderGoesOn"}},
	{"a renewal re-creates a first attempt", []string{"Renewal/RecreatesAForgottenClaim"}},
	{"a renewal revives an abandoned claim", []string{"Renewal/NeverRevivesAnAbandonedClaim", "Abandon/NeverRevived"}},
	{"a renewal revives a released claim", []string{"Renewal/NeverRevivesAReleasedClaim", "Release/BeforeLateClaim"}},
	{"a claim revives an abandoned one", []string{"Abandon/NeverRevived", "TakeOver/LateDuplicateTakesNothing"}},
	{"an owner's renewal reopens", []string{"Renewal/NeverReopensACompletedKey", "Commit/LaterTokensLoseAll"}},
	{"late renewals shorten the retention", []string{"Renewal/NeverReopensACompletedKey", "Lifetime/LateSendsDontMoveTheEnd"}},
	{"replays extend the retention", []string{"Claim/CompletedAnswersEverybody", "Commit/LaterTokensLoseAll"}},
	{"a released token lives", []string{"Claim/ReleasedTokenIsDead", "Release/BeforeLateClaim"}},
	{"a live lease is taken over", []string{"TakeOver/NeverALiveLease", "TakeOver/NeverARevivedLease", "Claim/LosingChangesNothing"}},
	{"a lost claim extends the lease", []string{"Claim/LosingChangesNothing"}},
	{"losing is an error", []string{"Claim/LosingIsAResult"}},
	{"losers aren't told LeaseLeft", []string{"Claim/LosingIsAResult"}},
	{"fingerprints are compared", []string{"Claim/FingerprintIsNotCompared"}},
	{"Seen ignored", []string{"TakeOver/NeedsSeen", "TakeOver/OnlyTheAttemptSeen", "Claim/VacantKeyNeedsItsFence"}},
	{"Seen ignored for unknown keys", []string{"Claim/UnknownKeyNeedsSeenZero"}},
	{"an older Seen is taken", []string{"TakeOver/OnlyTheAttemptSeen", "TakeOver/LateDuplicateTakesNothing"}},
	{"Seen names the holder", []string{"TakeOver/SeenIsAFenceNotAHolder"}},
	{"vacant keys need no Seen", []string{"Claim/VacantKeyNeedsItsFence"}},
	{"a takeover is no new attempt", []string{"TakeOver/ByTheFenceSeen", "Claim/AttemptAndFenceGrow"}},
	{"a takeover keeps the fence", []string{"TakeOver/ByTheFenceSeen", "Claim/AttemptAndFenceGrow"}},
	{"the request's fence is the fence", []string{"Claim/FenceIsAtLeastTheRequests"}},
	{"the request's fence is ignored", []string{"Claim/FenceIsAtLeastTheRequests"}},
	{"fences are floats", []string{"Claim/FenceIsAtLeastTheRequests", "Renewal/RecreatesAForgottenClaim"}},
	{"the last holder's fingerprint stays", []string{"Claim/TakingStoresTheRequests", "TakeOver/ByTheFenceSeen"}},
	{"a lapsed lease disappears", []string{"TakeOver/ByTheFenceSeen", "Commit/AfterTheLease", "Abandon/KeepEnds"}},
	{"fetch and claim know no lapse", []string{"TakeOver/LapsedIsAbandonedInEveryReply", "Fetch/Abandoned"}},
	{"leases end early", []string{"TakeOver/NotBeforeTheLeaseEnds"}},
	{"Keep counts from the claim", []string{"Abandon/KeepEnds", "Fetch/Claimed"}},
	{"commits compare no token", []string{"Commit/NotTheHolder", "Commit/AfterTakeoverIsSuperseded", "TakeOver/FencesTheOldHolder", "Concurrency/CommitOrTakeover"}},
	{"large outcomes aren't fenced", []string{"Commit/OutcomesOfManySizes", "Commit/LargeOutcomeIsFenced"}},
	{"releases compare no token", []string{"Release/NotTheHolder", "TakeOver/FencesTheOldHolder"}},
	{"abandons compare no token", []string{"Abandon/NotTheHolder", "TakeOver/FencesTheOldHolder"}},
	{"LeaseHeld beats the token", []string{"Commit/NotTheHolder", "Release/NotTheHolder", "Abandon/NotTheHolder"}},
	{"LeaseHeld always believed", []string{"Commit/UnknownWithoutLeaseIsSuperseded", "Abandon/UnknownWithoutLeaseStoresNothing"}},
	{"LeaseHeld never believed", []string{"Commit/ForgottenClaimIsKept", "Abandon/ForgottenClaimIsKept"}},
	{"a fence of 0 is stored", []string{"Commit/FenceOfAForgottenClaim"}},
	{"a commit drops the fingerprint", []string{"Commit/KeepsTheClaims", "Commit/CompletesTheClaim"}},
	{"a commit brings its fingerprint", []string{"Commit/KeepsTheClaims"}},
	{"a repeated commit is refused", []string{"Commit/RepeatedIsSuccess"}},
	{"a repeated commit extends the retention", []string{"Commit/RepeatedIsSuccess"}},
	{"any repeated commit is success", []string{"Commit/FirstOutcomeWins", "Abandon/CompletedOrReleasedIsSuperseded"}},
	{"the last outcome wins", []string{"Commit/FirstOutcomeWins", "Concurrency/OneOutcomeWins"}},
	{"refused commits extend the record", []string{"Commit/NotTheHolder", "Lifetime/LateSendsDontMoveTheEnd"}},
	{"a lapsed lease voids the commit", []string{"Commit/AfterTheLease", "Release/AfterTheLease", "Abandon/AfterTheLease"}},
	{"an abandoned token can't commit", []string{"Commit/AfterAbandonApplies", "Release/AfterAbandonApplies"}},
	{"a released token commits", []string{"Commit/AfterReleaseIsSuperseded", "Abandon/CompletedOrReleasedIsSuperseded", "Concurrency/CompleteOrRelease"}},
	{"completed records lapse", []string{"Commit/OutlivesTheLease"}},
	{"the retention is the lease", []string{"Lifetime/RetentionIsNotTheLease", "Fetch/Completed"}},
	{"the claim's Keep rules the end", []string{"Lifetime/RetentionEnds", "Release/KeepsAttemptAndFence", "Abandon/EndsTheLease"}},
	{"an empty outcome is none", []string{"Commit/EmptyOutcomeIsAnOutcome"}},
	{"outcomes end at NUL", []string{"Commit/BinaryOutcome"}},
	{"outcomes are text", []string{"Commit/BinaryOutcome"}},
	{"outcomes cut off", []string{"Commit/OutcomesOfManySizes", "Commit/LargestOutcome"}},
	{"large outcomes break", []string{"Commit/LargestOutcome"}},
	{"a release deletes", []string{"Release/KeepsAttemptAndFence", "Claim/AttemptAndFenceGrow"}},
	{"a release forgets the attempt", []string{"Release/KeepsAttemptAndFence", "Claim/AttemptAndFenceGrow"}},
	{"a release of an unknown key is nothing", []string{"Release/UnknownLeavesATrace", "Release/BeforeLateClaim", "Concurrency/ClaimAndItsRelease"}},
	{"a repeated release is refused", []string{"Release/RepeatedIsSuccess"}},
	{"a late release deletes the answer", []string{"Release/CompletedIsSuperseded", "Commit/LaterTokensLoseAll"}},
	{"Abandon waits for the lease's end", []string{"Abandon/EndsTheLease"}},
	{"a repeated Abandon keeps the old Keep", []string{"Abandon/RepeatedIsKeptForTheNewKeep"}},
	{"wait returns at once", []string{"Wait/CancelIsPrompt", "Wait/FollowsRenewals"}},
	{"wait sleeps before it looks", []string{"Wait/ZeroTokenReturnsAtOnce", "Wait/EndedClaimReturnsAtOnce", "Errors/CtxWithoutEnd"}},
	{"wait waits for any holder", []string{"Wait/AnotherHolderReturnsAtOnce", "Wait/ZeroTokenReturnsAtOnce"}},
	{"wait waits for unknown keys", []string{"Wait/UnknownKeyReturnsAtOnce"}},
	{"wait looks, then registers", []string{"Wait/CommitBetweenLookAndSleep"}},
	{"wait sleeps past the lease", []string{"Wait/WakesAtTheLeasesEnd"}},
	{"wait trusts its timer", []string{"Wait/FollowsRenewals"}},
	{"wait forgets the outcome", []string{"Wait/WakesOnComplete"}},
	{"wait takes the key away", []string{"Wait/ChangesNothing"}},
	{"wait ignores its ctx", []string{"Wait/CancelIsPrompt", "Wait/DeadlineIsTheCtxsError", "Wait/LeavesNoGoroutine"}},
	{"wait hides its ctx's error", []string{"Errors/CtxEndsOnTheWay", "Wait/CancelIsPrompt", "Wait/DeadlineIsTheCtxsError"}},
	{"a cancelled wait wakes the others", []string{"Wait/CancelIsPrompt"}},
	{"wait leaks", []string{"Wait/LeavesNoGoroutine"}},
	{"wait blocks the connection", []string{"Wait/DoesNotStarveOthers"}},
	{"one waiter is woken", []string{"Wait/ManyWaitersAllWake"}},
	{"no push on complete", []string{"Wait/WakesOnComplete", "Wait/ManyWaitersAllWake"}},
	{"no push on release", []string{"Wait/WakesOnRelease", "Wait/WakesAgainAndAgain"}},
	{"no push on abandon", []string{"Wait/WakesOnAbandon"}},
	{"pushes don't carry odd keys", []string{"Wait/WakesOnEveryKey"}},
	{"fetch renews", []string{"Fetch/ChangesNothing"}},
	{"fetch trusts its cache", []string{"Fetch/IsNeverStale"}},
	{"a released key is unknown to Fetch", []string{"Fetch/Released"}},
	{"forget wakes nobody", []string{"Forget/WakesWaiters"}},
	{"forget takes prefixes", []string{"Forget/OnlyThatKey"}},
	{"forget keeps a trace", []string{"Forget/MakesTheKeyUnknown"}},
	{"forgetting an unknown key fails", []string{"Forget/UnknownIsNoError"}},
	{"keys folded", []string{"Keys/AreDistinct"}},
	{"keys trimmed", []string{"Keys/AreDistinct", "Keys/AnyByte"}},
	{"keys end at NUL", []string{"Keys/AreDistinct"}},
	{"keys are text", []string{"Keys/AreDistinct", "Keys/AnyByte"}},
	{"keys cut off", []string{"Keys/AreDistinct"}},
	{"keys unchecked", []string{"Keys/Bounds"}},
	{"requests unchecked", []string{"Bounds/Durations", "Bounds/Tokens", "Bounds/Fences", "Bounds/Endings", "Bounds/FingerprintAndMetadata"}},
	{"durations rounded down", []string{"Bounds/FractionsRoundUp"}},
	{"requests are kept", []string{"Slices/RequestsMayBeReused"}},
	{"requests are appended to", []string{"Slices/RequestsAreNotWrittenOn"}},
	{"records are shared", []string{"Slices/RecordsBelongToTheCaller"}},
	{"an ended ctx is ignored", []string{"Errors/EndedCtx"}},
	{"errors are reported as absent", []string{"Disconnect/VerbsGoOn", "Errors/EndedCtx", "Silence/VerbsReturnWithinTheirCtx"}},
	{"close wakes nobody", []string{"Close/WakesWaiters", "Close/WhileInUse"}},
	{"a closed backend goes on", []string{"Close/VerbsAreRefused"}},
	{"corrupt is unknown", []string{"Corrupt/RefusedByEveryVerb"}},
	{"corrupt is overwritten", []string{"Corrupt/RefusedByEveryVerb"}},
	{"a corrupt record is waited for", []string{"Corrupt/RefusedByEveryVerb"}},
	{"a corrupt record can't be forgotten", []string{"Corrupt/ForgetRemovesIt"}},
	{"a lost subscription wakes nobody", []string{"Disconnect/WaitersLookAgain"}},
	{"silence outlasts the ctx", []string{"Silence/VerbsReturnWithinTheirCtx"}},
	{"attempts count from zero", []string{"Claim/Fresh"}},
	{"fences count from zero", []string{"Claim/FenceIsAtLeastOne"}},
	{"commits need the claiming process", []string{"Commit/FromAnotherConnection"}},
	{"released records stay", []string{"Release/KeepEnds"}},
	{"absent is an error", []string{"Fetch/UnknownIsTheZeroRecord"}},
	{"leases are cut to Keep", []string{"Lifetime/LeaseMoreThanKeep"}},
	{"long durations are cut off", []string{"Bounds/LongestDurations"}},
	{"the shortest durations are refused", []string{"Bounds/ShortestDurations"}},
	{"every duration is checked", []string{"Bounds/IgnoredDurations"}},
	{"a ctx without end is refused", []string{"Errors/CtxWithoutEnd"}},
	{"superseded is also not applied", []string{"Errors/SupersededIsNoOther"}},
	{"outcomes share a buffer", []string{"Concurrency/ManyKeys"}},
	{"a second close hangs", []string{"Close/MayBeRepeated"}},
	{"lease and Keep swapped", []string{"Fetch/Claimed", "Lifetime/RetentionIsNotTheLease"}},
	{"lease and retention swapped", []string{"Fetch/Completed", "Claim/LosingIsAResult"}},
	{"leases end by the claimer's clock", []string{"TakeOver/LapsedIsAbandonedInEveryReply", "TakeOver/ByTheFenceSeen"}},
	{"each client's clock rules", []string{"TakeOver/NeverALiveLease", "Claim/LosingIsAResult", "Fetch/Claimed"}},
	{"a commit drops the metadata", []string{"Commit/KeepsTheClaims"}},
	{"wait polls until the key is completed", []string{"Wait/WakesOnRelease", "Wait/WakesAtTheLeasesEnd", "Wait/UnknownKeyReturnsAtOnce"}},
	{"keys lose their colons", []string{"Keys/AreDistinct"}},
	{"errors are reported as not acquired", []string{"Errors/EndedCtx", "Silence/VerbsReturnWithinTheirCtx"}},
	{"a time-out is called not applied", []string{"Silence/NotAppliedIsCertain"}},
	{"a client's time-out is no ctx error", []string{"Silence/VerbsReturnWithinTheirCtx"}},
}

func TestEveryMutantIsCaughtByItsRules(t *testing.T) {
	for _, mutant := range mutants {
		t.Run(strings.ReplaceAll(mutant.bug, " ", "_"), func(t *testing.T) {
			for _, name := range mutant.rules {
				rule := ruleNamed(t, name)
				h := harness(mutant.bug, false)
				h.patience = 200 * time.Millisecond
				r := observe(t, rule, h)
				if !r.Failed() {
					t.Errorf("%s let the mutant through", name)
					continue
				}
				for _, part := range []string{"rule " + name + ": " + rule.Prose, "seen: ", "mend: " + rule.Mend} {
					if !strings.Contains(strings.Join(r.messages, "\n"), part) {
						t.Errorf("the failure message lacks %q: %s", part, r.messages)
					}
				}
			}
		})
	}
}

// TestEveryRuleCatchesAMutant keeps rules out that can't fail.
func TestEveryRuleCatchesAMutant(t *testing.T) {
	caught := map[string]bool{}
	for _, mutant := range mutants {
		for _, name := range mutant.rules {
			caught[name] = true
		}
	}
	for _, rule := range Rules() {
		if !caught[rule.Name] {
			t.Errorf("no mutant shows that %s can fail", rule.Name)
		}
	}
}
