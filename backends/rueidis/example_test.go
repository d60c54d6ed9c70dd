package rueidis_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/rueidis"
)

// A server without CLIENT TRACKING, here miniredis, needs DisableCache.
func ExampleNew() {
	mini, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer mini.Close()

	store, err := rueidis.New(rueidislib.ClientOption{
		InitAddress:  []string{mini.Addr()},
		DisableCache: true, // miniredis has no CLIENT TRACKING
		AlwaysRESP2:  true, // and no RESP3 for subscriptions
	}, rueidis.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// What the executor (package idempotency) does with a store.
	ctx := context.Background()
	claim := backend.ClaimRequest{
		Token: backend.Token{1}, Lease: 30 * time.Second, Keep: 24 * time.Hour,
		Fence: uint64(time.Now().UnixMicro()),
	}
	record, err := store.Claim(ctx, "payment-123", claim)
	fmt.Println(record.State, record.Token == claim.Token, err)

	err = store.Commit(ctx, "payment-123", backend.CommitRequest{
		Token: claim.Token, Ending: backend.Complete, Outcome: []byte("receipt"), Retention: 24 * time.Hour,
	})
	fmt.Println(err)

	claim.Token = backend.Token{2}
	record, err = store.Claim(ctx, "payment-123", claim)
	fmt.Printf("%v %s %v\n", record.State, record.Outcome, err)
	// Output:
	// claimed true <nil>
	// <nil>
	// completed receipt <nil>
}

// The app's own client serves as well: it is neither closed nor changed.
func ExampleNewFromClient() {
	mini, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer mini.Close()
	client, err := rueidislib.NewClient(rueidislib.ClientOption{
		InitAddress: []string{mini.Addr()}, DisableCache: true, AlwaysRESP2: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	store, err := rueidis.NewFromClient(client, rueidis.Options{Prefix: "payments:"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	record, err := store.Fetch(context.Background(), "payment-123")
	fmt.Println(record.Unknown(), err)
	// Output: true <nil>
}
