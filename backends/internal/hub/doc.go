// Package hub lets many callers wait for many keys over few connections. It
// knows no client. It has two layers, and a backend takes both or the first:
//
// [Hub] is the registry of waiters. For each waited key there is one topic in
// the process, whatever the number of its waiters: one subscription, one
// goroutine that looks at the record (by the backend's [Look]) and sleeps, and
// one answer that is handed to all. It subscribes, waits for the confirmation
// and looks then; it looks again on every message, every confirmation and every
// drop, at the end of the lease that it saw, and after backend.MaxSleep. A
// message that carries a frame completed by the waiter's token settles the wait
// without a look. When the last waiter has gone, nothing is left of the topic.
// Where no subscription can be had the hub polls.
//
// [Subscriber] is the seam to the client: Subscribe and Unsubscribe ask for a
// channel and don't block; what comes of it is reported to the hub by
// Confirmed, Message and Dropped. A client with a subscription call per channel
// (rueidis' Receive) implements it directly.
//
// [Conns] is a Subscriber over connections that carry any number of channels
// (go-redis' PubSub, a dialled redigo connection): the backend gives a [Dial]
// and a [Conn]. It opens connections when they are needed, one in all or, with a
// Route, one per node; it opens them again when they are lost or silent, and
// closes them some time after the last channel.
//
//	h := hub.New(look, func(h *hub.Hub) hub.Subscriber {
//		return hub.NewConns(h, hub.ConnsOptions{Dial: dial})
//	})
//	record, err := h.Wait(ctx, layout.Channel(key), token)
//	h.Close()
package hub
