package postgres_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/internal/receiver"
	"hale/push"
)

func TestSecretsAreShownOnceAndOverlap(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	try := func(secret string, want bool) {
		t.Helper()
		s.at.Trust(secret)
		before := len(s.at.Messages())
		if _, err := s.desk.Test(t.Context(), s.nurse, s.channel.UID); err != nil {
			t.Fatal(err)
		}
		s.round(t, d)
		if got := len(s.at.Messages()) > before; got != want {
			t.Errorf("a message verified: %t, want %t", got, want)
		}
	}
	try(s.secret, true)
	if m := s.at.Messages()[0]; m.Body.Type != push.ChannelTested || m.Body.Data.Patient != "" {
		t.Errorf("a test says %s", m.Raw)
	}
	_, next, err := s.desk.Rotate(t.Context(), s.nurse, s.channel.UID)
	if err != nil || next == s.secret || !strings.HasPrefix(next, "whsec_") {
		t.Fatalf("the next secret begins with %.6s: %v", next, err)
	}
	try(s.secret, true)
	try(next, true)
	if _, _, err := s.desk.Rotate(t.Context(), s.nurse, s.channel.UID); !fault.Is(err, fault.Conflict) {
		t.Errorf("a third secret while two sign: %v", err)
	}
	s.pass(24*time.Hour + time.Second)
	s.exec(t, `UPDATE delivery SET state = 'cancelled', settled_at = clock_timestamp() WHERE state = 'waiting'`)
	s.exec(t, `UPDATE channel SET old_until = clock_timestamp() - interval '1 second'`)
	s.ahead.Store(0)
	try(s.secret, false)
	try(next, true)
	if kept := s.text(t, `SELECT string_agg(c::text || d::text || a::text, ' ') FROM channel c, delivery d, audit a`); strings.Contains(kept, next) || strings.Contains(kept, strings.TrimPrefix(next, "whsec_")) {
		t.Error("a secret stands in the record as it is shown")
	}
}

func TestWhoManagesChannels(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	nurse := s.nurse
	nurse.Role = account.Nurse
	if _, _, err := s.desk.List(t.Context(), nurse); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse lists channels: %v", err)
	}
	away := s.staff(t, "Away", "eve")
	if list, _, err := s.desk.List(t.Context(), away); err != nil || len(list) != 0 {
		t.Errorf("another organisation sees %v: %v", list, err)
	}
	for name, act := range map[string]func() error{
		"disable": func() error { _, err := s.desk.Disable(t.Context(), away, s.channel.UID); return err },
		"rotate":  func() error { _, _, err := s.desk.Rotate(t.Context(), away, s.channel.UID); return err },
		"test":    func() error { _, err := s.desk.Test(t.Context(), away, s.channel.UID); return err },
		"look":    func() error { _, err := s.desk.Deliveries(t.Context(), away, s.channel.UID, 0); return err },
	} {
		if err := act(); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s of another organisation's: %v", name, err)
		}
	}
	if _, _, err := s.desk.Add(t.Context(), s.nurse, push.Channel{Name: "PAGERS", URL: s.at.URL}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second channel of the same name: %v", err)
	}
	for name, c := range map[string]push.Channel{
		"no name":               {URL: s.at.URL},
		"a topic of nobody":     {Name: "x", URL: s.at.URL, Topics: []push.Topic{"alert.shouted"}},
		"a severity of nobody":  {Name: "x", URL: s.at.URL, Severities: []string{"blue"}},
		"an audience of nobody": {Name: "x", URL: s.at.URL, Audiences: []push.Audience{"press"}},
		"a private address":     {Name: "x", URL: "https://10.0.0.1/hale"},
		"plain HTTP":            {Name: "x", URL: "http://pager.example.org/"},
	} {
		if _, _, err := s.desk.Add(t.Context(), s.nurse, c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		if c, err := s.desk.Disable(t.Context(), s.nurse, s.channel.UID); err != nil || c.Enabled() {
			t.Errorf("disabled: %+v, %v", c, err)
		}
	}
	if n := s.count(t, `SELECT count(*) FROM audit WHERE action = 'disable webhook'`); n != 1 {
		t.Errorf("%d rows say that it was disabled", n)
	}
	if _, err := s.desk.Test(t.Context(), s.nurse, s.channel.UID); !fault.Is(err, fault.Conflict) {
		t.Errorf("a test of a disabled channel: %v", err)
	}
}

func TestAnErasedPersonsNoticesAndDeliveriesGo(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.owe(t, 2, push.AlertOpened, "red")
	s.round(t, d)
	s.exec(t, `DELETE FROM outbox`)
	if n := s.count(t, `SELECT count(*) FROM delivery`); n != 0 {
		t.Errorf("%d deliveries of erased notices are left", n)
	}
}

func TestTheMostUrgentGoesFirst(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.owe(t, 20, push.AlertOpened, "yellow")
	s.owe(t, 1, push.AlertOpened, "extreme")
	s.round(t, d)
	if !slices.ContainsFunc(s.at.Messages(), func(m receiver.Message) bool { return m.Body.Data.Severity == "extreme" }) {
		t.Error("the extreme waits behind the yellow")
	}
}

func TestASlowReceiverKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	other := receiver.New(t)
	slow, release := s.at, make(chan struct{})
	slow.Answer(func(w http.ResponseWriter, _ int) { <-release })
	s.at = other
	_, secret := s.add(t, push.Channel{Name: "Voice"})
	other.Trust(secret)
	d, _ := s.dispatcher()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	t.Cleanup(func() { // also when it fails: the slow receiver waits for it
		stop()
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	go func() { ended <- d.Run(ctx) }()
	s.owe(t, 30, push.AlertOpened, "red")
	other.Wait(t, 30)
	if n := len(slow.Messages()); n == 0 || n > 8 {
		t.Errorf("%d messages are on their way to the slow one", n)
	}
}
