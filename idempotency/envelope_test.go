package idempotency

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	goldenTime = time.UnixMilli(1764000000123)
	outcomes   = map[string]outcome{
		"value":      {kind: kindValue, at: goldenTime, codec: "json", payload: []byte(`{"ID":"ch_1"}`)},
		"empty":      {kind: kindValue, at: goldenTime, codec: "raw", payload: []byte{}},
		"valueless":  {kind: kindValue, at: goldenTime, payload: []byte{}},
		"transforms": {kind: kindValue, at: goldenTime, codec: "json", transforms: []string{"zstd", "aes-256-gcm"}, payload: []byte{0, 0xff}},
		"pairs":      {kind: kindValue, at: goldenTime, codec: "json", pairs: map[string]string{"charge": "ch_1", "a": ""}, payload: []byte("1")},
		"not-kept":   {kind: kindNotKept, at: goldenTime, payload: []byte("too large")},
	}
	metadatas = map[string]claimMetadata{
		"plain":   {operation: "charge", claimedAt: goldenTime},
		"pairs":   {operation: "charge", claimedAt: goldenTime, carrier: []byte("c"), pairs: map[string]string{"account": "acct_1"}},
		"since":   {operation: "charge", claimedAt: goldenTime, since: goldenTime.Add(-time.Hour)},
		"unnamed": {claimedAt: goldenTime},
		"carrier": {operation: "charge", claimedAt: goldenTime, carrier: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
	}
)

// The bytes that this version writes are those that later ones must read.
func TestGoldenEnvelopes(t *testing.T) {
	for name, o := range outcomes {
		data := golden(t, "outcome-"+name, o.append(nil))
		parsed, err := parseOutcome(data)
		if err != nil || !reflect.DeepEqual(parsed, o) {
			t.Errorf("outcome %s: %+v, %v", name, parsed, err)
		}
	}
	for name, m := range metadatas {
		data := golden(t, "metadata-"+name, m.append(nil))
		parsed, err := parseMetadata(data)
		if err != nil || !reflect.DeepEqual(parsed, m) {
			t.Errorf("metadata %s: %+v, %v", name, parsed, err)
		}
	}
}

// golden compares data with the file of that name, and returns the file's bytes.
func golden(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.WriteFile(file, []byte(hex.EncodeToString(data)+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("%s: wrote %x, the golden file has %x", name, data, want)
	}
	return want
}

func TestNewerAndBrokenEnvelopesAreErrors(t *testing.T) {
	good := outcomes["transforms"].append(nil)
	for n := range len(good) - 2 { // its payload may have any length
		if _, err := parseOutcome(good[:n]); err == nil {
			t.Errorf("an outcome cut after %d bytes was read", n)
		}
	}
	newer := append([]byte{}, good...)
	newer[0] = 2 << 4
	if _, err := parseOutcome(newer); err == nil {
		t.Error("a newer outcome was read")
	}
	kind := append([]byte{}, good...)
	kind[1] = 9
	if _, err := parseOutcome(kind); err == nil {
		t.Error("an outcome of unknown kind was read")
	}
	metadata := metadatas["carrier"].append(nil)
	for n := 1; n < len(metadata); n++ {
		if _, err := parseMetadata(metadata[:n]); err == nil {
			t.Errorf("metadata cut after %d bytes was read", n)
		}
	}
	metadata[0] = 2<<4 | 1
	if _, err := parseMetadata(metadata); err == nil {
		t.Error("newer metadata was read")
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, o := range outcomes {
		f.Add(o.append(nil))
	}
	for _, m := range metadatas {
		f.Add(m.append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := parseOutcome(data); err == nil {
			again, err := parseOutcome(o.append(nil))
			if err != nil || again.kind != o.kind || again.codec != o.codec || !bytes.Equal(again.payload, o.payload) || !again.at.Equal(o.at) {
				t.Errorf("%x: %+v, then %+v, %v", data, o, again, err)
			}
		}
		if m, err := parseMetadata(data); err == nil && len(data) > 0 {
			again, err := parseMetadata(m.append(nil))
			if err != nil || again.operation != m.operation || !bytes.Equal(again.carrier, m.carrier) {
				t.Errorf("%x: %+v, then %+v, %v", data, m, again, err)
			}
		}
	})
}
