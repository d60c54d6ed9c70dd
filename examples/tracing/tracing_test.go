package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes the test binary the program itself: with -race, its processes
// look for races too.
const asProgram = "TRACING_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

// program is the command of the whole example.
func program(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OTEL_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	// Without GORACE each of its processes sleeps for a second before it ends.
	cmd.Env = append(append(cmd.Env, asProgram+"=1", "REPRISE_REDIS_ADDR=", "GORACE=atexit_sleep_ms=0"), environment...)
	cmd.WaitDelay = 10 * time.Second // for children that hold its output
	return cmd
}

func runProgram(t *testing.T, environment []string, args ...string) (output string, status int) {
	t.Helper()
	cmd := program(t, environment, args...)
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

// collector takes OTLP/HTTP as the specification has it, and not as this program
// writes it.
type collector struct {
	mu     sync.Mutex
	bodies bytes.Buffer
	spans  []*received
	header http.Header
}

type received struct {
	instance          string // service.instance.id
	TraceId, SpanId   string
	ParentSpanId      string
	Name              string
	Kind              int
	StartTimeUnixNano json.Number
	EndTimeUnixNano   json.Number
	Attributes        []receivedAttribute
	Events            []json.RawMessage
	Links             []struct {
		TraceId, SpanId string
		Flags           uint32
	}
	Status struct {
		Code    int
		Message string
	}
}

type receivedAttribute struct {
	Key   string
	Value struct {
		StringValue *string
		IntValue    *string // 64-bit integers are strings
		BoolValue   *bool
		DoubleValue *float64
	}
}

func stringOf(attributes []receivedAttribute, key string) string {
	for _, a := range attributes {
		if a.Key == key && a.Value.StringValue != nil {
			return *a.Value.StringValue
		}
	}
	return ""
}

func newCollector(t *testing.T) (*collector, string) {
	c := new(collector)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return c, server.URL
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []receivedAttribute }
			ScopeSpans []struct {
				Scope struct{ Name string }
				Spans []*received
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "no OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies.Write(body)
	c.header = r.Header
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				s.instance = stringOf(resource.Resource.Attributes, "service.instance.id")
				c.spans = append(c.spans, s)
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// calls are the received spans of calls, by the step of the story.
func (c *collector) calls(t *testing.T) map[string]*received {
	t.Helper()
	byTrace := map[string]string{}
	for _, s := range c.spans {
		if step := stringOf(s.Attributes, stepAttribute); step != "" {
			byTrace[s.TraceId] = step
		}
	}
	calls := map[string]*received{}
	for _, s := range c.spans {
		if s.Name == "idempotency.run charge" {
			calls[byTrace[s.TraceId]] = s
		}
	}
	return calls
}

var secrets = []string{keyRetried, keyDeclined, keyOrphaned, "pay_", "ch_", "tok_", "4200", "4201", "9900"}

func expectNothingPrivate(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range secrets {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s holds %q: ...%s...", what, secret, text[max(at-60, 0):min(at+60, len(text))])
		}
	}
}

var hexIDs = regexp.MustCompile(`[0-9a-f]{16,32}|[0-9]{4,}`)

func TestTracesLeadToTheExecution(t *testing.T) {
	c, url := newCollector(t)
	file := filepath.Join(t.TempDir(), "trace.svg")
	began := time.Now()
	output, status := runProgram(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_EXPORTER_OTLP_HEADERS=api-key=a%2Cb"}, "-svg", file)
	if status != 0 {
		t.Fatalf("exit status %d, want 0", status)
	}
	t.Logf("took %v", time.Since(began))
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.header.Get("Api-Key"); got != "a,b" {
		t.Errorf("the collector got the header api-key: %q", got)
	}

	calls := c.calls(t)
	for _, want := range []struct {
		step, instance string
		outcomes       string
		linksTo        string // the step whose call it leads to
	}{
		{"charge", "api-1", "executed", ""},
		{"click", "api-1", "joined", "charge"},
		{"retry", "api-2", "waited", "charge"},
		{"late", "api-2", "replayed", "charge"},
		{"other", "api-2", "refused", ""},
		{"decline", "api-2", "executed", ""},
		{"again", "api-1", "replayed", "decline"},
		{"takeover", "api-2", "waited replayed", ""},
		{"last", "api-1 restarted", "replayed", "takeover"},
	} {
		call := calls[want.step]
		if call == nil {
			t.Errorf("no call %q was exported", want.step)
			continue
		}
		if call.instance != want.instance {
			t.Errorf("call %q is of %s, want %s", want.step, call.instance, want.instance)
		}
		if got := stringOf(call.Attributes, "idempotency.outcome"); !strings.Contains(want.outcomes, got) || got == "" {
			t.Errorf("call %q: outcome %q, want %q", want.step, got, want.outcomes)
		}
		if want.linksTo == "" {
			continue
		}
		to := calls[want.linksTo]
		if len(call.Links) != 1 || to == nil || call.Links[0].SpanId != to.SpanId || call.Links[0].TraceId != to.TraceId || call.TraceId == to.TraceId {
			t.Errorf("call %q has links %+v, want one to %+v", want.step, call.Links, to)
		}
	}

	// The call of the killed process was never exported, its claim was.
	if calls["crash"] != nil {
		t.Error("the call of the killed process was exported")
	}
	led := false
	for _, s := range c.spans {
		if s.Name != "idempotency.reconcile" {
			continue
		}
		for _, claim := range c.spans {
			led = led || claim.Name == "idempotency.claim" && claim.instance == "api-1" && len(s.Links) == 1 &&
				claim.ParentSpanId == s.Links[0].SpanId && claim.TraceId == s.Links[0].TraceId
		}
	}
	if !led {
		t.Error("no reconcile leads to the call of the killed process")
	}
	for _, s := range c.spans {
		if len(s.Events) > 0 || s.Status.Message != "" {
			t.Errorf("span %q has events %s and status %q", s.Name, s.Events, s.Status.Message)
		}
	}

	// Every link of the tree names what it leads to.
	links := regexp.MustCompile(`(?m)^ +-> link to ([0-9a-f]{32})/([0-9a-f]{16}): (.+)$`).FindAllStringSubmatch(output, -1)
	if len(links) != 7 {
		t.Errorf("%d links in the tree, want 7", len(links))
	}
	for i, want := range []string{
		"idempotency.run charge of api-1, in trace 1", "idempotency.run charge of api-1, in trace 1",
		"idempotency.run charge of api-1, in trace 1", "idempotency.run charge of api-2, in trace 6",
		"idempotency.run charge of api-1, in trace 8", "idempotency.run charge of api-1, in trace 8",
		"idempotency.run charge of api-2, in trace 9",
	} {
		if i < len(links) && links[i][3] != want {
			t.Errorf("link %d leads to %q, want %q", i+1, links[i][3], want)
		}
	}
	if charge := calls["charge"]; charge != nil && !strings.Contains(output, "link to "+charge.TraceId+"/"+charge.SpanId) {
		t.Error("the tree's links have other IDs than those that were exported")
	}

	picture, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expectPicture(t, picture)
	expectNothingPrivate(t, "the output", hexIDs.ReplaceAllString(output, "#"))
	expectNothingPrivate(t, "the picture", hexIDs.ReplaceAllString(string(picture), "#"))
	expectNothingPrivate(t, "what was exported", hexIDs.ReplaceAllString(c.bodies.String(), "#"))
}

// expectPicture checks that a picture is XML with the bars and arrows of the
// story.
func expectPicture(t *testing.T, picture []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(picture))
	decoder.Strict = true
	elements, classes := map[string]int{}, map[string]int{}
	var text strings.Builder
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				if a.Name.Local == "class" {
					classes[a.Value]++
				}
			}
		case xml.CharData:
			text.Write(token)
		}
	}
	// Six links and the legend's; seven calls and the legend's.
	for class, want := range map[string]int{"link": 7, "call": 8, "killed": 3, "reconcile": 2, "block": 5} {
		if classes[class] != want {
			t.Errorf("the picture has %d elements of class %q, want %d", classes[class], class, want)
		}
	}
	for _, want := range []string{"api-1", "api-2", "api-1 restarted", "executed", "joined", "waited", "replayed", "killed", panelRetries, panelCrash} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the picture doesn't say %q", want)
		}
	}
	if strings.Contains(text.String(), "NaN") || bytes.Contains(picture, []byte("Inf")) {
		t.Error("the picture has coordinates that are no numbers")
	}
}

