package wire

import (
	"strings"

	"github.com/reprise-go/reprise/backend"
)

// replies are the error replies of servers, by their beginnings.
var replies = []struct {
	prefix string
	class  error
}{
	{"BADFRAME ", backend.ErrCorrupt},
	{"WRONGTYPE ", backend.ErrCorrupt},

	{"READONLY ", backend.ErrNotApplied},
	{"LOADING ", backend.ErrNotApplied},
	{"CLUSTERDOWN ", backend.ErrNotApplied},
	{"TRYAGAIN ", backend.ErrNotApplied},
	{"MASTERDOWN ", backend.ErrNotApplied},
	{"NOREPLICAS ", backend.ErrNotApplied},
	{"BUSY ", backend.ErrNotApplied},
	{"MOVED ", backend.ErrNotApplied},
	{"ASK ", backend.ErrNotApplied},
	{"OOM ", backend.ErrNotApplied},
	{"MISCONF ", backend.ErrNotApplied},
	{"NOSCRIPT ", backend.ErrNotApplied},
	{"CROSSSLOT ", backend.ErrNotApplied},
	{"EXECABORT ", backend.ErrNotApplied},
	{"ERR max number of clients reached", backend.ErrNotApplied},
	{"ERR max number of clients + cluster", backend.ErrNotApplied},

	{"FENCESPENT ", backend.ErrPermanent},
	{"NOAUTH ", backend.ErrPermanent},
	{"WRONGPASS ", backend.ErrPermanent},
	{"NOPERM ", backend.ErrPermanent},
	{"DENIED ", backend.ErrPermanent},
	{"ERR AUTH ", backend.ErrPermanent},
	{"ERR invalid password", backend.ErrPermanent},
	{"ERR Client sent AUTH", backend.ErrPermanent},
	{"ERR unknown command", backend.ErrPermanent},
	{"ERR syntax error", backend.ErrPermanent}, // SET NX GET before Redis 7
	{"ERR The user executing the script", backend.ErrPermanent},
	{"ERR ACL failure in script", backend.ErrPermanent},
}

// Classify is the class of a server's error reply, given its text without the
// leading dash: one of [backend.ErrNotApplied], [backend.ErrPermanent] and
// [backend.ErrCorrupt], or nil for a reply that says nothing of whether the
// request was applied.
//
// The class holds for the send that got this reply. If the client has sent the
// request more than once, an earlier send may have been applied all the same,
// and not applied is nothing that the backend may answer.
func Classify(text string) error {
	if class := lookup(text); class != nil {
		return class
	}
	// Errors raised inside a script, as servers before Redis 7 and stand-ins
	// wrap them: "ERR Error running script (call to f_...): @user_script:3: ..."
	if rest, ok := strings.CutPrefix(text, "ERR Error "); ok {
		for {
			_, after, found := strings.Cut(rest, ": ")
			if !found {
				return nil
			}
			rest = strings.TrimLeft(after, "-")
			if class := lookup(rest); class != nil {
				return class
			}
		}
	}
	return nil
}

func lookup(text string) error {
	for _, reply := range replies {
		if strings.HasPrefix(text, reply.prefix) {
			return reply.class
		}
	}
	return nil
}

// Error is an error of a backend's verb: it wraps the client's own error and,
// where it has one, its class. Its text never shows the arguments of a command.
type Error struct {
	Op    string // "goredis: claim"
	Class error  // one of the backend's errors, or nil
	Err   error  // the client's
}

func (e *Error) Error() string {
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
		// "ERR unknown command 'EVALSHA', with args beginning with: ..."
		text, _, _ = strings.Cut(text, ", with args beginning with")
	}
	switch {
	case e.Class == nil:
		return e.Op + ": " + text
	case text == "":
		return e.Op + ": " + e.Class.Error()
	default:
		return e.Op + ": " + e.Class.Error() + ": " + text
	}
}

// Unwrap is the class and the client's error.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	if e.Class != nil {
		errs = append(errs, e.Class)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
