package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes the test binary the program itself: with -race, its processes
// look for races too.
const asProgram = "API_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

func program(args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(os.Args[0], args...)
	// Without GORACE each process sleeps for a second before it ends.
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0 halt_on_error=1 exitcode=66")
	return cmd, nil
}

// client is somebody who uses the API of a demo.
type client struct {
	*demo
	t    *testing.T
	http *http.Client
}

// start starts everything, with a card network that takes no time.
func start(t *testing.T) *client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, err := startDemo(t.Context(), listener, program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	d.flip(switches{})
	return &client{demo: d, t: t, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// answer is what a request was answered.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	replayed bool
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

// at is the URL of a path at an instance, or with zero at the load balancer.
func (c *client) at(instance int, path string) string {
	if instance == 0 {
		return c.url + path
	}
	return "http://" + net.JoinHostPort("127.0.0.1", c.lanes[instance-1]) + path
}

// send sends a request once.
func (c *client) send(method, url, key, body string, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(c.t.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	// An unset GetBody keeps net/http from sending it again by itself.
	r.GetBody = nil
	if key != "" {
		r.Header.Set(keyHeader, key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header, replayed: response.Header.Get("Idempotency-Replayed") == "true"}
	a.body, err = io.ReadAll(response.Body)
	return a, err
}

// post sends a request that must be answered.
func (c *client) post(instance int, path, key, body string) answer {
	c.t.Helper()
	a, err := c.send(http.MethodPost, c.at(instance, path), key, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *client) get(path string) answer {
	c.t.Helper()
	a, err := c.send(http.MethodGet, c.url+path, "", "")
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

const patience = time.Minute // generous, for busy machines

// insist sends a request until there is a final answer, as the page does: after
// an error to the next instance, with the same key and the same body.
func (c *client) insist(instance int, path, key, body string) (a answer, tries int) {
	c.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		tries++
		a, err = c.send(http.MethodPost, c.at((instance-1)%len(clients)+1, path), key, body, tryHeader, strconv.Itoa(tries))
		if err == nil && !slices.Contains([]int{409, 429, 502, 503, 504}, a.status) {
			return a, tries
		}
		instance++
		time.Sleep(20 * time.Millisecond) // a backoff
	}
	c.t.Errorf("no final answer after %d tries: %d %s %v", tries, a.status, a.body, err)
	return a, tries
}

// atOnce sends a request n times at once, to one instance after the other, until
// each has its answer.
func (c *client) atOnce(n int, path, key, body string) []answer {
	c.t.Helper()
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i], _ = c.insist(i%len(clients)+1, path, key, body) })
	}
	wg.Wait()
	return answers
}

// order makes an order and returns its ID and the body of a payment for it.
func (c *client) order() (id, payment string) {
	c.t.Helper()
	a, _ := c.insist(1, "/v1/orders", "order-"+strconv.FormatInt(time.Now().UnixNano(), 36), `{"amount": 4200, "currency": "usd"}`)
	if a.status != http.StatusOK {
		c.t.Fatalf("order: %d %s", a.status, a.body)
	}
	var order Order
	a.into(c.t, &order)
	return order.ID, paymentOf(order.ID, 4200, "tok_visa")
}

func paymentOf(order string, amount int, source string) string {
	body, _ := json.Marshal(PaymentRequest{Order: order, Amount: int64(amount), Currency: "usd", Source: source})
	return string(body)
}

// state is what the page shows.
func (c *client) state() change {
	change, _ := c.board.since(0)
	return change
}

// account is what the ledger says of an order.
func (c *client) account(order string) account {
	c.t.Helper()
	for _, a := range c.state().Accounts {
		if a.Order == order {
			return a
		}
	}
	c.t.Fatalf("no account of order %s", order)
	return account{}
}

// rows are the requests with a key, without those that are under way.
func (c *client) rows(key string) (rows []row) {
	for _, r := range c.state().Rows {
		if r.Key == key {
			rows = append(rows, r)
		}
	}
	return rows
}

// until waits for something.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// outcomes counts how the requests with a key got their answers, once all have
// been reported.
func (c *client) outcomes(key string) map[string]int {
	c.t.Helper()
	until(c.t, "every request is reported", func() bool {
		return !slices.ContainsFunc(c.rows(key), func(r row) bool { return r.Ended == 0 || r.Outcome == "" && !r.Died && r.Fate != "down" })
	})
	counts := map[string]int{}
	for _, r := range c.rows(key) {
		counts[r.Outcome]++
	}
	return counts
}

// same checks that all answers are the same receipt.
func same(t *testing.T, answers []answer) {
	t.Helper()
	for _, a := range answers {
		if a.status != http.StatusOK || !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("answers differ: %d %s\nand %d %s", answers[0].status, answers[0].body, a.status, a.body)
		}
	}
}
