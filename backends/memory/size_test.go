package memory

import (
	"testing"
	"unsafe"
)

func TestRecordFillsItsSizeClass(t *testing.T) {
	if size := unsafe.Sizeof(record{}); unsafe.Sizeof(uintptr(0)) == 8 && size != 208 {
		t.Errorf("a record has %d bytes, want 208, the size class that inlineText is chosen for", size)
	}
}
