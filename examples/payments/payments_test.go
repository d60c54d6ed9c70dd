package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// asProgram makes the test binary the program itself: with -race, its processes
// look for races too.
const asProgram = "PAYMENTS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// program is the command of the whole example, whose instances are its children.
func program(t *testing.T, redisAddr string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// Without GORACE each of its processes sleeps for a second before it ends.
	cmd.Env = append(os.Environ(), asProgram+"=1", "REPRISE_REDIS_ADDR="+redisAddr, "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = 10 * time.Second // for children that hold its output
	return cmd
}

func runProgram(t *testing.T, redisAddr string, args ...string) (output string, status int) {
	t.Helper()
	cmd := program(t, redisAddr, args...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "DATA RACE") {
		t.Error("a process found a data race")
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// row reads a row of the table.
func row(t *testing.T, output, scenario string) (r tally) {
	t.Helper()
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) != 8 || fields[0] != scenario {
			continue
		}
		for i, into := range []*int{&r.requests, &r.keys, &r.charges, &r.replays, &r.waits, &r.takeovers, &r.refused} {
			n, err := strconv.Atoi(fields[i+1])
			if err != nil {
				t.Fatal(err)
			}
			*into = n
		}
		return r
	}
	t.Fatalf("the table has no row %q", scenario)
	return r
}

func expectEachKeyChargedOnce(t *testing.T, output string, status int) {
	t.Helper()
	if status != 0 || !strings.Contains(output, "check passed") {
		t.Fatalf("exit status %d, want 0 and a check that passed", status)
	}
	for _, scenario := range scenarios {
		r := row(t, output, scenario)
		want := r.keys
		if scenario == declined {
			want = 0
		}
		if r.charges != want {
			t.Errorf("%s: %d charges for %d keys, want %d", scenario, r.charges, r.keys, want)
		}
		switch scenario {
		case doubleClick:
			if r.replays < r.keys {
				t.Errorf("%d replays for %d double clicks", r.replays, r.keys)
			}
			if r.waits == 0 {
				t.Error("no double click waited for the other one")
			}
		case timeoutRetry:
			if r.replays == 0 {
				t.Error("no retry after a timeout got the answer of the first request")
			}
		case declined:
			if r.replays < r.keys {
				t.Errorf("%d replays of %d declined cards", r.replays, r.keys)
			}
		case gatewayBusy:
			if r.requests < r.keys*(1+busyAttempts) {
				t.Errorf("%d requests for %d keys at a busy network: its errors were replayed", r.requests, r.keys)
			}
		case otherAmount:
			if r.refused != r.keys {
				t.Errorf("%d of %d requests for another amount were refused", r.refused, r.keys)
			}
		case crash:
			if r.takeovers == 0 || r.replays == 0 {
				t.Errorf("%d takeovers and %d replays for %d killed instances", r.takeovers, r.replays, r.keys)
			}
		}
	}
}

func TestEmbeddedRedis(t *testing.T) {
	output, status := runProgram(t, "")
	expectEachKeyChargedOnce(t, output, status)
}

// Twice on one server: a run must not replay the one before.
func TestRedisServer(t *testing.T) {
	addr := redistest.Address(t)
	for range 2 {
		output, status := runProgram(t, addr)
		expectEachKeyChargedOnce(t, output, status)
	}
}

func TestNaiveChargesTwice(t *testing.T) {
	output, status := runProgram(t, "", "-naive")
	if status != 0 {
		t.Errorf("exit status %d, want 0: it shows what it is meant to show", status)
	}
	if !strings.Contains(output, "keys were charged more than once") {
		t.Error("it doesn't say how many keys were charged more than once")
	}
	for _, scenario := range []string{doubleClick, timeoutRetry, otherAmount, crash} {
		if r := row(t, output, scenario); r.charges <= r.keys {
			t.Errorf("%s: %d charges for %d keys, want double charges", scenario, r.charges, r.keys)
		}
	}
}

func TestUnreachableRedis(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	output, status := runProgram(t, addr)
	if status != 1 || !strings.Contains(output, "REPRISE_REDIS_ADDR") {
		t.Errorf("exit status %d, want 1 and an error that names REPRISE_REDIS_ADDR", status)
	}
}

// However the program ends in the middle of its work, no instance outlives it.
func TestLeavesNoProcessBehind(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal os.Signal
		status int
	}{
		{"interrupted", os.Interrupt, 1},
		{"killed", os.Kill, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := program(t, "")
			// The instances inherit its stderr, so this pipe ends with the last of them.
			output, theirs, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer output.Close()
			cmd.Stdout, cmd.Stderr = theirs, theirs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			theirs.Close()
			if err := output.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			first := make([]byte, 1) // written once the instances run
			if _, err := io.ReadFull(output, first); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				_ = cmd.Process.Kill()
				t.Skipf("no such signal here: %v", err)
			}
			rest, err := io.ReadAll(output)
			if err != nil {
				t.Errorf("a process is left: %v", err)
			}
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != c.status {
				t.Errorf("exit status %d, want %d\n%s%s", status, c.status, first, rest)
			}
		})
	}
}

