package neterrors

import (
	"net"
	"net/url"

	"github.com/reprise-go/reprise/codec"
)

// Set returns the sentinels net.ErrClosed and net.ErrWriteToConnected, and the
// error types of net and net/url, each under its own name ("net.OpError").
func Set() codec.ErrorSet {
	return codec.ErrorSet{
		Sentinels: map[string]error{
			"net.ErrClosed":           net.ErrClosed,
			"net.ErrWriteToConnected": net.ErrWriteToConnected,
		},
		Types: []codec.ErrorType{
			codec.ErrorTypeOf("net.AddrError", codec.ErrorTypeOptions[*net.AddrError]{}),
			codec.ErrorTypeOf("net.DNSConfigError", codec.ErrorTypeOptions[*net.DNSConfigError]{}),
			codec.ErrorTypeOf("net.DNSError", codec.ErrorTypeOptions[*net.DNSError]{}),
			codec.ErrorTypeOf("net.InvalidAddrError", codec.ErrorTypeOptions[net.InvalidAddrError]{}),
			codec.ErrorTypeOf("net.OpError", codec.ErrorTypeOptions[*net.OpError]{
				Encode: encodeOpError, Decode: decodeOpError,
			}),
			codec.ErrorTypeOf("net.ParseError", codec.ErrorTypeOptions[*net.ParseError]{}),
			codec.ErrorTypeOf("net.UnknownNetworkError", codec.ErrorTypeOptions[net.UnknownNetworkError]{}),
			codec.ErrorTypeOf("url.Error", codec.ErrorTypeOptions[*url.Error]{}),
			codec.ErrorTypeOf("url.EscapeError", codec.ErrorTypeOptions[url.EscapeError]{}),
			codec.ErrorTypeOf("url.InvalidHostError", codec.ErrorTypeOptions[url.InvalidHostError]{}),
		},
	}
}
