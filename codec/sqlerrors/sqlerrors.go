package sqlerrors

import (
	"database/sql"
	"database/sql/driver"

	"github.com/reprise-go/reprise/codec"
)

// Set returns sql.ErrNoRows, ErrTxDone and ErrConnDone, and driver.ErrBadConn,
// ErrSkip and ErrRemoveArgument, each under its own name ("sql.ErrNoRows").
func Set() codec.ErrorSet {
	return codec.ErrorSet{Sentinels: map[string]error{
		"sql.ErrConnDone":          sql.ErrConnDone,
		"sql.ErrNoRows":            sql.ErrNoRows,
		"sql.ErrTxDone":            sql.ErrTxDone,
		"driver.ErrBadConn":        driver.ErrBadConn,
		"driver.ErrRemoveArgument": driver.ErrRemoveArgument,
		"driver.ErrSkip":           driver.ErrSkip,
	}}
}
