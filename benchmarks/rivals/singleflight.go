package rivals

import (
	"context"
	"testing"

	"golang.org/x/sync/singleflight"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Singleflight is golang.org/x/sync/singleflight v0.24.0: the bound of what can be done in one
// process, and the floor of all that is measured without a server.
//
// Usage: package documentation, Group.Do.
//
//	waits?          yes, in the same process
//	error replay?   to those who waited
//	fencing?        no
//	holder crash?   nothing survives the process
//	result kept?    no: it forgets with the last waiter, and the next caller runs
//	                again
var Singleflight = Rival{
	Name: "singleflight", Waits: true,
	Open: func(testing.TB, string, clients.Dial) Do {
		var flights singleflight.Group
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			answer, err, _ := flights.Do(key, func() (any, error) { return action(ctx) })
			if err != nil {
				return nil, err
			}
			return answer.([]byte), nil
		}
	},
}
