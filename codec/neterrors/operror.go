package neterrors

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
)

// opError is a net.OpError without its cause.
type opError struct {
	Op, Net      string
	Source, Addr *address `json:",omitempty"`
}

// address stands for addresses that have no type in package net, or whose text
// it can't parse.
type address struct {
	Net, Text string
}

func (a *address) Network() string { return a.Net }
func (a *address) String() string  { return a.Text }

func encodeOpError(e *net.OpError) ([]byte, error) {
	return json.Marshal(opError{e.Op, e.Net, describe(e.Source), describe(e.Addr)})
}

var errNoCause = errors.New("its cause is gone, without which net.OpError can't print itself")

func decodeOpError(data []byte, causes []error) (*net.OpError, error) {
	var o opError
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, err
	}
	if len(causes) == 0 {
		return nil, errNoCause
	}
	return &net.OpError{Op: o.Op, Net: o.Net, Source: parse(o.Source), Addr: parse(o.Addr), Err: causes[0]}, nil
}

func describe(a net.Addr) *address {
	if a == nil {
		return nil
	}
	return &address{a.Network(), a.String()}
}

// parse never resolves a name.
func parse(a *address) net.Addr {
	if a == nil {
		return nil
	}
	var parsed net.Addr
	switch {
	case strings.HasPrefix(a.Net, "unix"):
		parsed = &net.UnixAddr{Net: a.Net, Name: a.Text}
	case a.Net == "tcp":
		if ap, err := netip.ParseAddrPort(a.Text); err == nil {
			parsed = net.TCPAddrFromAddrPort(ap)
		}
	case a.Net == "udp":
		if ap, err := netip.ParseAddrPort(a.Text); err == nil {
			parsed = net.UDPAddrFromAddrPort(ap)
		}
	case a.Net == "ip":
		if ip, err := netip.ParseAddr(a.Text); err == nil {
			parsed = &net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
		}
	}
	if parsed == nil || parsed.String() != a.Text {
		return a
	}
	return parsed
}