// The check must see what it is there for.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	request := ChargeRequest{Amount: 1000, Currency: "eur", Source: "tok_visa"}
	setup := func(scenario, source string) (*network, played) {
		p := payment{Scenario: scenario, Account: "acct", IdempotencyKey: "key", request: request}
		p.request.Source = source
		n := newNetwork([]payment{p}, nil)
		a, _, _ := n.book(authorizationRequest{Reference: p.reference(), ChargeRequest: p.request})
		return n, played{payment: p, answers: []answer{answerFor(t, a), answerFor(t, a)}}
	}
	for _, c := range []struct {
		name, scenario, source string
		spoil                  func(n *network, r *played)
		want                   string // in the complaint; empty: none
	}{
		{"nothing", plain, "tok_visa", func(*network, *played) {}, ""},
		{"nothing, declined", declined, "tok_chargeDeclined", func(*network, *played) {}, ""},
		{"charged twice", plain, "tok_visa", func(n *network, r *played) {
			n.book(authorizationRequest{Reference: r.reference(), ChargeRequest: r.request})
		}, "charged 2 times"},
		{"declined card asked twice", declined, "tok_chargeDeclined", func(n *network, r *played) {
			n.book(authorizationRequest{Reference: r.reference(), ChargeRequest: r.request})
		}, "asked 2 times"},
		{"never charged", plain, "tok_visa", func(n *network, r *played) { delete(n.attempts, r.reference()) }, "asked 0 times"},
		{"other bytes", plain, "tok_visa", func(_ *network, r *played) { r.answers[1].body = append(r.answers[1].body, ' ') }, "different answers"},
		{"other status", plain, "tok_visa", func(_ *network, r *played) { r.answers[1].status = 201 }, "different answers"},
		{"no answer", plain, "tok_visa", func(_ *network, r *played) { r.err = context.DeadlineExceeded }, "got no answer"},
		{"no answers at all", plain, "tok_visa", func(_ *network, r *played) { r.answers = nil }, "nobody got an answer"},
		{"another charge's answer", plain, "tok_visa", func(n *network, r *played) {
			a := n.attempts[r.reference()][0]
			a.ID = "ch_another"
			r.answers = []answer{answerFor(t, a)}
		}, "the answer names"},
		{"another amount", plain, "tok_visa", func(_ *network, r *played) { r.request.Amount++ }, "asked for 1001"},
		{"declined, answered as paid", declined, "tok_chargeDeclined", func(n *network, r *played) {
			a := n.attempts[r.reference()][0]
			a.DeclineCode = ""
			r.answers = []answer{answerFor(t, a)}
		}, "the answer is 200"},
		{"other amount not refused", otherAmount, "tok_visa", func(_ *network, r *played) { r.refusals = r.answers[:1] }, "for another amount"},
		{"other amount without an answer", otherAmount, "tok_visa", func(*network, *played) {}, "for another amount got no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, r := setup(c.scenario, c.source)
			c.spoil(n, &r)
			wrong := strings.Join(check([]played{r}, n), "\n")
			if (wrong == "") != (c.want == "") || !strings.Contains(wrong, c.want) {
				t.Errorf("the check says %q, want %q", wrong, c.want)
			}
		})
	}
}

// answerFor is what the API answers for an authorization.
func answerFor(t *testing.T, a Authorization) answer {
	t.Helper()
	charge, err := a.charge()
	status, body := http.StatusOK, any(charge)
	if err != nil {
		status, body = describe(err)
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: status, body: data}
}

func TestRequestsFile(t *testing.T) {
	payments, err := readPayments(requestsFile)
	if err != nil {
		t.Fatal(err)
	}
	seen, count := map[string]bool{}, map[string]int{}
	for i, p := range payments {
		if seen[p.reference()] {
			t.Errorf("line %d: the account has used its key before", i+1)
		}
		seen[p.reference()] = true
		count[p.Scenario]++
		_, declines := declineCodes[p.request.Source]
		if declines != (p.Scenario == declined) {
			t.Errorf("line %d: scenario %s with card %s", i+1, p.Scenario, p.request.Source)
		}
		if (p.Scenario == otherAmount) != (p.OtherAmount > 0) || p.OtherAmount == p.request.Amount {
			t.Errorf("line %d: scenario %s with other_amount %d", i+1, p.Scenario, p.OtherAmount)
		}
		if p.request.Amount <= 0 || p.request.Currency == "" {
			t.Errorf("line %d: amount %d %q", i+1, p.request.Amount, p.request.Currency)
		}
	}
	for _, scenario := range scenarios {
		if count[scenario] == 0 {
			t.Errorf("no payment is a %s", scenario)
		}
		delete(count, scenario)
	}
	if len(count) > 0 {
		t.Errorf("unknown scenarios: %v", count)
	}
}

// What Redis holds of a declined card are its fields.
func TestCardErrorSurvivesAReplay(t *testing.T) {
	registry, err := replayableErrors()
	if err != nil {
		t.Fatal(err)
	}
	x, err := idempotency.New(newMemory(t), idempotency.Options{Errors: registry})
	if err != nil {
		t.Fatal(err)
	}
	operation, err := idempotency.NewOperation(x, idempotency.OperationOptions[Charge]{})
	if err != nil {
		t.Fatal(err)
	}
	var bodies [2]bytes.Buffer
	for i := range bodies {
		_, err := operation.Run(t.Context(), "key", func(context.Context) (Charge, error) {
			return Charge{}, &CardError{DeclineCode: "insufficient_funds", Charge: "ch_1"}
		})
		status, body := describe(err)
		fmt.Fprint(&bodies[i], status, body)
	}
	if bodies[0].String() != bodies[1].String() || !strings.Contains(bodies[1].String(), "insufficient") {
		t.Errorf("first answer %s, replay %s", &bodies[0], &bodies[1])
	}
}
