package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

var (
	tokenA = backend.Token{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	tokenB = backend.Token{0xff, 0xfe, 0xfd}
)

// golden are frames as every version of this library must be able to read them:
// they are in people's servers.
var golden = []struct {
	name   string
	frame  []byte
	record backend.Record
	keep   time.Duration
}{
	{
		name: "claimed",
		frame: AppendClaim(nil, &backend.ClaimRequest{
			Token: tokenA, Lease: time.Second, Keep: 24 * time.Hour, Fence: 1_764_000_000_000_000,
			Fingerprint: []byte("finger\x00print"), Metadata: []byte("metadata"),
		}),
		record: backend.Record{
			State: backend.Claimed, Token: tokenA, Attempt: 1, Fence: 1_764_000_000_000_000,
			Fingerprint: []byte("finger\x00print"), Metadata: []byte("metadata"),
		},
		keep: 24 * time.Hour,
	},
	{
		name: "renewed",
		frame: AppendClaim(nil, &backend.ClaimRequest{
			Token: tokenB, Lease: time.Second, Keep: backend.MaxDuration, Renewal: true, Attempt: 1<<32 - 1, Fence: backend.MaxFence - 1,
		}),
		record: backend.Record{State: backend.Claimed, Token: tokenB, Attempt: 1<<32 - 1, Fence: backend.MaxFence - 1},
		keep:   backend.MaxDuration,
	},
	{
		name:   "released",
		frame:  AppendCommit(nil, &backend.CommitRequest{Token: tokenA, Ending: backend.Release, Keep: time.Millisecond}),
		record: backend.Record{State: backend.Vacant, Token: tokenA, Fence: 1},
		keep:   time.Millisecond,
	},
	{
		name: "abandoned",
		frame: AppendCommit(nil, &backend.CommitRequest{
			Token: tokenA, Ending: backend.Abandon, Keep: time.Hour, Attempt: 3, Fence: 7, Metadata: bytes.Repeat([]byte{9}, 300),
		}),
		record: backend.Record{State: backend.Abandoned, Token: tokenA, Attempt: 3, Fence: 7, Metadata: bytes.Repeat([]byte{9}, 300)},
		keep:   time.Hour,
	},
	{
		name: "completed",
		frame: AppendCommit(nil, &backend.CommitRequest{
			Token: tokenA, Ending: backend.Complete, Retention: time.Hour, Attempt: 1, Fence: 1_764_000_000_000_000,
			Fingerprint: []byte("fp"), Metadata: []byte("meta"), Outcome: []byte("\x00outcome\xff"),
		}),
		record: backend.Record{
			State: backend.Completed, Token: tokenA, Attempt: 1, Fence: 1_764_000_000_000_000,
			Fingerprint: []byte("fp"), Metadata: []byte("meta"), Outcome: []byte("\x00outcome\xff"),
		},
	},
	{
		name: "completed-empty",
		frame: AppendCommit(nil, &backend.CommitRequest{
			Token: tokenA, Ending: backend.Complete, Retention: time.Hour, Attempt: 1, Fence: 5,
		}),
		record: backend.Record{State: backend.Completed, Token: tokenA, Attempt: 1, Fence: 5},
	},
}

func TestGoldenFrames(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			path := filepath.Join("testdata", g.name+".hex")
			if os.Getenv("UPDATE_GOLDEN") == "1" {
				if err := os.WriteFile(path, []byte(hex.EncodeToString(g.frame)+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(stored, g.frame) {
				t.Errorf("the frame is written as\n%x, earlier versions wrote\n%x", g.frame, stored)
			}
			record, keep, err := Decode(stored)
			if err != nil {
				t.Fatal(err)
			}
			if normal(record) != normal(g.record) || keep != g.keep {
				t.Errorf("decoded %+v, keep %v, want %+v, keep %v", record, keep, g.record, g.keep)
			}
		})
	}
}

// normal makes records comparable; nil and empty slices are the same.
func normal(r backend.Record) string {
	return fmt.Sprintf("%d %x %d %d %q %q %q %d %d", r.State, r.Token, r.Attempt, r.Fence,
		r.Fingerprint, r.Metadata, r.Outcome, r.LeaseLeft, r.Remaining)
}

func TestDecodeRefuses(t *testing.T) {
	claim := golden[0].frame
	done := golden[4].frame
	edit := func(frame []byte, at int, b ...byte) []byte {
		frame = bytes.Clone(frame)
		copy(frame[at:], b)
		return frame
	}
	for name, frame := range map[string][]byte{
		"empty":               {},
		"one byte":            {magic},
		"foreign":             []byte(`{"json":"of somebody else, long enough to be a header"}`),
		"newer version":       edit(done, offState, 2<<4|3),
		"version zero":        edit(done, offState, 3),
		"unknown state":       edit(done, offState, version<<4|4),
		"no token":            edit(done, offToken, make([]byte, 16)...),
		"fence zero":          edit(done, offFence, make([]byte, 7)...),
		"fence too great":     edit(done, offFence, 0x20),
		"fingerprint too far": edit(done, offFingerprint, 65),
		"metadata too far":    edit(done, offMetadata, 0x10, 1),
		"metadata beyond end": edit(done, offMetadata, 0, 200),
		"keep zero":           edit(claim, offKeep, 0, 0, 0, 0, 0),
		"bytes behind":        append(bytes.Clone(claim), 0),
		"truncated header":    done[:31],
		"truncated keep":      claim[:36],
		"truncated body":      claim[:len(claim)-1],
	} {
		if _, _, err := Decode(frame); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: Decode answers %v, want ErrCorrupt", name, err)
		}
		if _, err := ReadLook(frame, 1000); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: ReadLook answers %v, want ErrCorrupt", name, err)
		}
		if _, _, err := ReadClaim(frame); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: ReadClaim answers %v, want ErrCorrupt", name, err)
		}
	}
}

