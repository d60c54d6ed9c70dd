package idempotency

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	goldenTime = time.UnixMilli(1764000000123)
	// goldenFence is what a claim got half a second before, for an unknown key.
	goldenFence = uint64(1763999999623456)
	claimTime   = time.UnixMilli(1763999999623)

	outcomes = map[string]outcome{
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
	// What version 2 has besides.
	outcomes2 = map[string]outcome{
		"error":    {kind: kindError, at: goldenTime, payload: []byte("declined")},
		"raw":      {kind: kindValue, at: goldenTime, codec: "raw", payload: []byte{0, 0xff}},
		"gob":      {kind: kindValue, at: goldenTime, codec: "gob", payload: []byte{0, 0xff}},
		"msgpack":  {kind: kindValue, at: goldenTime, codec: "msgpack", payload: []byte{0, 0xff}},
		"protobuf": {kind: kindValue, at: goldenTime, codec: "protobuf", payload: []byte{0, 0xff}},
		"foreign":  {kind: kindValue, at: goldenTime, codec: "cbor", payload: []byte{0, 0xff}},
		"earlier":  {kind: kindValue, at: claimTime.Add(-time.Millisecond), codec: "json", payload: []byte("1")},
	}
	metadatas2 = map[string]claimMetadata{
		"at-fence":         {operation: "charge", claimedAt: claimTime, atFence: true},
		"at-fence-unnamed": {claimedAt: claimTime, atFence: true},
		"at-fence-full": {
			operation: "charge", claimedAt: claimTime, atFence: true, carrier: []byte("c"),
			pairs: map[string]string{"account": "acct_1"}, since: goldenTime.Add(-time.Hour),
		},
	}
)

