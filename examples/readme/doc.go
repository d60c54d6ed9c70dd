// Package readme holds the code of the README, so that it is compiled: the test
// checks that every Go block there stands in a file here.
package readme
