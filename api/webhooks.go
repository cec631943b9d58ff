package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/push"
	"hale/vital"
)

type webhookBody struct {
	ID          vital.UID       `json:"id" format:"uuid"`
	Name        string          `json:"name" example:"Pagers"`
	URL         string          `json:"url" example:"https://pager.example.org/hale"`
	Topics      []push.Topic    `json:"topics" example:"[\"alert.*\",\"unverified.*\"]" doc:"Topics, or whole groups of them; empty: all"`
	Severities  []string        `json:"severities" example:"[\"extreme\",\"red\"]" doc:"Empty: all"`
	Audiences   []push.Audience `json:"audiences" example:"[\"team\"]" doc:"For whom the notices are that it gets"`
	MadeBy      string          `json:"made_by"`
	CreatedAt   time.Time       `json:"created_at"`
	DisabledAt  *time.Time      `json:"disabled_at,omitempty" doc:"Nothing is sent to it since then"`
	DisabledWhy string          `json:"disabled_why,omitempty" enum:"person,gone" doc:"Somebody disabled it, or its receiver answered 410"`
	OldUntil    *time.Time      `json:"old_secret_until,omitempty" doc:"Messages carry a signature of the secret before, too, until then"`
	Waiting     int             `json:"waiting" doc:"Notices that have not got through yet"`
	Oldest      *time.Time      `json:"oldest_waiting,omitempty" doc:"When the oldest of these was written"`
	DeliveredAt *time.Time      `json:"last_delivered_at,omitempty"`
	GivenUp     int             `json:"given_up" doc:"Notices of the last 24 hours that did not get through and are not tried again"`
	Trouble     string          `json:"trouble,omitempty" doc:"What is wrong, in words; left out when nothing is"`
	Secret      string          `json:"secret,omitempty" doc:"Only in the answer that makes or renews it; it is shown nowhere else. whsec_ and the key of the HMAC in base64"`
}

func webhookOf(c *push.Channel, now time.Time) webhookBody {
	s := &c.Standing
	trouble, _ := c.Trouble(now)
	return webhookBody{
		ID: c.UID, Name: c.Name, URL: c.URL, Topics: listed(c.Topics), Severities: listed(c.Severities), Audiences: listed(c.Audiences), MadeBy: c.CreatedBy, CreatedAt: c.CreatedAt,
		DisabledAt: at(c.DisabledAt), DisabledWhy: c.DisabledWhy, OldUntil: at(c.OldUntil),
		Waiting: s.Waiting, Oldest: at(s.Oldest), DeliveredAt: at(s.DeliveredAt), GivenUp: s.GivenUp, Trouble: trouble,
	}
}

// listed is a list that is never null.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type webhooksOutput struct {
	Body struct {
		Webhooks []webhookBody `json:"webhooks"`
	}
}

type newWebhookInput struct {
	Body struct {
		Name       string          `json:"name" minLength:"1" maxLength:"100" example:"Pagers" doc:"What receives the notices"`
		URL        string          `json:"url" minLength:"1" maxLength:"2000" example:"https://pager.example.org/hale" doc:"With https, to a public address, or to one of a network that whoever runs Hale has allowed. Redirects are not followed"`
		Topics     []push.Topic    `json:"topics,omitempty" maxItems:"50" example:"[\"alert.*\",\"unverified.*\"]" doc:"Topics, or whole groups of them; all when left out"`
		Severities []string        `json:"severities,omitempty" maxItems:"5" enum:"extreme,red,urgent,yellow,none" doc:"All when left out"`
		Audiences  []push.Audience `json:"audiences,omitempty" maxItems:"5" enum:"team,patient,caregiver,privacy_officer,manager" doc:"For whom the notices are; the care team when left out"`
	}
}

type webhookOutput struct{ Body webhookBody }

type webhookInput struct {
	ID string `path:"id" format:"uuid"`
}

