// Package conformance checks that a backend keeps the contract of package backend.
package conformance
