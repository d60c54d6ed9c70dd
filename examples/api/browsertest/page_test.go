package browsertest

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	payable  = `!document.querySelector("#pay").disabled`
	answered = `!document.querySelector("#result").innerText.includes("for an answer") && document.querySelector("#result").innerText.includes("press")`
	quiet    = `![...document.querySelectorAll(".rows tbody tr")].some(tr => ["runs", "waits", "on its way"].includes(tr.querySelector(".how").innerText))`
)

// count reads one of the page's counters.
func (b *tab) count(name string) int {
	b.t.Helper()
	return read[int](b, fmt.Sprintf(`Number(document.querySelector("#n-%s").innerText)`, name))
}

// rows counts the rows of payments for which a test on the row tr holds.
func (b *tab) rows(test string) int {
	b.t.Helper()
	return read[int](b, payments(test))
}

// payments is the expression for how many rows of payments pass a test.
func payments(test string) string {
	return `[...document.querySelectorAll(".burst")].filter(s => s.querySelector("h3").innerText.startsWith("Payment"))
		.flatMap(s => [...s.querySelectorAll("tbody tr")]).filter(tr => ` + test + `).length`
}

// charges is what the ledger says of the order that is being paid.
func (b *tab) charges() int {
	b.t.Helper()
	return read[int](b, `Number(document.querySelector("#ledger tr.mine").dataset.charges)`)
}

func (b *tab) payTen() {
	b.t.Helper()
	b.click("#pay-ten")
	b.until(`document.querySelector("#result").innerText.includes("for an answer")`)
	b.until(answered)
	b.until(quiet)
}

// newOrder asks for another order, and waits for it.
func (b *tab) newOrder() {
	b.t.Helper()
	before := b.text("#order")
	b.click("#new-order")
	b.until(fmt.Sprintf(`document.querySelector("#order").innerText !== %q && %s`, before, payable))
}

func TestPressManyTimesOnABadNetwork(t *testing.T) {
	b := open(t, program(t))
	b.until(payable)
	b.until(`document.querySelector("#live").innerText === "live"`)

	b.click("[name='browser.lose']")
	b.choose("arm", "kill")
	b.until(`document.querySelector("[name=arm][value=kill]").checked && document.querySelector("[name='browser.lose']").checked`)
	b.payTen()

	if got := b.charges(); got != 1 {
		t.Errorf("the ledger has %d charges", got)
	}
	if got := read[string](b, `document.querySelector("#promise").dataset.tone`); got != "good" {
		t.Errorf("the promise: %s", b.text("#promise"))
	}
	if got := read[string](b, `document.querySelector("#result").dataset.tone`); got != "good" {
		t.Errorf("the presses: %s", b.text("#result"))
	}
	requests, ran, died := b.count("requests"), b.count("ran"), b.rows(`tr.querySelector(".fate").innerText.includes("died")`)
	if ran != 1 || b.count("double") != 0 || b.count("charges") != 1 || b.count("takeovers") != 1 {
		t.Errorf("the counters: %s", b.text("#counters"))
	}
	if b.count("lost") == 0 || b.count("retries") == 0 || requests <= 10 {
		t.Errorf("a bad network, but: %s", b.text("#counters"))
	}
	// A row for each request, read at one moment: one that the browser has given up
	// may still arrive. Whatever didn't die waited, was replayed, or took over.
	if missing := read[int](b, `Number(document.querySelector("#n-requests").innerText) - `+payments("true")); missing != 0 {
		t.Errorf("%d requests without a row", missing)
	}
	if died == 0 {
		t.Error("no row says that its instance died")
	}
	if odd := b.rows(`!["waited", "replayed", "executed"].includes(tr.dataset.outcome === "joined" ? "waited" : tr.dataset.outcome) && tr.dataset.fate !== "down"`); odd != 0 {
		t.Errorf("%d rows of another kind: %s", odd, b.text("#timeline"))
	}
	if got := b.rows(`tr.querySelector(".how").innerText.includes("took over, found it")`); got != 1 {
		t.Errorf("%d rows took over: %s", got, b.text("#timeline"))
	}
	b.shoot("bad-network", 1380, 1000)
	b.quiet()
}

