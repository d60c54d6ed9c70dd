package wire

import (
	"errors"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
)

func TestErrorClasses(t *testing.T) {
	for text, want := range map[string]error{
		"READONLY You can't write against a read only replica.":                                      backend.ErrNotApplied,
		"READONLY You can't write against a read only replica. script: abc, on @user_script:12.":     backend.ErrNotApplied,
		"LOADING Redis is loading the dataset in memory":                                             backend.ErrNotApplied,
		"CLUSTERDOWN The cluster is down":                                                            backend.ErrNotApplied,
		"CLUSTERDOWN Hash slot not served":                                                           backend.ErrNotApplied,
		"TRYAGAIN Multiple keys request during rehashing of slot":                                    backend.ErrNotApplied,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":           backend.ErrNotApplied,
		"NOREPLICAS Not enough good replicas to write.":                                              backend.ErrNotApplied,
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.":     backend.ErrNotApplied,
		"MOVED 3999 127.0.0.1:6381":                                                                  backend.ErrNotApplied,
		"ASK 3999 127.0.0.1:6381":                                                                    backend.ErrNotApplied,
		"OOM command not allowed when used memory > 'maxmemory'.":                                    backend.ErrNotApplied,
		"MISCONF Redis is configured to save RDB snapshots":                                          backend.ErrNotApplied,
		"NOSCRIPT No matching script. Please use EVAL.":                                              backend.ErrNotApplied,
		"ERR max number of clients reached":                                                          backend.ErrNotApplied,
		"ERR Error running script (call to f_12): @user_script:3: @user_script: 3: -OOM command not": backend.ErrNotApplied,
		"NOAUTH Authentication required.":                                                            backend.ErrPermanent,
		"WRONGPASS invalid username-password pair or user is disabled.":                              backend.ErrPermanent,
		"NOPERM this user has no permissions to run the 'set' command":                               backend.ErrPermanent,
		"ERR The user executing the script can't run this command or subcommand script: abc":         backend.ErrPermanent,
		"ERR The user executing the script can't access at least one of the keys mentioned in the":   backend.ErrPermanent,
		"ERR ACL failure in script: User u has no permissions to run the 'set' command":              backend.ErrPermanent,
		"ERR unknown command 'EVALSHA', with args beginning with: ":                                  backend.ErrPermanent,
		"ERR syntax error": backend.ErrPermanent,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                              backend.ErrCorrupt,
		"WRONGTYPE Operation against a key holding the wrong kind of value script: a, on @user_script:3": backend.ErrCorrupt,
		"ERR Error running script (call to f_1): @user_script:9: WRONGTYPE Operation against a key":      backend.ErrCorrupt,
		"BADFRAME the key holds no record of this version":                                               backend.ErrCorrupt,
		"ERR something that nobody knows":                                                                nil,
		"BUSYKEY Target key name already exists.":                                                        nil,
		"EOF": nil,
		"":    nil,
		"ERR Error running script: of a kind: that nobody knows": nil,
	} {
		if got := Classify(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestErrorHidesArguments(t *testing.T) {
	client := errors.New("ERR unknown command 'EVALSHA', with args beginning with: 'abc' '1' 'reprise:{abcd}:secret'")
	err := &Error{Op: "goredis: claim", Class: backend.ErrPermanent, Err: client}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the text shows the key: %v", err)
	}
	if !errors.Is(err, backend.ErrPermanent) || !errors.Is(err, client) {
		t.Errorf("%v doesn't wrap its class and the client's error", err)
	}
}
