package idemhttp

import (
	"errors"
	"net/http"
	"strings"
)

// Why a key is malformed. The texts are shown to clients.
var (
	errSeveral      = errors.New("it is given more than once")
	errEmpty        = errors.New("it is empty")
	errTooLong      = errors.New("it is too long")
	errNotString    = errors.New("it is not a string in double quotes")
	errUnterminated = errors.New("its closing quote is missing")
	errEscape       = errors.New("it has a backslash that escapes neither a quote nor a backslash")
	errCharacter    = errors.New("it has a character that is not printable ASCII")
	errAfterString  = errors.New("something follows its closing quote: one string is allowed, without parameters")
	errRaw          = errors.New("it has a quote or a comma, which only a string in double quotes may have")
)

// requestKey returns the key of a request; present tells whether it has one, be
// it malformed.
func requestKey(header http.Header, names []string, longest int, strict bool) (key string, present bool, err error) {
	value := ""
	for _, name := range names {
		values := header[name]
		if len(values) == 0 {
			continue
		}
		if present || len(values) > 1 {
			return "", true, errSeveral
		}
		value, present = values[0], true
	}
	if !present {
		return "", false, nil
	}
	key, err = parseKey(value, longest, strict)
	return key, true, err
}

// parseKey reads the value of an Idempotency-Key header. The IETF draft has it as
// a structured-field item that is a string (RFC 9651, section 3.3.3), without
// parameters; many clients send the key itself, as Stripe's do. Both are the same
// key. A comma in a raw key would be what an intermediary makes of two header
// lines (RFC 9110, section 5.3), so it is refused.
func parseKey(value string, longest int, strict bool) (string, error) {
	value = strings.Trim(value, " \t")
	key := value
	switch {
	case value == "":
		return "", errEmpty
	case value[0] == '"':
		var err error
		if key, err = parseString(value); err != nil {
			return "", err
		}
	case strict:
		return "", errNotString
	default:
		for i := range len(value) {
			if c := value[i]; c < ' ' || c >= 0x7f {
				return "", errCharacter
			} else if c == '"' || c == ',' {
				return "", errRaw
			}
		}
	}
	switch {
	case key == "":
		return "", errEmpty
	case len(key) > longest:
		return "", errTooLong
	}
	return key, nil
}

// parseString reads a structured-field string: RFC 9651, section 4.2.5. value
// begins with its opening quote.
func parseString(value string) (string, error) {
	value = value[1:]
	var unescaped []byte // nil while nothing was escaped
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c < ' ' || c >= 0x7f:
			return "", errCharacter
		case c == '\\':
			if i+1 == len(value) || value[i+1] != '"' && value[i+1] != '\\' {
				return "", errEscape
			}
			if unescaped == nil {
				unescaped = append(make([]byte, 0, len(value)), value[:i]...)
			}
			i++
			unescaped = append(unescaped, value[i])
		case c == '"':
			if i+1 < len(value) {
				return "", errAfterString
			}
			if unescaped != nil {
				return string(unescaped), nil
			}
			return value[:i], nil
		case unescaped != nil:
			unescaped = append(unescaped, c)
		}
	}
	return "", errUnterminated
}
