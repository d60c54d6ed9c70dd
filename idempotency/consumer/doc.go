// Package consumer handles each message of a queue, a stream or a webhook once,
// although its broker delivers it at least once.
//
//	events, err := consumer.New(executor, consumer.Options[Event]{
//		Name:   "events",
//		Key:    func(e Event) string { return e.ID },
//		Handle: func(ctx context.Context, e Event) error { return book(ctx, e) },
//	})
//	...
//	verdict := events.Handle(ctx, event)
//	switch verdict.Action {
//	case consumer.Ack:        // done with
//	case consumer.Nack:       // deliver again, after verdict.Delay
//	case consumer.DeadLetter: // put aside, for a person
//	}
//
// It knows no broker: a [Verdict] says what is to become of the message, and the
// few lines that tell it to the broker are the caller's. A message whose key is
// being handled elsewhere is never waited for, so that one slow message doesn't
// hold up two workers.
//
// # What happens to a message
//
//	| event                                        | action               | delay                | Reason       |
//	|----------------------------------------------|----------------------|----------------------|--------------|
//	| handled                                      | Ack                  |                      | Handled      |
//	| handled before                               | Ack                  |                      | Duplicate    |
//	| handled; that could not be recorded          | Ack                  |                      | Unrecorded   |
//	| Handle returned an error that is Final,      | Options.OnFinal      |                      | Failed       |
//	| now or on an earlier delivery                | (DeadLetter)         |                      |              |
//	| Handle returned another error, or panicked   | Nack                 | grows by the attempt | Retry        |
//	| being handled elsewhere                      | Nack                 | the lease that is    | InProgress   |
//	|                                              |                      | left, within bounds  |              |
//	| this attempt was overtaken: its lease ended  | Nack                 | MinDelay             | LeaseLost    |
//	| an attempt died, and OnAbandoned is to ask   | Options.WhenAbandoned| MaxDelay             | Abandoned    |
//	| first, or could not find out                 | (Nack)               |                      |              |
//	| Options.MaxAttempts are used up              | DeadLetter           |                      | Exhausted    |
//	| the key belongs to another message           | DeadLetter           |                      | Mismatch     |
//	| no key, or one that is too long; a handler   | DeadLetter           |                      | Invalid      |
//	| that handles its own message                 |                      |                      |              |
//	| the record can't be read                     | Nack                 | MaxDelay             | Unreadable   |
//	| the store is down: nothing ran               | Nack                 | MinDelay             | Store        |
//	| ctx ended: the worker is shutting down       | Nack                 | none                 | Stopped      |
//
// What is known of a message, Executor.Lookup tells by its key. A person who knows
// how an abandoned one ended settles it:
//
//	handled, err := idempotency.NewOperation(executor, idempotency.OperationOptions[struct{}]{Name: "events"})
//	err = handled.Resolve(ctx, eventID, struct{}{}, nil)
//
// # Errors are retried here
//
// Elsewhere in Reprise an error is an answer, recorded like a value. A message
// has nobody who waits for an answer, and a broker that delivers again is the
// usual way to get over a database that was gone for a minute. So an error that
// Handle returns is recorded only if Options.Final says so; after any other one
// the message is handled again. What that means for an attempt that has failed
// halfway is for Options.OnAbandoned to decide: run again (the default), or ask
// first. Errors that certainly come before any effect are Options.Harmless.
//
// # Order and effects
//
// A message may be handled after one that was sent later, as with every broker
// that delivers again: compare versions or timestamps in Handle where it matters.
// What remains of at-least-once is the gap between an effect and its record:
// write with idempotency.ExecutionOf's fencing token, in the transaction of the
// effect, or decide by OnAbandoned.
package consumer
