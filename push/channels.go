package push

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// ChannelBook is the record as those who manage channels need it.
type ChannelBook interface {
	// Channels returns the organisation's channels with how they do, those that are enabled first, and when that was.
	Channels(ctx context.Context, actor account.Actor) ([]Channel, time.Time, error)
	// AddChannel keeps a new channel with the sealed secret that seal makes for it; fault.Conflict when an enabled one has its name,
	// or when there are MostChannels.
	AddChannel(ctx context.Context, actor account.Actor, c Channel, seal func(vital.UID) ([]byte, error)) (Channel, error)
	// AmendChannel loads a channel, has decide say what changes, and stores that with its audit row; fault.NotFound when there is
	// none.
	AmendChannel(ctx context.Context, actor account.Actor, uid vital.UID, decide func(c Channel, now time.Time) (Amendment, error)) (Channel, error)
	// Deliveries returns the newest deliveries to a channel; fault.NotFound when there is none.
	Deliveries(ctx context.Context, actor account.Actor, uid vital.UID, most int) ([]Delivery, error)
}

// TroubleBook is the record as those who count on being told need it.
type TroubleBook interface {
	// ChannelsToTeams returns the organisation's channels that get notices for care teams, with how they do, and when that was. The
	// actor need not manage them.
	ChannelsToTeams(ctx context.Context, actor account.Actor) ([]Channel, time.Time, error)
}

// Endpoints knows where notices may be sent, and makes the secrets that they are signed with.
type Endpoints interface {
	// Check says what is wrong with a URL: fault.Invalid.
	Check(url string) error
	// NewSecret returns a secret as the receiver needs it, and sealed for that channel; fault.Conflict when this process has no key.
	NewSecret(channel vital.UID) (shown string, sealed []byte, err error)
}

// Amendment is what a person changes of a channel. Exactly one of it is set.
type Amendment struct {
	Act     string // of the audit row
	Disable bool
	Secret  []byte    // sealed; the one before goes on signing until Until
	Until   time.Time // with Secret
	Test    bool      // a test notice is owed to the channel
}

// overlap is how long messages are signed with the secret before, too, after it was changed.
const overlap = 24 * time.Hour

// Channels manages the channels of an organisation.
type Channels struct {
	Book      ChannelBook
	Troubles  TroubleBook
	Endpoints Endpoints
}

// List returns the organisation's channels, and when they stood so.
func (c *Channels) List(ctx context.Context, actor account.Actor) ([]Channel, time.Time, error) {
	if err := account.Allow(actor, account.ManageWebhooks, nil); err != nil {
		return nil, time.Time{}, err
	}
	return c.Book.Channels(ctx, actor)
}

// InTrouble returns the channels to care teams that do not get through, for whoever answers alerts: until it is mended, people are
// to be told by other means.
func (c *Channels) InTrouble(ctx context.Context, actor account.Actor) ([]Trouble, error) {
	if err := account.Allow(actor, account.HandleAlert, nil); err != nil {
		return nil, err
	}
	list, now, err := c.Troubles.ChannelsToTeams(ctx, actor)
	var all []Trouble
	for i := range list {
		if what, since := list[i].Trouble(now); what != "" {
			all = append(all, Trouble{list[i].Name, what, since})
		}
	}
	return all, err
}

// Add makes a channel and returns it with its secret, which is shown this once.
func (c *Channels) Add(ctx context.Context, actor account.Actor, n Channel) (Channel, string, error) {
	if err := account.Allow(actor, account.ManageWebhooks, nil); err != nil {
		return Channel{}, "", err
	}
	if err := n.check(); err != nil {
		return Channel{}, "", err
	}
	if err := c.Endpoints.Check(n.URL); err != nil {
		return Channel{}, "", err
	}
	var shown string
	n, err := c.Book.AddChannel(ctx, actor, n, func(uid vital.UID) (sealed []byte, err error) {
		shown, sealed, err = c.Endpoints.NewSecret(uid)
		return sealed, err
	})
	if err != nil {
		return Channel{}, "", err
	}
	return n, shown, nil
}

// Rotate gives a channel another secret and returns it, this once. For a day messages carry the signatures of both. A secret that
// was changed a moment ago is not changed again before that: the receiver would be left with one that signs nothing any more.
func (c *Channels) Rotate(ctx context.Context, actor account.Actor, uid vital.UID) (Channel, string, error) {
	if err := account.Allow(actor, account.ManageWebhooks, nil); err != nil {
		return Channel{}, "", err
	}
	var shown string
	done, err := c.Book.AmendChannel(ctx, actor, uid, func(ch Channel, now time.Time) (a Amendment, err error) {
		if err := mustBeEnabled(&ch); err != nil {
			return a, err
		}
		if ch.OldUntil.After(now) {
			return a, fault.New(fault.Conflict, "the secret was changed already, and the one before signs until %s; make another channel when a secret has leaked, and disable this one",
				ch.OldUntil.Format(time.RFC3339))
		}
		a = Amendment{Act: "renew webhook secret", Until: now.Add(overlap)}
		shown, a.Secret, err = c.Endpoints.NewSecret(ch.UID)
		return a, err
	})
	if err != nil {
		return Channel{}, "", err
	}
	return done, shown, nil
}

// Disable ends a channel for good: what waits for it is cancelled. One that has ended is left as it is.
func (c *Channels) Disable(ctx context.Context, actor account.Actor, uid vital.UID) (Channel, error) {
	if err := account.Allow(actor, account.ManageWebhooks, nil); err != nil {
		return Channel{}, err
	}
	return c.Book.AmendChannel(ctx, actor, uid, func(ch Channel, _ time.Time) (Amendment, error) {
		if !ch.Enabled() {
			return Amendment{}, nil
		}
		return Amendment{Act: "disable webhook", Disable: true}, nil
	})
}

// Test owes a channel a test notice.
func (c *Channels) Test(ctx context.Context, actor account.Actor, uid vital.UID) (Channel, error) {
	if err := account.Allow(actor, account.ManageWebhooks, nil); err != nil {
		return Channel{}, err
	}
	return c.Book.AmendChannel(ctx, actor, uid, func(ch Channel, _ time.Time) (Amendment, error) {
		return Amendment{Act: "test webhook", Test: true}, mustBeEnabled(&ch)
	})
}

func mustBeEnabled(ch *Channel) error {
	if ch.Enabled() {
		return nil
	}
	return fault.New(fault.Conflict, "this channel was disabled: make another")
}

// mostDeliveries is how many deliveries are shown at most.
const mostDeliveries = 100

// Deliveries returns the newest deliveries to a channel, at most so many (0: 100).
func (c *Channels) Deliveries(ctx context.Context, actor account.Actor, uid vital.UID, most int) ([]Delivery, error) {
	if err := account.Allow(actor, account.ManageWebhooks, nil); err != nil {
		return nil, err
	}
	if most <= 0 || most > mostDeliveries {
		most = mostDeliveries
	}
	return c.Book.Deliveries(ctx, actor, uid, most)
}
