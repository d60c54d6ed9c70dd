package rivals

import (
	_ "github.com/ThreeDotsLabs/watermill/message/router/middleware"
	_ "github.com/bsm/redislock"
	_ "github.com/go-redis/cache/v9"
	_ "github.com/go-redsync/redsync/v4"
	_ "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	_ "github.com/gofiber/fiber/v3/middleware/idempotency"
	_ "github.com/gofiber/storage/redis/v3"
	_ "github.com/redis/rueidis/rueidislock"
	_ "golang.org/x/sync/singleflight"
	_ "github.com/reprise-go/reprise/benchmarks/internal/clients"
	_ "github.com/reprise-go/reprise/idempotency/idemhttp"
	_ "github.com/reprise-go/reprise/idempotency/consumer"
	_ "go.uber.org/goleak"
)
