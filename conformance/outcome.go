package conformance

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

// outcomeSizes lie around the sizes at which stores and protocols change their
// ways: an inline value, a page, a buffer, a side key.
var outcomeSizes = []int{1, 2, 255, 256, 4095, 4096, 4097, 8192, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 200_000}

var outcomeRules = []Rule{
	{
		Name:  "Commit/EmptyOutcomeIsAnOutcome",
		Prose: "An empty outcome completes the key like any other; nil and empty are the same, and any other outcome is another.",
		Mend:  "don't tell completed from not completed by the length of the outcome.",
		run: func(r *rig) {
			for _, outcome := range [][]byte{nil, {}} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, completing(record.Token, outcome))
				want := completed(record, "")
				r.stands("the record", key, want)
				r.is("Wait", r.wait(r.b, key, record.Token), want)
				r.is("a claim", r.claim(r.b, key, taking(r.token())), want)
				r.commit(r.a, key, completing(record.Token, nil))
				r.commit(r.b, key, completing(record.Token, []byte{}))
				r.superseded(r.a, key, completing(record.Token, []byte{0}))
			}
		},
	},
	{
		Name:  "Commit/BinaryOutcome",
		Prose: "An outcome may hold any bytes and comes back byte for byte, in every reply.",
		Mend:  "look for a conversion to text, a separator, or a NUL that ends something.",
		run: func(r *rig) {
			all := make([]byte, 256)
			for i := range all {
				all[i] = byte(i)
			}
			outcomes := [][]byte{
				all, bytes.Repeat(all, 3), {0}, {0xff}, {0, 0, 0, 0}, []byte("\r\n"), []byte("\r\n$-1\r\n"), []byte("nil"), []byte("0"),
				[]byte("\xef\xbb\xbf text"), []byte("\xc3\x28"), []byte(`"json"`), []byte("a\x00b"), []byte(" spaces "),
			}
			for _, outcome := range outcomes {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, completing(record.Token, outcome))
				want := completed(record, string(outcome))
				r.stands("the record", key, want)
				r.is("Wait", r.wait(r.b, key, record.Token), want)
				r.is("a claim", r.claim(r.b, key, taking(r.token())), want)
			}
		},
	},
	{
		Name:  "Commit/OutcomesOfManySizes",
		Prose: "Outcomes of every size come back byte for byte, their commits may be repeated, and the first wins, whatever way the store takes for their size.",
		Mend:  "large outcomes often take another way: it must have all the guards of the way for small ones.",
		run: func(r *rig) {
			for _, size := range outcomeSizes {
				key, outcome := r.key(), random(size)
				other := bytes.Clone(outcome)
				other[size-1] ^= 1
				record := r.take(r.a, key, taking(r.token()))
				r.superseded(r.b, key, stray(completing(r.token(), other)))
				r.is("after a stranger's commit", r.fetch(r.b, key), record)
				r.commit(r.a, key, completing(record.Token, outcome))
				want := completed(record, string(outcome))
				what := fmt.Sprintf("an outcome of %d bytes", size)
				r.stands(what, key, want)
				r.is(what+" in Wait", r.wait(r.b, key, record.Token), want)
				r.unchanged("what came after the commit", key, func() {
					r.commit(r.b, key, completing(record.Token, outcome))
					r.superseded(r.a, key, stray(completing(record.Token, other)))
					r.superseded(r.b, key, stray(completing(r.token(), other)))
					r.superseded(r.b, key, stray(completing(r.token(), outcome)))
				})
			}
		},
	},
	{
		Name:  "Commit/LargeOutcomeIsFenced",
		Prose: "A large outcome is held to the rules of a small one: overtaken, released and forgotten claims commit nothing, a lapsed one and one that held its lease do.",
		Mend:  "the way that large outcomes take must compare the token in the same step as it makes them visible.",
		run: func(r *rig) {
			large := random(100_000)
			late := random(100_000)

			key := r.key()
			old := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(old.Token, backend.Abandon))
			next := r.take(r.b, key, takingSeen(r.token(), old.Fence))
			r.unchanged("an overtaken holder's commit", key, func() { r.superseded(r.a, key, stray(completing(old.Token, late))) })
			r.commit(r.b, key, completing(next.Token, large))
			r.unchanged("an overtaken holder's commit", key, func() { r.superseded(r.a, key, stray(completing(old.Token, late))) })
			r.stands("the new holder's outcome", key, completed(next, string(large)))

			key = r.key()
			released := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(released.Token, backend.Release))
			r.unchanged("a released token's commit", key, func() { r.superseded(r.a, key, stray(completing(released.Token, late))) })

			key = r.key()
			r.superseded(r.a, key, completing(r.token(), late))
			r.unknown("after a commit into an unknown key", key)
			request := stray(completing(r.token(), large))
			r.commit(r.a, key, request)
			r.commit(r.b, key, request)
			if got := r.fetch(r.b, key); got.State != backend.Completed || !bytes.Equal(got.Outcome, large) {
				r.failf("a commit with LeaseHeld into an unknown key left %s", show(got))
			}

			key, lapsing := r.key(), taking(r.token())
			lapsing.Lease = r.lease
			lapsed := r.take(r.a, key, lapsing)
			r.lapse(r.b, key, r.lease)
			r.commit(r.a, key, completing(lapsed.Token, large))
			r.stands("a lapsed holder's outcome", key, completed(lapsed, string(large)))
		},
	},
	{
		Name:  "Commit/LargestOutcome",
		Prose: "An outcome of MaxOutcome bytes and one a byte longer are kept whole or refused with ErrTooLarge; then the sender still holds the key and may complete it with a smaller one.",
		Mend:  "refuse before anything is written; never cut an outcome off.",
		run: func(r *rig) {
			for _, size := range []int{backend.MaxOutcome, backend.MaxOutcome + 1} {
				key, outcome := r.key(), random(size)
				record := r.take(r.a, key, taking(r.token()))
				ctx, cancel := r.ctx()
				err := r.a.Commit(ctx, key, completing(record.Token, outcome))
				cancel()
				switch {
				case errors.Is(err, backend.ErrTooLarge):
					r.stands("after ErrTooLarge", key, record)
					outcome = []byte("smaller")
					r.commit(r.a, key, completing(record.Token, outcome))
				case err != nil:
					r.failf("an outcome of %d bytes was refused with %v, which isn't ErrTooLarge", size, err)
				}
				r.stands("the record", key, completed(record, string(outcome)))
			}
		},
	},
}
