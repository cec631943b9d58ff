package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/internal/receiver"
	"hale/push"
	"hale/vital"
)

// sending is a record with one channel to a receiver, and the ways to hand notices to it.
type sending struct {
	*record
	at     *receiver.Receiver
	client interface {
		push.Sender
		push.Endpoints
	}
	desk    *push.Channels
	channel push.Channel
	secret  string
	ahead   atomic.Int64 // how far the clock of the dispatchers is ahead of the record's, in nanoseconds
	owed    int
	every   time.Duration // between two looks of a dispatcher
	looked  chan struct{} // hears of looks, when somebody listens
}

func newSending(t *testing.T, c push.Channel) *sending {
	t.Helper()
	s := &sending{record: newRecord(t), at: receiver.New(t), client: receiver.Client(t)}
	s.desk = &push.Channels{Book: s.app, Troubles: s.app, Endpoints: s.client}
	s.channel, s.secret = s.add(t, c)
	s.at.Trust(s.secret)
	return s
}

func (s *sending) add(t *testing.T, c push.Channel) (push.Channel, string) {
	t.Helper()
	if c.Name == "" {
		c.Name = "Pagers"
	}
	c.URL = s.at.URL
	c, secret, err := s.desk.Add(t.Context(), s.nurse, c)
	if err != nil {
		t.Fatal(err)
	}
	return c, secret
}

// store is the outbox with a clock that a test can put forward, and a way to die before something is settled.
type store struct {
	*sending
	dies atomic.Bool
}

func (s *store) Clock(ctx context.Context) (time.Time, error) {
	now, err := s.work.Clock(ctx)
	return now.Add(time.Duration(s.ahead.Load())), err
}

func (s *store) Plan(ctx context.Context, now time.Time, most int) (int, error) {
	return s.work.Plan(ctx, now, most)
}

func (s *store) ClaimDeliveries(ctx context.Context, c push.Claiming) ([]*push.Parcel, error) {
	list, err := s.work.ClaimDeliveries(ctx, c)
	select {
	case s.looked <- struct{}{}:
	default:
	}
	return list, err
}

func (s *store) Settle(ctx context.Context, p *push.Parcel, o push.Outcome, now time.Time) error {
	if s.dies.Load() {
		return errors.New("the process is dead")
	}
	return s.work.Settle(ctx, p, o, now)
}

// dispatcher returns a process that hands notices over.
func (s *sending) dispatcher() (*push.Dispatcher, *store) {
	own := &store{sending: s}
	return push.NewDispatcher(push.DispatcherConfig{Store: own, Sender: s.client, Every: s.every, Log: slog.New(slog.DiscardHandler), Jitter: func() float64 { return 0.5 }}), own
}

// round has a dispatcher look once, and waits for what it sends off.
func (s *sending) round(t *testing.T, d *push.Dispatcher) {
	t.Helper()
	if err := d.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Wait()
}

// owe writes so many notices about the record's patient to the team.
func (s *sending) owe(t *testing.T, n int, topic push.Topic, severity string) {
	t.Helper()
	s.owed++
	s.exec(t, fmt.Sprintf(`INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at)
		SELECT %d, %d, '%s', 'test %d ' || n, '%s', clock_timestamp() FROM generate_series(1, %d) n`, s.nurse.Org, s.patient.ID, topic, s.owed, severity, n))
}

func (s *sending) pass(d time.Duration) { s.ahead.Add(int64(d)) }

