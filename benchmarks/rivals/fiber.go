package rivals

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	fiberidempotency "github.com/gofiber/fiber/v3/middleware/idempotency"
	fiberredis "github.com/gofiber/storage/redis/v3"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Fiber is github.com/gofiber/fiber/v3 v3.1.0, middleware/idempotency, with
// github.com/gofiber/storage/redis/v3 v3.4.3.
//
// Usage: docs/middleware/idempotency.md, "Custom Config", with Lifetime and
// Storage; the storage's README, "Using an Existing Redis Connection". The header
// and the length of its value (a UUID's) are the defaults. The client is
// go-redis.
//
//	waits?          in the same process only (a mutex for each key, which knows no
//	                ctx); two processes run the handler twice. A Lock of one's own
//	                can be given; none is on offer
//	error replay?   what the handler writes is kept, whatever its status; an error
//	                that it returns is not
//	fencing?        no
//	holder crash?   the next request runs again at once; nothing was claimed
//	result kept?    yes: status, headers (Set-Cookie, too) and body; the same key
//	                with another body, path or user gets the same response
var Fiber = Middleware{
	Name: "fiber", Header: "X-Idempotency-Key",
	Serve: func(tb testing.TB, addr string, dial clients.Dial, work func() []byte) (url string) {
		tb.Helper()
		app := fiber.New()
		if addr != "" {
			app.Use(fiberidempotency.New(fiberidempotency.Config{
				Lifetime: keptFor,
				Storage:  fiberredis.NewFromConnection(newGoredis(tb, addr, dial)),
			}))
		}
		app.Post("/payments", func(c fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, "application/json")
			return c.Status(http.StatusCreated).Send(work())
		})
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
		tb.Cleanup(func() {
			if err := app.ShutdownWithTimeout(10 * time.Second); err != nil {
				tb.Error(err)
			}
			if err := <-ended; err != nil {
				tb.Error(err)
			}
		})
		return "http://" + listener.Addr().String() + "/payments"
	},
}
