//go:build !plan9

package codec

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
)

func platformErrorTypes() []ErrorType {
	return []ErrorType{
		ErrorTypeOf("syscall.Errno", ErrorTypeOptions[syscall.Errno]{Encode: encodeErrno, Decode: decodeErrno}),
	}
}

func encodeErrno(e syscall.Errno) ([]byte, error) {
	return []byte(strconv.FormatUint(uint64(e), 10) + " " + e.Error()), nil
}

// decodeErrno takes the number only if it means the same here: numbers differ
// between systems. Where another number has the text, that is the error.
func decodeErrno(data []byte, _ []error) (syscall.Errno, error) {
	number, text, _ := strings.Cut(string(data), " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, err
	}
	if e := syscall.Errno(n); e.Error() == text {
		return e, nil
	}
	for e := syscall.Errno(1); e < 256; e++ {
		if e.Error() == text {
			return e, nil
		}
	}
	return 0, errors.New("another system's error number")
}