func (s *sending) deliveries(t *testing.T) []push.Delivery {
	t.Helper()
	list, err := s.desk.Deliveries(t.Context(), s.nurse, s.channel.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (s *sending) newest(t *testing.T) push.Delivery {
	t.Helper()
	list := s.deliveries(t)
	if len(list) == 0 {
		t.Fatal("there is no delivery")
	}
	return list[0]
}

// trouble is what is wrong with the channel after a while.
func (s *sending) trouble(t *testing.T, after time.Duration) string {
	t.Helper()
	list, at, err := s.desk.List(t.Context(), s.nurse)
	if err != nil {
		t.Fatal(err)
	}
	what, _ := list[0].Trouble(at.Add(after))
	return what
}

func TestARedReadingLeavesTheHouseSignedAndNamesNobody(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{Topics: []push.Topic{"alert.*"}, Severities: []string{"red", "extreme"}})
	d, _ := s.dispatcher()
	now := s.now(t)
	late := s.pressure(int(now.Sub(since()).Minutes()), 200, 100)
	late.Reading.ReceivedAt = now
	b := alerts.Batch{Cursor: s.cursor, Lane: vital.Live, To: s.cursor.LiveSeq + 1, Records: []vital.Record{late}, Now: s.now(t)}
	if _, err := s.work.Advance(t.Context(), b, s.decider.Decide); err != nil {
		t.Fatal(err)
	}
	s.round(t, d)
	all := s.at.Messages()
	if len(all) != 1 || s.at.Wrong() != 0 {
		t.Fatalf("%d messages arrived, %d of them not verified", len(all), s.at.Wrong())
	}
	m := all[0]
	written, err := m.Body.Timestamp.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	// All of it: nothing that was measured, and no name.
	if want := fmt.Sprintf(`{"type":"alert.opened","timestamp":%s,"data":{"severity":"extreme","audience":"team","patient":%q}}`, written, string(s.patient.UID)); string(m.Raw) != want {
		t.Errorf("the message says %s, want %s", m.Raw, want)
	}
	if at := m.Header.Get("webhook-timestamp"); at < fmt.Sprint(m.Body.Timestamp.Unix()) || at > fmt.Sprint(s.now(t).Unix()) {
		t.Errorf("it was signed as of %s", at)
	}
	one := s.newest(t)
	if one.State != push.Delivered || string(one.UID) != m.ID || one.Status != http.StatusNoContent || one.Tries != 1 {
		t.Errorf("the delivery stands as %+v, the receiver knows it as %s", one, m.ID)
	}
	if n := s.count(t, `SELECT count(*) FROM outbox WHERE topic = 'alert.opened' AND sent_at IS NOT NULL`); n != 1 {
		t.Errorf("%d notices are marked as sent", n)
	}
	s.round(t, d)
	if len(s.at.Messages()) != 1 {
		t.Error("what was delivered is sent again")
	}
}

func TestAChannelGetsWhatItAskedForSinceThereIsOne(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{Topics: []push.Topic{push.AlertOpened, "unverified.*"}, Severities: []string{"red"}, Audiences: []push.Audience{push.ToTeam}})
	d, _ := s.dispatcher()
	s.exec(t, fmt.Sprintf(`INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience, cancelled_at, cancelled_for) VALUES
		(%[1]d, %[2]d, 'alert.opened', 'before', 'red', clock_timestamp() - interval '1 day', 'team', NULL, ''),
		(%[1]d, %[2]d, 'alert.opened', 'cancelled', 'red', clock_timestamp(), 'team', clock_timestamp(), 'x'),
		(%[1]d, %[2]d, 'alert.opened', 'for the patient', 'red', clock_timestamp(), 'patient', NULL, '')`, s.nurse.Org, s.patient.ID))
	s.owe(t, 1, push.AlertOpened, "yellow")
	s.owe(t, 1, push.AlertWorsened, "red")
	s.owe(t, 2, push.AlertOpened, "red")
	s.owe(t, 3, push.UnverifiedOverdue, "red")
	away := s.staff(t, "Away", "eve")
	s.exec(t, fmt.Sprintf(`INSERT INTO outbox (org_id, topic, dedup, severity, created_at, audience) VALUES (%d, 'unverified.opened', 'away', 'red', clock_timestamp(), 'team')`, away.Org))
	s.round(t, d)
	if n := len(s.at.Messages()); n != 5 {
		t.Errorf("%d messages arrived, want 5", n)
	}
	if n := s.count(t, `SELECT count(*) FROM outbox WHERE planned_at IS NULL`); n != 0 {
		t.Errorf("%d notices are looked at for ever", n)
	}
}

// TestAKilledProcessLosesNothing: what was on its way when a process died is tried again when its lease has run out, under its id.
func TestAKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	first, dead := s.dispatcher()
	dead.dies.Store(true)
	s.owe(t, 3, push.AlertOpened, "red")
	s.round(t, first)
	if n := len(s.at.Messages()); n != 3 {
		t.Fatalf("%d messages arrived before the process died", n)
	}
	second, _ := s.dispatcher()
	s.round(t, second)
	if n := len(s.at.Messages()); n != 3 {
		t.Errorf("another process takes what is leased: %d messages", n)
	}
	s.pass(31 * time.Second)
	s.round(t, second)
	times := s.at.IDs()
	if len(times) != 3 || len(s.at.Messages()) != 6 {
		t.Errorf("the receiver knows %v", times)
	}
	for _, one := range s.deliveries(t) {
		if one.State != push.Delivered || times[string(one.UID)] != 2 || one.Tries != 2 {
			t.Errorf("the delivery stands as %+v, and came %d times", one, times[string(one.UID)])
		}
	}
	// The first was only paused: what it settles late changes nothing.
	p := &push.Parcel{Org: s.nurse.Org, ID: int64(s.count(t, `SELECT min(id) FROM delivery`)), Claim: 1}
	if err := s.work.Settle(t.Context(), p, push.Outcome{State: push.GivenUp, Reason: push.TooOld}, s.now(t)); err != nil || s.newestOf(t, push.GivenUp) != 0 {
		t.Errorf("a try that is over settles again: %v", err)
	}
}

