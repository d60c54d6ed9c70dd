package main

import (
	"context"
	"database/sql"
	"net/url"

	"github.com/reprise-go/reprise/idempotency"
)

// Receipt is the answer of a payment.
type Receipt struct {
	Number int64
	Cents  int
}

// bank is the application's own part of the file. The effect of the action is in
// the same database as the records, in a transaction of its own.
type bank struct{ *sql.DB }

const tablesSQL = `
CREATE TABLE IF NOT EXISTS payments (
	number INTEGER PRIMARY KEY,
	key    TEXT    NOT NULL UNIQUE, -- this makes the effect happen once
	cents  INTEGER NOT NULL,
	fence  INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS runs (key TEXT NOT NULL, attempt INTEGER NOT NULL)`

func openBank(ctx context.Context, file string) (bank, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_txlock=immediate&_busy_timeout=5000")
	if err != nil {
		return bank{}, err
	}
	if _, err := db.ExecContext(ctx, tablesSQL); err != nil {
		db.Close()
		return bank{}, err
	}
	return bank{db}, nil
}

// charge books the payment. It may run again, when its process died before its
// answer was recorded, or beside another run of itself, when its process was
// paused for longer than its lease: the row decides, and all runs return the same
// receipt.
func (b bank) charge(ctx context.Context, key string, cents int) (Receipt, error) {
	execution, _ := idempotency.ExecutionOf(ctx)
	tx, err := b.BeginTx(ctx, nil)
	if err != nil {
		return Receipt{}, err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `INSERT INTO payments (key, cents, fence) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING`,
		key, cents, int64(execution.Fence)); err != nil {
		return Receipt{}, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO runs (key, attempt) VALUES (?, ?)`, key, execution.Attempt); err != nil {
		return Receipt{}, err
	}
	var receipt Receipt
	if err := tx.QueryRowContext(ctx, `SELECT number, cents FROM payments WHERE key = ?`, key).
		Scan(&receipt.Number, &receipt.Cents); err != nil {
		return Receipt{}, err
	}
	return receipt, tx.Commit()
}