func TestReadLook(t *testing.T) {
	claim := AppendClaim(nil, &backend.ClaimRequest{Token: tokenA, Lease: time.Second, Keep: time.Minute, Fence: 9})
	for _, c := range []struct {
		name      string
		frame     []byte
		ttl       int64
		state     backend.State
		left      time.Duration
		remaining time.Duration
		err       error
	}{
		{"unknown", nil, -2, backend.Vacant, 0, 0, nil},
		{"live", claim, 60_001, backend.Claimed, time.Millisecond, 60_001 * time.Millisecond, nil},
		{"just lapsed", claim, 60_000, backend.Abandoned, 0, time.Minute, nil},
		{"last millisecond", claim, 0, backend.Abandoned, 0, 1, nil},
		{"claim for ever", claim, -1, 0, 0, 0, backend.ErrCorrupt},
		{"outcome for ever", golden[4].frame, -1, backend.Completed, 0, backend.MaxDuration, nil},
		{"empty string", nil, 5, 0, 0, 0, backend.ErrCorrupt},
	} {
		record, err := ReadLook(c.frame, c.ttl)
		if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.err)
			continue
		}
		if record.State != c.state || record.LeaseLeft != c.left || record.Remaining != c.remaining {
			t.Errorf("%s: %v, lease left %v, remaining %v", c.name, record.State, record.LeaseLeft, record.Remaining)
		}
	}
}

func TestDecodeCopies(t *testing.T) {
	frame := bytes.Clone(golden[4].frame)
	record, _, err := Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	want := Clone(record)
	clear(frame)
	_ = append(record.Fingerprint, "overrun"...)
	_ = append(record.Metadata, "overrun"...)
	if normal(record) != normal(want) {
		t.Errorf("the record changed with the frame or its neighbour: %+v", record)
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range golden {
		f.Add(g.frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		record, keep, err := Decode(frame)
		fromString, keepString, errString := Decode(string(frame))
		adopted, keepAdopted, errAdopted := Adopt(bytes.Clone(frame))
		if (err == nil) != (errAdopted == nil) || normal(record) != normal(adopted) || keep != keepAdopted {
			t.Fatalf("copied and adopted differ: %v, %v", err, errAdopted)
		}
		claim, settled, err2 := ReadClaim(frame)
		claimAdopted, settledAdopted, err3 := AdoptClaim(bytes.Clone(frame))
		if settled != settledAdopted || normal(claim) != normal(claimAdopted) || (err2 == nil) != (err3 == nil) {
			t.Fatalf("copied and adopted claims differ: %v, %v", err2, err3)
		}
		if (err == nil) != (errString == nil) || normal(record) != normal(fromString) || keep != keepString {
			t.Fatalf("bytes and string differ: %v, %v", err, errString)
		}
		if err != nil {
			if !errors.Is(err, backend.ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		again := appendFrame(nil, record.State, record.Token, record.Attempt, record.Fence, keep,
			record.Fingerprint, record.Metadata, record.Outcome)
		if !bytes.Equal(again, frame) {
			t.Fatalf("decoded and encoded again:\n%x, was\n%x", again, frame)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("t"), uint32(1), uint64(1), int64(time.Second), []byte("fp"), []byte("meta"), []byte("out"), byte(3))
	f.Fuzz(func(t *testing.T, token []byte, attempt uint32, fence uint64, keep int64, fingerprint, metadata, outcome []byte, state byte) {
		want := backend.Record{
			State: backend.State(state % 4), Attempt: attempt, Fence: max(fence%backend.MaxFence, 1),
			Fingerprint: fingerprint[:min(len(fingerprint), backend.MaxFingerprint)],
			Metadata:    metadata[:min(len(metadata), backend.MaxMetadata)],
		}
		want.Token[0] = 1
		copy(want.Token[1:], token)
		wantKeep := min(max(time.Duration(keep), backend.MinDuration), backend.MaxDuration)
		if want.State == backend.Completed {
			want.Outcome, wantKeep = outcome, 0
		}
		frame := appendFrame(nil, want.State, want.Token, want.Attempt, want.Fence, wantKeep, want.Fingerprint, want.Metadata, want.Outcome)
		record, got, err := Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if normal(record) != normal(want) {
			t.Fatalf("decoded %+v, want %+v", record, want)
		}
		if got != time.Duration(backend.Milliseconds(wantKeep))*time.Millisecond {
			t.Fatalf("keep %v, want %v rounded up", got, wantKeep)
		}
	})
}
