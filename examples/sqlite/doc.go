// Command sqlite shows two processes that share one SQLite file: both book the
// same payment; one does, and the other waits for it and gets the same receipt.
// No server is needed:
//
//	go run .
//
// The store is in folder sqlitestore; README.md is the guide to it.
package main
