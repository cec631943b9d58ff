package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/internal/browser"
	"hale/push"
	"hale/vital"
)

// pigeons is a record in memory of where notices are sent.
type pigeons struct {
	now  func() time.Time
	list []push.Channel
	sent []push.Delivery
}

func (p *pigeons) service() *push.Channels { return &push.Channels{Book: p, Troubles: p, Endpoints: p} }

func (p *pigeons) Check(address string) error {
	if !strings.HasPrefix(address, "https://") {
		return fault.New(fault.Invalid, "url: begin with https://")
	}
	return nil
}

func (p *pigeons) NewSecret(channel vital.UID) (string, []byte, error) {
	return "whsec_of" + string(channel), []byte("sealed"), nil
}

func (p *pigeons) Channels(context.Context, account.Actor) ([]push.Channel, time.Time, error) {
	return p.list, p.now(), nil
}

func (p *pigeons) ChannelsToTeams(context.Context, account.Actor) ([]push.Channel, time.Time, error) {
	return p.list, p.now(), nil
}

func (p *pigeons) AddChannel(_ context.Context, actor account.Actor, c push.Channel, seal func(vital.UID) ([]byte, error)) (push.Channel, error) {
	c.UID, c.CreatedAt, c.CreatedBy = "h1", p.now(), actor.Name
	_, err := seal(c.UID)
	p.list = append(p.list, c)
	return c, err
}

func (p *pigeons) AmendChannel(_ context.Context, _ account.Actor, uid vital.UID, decide func(push.Channel, time.Time) (push.Amendment, error)) (push.Channel, error) {
	for i := range p.list {
		c := &p.list[i]
		if c.UID != uid {
			continue
		}
		m, err := decide(*c, p.now())
		switch {
		case err != nil:
			return *c, err
		case m.Disable:
			c.DisabledAt, c.DisabledWhy = p.now(), "person"
		case m.Secret != nil:
			c.OldUntil = m.Until
		case m.Test:
			p.sent = append(p.sent, push.Delivery{UID: "d1", Topic: push.ChannelTested, Severity: push.SeverityNone, CreatedAt: p.now(), State: push.Waiting, NextAt: p.now()})
		}
		return *c, nil
	}
	return push.Channel{}, fault.New(fault.NotFound, "there is no webhook %s", uid)
}

func (p *pigeons) Deliveries(context.Context, account.Actor, vital.UID, int) ([]push.Delivery, error) {
	return p.sent, nil
}

