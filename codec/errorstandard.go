package codec

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"time"
)

// standardErrors is what every registry knows. Errors of packages that this one
// doesn't need for anything else are in folders below: neterrors, sqlerrors.
func standardErrors() ErrorSet {
	return ErrorSet{
		Sentinels: map[string]error{
			"bufio.ErrTooLong":         bufio.ErrTooLong,
			"bytes.ErrTooLarge":        bytes.ErrTooLarge,
			"context.Canceled":         context.Canceled,
			"context.DeadlineExceeded": context.DeadlineExceeded,
			"errors.ErrUnsupported":    errors.ErrUnsupported,
			"fs.ErrClosed":             fs.ErrClosed,
			"fs.ErrExist":              fs.ErrExist,
			"fs.ErrInvalid":            fs.ErrInvalid,
			"fs.ErrNotExist":           fs.ErrNotExist,
			"fs.ErrPermission":         fs.ErrPermission,
			"io.EOF":                   io.EOF,
			"io.ErrClosedPipe":         io.ErrClosedPipe,
			"io.ErrNoProgress":         io.ErrNoProgress,
			"io.ErrShortBuffer":        io.ErrShortBuffer,
			"io.ErrShortWrite":         io.ErrShortWrite,
			"io.ErrUnexpectedEOF":      io.ErrUnexpectedEOF,
			"os.ErrDeadlineExceeded":   os.ErrDeadlineExceeded,
			"os.ErrNoDeadline":         os.ErrNoDeadline,
			"os.ErrProcessDone":        os.ErrProcessDone,
			"strconv.ErrRange":         strconv.ErrRange,
			"strconv.ErrSyntax":        strconv.ErrSyntax,
		},
		Types: append(platformErrorTypes(),
			ErrorTypeOf("base64.CorruptInputError", ErrorTypeOptions[base64.CorruptInputError]{}),
			ErrorTypeOf("fs.PathError", ErrorTypeOptions[*fs.PathError]{}),
			ErrorTypeOf("json.SyntaxError", ErrorTypeOptions[*json.SyntaxError]{}),
			ErrorTypeOf("json.UnmarshalTypeError", ErrorTypeOptions[*json.UnmarshalTypeError]{
				Encode: encodeUnmarshalTypeError, Decode: decodeUnmarshalTypeError,
			}),
			ErrorTypeOf("os.LinkError", ErrorTypeOptions[*os.LinkError]{}),
			ErrorTypeOf("os.SyscallError", ErrorTypeOptions[*os.SyscallError]{}),
			ErrorTypeOf("strconv.NumError", ErrorTypeOptions[*strconv.NumError]{}),
			ErrorTypeOf("time.ParseError", ErrorTypeOptions[*time.ParseError]{}),
		),
	}
}

// unmarshalTypeError is a json.UnmarshalTypeError with the name of its type.
type unmarshalTypeError struct {
	Value, Type   string
	Offset        int64
	Struct, Field string
}

func encodeUnmarshalTypeError(e *json.UnmarshalTypeError) ([]byte, error) {
	return json.Marshal(unmarshalTypeError{e.Value, e.Type.String(), e.Offset, e.Struct, e.Field})
}

// decodeUnmarshalTypeError finds the predeclared types only; without its Type the
// error would panic.
func decodeUnmarshalTypeError(data []byte, _ []error) (*json.UnmarshalTypeError, error) {
	var u unmarshalTypeError
	if err := json.Unmarshal(data, &u); err != nil {
		return nil, err
	}
	t, ok := predeclared[u.Type]
	if !ok {
		return nil, fmt.Errorf("type %q isn't predeclared", u.Type)
	}
	return &json.UnmarshalTypeError{Value: u.Value, Type: t, Offset: u.Offset, Struct: u.Struct, Field: u.Field}, nil
}

var predeclared = func() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for _, v := range []any{
		false, "", 0, int8(0), int16(0), int32(0), int64(0), uint(0), uint8(0), uint16(0), uint32(0), uint64(0),
		uintptr(0), float32(0), float64(0), []byte(nil), []string(nil), []int(nil), []any(nil), map[string]any(nil), map[string]string(nil),
	} {
		t := reflect.TypeOf(v)
		types[t.String()] = t
	}
	return types
}()