// The bytes that versions have written are those that later ones must read.
func TestGoldenEnvelopes(t *testing.T) {
	read := func(t *testing.T, version string, outcomes map[string]outcome, metadatas map[string]claimMetadata) {
		for name, o := range outcomes {
			parsed, err := parseOutcome(golden(t, version+"/outcome-"+name), claimTime)
			if err != nil || !reflect.DeepEqual(parsed, o) {
				t.Errorf("%s: outcome %s: %+v, %v", version, name, parsed, err)
			}
		}
		for name, m := range metadatas {
			parsed, err := parseMetadata(&backend.Record{Metadata: golden(t, version+"/metadata-"+name), Fence: goldenFence})
			if err != nil || !reflect.DeepEqual(parsed, m) {
				t.Errorf("%s: metadata %s: %+v, %v", version, name, parsed, err)
			}
		}
	}
	read(t, "v1", outcomes, metadatas)
	for _, outcomes := range []map[string]outcome{outcomes, outcomes2} {
		for name, o := range outcomes {
			wantGolden(t, "v2/outcome-"+name, o.append(nil, claimTime))
		}
	}
	for _, metadatas := range []map[string]claimMetadata{metadatas, metadatas2} {
		for name, m := range metadatas {
			wantGolden(t, "v2/metadata-"+name, m.append(nil))
		}
	}
	read(t, "v2", outcomes, metadatas)
	read(t, "v2", outcomes2, metadatas2)
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantGolden compares data with the file of that name.
func wantGolden(t *testing.T, name string, data []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name+".hex"), []byte(hex.EncodeToString(data)+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if want := golden(t, name); !bytes.Equal(data, want) {
		t.Errorf("%s: wrote %x, the golden file has %x", name, data, want)
	}
}

// An outcome counts from the claim time only where readers know it too.
func TestOutcomesThatTellTheirTime(t *testing.T) {
	o := outcomes["value"]
	for name, claimedAt := range map[string]time.Time{"unknown": {}, "later": o.at.Add(time.Millisecond)} {
		data := o.append(nil, claimedAt)
		for _, readAt := range []time.Time{{}, claimTime, time.UnixMilli(0)} {
			if parsed, err := parseOutcome(data, readAt); err != nil || !reflect.DeepEqual(parsed, o) {
				t.Errorf("%s: %+v, %v", name, parsed, err)
			}
		}
	}
	// Times count in whole milliseconds: what happened within one is not earlier.
	o.at = goldenTime.Add(100 * time.Microsecond)
	data := o.append(nil, goldenTime.Add(200*time.Microsecond))
	if parsed, err := parseOutcome(data, goldenTime); err != nil || !parsed.at.Equal(goldenTime) || len(data) != 2+len(o.payload) {
		t.Errorf("%x: %+v, %v", data, parsed, err)
	}
	if _, err := parseOutcome(data, time.Time{}); err == nil {
		t.Error("an outcome that counts from a claim time was read where there is none")
	}
}

// A clock may be anywhere; what it says is stored so that it can be read.
func TestAbsurdTimes(t *testing.T) {
	for _, at := range []time.Time{time.Unix(-5, 0), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		m, err := parseMetadata(&backend.Record{Metadata: claimMetadata{claimedAt: at}.append(nil)})
		if err != nil {
			t.Errorf("%v: %v", at, err)
		}
		for _, claimedAt := range []time.Time{{}, at} {
			o, err := parseOutcome(outcome{kind: kindError, at: at}.append(nil, claimedAt), m.claimedAt)
			if err != nil || !o.at.Equal(m.claimedAt) {
				t.Errorf("%v: %+v, %v", at, o, err)
			}
		}
	}
	atFence := claimMetadata{atFence: true}.append(nil)
	for fence, readable := range map[uint64]bool{0: true, 1: true, backend.MaxFence - 1: true, 1000*maxMilli + 999: true, 1000 * (maxMilli + 1): false, 1<<64 - 1: false} {
		m, err := parseMetadata(&backend.Record{Metadata: atFence, Fence: fence})
		if (err == nil) != readable || readable && m.claimedAt.UnixMilli() != int64(fence/1000) {
			t.Errorf("fence %d: %v, %v", fence, m.claimedAt, err)
		}
	}
	far := []byte{formatVersion2 | shapeError}
	for _, after := range []uint64{maxMilli, 1<<64 - 1} {
		if o, err := parseOutcome(binary.AppendUvarint(far, after), claimTime); err == nil {
			t.Errorf("%d ms after the claim: %v", after, o.at)
		}
	}
}

func TestNewerAndBrokenEnvelopesAreErrors(t *testing.T) {
	for name, file := range map[string]string{
		"of version 1": "v1/outcome-transforms", "of version 2": "v2/outcome-transforms", "with a shape": "v2/outcome-raw",
	} {
		good := golden(t, file)
		for n := range len(good) - 2 { // its payload may have any length
			if _, err := parseOutcome(good[:n], claimTime); err == nil {
				t.Errorf("an outcome %s cut after %d bytes was read", name, n)
			}
		}
		newer := append([]byte{3<<4 | good[0]&0x0f}, good[1:]...)
		if _, err := parseOutcome(newer, claimTime); err == nil {
			t.Errorf("an outcome %s was read as version 3", name)
		}
	}
	for _, kind := range []byte{0, 4, 9} {
		for _, file := range []string{"v1/outcome-value", "v2/outcome-foreign"} {
			data := golden(t, file)
			data[1] = kind
			if _, err := parseOutcome(data, claimTime); err == nil {
				t.Errorf("%s was read with kind %d", file, kind)
			}
		}
	}
	for shape := len(codecShapes); shape < 16; shape++ {
		if _, err := parseOutcome([]byte{formatVersion2 | byte(shape), 1, 'x'}, claimTime); err == nil {
			t.Errorf("an outcome of shape %d was read", shape)
		}
	}
	for _, file := range []string{"v1/metadata-carrier", "v2/metadata-since", "v2/metadata-at-fence"} {
		record := backend.Record{Fence: goldenFence}
		data := golden(t, file)
		for n := 1; n < len(data); n++ {
			record.Metadata = data[:n]
			if _, err := parseMetadata(&record); err == nil {
				t.Errorf("%s cut after %d bytes was read", file, n)
			}
		}
		record.Metadata = append([]byte{3<<4 | data[0]&0x0f}, data[1:]...)
		if _, err := parseMetadata(&record); err == nil {
			t.Errorf("%s was read as version 3", file)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, outcomes := range []map[string]outcome{outcomes, outcomes2} {
		for _, o := range outcomes {
			f.Add(o.append(nil, claimTime), goldenFence)
			f.Add(o.append(nil, time.Time{}), goldenFence)
		}
	}
	for _, metadatas := range []map[string]claimMetadata{metadatas, metadatas2} {
		for _, m := range metadatas {
			f.Add(m.append(nil), goldenFence)
		}
	}
	files, err := filepath.Glob("testdata/v1/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		data, _ := hex.DecodeString(strings.TrimSpace(string(text)))
		f.Add(data, goldenFence)
	}
	f.Fuzz(func(t *testing.T, data []byte, fence uint64) {
		claimedAt := time.UnixMilli(int64(milliOfFence(fence)))
		if o, err := parseOutcome(data, claimedAt); err == nil {
			for _, claimedAt := range []time.Time{{}, claimedAt, claimTime} {
				again, err := parseOutcome(o.append(nil, claimedAt), claimedAt)
				if err != nil || !sameOutcome(again, o) {
					t.Errorf("%x: %+v, then %+v, %v", data, o, again, err)
				}
			}
		}
		record := backend.Record{Metadata: data, Fence: fence}
		if m, err := parseMetadata(&record); err == nil && len(data) > 0 {
			record.Metadata = m.append(nil)
			again, err := parseMetadata(&record)
			if err != nil || !sameMetadata(again, m) {
				t.Errorf("%x: %+v, then %+v, %v", data, m, again, err)
			}
		}
	})
}

func sameOutcome(a, b outcome) bool {
	return a.kind == b.kind && a.codec == b.codec && a.at.Equal(b.at) && slices.Equal(a.transforms, b.transforms) &&
		maps.Equal(a.pairs, b.pairs) && bytes.Equal(a.payload, b.payload)
}

func sameMetadata(a, b claimMetadata) bool {
	return a.operation == b.operation && a.claimedAt.Equal(b.claimedAt) && a.atFence == b.atFence &&
		bytes.Equal(a.carrier, b.carrier) && maps.Equal(a.pairs, b.pairs) && a.since.Equal(b.since)
}