// The picture in the README is what the program draws.
func TestPictureInTheREADME(t *testing.T) {
	picture, err := os.ReadFile("trace.svg")
	if err != nil {
		t.Fatal(err)
	}
	expectPicture(t, picture)
	if !bytes.Contains(picture, []byte(escape(pictureStyle))) {
		t.Error("trace.svg is of another version: go run ./examples/tracing -svg examples/tracing/trace.svg")
	}
}

func TestCollectorThatDoesNotAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()
	output, status := runProgram(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url})
	if status != 1 || !strings.Contains(output, "collector") || !strings.Contains(output, "4318") || !strings.Contains(output, "-> link to") {
		t.Errorf("exit status %d, want 1, the traces, and an error that names the collector", status)
	}
}

func TestBadEnvironment(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	for _, c := range []struct{ variable, value, want string }{
		{"REPRISE_REDIS_ADDR", nobody, "REPRISE_REDIS_ADDR"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"},
	} {
		if output, status := runProgram(t, []string{c.variable + "=" + c.value}); status != 1 || !strings.Contains(output, c.want) {
			t.Errorf("%s=%s: exit status %d, want 1 and an error that names the variable", c.variable, c.value, status)
		}
	}
}

// However the program ends in the middle of its work, no process outlives it.
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
			cmd := program(t, nil)
			// The processes inherit its stderr, so this pipe ends with the last of them.
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
			first := make([]byte, 1) // written once Redis runs
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
func TestCheckFindsAWrongOutcome(t *testing.T) {
	trace := func(outcome string) *requestTrace {
		call := &span{otlpSpan: otlpSpan{SpanID: "2", ParentID: "1", Attributes: []otlpAttribute{
			{Key: "idempotency.outcome", Value: otlpValue{String: &outcome}},
		}}}
		return &requestTrace{
			request: request{want: []string{"replayed"}}, root: &span{otlpSpan: otlpSpan{SpanID: "1"}},
			children: map[string][]*span{"1": {call}},
		}
	}
	if err := checkOutcomes([]*requestTrace{trace("replayed")}); err != nil {
		t.Error(err)
	}
	for _, wrong := range []*requestTrace{trace("executed"), trace(""), {request: request{want: []string{"replayed"}}}} {
		if checkOutcomes([]*requestTrace{wrong}) == nil {
			t.Error("a wrong outcome passed the check")
		}
	}
}
