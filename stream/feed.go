package stream

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"hale/fault"
)

const (
	feedSubject  = "hale.feed."
	nudgeSubject = "hale.nudge."
	tellSubject  = "hale.tell."
)

// Feed tells other processes that something changed: screens by organisation, caches by topic. It keeps nothing and
// promises nothing; whoever listens also catches up by asking the record.
type Feed struct{ conn *Conn }

// Feed returns the live feed on this connection.
func (c *Conn) Feed() *Feed { return &Feed{conn: c} }

// Announce sends the payload, ids and versions only, to whoever listens now.
func (f *Feed) Announce(_ context.Context, org int32, payload []byte) {
	f.send(feedSubject+strconv.FormatInt(int64(org), 10), payload)
}

// Nudge tells whoever listens to the topic now to look at the record again. A topic is one word such as "registry".
func (f *Feed) Nudge(_ context.Context, topic string) {
	f.send(nudgeSubject+topic, nil)
}

// Tell sends the payload to whoever hears the topic now, this process too. A topic is one word such as "takeover".
func (f *Feed) Tell(topic string, payload []byte) {
	f.send(tellSubject+topic, payload)
}

func (f *Feed) send(subject string, payload []byte) {
	if err := f.conn.nc.Publish(subject, payload); err != nil {
		f.conn.log.Debug("announcement was lost", "subject", subject, "error", err)
	}
}

// Listen calls heard with every announcement, one at a time, until ctx ends. It returns nil then, and
// fault.Unavailable when the connection is closed.
func (f *Feed) Listen(ctx context.Context, heard func(org int32, payload []byte)) error {
	return f.listen(ctx, feedSubject+"*", func(m *nats.Msg) {
		if m == nil {
			return
		}
		org, err := strconv.ParseInt(strings.TrimPrefix(m.Subject, feedSubject), 10, 32)
		if err == nil { // else somebody else's message on our subject
			heard(int32(org), m.Data)
		}
	})
}

// OnNudge calls nudged for every nudge of the topic, one at a time, until ctx ends. A reconnection counts as a nudge,
// since some may have been missed. It returns like Listen, and fault.Invalid for a topic that is not one word.
func (f *Feed) OnNudge(ctx context.Context, topic string, nudged func()) error {
	if err := oneWord(topic); err != nil {
		return err
	}
	return f.listen(ctx, nudgeSubject+topic, func(*nats.Msg) { nudged() })
}

// Hear calls heard with everything that is told on the topic, one at a time, until ctx ends. What is told while the
// connection is away is missed: missed is called when that has been so, between two calls of heard. It returns like
// OnNudge.
func (f *Feed) Hear(ctx context.Context, topic string, heard func(payload []byte), missed func()) error {
	if err := oneWord(topic); err != nil {
		return err
	}
	return f.listen(ctx, tellSubject+topic, func(m *nats.Msg) {
		if m == nil {
			missed()
			return
		}
		heard(m.Data)
	})
}

func oneWord(topic string) error {
	if topic == "" || strings.ContainsAny(topic, ".*> \t\r\n") {
		return fault.New(fault.Invalid, "topic %q is not one word", topic)
	}
	return nil
}

// listen runs until ctx ends. The nil message stands for a reconnection, or whatever else may have lost messages.
func (f *Feed) listen(ctx context.Context, subject string, heard func(*nats.Msg)) error {
	sub, err := f.conn.nc.SubscribeSync(subject)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "listen to %s", subject)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for ctx.Err() == nil {
		up, release := f.conn.whileConnected(ctx)
		err := f.receive(up, sub, subject, heard)
		release()
		if err != nil {
			return err
		}
		for !f.conn.Up() {
			if f.conn.nc.IsClosed() {
				return fault.New(fault.Unavailable, "listen to %s: the connection is closed", subject)
			}
			if !pause(ctx, firstPause) {
				return nil
			}
		}
		if ctx.Err() == nil {
			heard(nil)
		}
	}
	return nil
}

// receive hears messages until ctx, which ends with the connection, does.
func (f *Feed) receive(ctx context.Context, sub *nats.Subscription, subject string, heard func(*nats.Msg)) error {
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case err == nil:
			heard(m)
		case errors.Is(err, nats.ErrSlowConsumer): // catching up is the listener's part
			f.conn.log.Warn("announcements were dropped", "subject", subject)
			heard(nil)
		default:
			return f.ended(ctx, subject, err)
		}
	}
}

// ended tells the orderly end of a subscription from one that failed.
func (f *Feed) ended(ctx context.Context, subject string, err error) error {
	if orderly := ctx.Err() != nil || f.conn.nc.IsClosed(); !orderly {
		return fault.Wrap(fault.Unavailable, err, "listen to %s", subject)
	}
	return nil
}