func (s *sending) newestOf(t *testing.T, state push.State) (n int) {
	t.Helper()
	for _, one := range s.deliveries(t) {
		if one.State == state {
			n++
		}
	}
	return n
}

func TestSeveralDispatchersSendEachNoticeOnce(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	s.every, s.looked = 20*time.Millisecond, make(chan struct{})
	const notices = 120
	arrived := make(chan struct{})
	s.at.Answer(func(w http.ResponseWriter, _ int) { // not before somebody has looked for what is due
		select {
		case <-s.looked:
		case <-arrived:
		}
		w.WriteHeader(http.StatusNoContent)
	})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		d, _ := s.dispatcher()
		all.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		s.owe(t, notices/4, push.AlertOpened, "red")
	}
	s.at.Wait(t, notices)
	close(arrived)
	stop()
	all.Wait()
	times := s.at.IDs()
	if len(times) != notices {
		t.Errorf("%d notices arrived, want %d", len(times), notices)
	}
	if most := slices.Max(slices.Collect(maps.Values(times))); most != 1 {
		t.Errorf("a notice arrived %d times", most)
	}
	if n := s.count(t, `SELECT count(*) FROM delivery WHERE state = 'delivered'`); n != notices {
		t.Errorf("%d deliveries are settled", n)
	}
}

func TestAReceiverThatIsAwayIsTriedAgainEverMoreRarely(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.at.Answer(func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusBadGateway) })
	s.owe(t, 1, push.AlertOpened, "red")
	var id vital.UID
	for try, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		s.round(t, d)
		s.round(t, d) // nothing is due
		one := s.newest(t)
		if n := len(s.at.Messages()); n != try+1 || one.State != push.Waiting || one.Tries != try+1 || one.Reason != push.BadStatus || one.Status != http.StatusBadGateway {
			t.Fatalf("after try %d: %d messages, %+v", try+1, n, one)
		}
		if id != "" && one.UID != id {
			t.Errorf("another id: %s", one.UID)
		}
		id = one.UID
		s.pass(wait + 100*time.Millisecond)
	}
	if now, later := s.trouble(t, 0), s.trouble(t, 2*push.LateAfter); now != "" || later != "notices do not get through" {
		t.Errorf("trouble is %q now and %q in two minutes", now, later)
	}
	s.at.Answer(nil)
	s.round(t, d)
	if one := s.newest(t); one.State != push.Delivered || one.Tries != 5 {
		t.Errorf("the receiver is back, and %+v", one)
	}
}

func TestANoticeIsGivenUpAfterADayAndPeopleSeeIt(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.at.Answer(func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusInternalServerError) })
	s.owe(t, 1, push.AlertOpened, "red")
	s.pass(push.GiveUpAfter)
	s.round(t, d)
	one := s.newest(t)
	if trouble := s.trouble(t, 0); one.State != push.GivenUp || one.Reason != push.TooOld || trouble != "notices were given up" {
		t.Errorf("%+v, with the trouble %q", one, trouble)
	}
	s.exec(t, `UPDATE delivery SET settled_at = clock_timestamp() WHERE state = 'given_up'`) // the clock of the dispatcher is ahead
	nina := s.nurse
	nina.Role = account.Nurse
	if list, err := s.desk.InTrouble(t.Context(), nina); err != nil || len(list) != 1 || list[0].Name != s.channel.Name {
		t.Errorf("a nurse is told %+v: %v", list, err)
	}
	if n, err := s.work.TroubledChannels(t.Context()); err != nil || n != 1 {
		t.Errorf("%d channels are in trouble: %v", n, err)
	}
	s.at.Answer(nil)
	s.owe(t, 1, push.AlertOpened, "red")
	s.round(t, d)
	if trouble := s.trouble(t, time.Hour); trouble != "" {
		t.Errorf("a later one got through, and the trouble is still %q", trouble)
	}
}

