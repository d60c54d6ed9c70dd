package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/examples/sqlite/sqlitestore"
	"github.com/reprise-go/reprise/idempotency"
)

// TestMain lets the tests' processes be this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheProgramShowsOneExecutionAndOneReplay(t *testing.T) {
	var out bytes.Buffer
	if err := show(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"charging", "executed, receipt 1 over 4200 cents, attempt 1", "waited, receipt 1 over 4200 cents, attempt 1"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("not said once: %q; it said:\n%s", want, out.String())
		}
	}
}

// call runs one payment in this process, beside the workers.
func call(ctx context.Context, t *testing.T, file, key string, lease time.Duration) (idempotency.Result[Receipt], error) {
	t.Helper()
	store, err := sqlitestore.Open(file, sqlitestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	charge, err := chargeOperation(store, lease)
	if err != nil {
		t.Fatal(err)
	}
	books := testBank(t, file)
	return charge.Do(ctx, idempotency.Call{Key: key}, func(ctx context.Context) (Receipt, error) {
		return books.charge(ctx, key, 4200)
	})
}

func testBank(t *testing.T, file string) bank {
	t.Helper()
	books, err := openBank(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { books.Close() })
	return books
}

func (b bank) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := b.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestManyProcessesRunEachKeyOnce(t *testing.T) {
	const processes, keys = 4, 25
	file := filepath.Join(t.TempDir(), "bank.db") // made by all of them at once
	args := []string{"-file", file}
	for i := range keys {
		args = append(args, fmt.Sprintf("payment-%d", i))
	}
	var wait []func() error
	for range processes {
		worker, said, err := startWorker(t.Context(), nil, args...)
		if err != nil {
			t.Fatal(err)
		}
		lines := make(chan []string, 1)
		go func() {
			var all []string
			for said.Scan() {
				all = append(all, said.Text())
			}
			lines <- all
		}()
		wait = append(wait, func() error {
			<-lines // the pipe must be read to its end before Wait
			return worker.Wait()
		})
	}
	for _, done := range wait {
		if err := done(); err != nil {
			t.Error(err)
		}
	}
	books := testBank(t, file)
	if runs, payments := books.count(t, "runs"), books.count(t, "payments"); runs != keys || payments != keys {
		t.Errorf("%d keys ran %d times and made %d payments", keys, runs, payments)
	}
}

// The holder dies after its effect was committed and before its answer was
// recorded: the worst moment.
func TestAHolderThatIsKilledIsTakenOver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bank.db")
	worker, said, err := startWorker(t.Context(), nil, "-file", file, "-lease", "1s", "-takes", "1h", "payment-1")
	if err != nil {
		t.Fatal(err)
	}
	if !said.Scan() || !strings.Contains(said.Text(), "charging") {
		t.Fatalf("the holder said %q", said.Text())
	}
	worker.Process.Kill()
	if err := worker.Wait(); err == nil {
		t.Fatal("the holder lived to tell")
	}

	result, err := call(t.Context(), t, file, "payment-1", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if result.Attempt != 2 || result.Value.Number != 1 {
		t.Errorf("the successor got receipt %d as attempt %d; want 1 as attempt 2", result.Value.Number, result.Attempt)
	}
	books := testBank(t, file)
	if runs, payments := books.count(t, "runs"), books.count(t, "payments"); runs != 2 || payments != 1 {
		t.Errorf("%d runs made %d payments; want 2 and 1", runs, payments)
	}
}

// The lease is an hour long, so that only the wake-up of the other process can end
// the wait before the deadline: the look after backend.MaxSleep comes later.
func TestACommitWakesAnotherProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bank.db")
	release, stdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	worker, said, err := startWorker(t.Context(), release, "-file", file, "-lease", "1h", "-ask", "payment-1")
	if err != nil {
		t.Fatal(err)
	}
	release.Close()
	if !said.Scan() {
		t.Fatal("the holder said nothing")
	}
	type answer struct {
		result idempotency.Result[Receipt]
		err    error
	}
	answers := make(chan answer, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	go func() {
		result, err := call(ctx, t, file, "payment-1", time.Hour)
		answers <- answer{result, err}
	}()
	select {
	case a := <-answers:
		t.Fatalf("the waiter didn't wait: %+v", a)
	case <-time.After(300 * time.Millisecond): // it may have begun to wait by now; if not, it sees the answer at once
	}
	committed := time.Now()
	if _, err := stdin.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	a := <-answers
	if a.err != nil || a.result.Attempt != 1 || !a.result.Replayed {
		t.Errorf("the waiter got %+v", a)
	}
	t.Logf("woken %v after the holder was let go", time.Since(committed))
	for said.Scan() {
	}
	if err := worker.Wait(); err != nil {
		t.Error(err)
	}
}
