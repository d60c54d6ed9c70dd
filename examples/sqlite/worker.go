package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/reprise-go/reprise/examples/sqlite/sqlitestore"
	"github.com/reprise-go/reprise/idempotency"
)

// work is what a worker process does: it books each payment that it is given.
func work(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	file := flags.String("file", "", "the database `file`")
	name := flags.String("name", "worker", "what this process calls itself")
	takes := flags.Duration("takes", 0, "how long a payment takes after it was booked")
	lease := flags.Duration("lease", 30*time.Second, "the lease")
	ask := flags.Bool("ask", false, "finish a payment only when a byte comes in, instead of after some time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(out, "%-7s (process %d): %s\n", *name, os.Getpid(), fmt.Sprintf(format, args...))
	}

	store, err := sqlitestore.Open(*file, sqlitestore.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	books, err := openBank(ctx, *file)
	if err != nil {
		return err
	}
	defer books.Close()
	charge, err := chargeOperation(store, *lease)
	if err != nil {
		return err
	}

	for _, key := range flags.Args() {
		result, err := charge.Do(ctx, idempotency.Call{Key: key}, func(ctx context.Context) (Receipt, error) {
			receipt, err := books.charge(ctx, key, 4200)
			say("%s: charging", key)
			if *ask {
				in.Read(make([]byte, 1))
			}
			select {
			case <-time.After(*takes):
			case <-ctx.Done():
				return Receipt{}, ctx.Err()
			}
			return receipt, err
		})
		if err != nil {
			return err
		}
		say("%s: %s, receipt %d over %d cents, attempt %d", key, result.Outcome, result.Value.Number, result.Value.Cents, result.Attempt)
	}
	return nil
}

func chargeOperation(store *sqlitestore.Store, lease time.Duration) (*idempotency.Operation[Receipt], error) {
	payments, err := idempotency.New(store, idempotency.Options{Namespace: "payments", Lease: lease})
	if err != nil {
		return nil, err
	}
	return idempotency.NewOperation(payments, idempotency.OperationOptions[Receipt]{Name: "charge"})
}