func TestWhoManagesSaysWhereNoticesAreSent(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	app := f.app(t)
	admin, nurse := visit(t, app, "admin"), visit(t, app, "mira")
	if answer, _ := nurse.get("/webhooks"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse sees it: %d", answer.StatusCode)
	}
	if answer, _ := press(nurse, "/webhooks", url.Values{"name": {"x"}}); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse makes one: %d", answer.StatusCode)
	}
	_, text := admin.get("/webhooks")
	wants(t, text, "None yet. Until there is one, notices are seen only by those who look at Hale.")
	form := url.Values{"name": {"Night pagers"}, "url": {"http://pager.example.org/x?token=hush"}, "topic": {"alert.*", "unverified.*"}, "severity": {"red"}, "audience": {"team"}}
	answer, text := press(admin, "/webhooks", form)
	if answer.StatusCode == http.StatusOK || !strings.Contains(text, `value="Night pagers"`) || strings.Count(text, " checked>") != 4 {
		t.Errorf("without https: %d, and the form is not as it was sent", answer.StatusCode)
	}
	wants(t, text, "Url: begin with https://.")
	form.Set("url", "https://pager.example.org/x?token=hush")
	answer, text = press(admin, "/webhooks", form)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("made: %d, %q", answer.StatusCode, answer.Header.Get("Cache-Control"))
	}
	wants(t, text, "whsec_ofh1", "It is shown only now.", "alerts of patients, values of nobody known that may be an emergency; only red", "the care team", "Nothing was sent to it yet")
	_, text = admin.get("/webhooks/h1")
	if strings.Contains(text, "whsec_") {
		t.Error("the secret is shown twice")
	}
	if answer, _ := press(admin, "/webhooks/h1/test", nil); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("test: %d", answer.StatusCode)
	}
	_, text = admin.get("/webhooks/h1")
	wants(t, text, "webhook test", "waits")
	_, text = press(admin, "/webhooks/h1/secret", nil)
	wants(t, text, "whsec_ofh1", "Messages are signed with the one before, too, until")
	answer, text = press(admin, "/webhooks/h1/secret", nil)
	if answer.StatusCode != http.StatusConflict || strings.Contains(text, "whsec_") {
		t.Errorf("a third secret: %d", answer.StatusCode)
	}
	wants(t, text, "The secret was changed already")
	f.pigeons.list[0].Standing = push.Standing{Waiting: 3, Oldest: f.clock().Add(-2 * time.Minute)}
	_, text = admin.get("/webhooks")
	wants(t, text, "Notices do not get through.", "3 wait.", "To pager.example.org")
	if strings.Contains(text, "hush") {
		t.Error("the list shows what stands behind the host")
	}
	_, text = nurse.get("/")
	wants(t, text, "Night pagers: notices do not get through, since")
	if answer, _ := press(admin, "/webhooks/h1/disable", nil); answer.StatusCode != http.StatusSeeOther || f.pigeons.list[0].Enabled() {
		t.Errorf("disable: %d", answer.StatusCode)
	}
	_, text = admin.get("/webhooks/h1")
	if strings.Contains(text, "Send a test") || !strings.Contains(text, "Disabled") {
		t.Error("a disabled one can be tried")
	}
	if _, text = nurse.get("/"); strings.Contains(text, "Night pagers") {
		t.Error("the board tells of what somebody has disabled")
	}
	if answer, _ := admin.get("/webhooks/h2"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("what there is not: %d", answer.StatusCode)
	}
}

func TestThePagesOfWebhooksFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	now := f.clock()
	f.pigeons.list = []push.Channel{
		{UID: "h1", Name: "Pagers of the night shift", URL: "https://pager.example.org/hale?token=0123456789abcdef0123456789abcdef", Topics: []push.Topic{"alert.*", "unverified.*"}, Severities: []string{"extreme", "red"},
			Audiences: []push.Audience{push.ToTeam}, CreatedAt: now.Add(-90 * 24 * time.Hour), CreatedBy: "Ada Admin",
			Standing: push.Standing{Waiting: 4, Oldest: now.Add(-12 * time.Minute), GivenUp: 1, GivenUpAt: now.Add(-time.Hour), DeliveredAt: now.Add(-3 * time.Hour)}},
		{UID: "h2", Name: "SMS", URL: "https://sms.example.org/in", Audiences: []push.Audience{push.ToPatient, push.ToCaregiver}, CreatedAt: now, CreatedBy: "Ada Admin", Standing: push.Standing{DeliveredAt: now.Add(-time.Minute)}},
		{UID: "h3", Name: "Old voice gateway", URL: "https://voice.example.org/in", Audiences: []push.Audience{push.ToTeam}, CreatedAt: now, CreatedBy: "Ada Admin", DisabledAt: now.Add(-time.Hour), DisabledWhy: "gone"},
	}
	for i, d := range []push.Delivery{
		{State: push.Waiting, Tries: 7, Reason: push.BadStatus, Status: 502, NextAt: now.Add(time.Minute)},
		{State: push.Delivered, Tries: 1, Status: 204, SettledAt: now.Add(400 * time.Millisecond)},
		{State: push.Delivered, Tries: 3, Status: 204, SettledAt: now.Add(7 * time.Minute)},
		{State: push.GivenUp, Tries: 5, Reason: push.BadStatus, Status: 404, SettledAt: now},
		{State: push.Cancelled, Tries: 1, Reason: push.CareOver, SettledAt: now},
	} {
		d.UID, d.Topic, d.Severity, d.CreatedAt = vital.UID("d"+strconv.Itoa(i)), push.AlertOpened, "red", now
		f.pigeons.sent = append(f.pigeons.sent, d)
	}
	fitAPhoneAndReadAloud(t, browser.Start(t), f.serve(t), "admin", map[string]string{"webhooks": "/webhooks", "webhook": "/webhooks/h1", "webhook-board": "/"})
}
