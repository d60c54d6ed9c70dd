// Package sqlerrors names the errors of database/sql for [codec.NewErrors], so
// that a replayed error is still sql.ErrNoRows in another process.
//
// Errors of drivers (*pq.Error, *mysql.MySQLError, sqlite's) belong to their
// packages: register the types with [codec.ErrorTypeOf].
package sqlerrors
