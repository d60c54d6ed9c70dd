// Package soak is a test; it exports nothing.
package soak