type deliveriesInput struct {
	ID    string `path:"id" format:"uuid"`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

type deliveryBody struct {
	ID        vital.UID     `json:"id" format:"uuid" doc:"The webhook-id that the receiver sees, the same at every try"`
	Topic     push.Topic    `json:"topic" example:"alert.opened"`
	Severity  string        `json:"severity" example:"red"`
	Audience  push.Audience `json:"audience" example:"team"`
	CreatedAt time.Time     `json:"created_at" doc:"When the notice was written"`
	State     push.State    `json:"state" enum:"waiting,delivered,given_up,cancelled"`
	Tries     int           `json:"tries"`
	Reason    push.Reason   `json:"reason,omitempty" doc:"Why the last try failed, or why it ended: status, timeout, unreachable, tls, address, redirect, gone, no_key, expired, notice_cancelled, channel_disabled, care_ended, consent_ended"`
	Status    int           `json:"status,omitempty" doc:"Of HTTP, at the last try; left out when there was no answer"`
	NextAt    *time.Time    `json:"next_try_at,omitempty"`
	SettledAt *time.Time    `json:"settled_at,omitempty"`
}

type deliveriesOutput struct {
	Body struct {
		Deliveries []deliveryBody `json:"deliveries"`
	}
}

func (s *Server) addWebhooks() {
	if s.Webhooks == nil {
		return
	}
	const all, one = "/v1/webhooks", "/v1/webhooks/{id}"
	add(s, op(http.MethodGet, all, "list-webhooks", tagWebhooks, "Where notices are sent, and whether they get through"), s.listWebhooks)
	add(s, created(op(http.MethodPost, all, "make-webhook", tagWebhooks, "Have notices sent to a program, signed as Standard Webhooks says", http.StatusBadRequest, http.StatusConflict)),
		func(ctx context.Context, actor account.Actor, in *newWebhookInput) (*webhookOutput, error) {
			b := &in.Body
			c, secret, err := s.Webhooks.Add(ctx, actor, push.Channel{Name: b.Name, URL: b.URL, Topics: b.Topics, Severities: b.Severities, Audiences: b.Audiences})
			return s.webhook(&c, secret, err)
		})
	rotate := op(http.MethodPost, one+"/secret", "renew-webhook-secret", tagWebhooks, "Give a webhook another secret", http.StatusNotFound, http.StatusConflict)
	rotate.Description = "For 24 hours messages carry the signatures of both, so that the receiver can change over without losing one. When a secret has leaked, make another webhook and disable this one."
	add(s, rotate, func(ctx context.Context, actor account.Actor, in *webhookInput) (*webhookOutput, error) {
		c, secret, err := s.Webhooks.Rotate(ctx, actor, vital.UID(in.ID))
		return s.webhook(&c, secret, err)
	})
	disable := op(http.MethodPost, one+"/disable", "disable-webhook", tagWebhooks, "Send nothing more to a webhook", http.StatusNotFound)
	disable.Description = "For good: what waits for it is cancelled, and it stays in the list with what was sent to it."
	add(s, disable, func(ctx context.Context, actor account.Actor, in *webhookInput) (*webhookOutput, error) {
		c, err := s.Webhooks.Disable(ctx, actor, vital.UID(in.ID))
		return s.webhook(&c, "", err)
	})
	add(s, op(http.MethodPost, one+"/test", "test-webhook", tagWebhooks, "Send a test notice (webhook.test), which tells of nothing", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, actor account.Actor, in *webhookInput) (*webhookOutput, error) {
			c, err := s.Webhooks.Test(ctx, actor, vital.UID(in.ID))
			return s.webhook(&c, "", err)
		})
	add(s, op(http.MethodGet, one+"/deliveries", "list-webhook-deliveries", tagWebhooks, "What was sent to a webhook, the newest first, and what became of it", http.StatusNotFound), s.listDeliveries)
}

func (s *Server) webhook(c *push.Channel, secret string, err error) (*webhookOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &webhookOutput{webhookOf(c, s.Now())}
	out.Body.Secret = secret
	return out, nil
}

func (s *Server) listWebhooks(ctx context.Context, actor account.Actor, _ *struct{}) (*webhooksOutput, error) {
	list, now, err := s.Webhooks.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &webhooksOutput{}
	out.Body.Webhooks = make([]webhookBody, len(list))
	for i := range list {
		out.Body.Webhooks[i] = webhookOf(&list[i], now)
	}
	return out, nil
}

func (s *Server) listDeliveries(ctx context.Context, actor account.Actor, in *deliveriesInput) (*deliveriesOutput, error) {
	list, err := s.Webhooks.Deliveries(ctx, actor, vital.UID(in.ID), in.Limit)
	if err != nil {
		return nil, err
	}
	out := &deliveriesOutput{}
	out.Body.Deliveries = make([]deliveryBody, len(list))
	for i, d := range list {
		out.Body.Deliveries[i] = deliveryBody{d.UID, d.Topic, d.Severity, d.Audience, d.CreatedAt, d.State, d.Tries, d.Reason, d.Status, at(d.NextAt), at(d.SettledAt)}
	}
	return out, nil
}
