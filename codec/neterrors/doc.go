// Package neterrors names the errors of net and net/url for [codec.NewErrors], so
// that a replayed error is still a *url.Error, a *net.OpError or net.ErrClosed in
// another process. It is a package of its own because codec doesn't need net.
//
// What [net.Error] asks for needs no set: whether an error is a timeout is kept
// of every error, registered or not.
//
// # What gets lost
//
// The addresses in a *net.OpError are the types of package net again where their
// text can be parsed (TCP, UDP, IP, Unix), and otherwise an address with the same
// network and text. The error in a *net.DNSConfigError, *net.OpError or
// *url.Error is rebuilt like any other: the syscall.Errno in it is one again on a
// system that has an error of the same text.
package neterrors
