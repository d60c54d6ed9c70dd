// Package tracing makes executions visible in OpenTelemetry: [NewObserver] gives
// spans and metrics of every call, [Wrap] those of every verb of a store. It is
// on the OpenTelemetry API only; the application brings the SDK. For log/slog
// without OpenTelemetry see package logging below.
//
//	observer, err := tracing.NewObserver()
//	store, err := tracing.Wrap(store)
//	payments, err := idempotency.New(store, idempotency.Options{Observer: observer})
//
// # Spans
//
// A call is a span "idempotency.run <operation>" ("idempotency.run" where the
// operation has no name), with children idempotency.claim, .wait, .action,
// .reconcile, .commit and .renew, and below them, for a wrapped store, one span
// per verb: idempotency.store.claim and so on. The action's span is the parent of
// whatever the action traces.
//
// The span context of the executing call travels in the record, as the
// propagator has it (W3C traceparent and tracestate by default; never baggage). A
// replay, a waiter and a call that joined carry a span link to it, in another
// process and a day later too; the link's attribute idempotency.link is then
// "execution". A claim that takes over, a Reconcile and a call that
// gives up carry one to the call that died: "abandoned".
//
// A span that ended with an error has status Error and error.type, as the
// semantic conventions say, and no description: texts of errors may hold what
// must not leave the process. There are no exception events.
//
//	attribute                        on                      meaning
//	-------------------------------  ----------------------  ----------------------------------------
//	idempotency.operation            all but store           OperationOptions.Name
//	idempotency.namespace            all but store           Options.Namespace
//	idempotency.outcome              run                     executed, replayed, joined, waited,
//	                                                         refused, abandoned, failed
//	idempotency.attempt              all but store           the record's attempt
//	idempotency.fence                all but store           the record's fencing token
//	idempotency.wait.duration        run, wait               seconds
//	idempotency.unprotected          run                     ran although the store was down
//	idempotency.takeover             claim                   took over an abandoned key
//	idempotency.sends                claim, commit           how often the request was sent
//	idempotency.ending               commit, store.commit    complete, release, abandon
//	idempotency.superseded           commit                  another holder had been quicker
//	idempotency.payload.size         commit                  bytes
//	idempotency.lease.lost           action, renew           the lease was lost
//	idempotency.backend              store; others only      the store's name
//	                                 with WithBackendName
//	idempotency.state                store                   vacant, claimed, abandoned, completed
//	idempotency.key, .key_hash       all but store           only with WithKeyAttribute
//	error.type                       all                     see idempotency.ErrorType
//
// # Metrics
//
//	name                                kind               unit           attributes
//	----------------------------------  -----------------  -------------  -------------------------------------------
//	idempotency.calls                   Counter            {call}         operation, namespace, outcome, error.type
//	idempotency.action.duration         Histogram          s              operation, namespace, error.type
//	idempotency.wait.duration           Histogram          s              operation, namespace, outcome
//	idempotency.executions.active       UpDownCounter      {execution}    operation, namespace
//	idempotency.joined_calls            Counter            {call}         operation, namespace
//	idempotency.executions.unprotected  Counter            {execution}    operation, namespace
//	idempotency.lease.renewals          Counter            {renewal}      operation, namespace, error.type
//	idempotency.lease.losses            Counter            {lease}        operation, namespace
//	idempotency.takeovers               Counter            {takeover}     operation, namespace
//	idempotency.abandonments            Counter            {claim}        operation, namespace
//	idempotency.undecided               Counter            {call}         operation, namespace
//	idempotency.commit.fenced           Counter            {commit}       operation, namespace, ending
//	idempotency.commit.retries          Counter            {request}      operation, namespace, ending
//	idempotency.commit.failures         Counter            {commit}       operation, namespace, ending, error.type
//	idempotency.store.duration          Histogram          s              backend, verb, error.type
//	idempotency.store.cache.hits        ObservableCounter  {hit}          backend
//
// Attributes are written without their prefix "idempotency."; none of them is a
// key. Three questions of whoever is on call: are there abandoned keys that nobody
// decided on (idempotency.undecided grows), are leases being lost
// (idempotency.lease.losses, idempotency.commit.fenced), is the store slow
// (idempotency.store.duration, idempotency.commit.retries).
//
// # Privacy
//
// No idempotency key, payload, token or fingerprint is on a span or a metric,
// unless [WithKeyAttribute] asks for the key on spans: as a keyed hash, or raw.
package tracing
