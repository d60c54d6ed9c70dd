//go:build unix

package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	redigolib "github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// store is a backend as every one of ours is.
type store interface {
	backend.Backend
	backend.Forgetter
	Close() error
}

// clientsOf are the clients that a kind of installation is used through.
func clientsOf(kind string) []string {
	if kind == "cluster" {
		return []string{"goredis", "rueidis"}
	}
	return []string{"goredis", "rueidis", "redigo"}
}

// patience of a client with a silent server: short, so that a black hole is soon
// left.
const patience = time.Second

// dialer goes through the proxy where there is one in front of the address.
func (c config) dialer(timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if proxy, ok := c.Routes[addr]; ok {
			addr = proxy
		}
		return d.DialContext(ctx, network, addr)
	}
}

// connect opens the backend of a config, and what closes it with its client.
func (c config) connect(ctx context.Context) (s store, closeAll func(), err error) {
	logging.Disable()
	switch c.Client {
	case "goredis":
		return c.connectGoRedis()
	case "rueidis":
		return c.connectRueidis(ctx)
	case "redigo":
		return c.connectRedigo()
	}
	return nil, nil, fmt.Errorf("there is no client %q", c.Client)
}

func (c config) connectGoRedis() (store, func(), error) {
	var client redislib.UniversalClient
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch c.Kind {
	case "cluster":
		client = redislib.NewClusterClient(&redislib.ClusterOptions{
			Addrs: c.Addrs, Dialer: c.dialer(patience), DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
			MaintNotificationsConfig: quiet,
		})
	case "sentinel":
		client = redislib.NewFailoverClient(&redislib.FailoverOptions{
			MasterName: redistest.MasterName, SentinelAddrs: c.Addrs, Dialer: c.dialer(patience),
			DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
		})
	default:
		client = redislib.NewClient(&redislib.Options{
			Addr: c.Addrs[0], Dialer: c.dialer(patience), DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
			MaintNotificationsConfig: quiet,
		})
	}
	s, err := goredis.New(client, goredis.Options{Prefix: c.Prefix})
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return s, func() { s.Close(); client.Close() }, nil
}

func (c config) connectRueidis(ctx context.Context) (store, func(), error) {
	dial := c.dialer(patience)
	option := rueidislib.ClientOption{
		InitAddress: c.Addrs, ConnWriteTimeout: patience, Dialer: net.Dialer{Timeout: patience},
		DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dial(ctx, "tcp", addr)
		},
	}
	if c.Kind == "sentinel" {
		option.Sentinel.MasterSet = redistest.MasterName
	}
	for {
		s, err := rueidis.New(option, rueidis.Options{Prefix: c.Prefix})
		if err == nil {
			return s, func() { s.Close() }, nil
		}
		// It connects at once, and the server may be away for the moment.
		select {
		case <-ctx.Done():
			return nil, nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c config) connectRedigo() (store, func(), error) {
	dial := c.dialer(patience)
	pool := &redigolib.Pool{
		MaxIdle: 8, MaxActive: 32, Wait: true, IdleTimeout: time.Minute,
		DialContext: func(ctx context.Context) (redigolib.Conn, error) {
			addr := c.Addrs[0]
			if c.Kind == "sentinel" {
				var err error
				if addr, err = c.askSentinels(ctx); err != nil {
					return nil, err
				}
			}
			return redigolib.DialContext(ctx, "tcp", addr, redigolib.DialContextFunc(dial),
				redigolib.DialReadTimeout(patience), redigolib.DialWriteTimeout(patience))
		},
	}
	s, err := redigo.New(pool, redigo.Options{Prefix: c.Prefix})
	if err != nil {
		return nil, nil, err
	}
	return s, func() { s.Close(); pool.Close() }, nil
}

// askSentinels is what an application does that reaches its master by redigo: it
// asks the sentinels, and makes sure that what they name is one.
func (c config) askSentinels(ctx context.Context) (string, error) {
	var errs []error
	dial := redigolib.DialContextFunc(c.dialer(patience))
	for _, sentinel := range c.Addrs {
		addr, err := func() (string, error) {
			conn, err := redigolib.DialContext(ctx, "tcp", sentinel, dial, redigolib.DialReadTimeout(patience))
			if err != nil {
				return "", err
			}
			defer conn.Close()
			master, err := redigolib.Strings(conn.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", redistest.MasterName))
			if err != nil {
				return "", err
			}
			if len(master) != 2 {
				return "", errors.New("the sentinel knows no master")
			}
			addr := net.JoinHostPort(master[0], master[1])
			server, err := redigolib.DialContext(ctx, "tcp", addr, dial, redigolib.DialReadTimeout(patience))
			if err != nil {
				return "", err
			}
			defer server.Close()
			role, err := redigolib.Values(server.Do("ROLE"))
			if err != nil {
				return "", err
			}
			if len(role) == 0 || !slices.Equal(role[0].([]byte), []byte("master")) {
				return "", fmt.Errorf("%s is no master", addr)
			}
			return addr, nil
		}()
		if err == nil {
			return addr, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