func TestWaitAndReplay(t *testing.T) {
	b := open(t, program(t))
	b.until(payable)
	b.payTen()
	b.click("#pay") // once more, when all is over
	b.until(`document.querySelector("#result").innerText.startsWith("11 presses")`)
	if got := b.rows(`tr.dataset.outcome === "executed"`); got != 1 {
		t.Errorf("%d rows ran", got)
	}
	if got := b.rows(`["joined", "waited", "replayed"].includes(tr.dataset.outcome)`); got != 10 {
		t.Errorf("%d rows waited or were replayed", got)
	}
	if b.count("waited") == 0 || b.count("replayed") == 0 || b.charges() != 1 {
		t.Errorf("the counters: %s, charges: %d", b.text("#counters"), b.charges())
	}

	// The same key for another amount is refused, and so shown.
	b.do(chromedp.SetValue("#amount", "43.00"), chromedp.Click("#pay"))
	b.until(`document.querySelector("#result").innerText.includes("422")`)
	b.until(`Number(document.querySelector("#n-refused").innerText) === 1`)
	if got := b.charges(); got != 1 {
		t.Errorf("%d charges", got)
	}
	b.quiet()
}

func TestWithoutTheLibrary(t *testing.T) {
	b := open(t, program(t))
	b.until(payable)
	order := b.text("#order")
	b.choose("mode", "without")
	b.until(fmt.Sprintf(`document.querySelector("#order").innerText !== %q && %s`, order, payable))
	b.payTen()
	if got := b.charges(); got < 10 || b.count("double") != got-1 {
		t.Errorf("10 presses without the library: %d charges, %d too many", got, b.count("double"))
	}
	if got := read[string](b, `document.querySelector("#promise").dataset.tone`); got != "bad" {
		t.Errorf("the promise: %s", b.text("#promise"))
	}
	if got := b.rows(`tr.dataset.outcome === "unprotected"`); got < 10 {
		t.Errorf("%d unprotected rows", got)
	}
	b.shoot("without", 1380, 1000)
	b.quiet()
}

// Everything can be done from the keyboard, in the order of the page.
func TestKeyboard(t *testing.T) {
	b := open(t, program(t))
	b.until(payable)
	seen := map[string]bool{}
	for range 60 {
		b.do(chromedp.KeyEvent(kb.Tab))
		seen[read[string](b, `(e => e.id || e.name || e.getAttribute("aria-label") || "")(document.activeElement)`)] = true
	}
	for _, want := range []string{"new-order", "amount", "key", "mode", "pay", "pay-ten", "all-bad", "browser.lose", "network.cut", "latency", "declines", "arm",
		"Kill instance 1", "Pause instance 3", "reset", "Ledger"} {
		if !seen[want] {
			t.Errorf("Tab doesn't come to %q; it comes to %v", want, seen)
		}
	}
	b.do(chromedp.Focus("#pay"), chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelector("#result").innerText.startsWith("1 press,")`)
	if b.charges() != 1 {
		t.Errorf("Enter on Pay: %d charges", b.charges())
	}
	b.quiet()
}

// A person may have the page narrow, dark, or both; nothing lies outside of it.
func TestLooks(t *testing.T) {
	b := open(t, program(t))
	b.until(payable)
	b.click("#latency")
	b.payTen()
	b.newOrder()
	b.click("[name='browser.lose']")
	b.choose("arm", "kill")
	b.until(`document.querySelector("[name=arm][value=kill]").checked`)
	b.payTen()
	b.click("[name='browser.lose']")
	for _, dark := range []bool{false, true} {
		name := "light"
		if dark {
			name = "dark"
		}
		b.dark(dark)
		background := read[string](b, `getComputedStyle(document.body).backgroundColor`)
		if want := map[bool]string{false: "rgb(244, 244, 241)", true: "rgb(19, 21, 18)"}[dark]; background != want {
			t.Errorf("%s: the background is %s, want %s", name, background, want)
		}
		for _, width := range []int64{1380, 820, 390} {
			b.shoot(fmt.Sprintf("%s-%d", name, width), width, 1000)
			if wide := read[int64](b, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s: the page is %d wide in a window of %d", name, wide, width)
			}
		}
		b.shoot(name+"-1200", 1200, 980)
	}
	b.quiet()
}
