package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxDepth bounds the nesting of values.
const MaxDepth = 512

var (
	errTruncated = errors.New("msgpack: the data ends within a value")
	errTrailing  = errors.New("msgpack: there is more than one value")
	errDepth     = fmt.Errorf("msgpack: nested deeper than %d", MaxDepth)
	errExtension = errors.New("msgpack: extension types other than the timestamp are not supported")
)

// check tells whether data is exactly one value. The library trusts the lengths
// in the data: it would allocate as many elements as a few bytes announce, and
// recurse as deep as they say, of which the program would die.
//
// It returns where the timestamps are that the library would take for the start
// of a map, if it met them where the type wants a map.
func check(data []byte) (ambiguous []int, err error) {
	all := len(data)
	// left are the values that are still to come at each depth.
	left := make([]uint64, 1, 16)
	left[0] = 1
	for len(left) > 0 {
		top := len(left) - 1
		if left[top] == 0 {
			left = left[:top]
			continue
		}
		left[top]--
		if len(data) == 0 {
			return nil, errTruncated
		}
		code := data[0]
		size, inner, err := shape(data)
		if err != nil {
			return nil, err
		}
		if size > uint64(len(data)) {
			return nil, errTruncated
		}
		if isExtension(code) {
			if !isTimestamp(data[:size]) {
				return nil, errExtension
			}
			if code != longTimestamp && isMap(data[2]) {
				ambiguous = append(ambiguous, all-len(data))
			}
		}
		data = data[size:]
		if inner > uint64(len(data)) {
			return nil, errTruncated // each takes a byte at least
		}
		if inner > 0 {
			if len(left) >= MaxDepth {
				return nil, errDepth
			}
			left = append(left, inner)
		}
	}
	if len(data) > 0 {
		return nil, errTrailing
	}
	return ambiguous, nil
}

// unambiguous returns a copy in which those timestamps have their longest form,
// whose first byte is that of a number of nanoseconds and never a map's.
func unambiguous(data []byte, ambiguous []int) []byte {
	copied := make([]byte, 0, len(data)+9*len(ambiguous))
	from := 0
	for _, at := range ambiguous {
		copied = append(copied, data[from:at]...)
		var seconds, nanoseconds uint64
		if data[at] == 0xd6 {
			seconds = uint64(binary.BigEndian.Uint32(data[at+2:]))
			from = at + 6
		} else {
			both := binary.BigEndian.Uint64(data[at+2:])
			seconds, nanoseconds = both&(1<<34-1), both>>34
			from = at + 10
		}
		copied = append(copied, longTimestamp, 12, 0xff)
		copied = binary.BigEndian.AppendUint32(copied, uint32(nanoseconds))
		copied = binary.BigEndian.AppendUint64(copied, seconds)
	}
	return append(copied, data[from:]...)
}

// shape returns how many bytes the value at the front of data has by itself, and
// how many values it contains.
func shape(data []byte) (size, inner uint64, err error) {
	code := data[0]
	// number reads the big endian length of n bytes after the code.
	number := func(n int) uint64 {
		if len(data) <= n {
			err = errTruncated
			return 0
		}
		switch n {
		case 1:
			return uint64(data[1])
		case 2:
			return uint64(binary.BigEndian.Uint16(data[1:]))
		}
		return uint64(binary.BigEndian.Uint32(data[1:]))
	}
	switch {
	case code <= 0x7f || code >= 0xe0: // fixint
		return 1, 0, nil
	case code <= 0x8f: // fixmap
		return 1, 2 * uint64(code&0x0f), nil
	case code <= 0x9f: // fixarray
		return 1, uint64(code & 0x0f), nil
	case code <= 0xbf: // fixstr
		return 1 + uint64(code&0x1f), 0, nil
	}
	switch code {
	case 0xc0, 0xc2, 0xc3: // nil, false, true
		return 1, 0, nil
	case 0xc4, 0xc5, 0xc6: // bin
		n := 1 << (code - 0xc4)
		return uint64(1+n) + number(n), 0, err
	case 0xc7, 0xc8, 0xc9: // ext
		n := 1 << (code - 0xc7)
		return uint64(2+n) + number(n), 0, err
	case 0xca: // float32
		return 5, 0, nil
	case 0xcb: // float64
		return 9, 0, nil
	case 0xcc, 0xcd, 0xce, 0xcf: // uint
		return 1 + 1<<(code-0xcc), 0, nil
	case 0xd0, 0xd1, 0xd2, 0xd3: // int
		return 1 + 1<<(code-0xd0), 0, nil
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // fixext
		return 2 + 1<<(code-0xd4), 0, nil
	case 0xd9, 0xda, 0xdb: // str
		n := 1 << (code - 0xd9)
		return uint64(1+n) + number(n), 0, err
	case 0xdc, 0xdd: // array
		n := 2 << (code - 0xdc)
		return uint64(1 + n), number(n), err
	case 0xde, 0xdf: // map
		n := 2 << (code - 0xde)
		return uint64(1 + n), 2 * number(n), err
	}
	return 0, 0, fmt.Errorf("msgpack: code %#x is never used", code)
}

func isExtension(code byte) bool {
	return code >= 0xc7 && code <= 0xc9 || code >= 0xd4 && code <= 0xd8
}

// longTimestamp is the code of the longest form of timestamps.
const longTimestamp = 0xc7

// isTimestamp tells whether an extension is a timestamp in one of its three
// forms.
func isTimestamp(value []byte) bool {
	const second = 1_000_000_000
	switch {
	case len(value) == 6 && value[0] == 0xd6:
		return value[1] == 0xff
	case len(value) == 10 && value[0] == 0xd7:
		return value[1] == 0xff && binary.BigEndian.Uint64(value[2:])>>34 < second
	case len(value) == 15 && value[0] == longTimestamp:
		return value[2] == 0xff && binary.BigEndian.Uint32(value[3:]) < second
	}
	return false
}

func isMap(code byte) bool {
	return code >= 0x80 && code <= 0x8f || code == 0xde || code == 0xdf
}
