package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/alerts"
	"hale/api"
	"hale/fault"
	"hale/push"
	"hale/push/webhook"
)

// noticeFlags say where notices may be sent.
type noticeFlags struct {
	WebhookNetworks []string `name:"webhook-networks" help:"Networks that webhooks may reach besides public addresses, separated by commas, for example 10.20.0.0/16. With 127.0.0.0/8 plain HTTP to this machine, too. The same for roles api and process." placeholder:"CIDR" env:"HALE_WEBHOOK_NETWORKS"`
}

func (f noticeFlags) webhookNetworks() ([]netip.Prefix, error) {
	list := make([]netip.Prefix, len(f.WebhookNetworks))
	for i, text := range f.WebhookNetworks {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "--webhook-networks: %q is no network; give one as 10.20.0.0/16", text)
		}
		list[i] = n.Masked()
	}
	return list, nil
}

// newWebhooks returns what sends webhooks and checks where they may go.
func (h *house) newWebhooks() *webhook.Client {
	c := webhook.Config{Networks: h.webhookNetworks}
	if h.secondKey != nil { // a nil *Key in an interface is not nil
		c.Sealer = h.secondKey
	}
	return webhook.New(c)
}

// newDispatcher returns what hands the outbox over, with its metrics.
func (h *house) newDispatcher() *push.Dispatcher {
	tries := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_webhook_tries_total", Help: "Tries to hand a notice to a webhook, by what became of it."}, []string{"outcome"})
	took := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hale_webhook_delivery_seconds", Help: "From the writing of a notice until its webhook had taken it.",
		Buckets: prometheus.ExponentialBuckets(0.05, 2, 18)})
	h.registry.MustRegister(tries, took)
	return push.NewDispatcher(push.DispatcherConfig{Store: h.notices, Sender: h.newWebhooks(), Log: h.log, Watch: push.Watch{
		Settled: func(o push.Outcome, after time.Duration) {
			tries.WithLabelValues(string(o.State)).Inc()
			if o.State == push.Delivered {
				took.Observe(after.Seconds())
			}
		},
	}})
}

// dispatching hands notices over. It ends after what writes them, and waits for what is on its way.
func (h *house) dispatching() stage {
	return stage{name: "dispatcher of notices", run: h.dispatcher.Run, bound: 15 * time.Second}
}

// nudging is an announcer that has the dispatcher look at once.
type nudging struct {
	announcer
	dispatcher *push.Dispatcher
}

// Announce tells the feed, and the dispatcher.
func (n nudging) Announce(ctx context.Context, events []alerts.Event) {
	if len(events) > 0 {
		n.dispatcher.Nudge()
	}
	n.announcer.Announce(ctx, events)
}

// checkWebhooks tells of notices that do not leave the house. Sending this process no more would not mend it.
func (h *house) checkWebhooks(ctx context.Context) api.Check {
	c := api.Check{Name: "webhooks", Alarm: true}
	switch n, err := h.work.TroubledChannels(ctx); {
	case err != nil:
		c.Detail = fault.MessageOf(err)
	case n > 0:
		c.Detail = fmt.Sprintf("notices do not get through to %d webhooks; which, and why, stands on the page of webhooks and in the log", n)
	default:
		c.OK = true
	}
	return c
}
