package wire

import "strings"

// Slots is the number of slots of a Redis Cluster.
const Slots = 1 << 14

// Slot is the cluster slot of a key or channel name.
func Slot(name string) int {
	if _, rest, ok := strings.Cut(name, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			name = tag
		}
	}
	crc := uint16(0) // CRC-16/XMODEM
	for i := range len(name) {
		crc ^= uint16(name[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) & (Slots - 1)
}
