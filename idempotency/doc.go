// Package idempotency runs an action once per key, however often it is called:
// from many goroutines, processes and machines. Every caller gets the one
// answer, value or error; those who come while the action runs wait for it.
//
//	payments, err := idempotency.New(store, idempotency.Options{Namespace: "payments"})
//	receipt, err := idempotency.Run(ctx, payments, "payment-123", chargeCustomer)
//
// An [Executor] keeps its records in a store: one of the packages below
// backends, or an implementation of [backend.Backend]. An [Operation] declares
// one kind of call: its name, codec, policies and hooks.
//
// # What is guaranteed
//
// For a key, within its retention and on one uninterrupted history of the store,
// at most one outcome is ever recorded, and every caller that gets an outcome
// gets that one. The action runs again only where its process died, was paused
// past its lease or was cut short and the policy says Rerun, or where the store
// forgot; and where the user says so, by IgnoreError, DoNotRecord, LeaveAbandoned,
// RunAgain or Forget.
//
// # What is not
//
// Exactly-once execution of an outside side effect is impossible: when a process
// dies between charging a card and recording it, nobody knows. The key is then
// abandoned, and the operation's policy decides: [Rerun], [Fail], or [Reconcile],
// which asks the other side. [ExecutionOf] gives the action its attempt and its
// fencing token, to hand to what it changes.
//
// # How a key lives
//
// A call claims the key under a lease, which is renewed while the action runs,
// and ends the claim in one of three ways: it completes it with an outcome, it
// releases it (IgnoreError: nothing has happened), or it abandons it (nobody
// knows: the action was cut short by its ctx, or its process died). An outcome is
// final until its retention ends.
//
// # Errors
//
// The call whose action ran gets the action's own error. Everybody else gets a
// [*ReplayedError] with the same text. Errors of the library itself are or wrap
// an [*Error]; the package's variables say which can be matched.
//
// # Clocks and contexts
//
// Leases and retentions are counted by the store. A call honours its ctx while
// it waits, and hands it to the action; once the action has run, its outcome is
// recorded although the ctx has ended. A ctx that ends while a store is silent
// ends the call soon after, and the recording goes on in the background.
package idempotency
