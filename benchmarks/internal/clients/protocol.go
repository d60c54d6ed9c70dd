package clients

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/benchmarks/internal/measure"
)

// KeySize is the length of the keys that are measured, in bytes.
const KeySize = 16

// Key makes a key of KeySize bytes from a number below 1<<48 and a letter.
func Key(kind byte, n uint64) string {
	var b [KeySize]byte
	b[0] = kind
	for i := KeySize - 1; i > 0; i-- {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
	return string(b[:])
}

// Protocol is what one call sends, taken from a Tap, to be sent again for other
// keys by a bare client.
type Protocol []trip

// trip is one round trip. Names are templates: the key stands between head and
// tail.
type trip struct {
	key        string // that it was taken from
	name, side name
	frame      string
	px         int64
	sha        string // empty: a claim
	args       []string
}

type name struct{ head, tail string }

func (n name) of(key string) string { return n.head + key + n.tail }

// Capture reads the round trips of one call with a key. What it doesn't know
// ends the test: the bare client must be able to send what the library sends.
func Capture(tb testing.TB, key string, trips [][]measure.Command) Protocol {
	tb.Helper()
	var p Protocol
	for _, commands := range trips {
		t, err := parseTrip(key, commands)
		t.key = key
		if err != nil {
			tb.Fatalf("the protocol sends what its bare form can't: %v", err)
		}
		p = append(p, t)
	}
	return p
}

func parseTrip(key string, commands []measure.Command) (t trip, err error) {
	last := commands[len(commands)-1]
	verb := strings.ToUpper(last[0])
	switch {
	case len(commands) == 1 && verb == "SET" && strings.EqualFold(strings.Join(last[3:len(last)-1], " "), "NX GET PX"):
		t.frame = last[2]
		if t.name, err = template(last[1], key); err != nil {
			return t, err
		}
		t.px, err = strconv.ParseInt(last[len(last)-1], 10, 64)
		return t, err
	case len(commands) == 1 && verb == "EVALSHA" && last[2] == "1":
		t.sha, t.args = last[1], last[4:]
		t.name, err = template(last[3], key)
		return t, err
	case len(commands) == 2 && verb == "EVALSHA" && last[2] == "2" && strings.EqualFold(commands[0][0], "SET") &&
		len(commands[0]) == 5 && strings.EqualFold(commands[0][3], "PX"):
		t.sha, t.args = last[1], last[5:]
		if t.name, err = template(last[3], key); err != nil {
			return t, err
		}
		// A side key has a random end.
		side := last[4]
		t.side, t.frame = name{head: side[:len(side)-KeySize]}, commands[0][2]
		t.px, err = strconv.ParseInt(commands[0][4], 10, 64)
		return t, err
	}
	var seen []string
	for _, command := range commands {
		seen = append(seen, fmt.Sprintf("%.80q", command))
	}
	return t, fmt.Errorf("%s", strings.Join(seen, ", "))
}

func template(text, key string) (name, error) {
	head, tail, found := strings.Cut(text, key)
	if !found {
		return name{}, fmt.Errorf("no key in %q", text)
	}
	return name{head, tail}, nil
}

// Send sends the protocol for another key. Each round trip waits for the one
// before.
func (p Protocol) Send(ctx context.Context, bare Bare, key string) error {
	for i := range p {
		t := &p[i]
		var err error
		switch {
		case t.sha == "":
			_, err = bare.Claim(ctx, t.name.of(key), t.frame, t.px)
		case t.side.head != "":
			err = bare.SetEval(ctx, t.side.of(key), t.frame, t.px, t.sha, t.name.of(key), t.args)
		default:
			err = bare.Eval(ctx, t.sha, t.name.of(key), t.args)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Replay sends the protocol of a replay, which is one claim, for the key that it
// was taken from, and returns the length of the reply.
func (p Protocol) Replay(ctx context.Context, bare Bare) (int, error) {
	if len(p) != 1 || p[0].sha != "" {
		return 0, fmt.Errorf("a replay is %d round trips, want one claim", len(p))
	}
	return bare.Claim(ctx, p[0].name.of(p[0].key), p[0].frame, p[0].px)
}
