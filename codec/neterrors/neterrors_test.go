package neterrors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/neterrors"
)

func replay(t *testing.T, r *codec.Errors, err error) error {
	t.Helper()
	data, appendErr := r.Append(nil, err, 1<<20)
	if appendErr != nil {
		t.Fatal(appendErr)
	}
	decoded, decodeErr := r.Decode(data)
	if decodeErr != nil {
		t.Fatal(decodeErr)
	}
	return decoded.Err
}

func registry(t *testing.T) *codec.Errors {
	r, err := codec.NewErrors(neterrors.Set())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// realErrors are made by the packages themselves.
func realErrors(t *testing.T) map[string]error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().String()
	listener.Close()
	_, closed := listener.Accept()
	_, refused := net.Dial("tcp", free)

	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	client := http.Client{Timeout: 10 * time.Millisecond}
	_, clientTimeout := client.Get(silent.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, silent.URL, nil)
	_, ctxTimeout := http.DefaultClient.Do(request)
	_, refusedGet := http.Get("http://" + free)
	_, dialTimeout := (&net.Dialer{Deadline: time.Unix(1, 0)}).Dial("tcp", free)

	a, b := net.Pipe()
	a.SetDeadline(time.Unix(1, 0))
	_, pipeTimeout := a.Read(make([]byte, 1))
	a.Close()
	b.Close()
	_, parse := url.Parse("http://" + strings.TrimSuffix("[::1]", "]")) // its mistake is what is tested
	_, escape := url.QueryUnescape("%zz")
	_, cidr := net.ResolveTCPAddr("tcp", "1.2.3.4.5:99999999")
	_, unknown := net.Dial("carrier pigeon", "a")
	_, _, badCIDR := net.ParseCIDR("x")
	http.DefaultClient.CloseIdleConnections()
	return map[string]error{
		"closed": closed, "refused": refused, "client timeout": clientTimeout, "ctx timeout": ctxTimeout,
		"refused get": refusedGet, "dial timeout": dialTimeout, "pipe timeout": pipeTimeout,
		"url": parse, "escape": escape, "address": cidr, "network": unknown, "cidr": badCIDR,
		"dns": &net.DNSError{Err: "no such host", Name: "a", Server: "s", IsNotFound: true, UnwrapErr: context.DeadlineExceeded, IsTimeout: true},
		"unix": &net.OpError{
			Op: "dial", Net: "unix", Source: &net.UnixAddr{Name: "@", Net: "unix"},
			Addr: &net.UnixAddr{Name: "/s", Net: "unix"}, Err: os.NewSyscallError("connect", syscall.ENOENT),
		},
		"udp":  &net.OpError{Op: "read", Net: "udp", Addr: &net.UDPAddr{IP: net.IPv6loopback, Port: 5, Zone: ""}, Err: io.EOF},
		"ip":   &net.OpError{Op: "read", Net: "ip", Addr: &net.IPAddr{IP: net.IPv4(1, 2, 3, 4)}, Err: io.EOF},
		"none": &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded},
	}
}

func TestErrorsOfNetComeBack(t *testing.T) {
	r := registry(t)
	for name, err := range realErrors(t) {
		if err == nil {
			t.Fatalf("%s: no error to test with", name)
		}
		err = fmt.Errorf("call: %w", err)
		got := replay(t, r, err)
		if got.Error() != err.Error() {
			t.Errorf("%s: text %q, want %q", name, got, err)
		}
		for _, sentinel := range []error{
			net.ErrClosed, syscall.ECONNREFUSED, syscall.ENOENT, os.ErrDeadlineExceeded, os.ErrNotExist,
			context.DeadlineExceeded, context.Canceled, io.EOF,
		} {
			if errors.Is(err, sentinel) != errors.Is(got, sentinel) {
				t.Errorf("%s: errors.Is(%v) is %v", name, sentinel, errors.Is(got, sentinel))
			}
		}
		var want, timeout net.Error
		if errors.As(err, &want) != errors.As(got, &timeout) {
			t.Errorf("%s: net.Error: %v", name, timeout)
		} else if want != nil && (want.Timeout() != timeout.Timeout() || want.Error() != timeout.Error()) {
			t.Errorf("%s: Timeout is %v of %q, want %v of %q", name, timeout.Timeout(), timeout, want.Timeout(), want)
		}
		sameAs[*net.OpError](t, name, err, got)
		sameAs[*url.Error](t, name, err, got)
		sameAs[*net.DNSError](t, name, err, got)
		sameAs[*net.AddrError](t, name, err, got)
		sameAs[*net.ParseError](t, name, err, got)
		sameAs[url.EscapeError](t, name, err, got)
		sameAs[net.UnknownNetworkError](t, name, err, got)
		sameAs[*os.SyscallError](t, name, err, got)
		sameAs[syscall.Errno](t, name, err, got)
	}
}

func sameAs[T error](t *testing.T, name string, want, got error) {
	t.Helper()
	var w, g T
	if errors.As(want, &w) != errors.As(got, &g) {
		t.Errorf("%s: errors.As(%T) is %v", name, w, !errors.As(want, &w))
	} else if errors.As(want, &w) && w.Error() != g.Error() {
		t.Errorf("%s: %T is %q, want %q", name, w, g, w)
	}
}

func TestAddressesKeepTheirTypes(t *testing.T) {
	r := registry(t)
	for _, addr := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, &net.UDPAddr{IP: net.IPv6loopback, Port: 5},
		&net.IPAddr{IP: net.IPv4(1, 2, 3, 4)}, &net.UnixAddr{Name: "/s", Net: "unix"}, &net.TCPAddr{Port: 80}, other{},
	} {
		var got *net.OpError
		if !errors.As(replay(t, r, &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: io.EOF}), &got) {
			t.Fatalf("%v: not an OpError", addr)
		}
		if got.Source != nil || got.Addr.String() != addr.String() || got.Addr.Network() != addr.Network() {
			t.Errorf("%#v became %#v", addr, got.Addr)
		}
		_, wasTCP := addr.(*net.TCPAddr)
		if _, ok := got.Addr.(*net.TCPAddr); ok != wasTCP && addr.String() != ":80" {
			t.Errorf("%#v became %#v", addr, got.Addr)
		}
	}
}

type other struct{}

func (other) Network() string { return "tcp" }
func (other) String() string  { return "not an address" }
