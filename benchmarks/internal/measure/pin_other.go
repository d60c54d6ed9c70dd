//go:build !linux

package measure

import "errors"

// Pin works on Linux only.
func Pin(...int) (restore func(), err error) {
	return nil, errors.New("pin: not on this system")
}
