package idemhttp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"

	"github.com/reprise-go/reprise/codec"
)

// Codec is how responses are recorded: for an operation of your own on
// *Response, to Resolve an abandoned key for example. The frame is
//
//	version, uvarint status, sections, 0, body
//
// A section is a uvarint tag, a uvarint length and so many bytes. A reader that
// doesn't know a tag skips the section where the tag is odd, and refuses the
// response where it is even.
var Codec codec.Codec = frames{}

type frames struct{}

const (
	frameVersion = 1

	sectionsEnd    = 0
	sectionHeader  = 2 // uvarint length of a name, the name, a value
	sectionTrailer = 4 // likewise
)

func (frames) Name() string { return "idemhttp" }

// Append refuses a response that could not be kept, which makes the executor
// record that the handler ran.
func (frames) Append(dst []byte, value any) ([]byte, error) {
	response, ok := value.(*Response)
	switch {
	case !ok:
		return dst, fmt.Errorf("idemhttp: value is a %T, want a *Response", value)
	case response == nil:
		return dst, errors.New("idemhttp: response is nil")
	case response.notKept != "":
		return dst, fmt.Errorf("idemhttp: the response is not kept: %s", response.notKept)
	case response.Status < 200 || response.Status > 999:
		return dst, fmt.Errorf("idemhttp: response has status %d, want 200 to 999", response.Status)
	}
	dst = append(dst, frameVersion)
	dst = binary.AppendUvarint(dst, uint64(response.Status))
	dst = appendFields(dst, sectionHeader, response.Header)
	dst = appendFields(dst, sectionTrailer, response.Trailer)
	dst = append(dst, sectionsEnd)
	return append(dst, response.Body...), nil
}

func appendFields(dst []byte, tag byte, fields http.Header) []byte {
	if len(fields) == 0 {
		return dst
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[name] {
			length := uvarintLength(uint64(len(name))) + len(name) + len(value)
			dst = append(dst, tag)
			dst = binary.AppendUvarint(dst, uint64(length))
			dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
			dst = append(dst, value...)
		}
	}
	return dst
}

func uvarintLength(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

var errFrame = errors.New("idemhttp: broken or newer format")

func (frames) Decode(data []byte, into any) error {
	target, ok := into.(**Response)
	if !ok {
		return fmt.Errorf("idemhttp: can't decode into %T, want a **Response", into)
	}
	if len(data) == 0 || data[0] != frameVersion {
		return errFrame
	}
	rest := data[1:]
	status, rest, err := uvarint(rest)
	if err != nil || status < 200 || status > 999 {
		return errFrame
	}
	response := &Response{Status: int(status)}
	for {
		var tag uint64
		if tag, rest, err = uvarint(rest); err != nil {
			return err
		}
		if tag == sectionsEnd {
			break
		}
		var section []byte
		if section, rest, err = take(rest); err != nil {
			return err
		}
		switch {
		case tag == sectionHeader:
			err = readField(&response.Header, section)
		case tag == sectionTrailer:
			err = readField(&response.Trailer, section)
		case tag%2 == 0:
			err = errFrame
		}
		if err != nil {
			return err
		}
	}
	response.Body = append(make([]byte, 0, len(rest)), rest...)
	*target = response
	return nil
}

func readField(fields *http.Header, section []byte) error {
	name, value, err := take(section)
	if err != nil || len(name) == 0 {
		return errFrame
	}
	if *fields == nil {
		*fields = http.Header{}
	}
	key := string(name)
	(*fields)[key] = append((*fields)[key], string(value))
	return nil
}

func uvarint(data []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, errFrame
	}
	return v, data[n:], nil
}

// take splits what has its length before it from the rest.
func take(data []byte) (taken, rest []byte, err error) {
	n, rest, err := uvarint(data)
	if err != nil || n > uint64(min(len(rest), math.MaxInt)) {
		return nil, nil, errFrame
	}
	return rest[:n:n], rest[n:], nil
}
