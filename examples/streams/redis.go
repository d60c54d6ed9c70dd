package main

import (
	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func newRedisClient(addr string) *redislib.Client {
	return redislib.NewClient(&redislib.Options{
		Addr: addr,
		// A command ends with its ctx: XREADGROUP blocks.
		ContextTimeoutEnabled: true,
		// Only Redis Enterprise has these; elsewhere the client logs that it hasn't.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