func TestARefusalIsTriedAFewTimesOnly(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.at.Answer(func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNotFound) })
	s.owe(t, 1, push.AlertOpened, "red")
	for range 7 {
		s.round(t, d)
		s.pass(20 * time.Minute)
	}
	if one := s.newest(t); one.State != push.GivenUp || one.Tries != 5 || one.Status != http.StatusNotFound || len(s.at.Messages()) != 5 {
		t.Errorf("%+v after %d messages", one, len(s.at.Messages()))
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	elsewhere := receiver.New(t)
	elsewhere.Trust(s.secret)
	s.at.Answer(func(w http.ResponseWriter, _ int) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	s.owe(t, 1, push.AlertOpened, "red")
	s.round(t, d)
	if one := s.newest(t); one.State != push.Waiting || one.Reason != push.Redirects || len(elsewhere.Messages()) != 0 {
		t.Errorf("%+v, and %d messages elsewhere", one, len(elsewhere.Messages()))
	}
}

func TestABusyReceiverIsLeftAloneAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.at.Answer(func(w http.ResponseWriter, _ int) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	s.owe(t, 1, push.AlertOpened, "red")
	s.round(t, d)
	s.at.Answer(nil)
	s.owe(t, 1, push.AlertOpened, "extreme")
	s.pass(110 * time.Second)
	s.round(t, d)
	if n := len(s.at.Messages()); n != 1 {
		t.Errorf("%d messages while the receiver asked to be left alone", n)
	}
	s.pass(11 * time.Second)
	s.round(t, d)
	if s.newestOf(t, push.Delivered) != 2 {
		t.Errorf("afterwards: %+v", s.deliveries(t))
	}
}

func TestAReceiverThatIsGoneDisablesItsChannel(t *testing.T) {
	t.Parallel()
	s := newSending(t, push.Channel{})
	d, _ := s.dispatcher()
	s.at.Answer(func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusGone) })
	s.owe(t, 20, push.AlertOpened, "red") // more than are on their way at once
	s.round(t, d)
	s.round(t, d)
	s.round(t, d)
	if n := len(s.at.Messages()); n != 8 {
		t.Errorf("%d messages, want no more than were on their way", n)
	}
	if s.newestOf(t, push.GivenUp) != 8 || s.newestOf(t, push.Cancelled) != 12 {
		t.Errorf("the deliveries stand as %+v", s.deliveries(t))
	}
	list, _, err := s.desk.List(t.Context(), s.nurse)
	if err != nil || list[0].Enabled() || list[0].DisabledWhy != "gone" {
		t.Errorf("the channel stands as %+v: %v", list, err)
	}
	if n := s.count(t, `SELECT count(*) FROM audit WHERE action = 'webhook gone'`); n != 1 {
		t.Errorf("%d rows of it in the trail", n)
	}
	if told, err := s.desk.InTrouble(t.Context(), s.nurse); err != nil || len(told) != 1 {
		t.Errorf("the board tells of %+v: %v", told, err)
	}
	s.owe(t, 1, push.AlertOpened, "red")
	s.round(t, d)
	if n := len(s.deliveries(t)); n != 20 {
		t.Errorf("a disabled channel is owed more: %d", n)
	}
}

// TestWhatMustNotBeToldAnyMoreDoesNotLeave: what changed between the notice and its sending is looked at when it is sent.
func TestWhatMustNotBeToldAnyMoreDoesNotLeave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   push.Reason
	}{
		"the notice is cancelled":         {`UPDATE outbox SET cancelled_at = clock_timestamp(), cancelled_for = 'test'`, push.NoticeCancelled},
		"care has ended":                  {`UPDATE patient SET state = 'locked'`, push.CareOver},
		"the consent does not stand":      {`UPDATE outbox SET purpose = 'research'`, push.ConsentOver},
		"the channel is disabled":         {`UPDATE channel SET disabled_at = clock_timestamp(), disabled_why = 'person'`, push.ChannelOff},
		"care comes to its end but lasts": {`UPDATE patient SET state = 'ending'`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSending(t, push.Channel{})
			d, _ := s.dispatcher()
			s.at.Answer(func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusBadGateway) })
			s.owe(t, 1, push.AlertOpened, "red")
			s.round(t, d)
			s.at.Answer(nil)
			s.exec(t, c.change)
			s.pass(time.Minute)
			s.round(t, d)
			one, sent := s.newest(t), len(s.at.Messages())
			if c.want == "" && (one.State != push.Delivered || sent != 2) || c.want != "" && (one.State != push.Cancelled || one.Reason != c.want || sent != 1) {
				t.Errorf("%+v after %d messages", one, sent)
			}
		})
	}
}
