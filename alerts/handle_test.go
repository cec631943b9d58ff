package alerts_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// desk is a record with one alert, as Triage sees it.
type desk struct {
	alerts.Cases // what is not overridden is not called
	episode      alerts.Episode
	log          []alerts.Entry
	now          time.Time
	announced    []alerts.Event
}

func newDesk() *desk {
	d := &desk{now: epoch().Add(10 * time.Hour)}
	d.append(alerts.Entry{Kind: alerts.EntryOpened, RecordedAt: d.now, Level: alerts.Yellow, Reading: alerts.Mark{At: d.now, ID: 1}})
	return d
}

func (d *desk) append(e alerts.Entry) {
	d.episode.Org = org
	d.episode = d.episode.Apply(e)
	d.log = append(d.log, e)
}

func (d *desk) Amend(_ context.Context, _ account.Actor, _ vital.UID, decide alerts.Amendment) (alerts.Alert, []alerts.Event, error) {
	entries, err := decide(alerts.Alert{Episode: d.episode, Relation: account.Relation{Team: true}}, d.now)
	if err != nil {
		return alerts.Alert{}, nil, err
	}
	for _, e := range entries {
		d.append(e)
	}
	return alerts.Alert{Episode: d.episode}, []alerts.Event{{Version: d.episode.Version}}, nil
}

func (d *desk) Alert(context.Context, account.Actor, vital.UID) (alerts.Alert, error) {
	return alerts.Alert{Episode: d.episode, Relation: account.Relation{Team: true}}, nil
}

func (d *desk) Log(context.Context, account.Actor, vital.UID) ([]alerts.Entry, error) {
	return d.log, nil
}

func (d *desk) Announce(_ context.Context, events []alerts.Event) {
	d.announced = append(d.announced, events...)
}

func (d *desk) triage() *alerts.Triage {
	return &alerts.Triage{Cases: d, Announcer: d, Now: func() time.Time { return d.now }}
}

func mira() account.Actor {
	return account.Actor{Org: org, Staff: 4, UID: "mira", Name: "Mira Zupan", Role: account.Nurse}
}

func TestAnAlertIsAcknowledgedThenResolved(t *testing.T) {
	t.Parallel()
	d := newDesk()
	a, err := d.triage().Acknowledge(context.Background(), ana(), "a", 1, time.Time{}, " rang her ")
	if err != nil {
		t.Fatal(err)
	}
	if a.State != alerts.Acknowledged || a.AckName != "Ana Kovač" || !a.AckUntil.Equal(d.now.Add(time.Hour)) || a.Note != "rang her" || a.Version != 2 {
		t.Errorf("acknowledged alert: %+v", a.Episode)
	}
	if !a.AckInForce(d.now.Add(59*time.Minute)) || a.AckInForce(d.now.Add(time.Hour)) {
		t.Error("the acknowledgement is not in force for exactly its hour")
	}
	at := d.now.Add(2 * time.Hour)
	a, err = d.triage().Resolve(context.Background(), mira(), "a", 2, alerts.StepRecheck, at, "")
	if err != nil {
		t.Fatal(err)
	}
	if a.State != alerts.Closed || a.Closing != alerts.ClosedByPerson || a.NextStep != alerts.StepRecheck || !a.NextStepAt.Equal(at) || a.Version != 3 {
		t.Errorf("resolved alert: %+v", a.Episode)
	}
	if diff := cmp.Diff([]alerts.Event{{Version: 2}, {Version: 3}}, d.announced); diff != "" {
		t.Errorf("announced (-want +got):\n%s", diff)
	}
}

func TestWhoeverComesSecondIsToldWhoWasFirst(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		before func(d *desk, triage *alerts.Triage) error
		want   string
		is     error
	}{
		"somebody acknowledged it": {func(_ *desk, triage *alerts.Triage) error {
			_, err := triage.Acknowledge(context.Background(), ana(), "a", 1, time.Time{}, "")
			return err
		}, "Ana Kovač acknowledged it at 10:00", alerts.ErrStale},
		"somebody resolved it": {func(_ *desk, triage *alerts.Triage) error {
			_, err := triage.Resolve(context.Background(), ana(), "a", 1, alerts.StepNone, time.Time{}, "")
			return err
		}, "Ana Kovač resolved it at 10:00", alerts.ErrClosed},
		"it became worse": {func(d *desk, _ *alerts.Triage) error {
			d.append(alerts.Entry{Kind: alerts.EntryWorsened, Level: alerts.Red, RecordedAt: d.now, Reading: alerts.Mark{At: d.now, ID: 2}})
			return nil
		}, "it became red at 10:00", alerts.ErrStale},
		"it holds again": {func(d *desk, _ *alerts.Triage) error {
			d.append(alerts.Entry{Kind: alerts.EntryResumed, RecordedAt: d.now})
			return nil
		}, "its condition holds again at 10:00", alerts.ErrStale},
		"it closed by itself": {func(d *desk, _ *alerts.Triage) error {
			d.append(alerts.Entry{Kind: alerts.EntryCleared, Closes: true, RecordedAt: d.now})
			return nil
		}, "it closed by itself", alerts.ErrClosed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			if err := c.before(d, d.triage()); err != nil {
				t.Fatal(err)
			}
			entries := len(d.log)
			_, err := d.triage().Acknowledge(context.Background(), mira(), "a", 1, time.Time{}, "")
			if !fault.Is(err, fault.Conflict) || !errors.Is(err, c.is) || !strings.Contains(fault.MessageOf(err), c.want) {
				t.Errorf("the second one got %v, want %q", err, c.want)
			}
			if len(d.log) != entries {
				t.Error("the refused act stands in the log")
			}
		})
	}
}

func TestActsThatAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pharmacist := account.Actor{Org: org, Staff: 5, Role: account.Pharmacist}
	stranger := account.Actor{Org: org + 1, Staff: 6, Role: account.Nurse}
	cases := map[string]struct {
		act  func(t *alerts.Triage, now time.Time) error
		want fault.Kind
	}{
		"nobody is signed in": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Acknowledge(ctx, account.Actor{}, "a", 1, time.Time{}, "")
			return err
		}, fault.Unauthenticated},
		"the role may not": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Acknowledge(ctx, pharmacist, "a", 1, time.Time{}, "")
			return err
		}, fault.Forbidden},
		"another organisation's nurse learns nothing": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Acknowledge(ctx, stranger, "a", 1, time.Time{}, "")
			return err
		}, fault.NotFound},
		"an acknowledgement of more than a day": {func(tr *alerts.Triage, now time.Time) error {
			_, err := tr.Acknowledge(ctx, ana(), "a", 1, now.Add(25*time.Hour), "")
			return err
		}, fault.Invalid},
		"an acknowledgement that has ended": {func(tr *alerts.Triage, now time.Time) error {
			_, err := tr.Acknowledge(ctx, ana(), "a", 1, now, "")
			return err
		}, fault.Invalid},
		"no version": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Acknowledge(ctx, ana(), "a", 0, time.Time{}, "")
			return err
		}, fault.Invalid},
		"no next step": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Resolve(ctx, ana(), "a", 1, "", time.Time{}, "")
			return err
		}, fault.Invalid},
		"a call without a time": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Resolve(ctx, ana(), "a", 1, alerts.StepCall, time.Time{}, "")
			return err
		}, fault.Invalid},
		"nothing to do, at a time": {func(tr *alerts.Triage, now time.Time) error {
			_, err := tr.Resolve(ctx, ana(), "a", 1, alerts.StepNone, now.Add(time.Hour), "")
			return err
		}, fault.Invalid},
		"a hand-over to nobody": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Resolve(ctx, ana(), "a", 1, alerts.StepHandOver, time.Time{}, "  ")
			return err
		}, fault.Invalid},
		"an endless note": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.Acknowledge(ctx, ana(), "a", 1, time.Time{}, strings.Repeat("a", 2001))
			return err
		}, fault.Invalid},
		"a list of too many": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.List(ctx, ana(), alerts.Filter{Limit: 501})
			return err
		}, fault.Invalid},
		"a list of an unknown state": {func(tr *alerts.Triage, _ time.Time) error {
			_, err := tr.List(ctx, ana(), alerts.Filter{States: []alerts.State{"new"}})
			return err
		}, fault.Invalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			if err := c.act(d.triage(), d.now); !fault.Is(err, c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if len(d.log) != 1 || len(d.announced) != 0 {
				t.Error("the refused act left a trace")
			}
		})
	}
}

func TestWorklistPutsTheWorstFirstAndTheTakenLast(t *testing.T) {
	t.Parallel()
	now := epoch().Add(10 * time.Hour)
	alert := func(id int, patient string, level alerts.Level, waits time.Duration, ackUntil time.Time) alerts.Alert {
		a := alerts.Alert{PatientUID: vital.UID(patient), Episode: alerts.Episode{ID: alerts.EpisodeID(id), Level: level, State: alerts.Open, OpenedAt: now.Add(-waits)}}
		if !ackUntil.IsZero() {
			a.State, a.AckUntil = alerts.Acknowledged, ackUntil
		}
		return a
	}
	later, over := now.Add(time.Hour), now.Add(-time.Minute)
	list := alerts.SortWorklist([]alerts.Alert{
		alert(1, "yellow for long", alerts.Yellow, 5*time.Hour, time.Time{}),
		alert(2, "extreme, taken", alerts.Extreme, time.Hour, later),
		alert(3, "red", alerts.Red, time.Hour, time.Time{}),
		alert(4, "red for longer", alerts.Red, 2*time.Hour, time.Time{}),
		alert(5, "red, taken and forgotten", alerts.Red, 3*time.Hour, over),
		alert(6, "yellow beside a taken red", alerts.Yellow, time.Minute, time.Time{}),
		alert(7, "yellow beside a taken red", alerts.Red, time.Hour, later),
	}, now)
	type row struct {
		Patient vital.UID
		Level   alerts.Level
		Taken   bool
		First   alerts.EpisodeID
	}
	var got []row
	for _, c := range list {
		got = append(got, row{c.Patient, c.Level, c.Acknowledged, c.Alerts[0].ID})
	}
	want := []row{
		{"red, taken and forgotten", alerts.Red, false, 5},
		{"red for longer", alerts.Red, false, 4},
		{"red", alerts.Red, false, 3},
		{"yellow for long", alerts.Yellow, false, 1},
		{"yellow beside a taken red", alerts.Yellow, false, 6},
		{"extreme, taken", alerts.Extreme, true, 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("worklist (-want +got):\n%s", diff)
	}
}

func TestWorklistPutsTheLevelBeforeThePast(t *testing.T) {
	t.Parallel()
	now := epoch().Add(10 * time.Hour)
	alert := func(id int, patient string, level alerts.Level, waits time.Duration, historic, contact, taken bool) alerts.Alert {
		a := alerts.Alert{PatientUID: vital.UID(patient), Episode: alerts.Episode{
			ID: alerts.EpisodeID(id), Level: level, State: alerts.Open, Historic: historic, Contact: contact, OpenedAt: now.Add(-waits),
		}}
		if taken {
			a.State, a.AckUntil = alerts.Acknowledged, now.Add(time.Hour)
		}
		return a
	}
	list := alerts.SortWorklist([]alerts.Alert{
		alert(1, "yellow of now", alerts.Yellow, 9*time.Hour, false, false, false),
		alert(2, "extreme, last known", alerts.Extreme, time.Hour, true, true, false),
		alert(3, "extreme of the past", alerts.Extreme, 5*time.Hour, true, false, false),
		alert(4, "yellow of now and extreme of the past", alerts.Yellow, time.Hour, false, false, false),
		alert(5, "yellow of now and extreme of the past", alerts.Extreme, 3*time.Hour, true, false, false),
		alert(6, "two reds", alerts.Red, 4*time.Hour, true, false, false),
		alert(7, "two reds", alerts.Red, 2*time.Hour, false, false, false),
		alert(8, "two reds", alerts.Extreme, 9*time.Hour, false, false, true),
	}, now)
	type row struct {
		Patient  vital.UID
		Level    alerts.Level
		Waits    time.Duration
		Historic bool
		First    alerts.EpisodeID
	}
	var got []row
	for _, c := range list {
		got = append(got, row{c.Patient, c.Level, now.Sub(c.WaitingSince), c.Historic, c.Alerts[0].ID})
	}
	want := []row{
		{"extreme, last known", alerts.Extreme, time.Hour, false, 2},
		{"extreme of the past", alerts.Extreme, 5 * time.Hour, true, 3},
		{"yellow of now and extreme of the past", alerts.Extreme, 3 * time.Hour, true, 5},
		{"two reds", alerts.Red, 4 * time.Hour, false, 7},
		{"yellow of now", alerts.Yellow, 9 * time.Hour, false, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("worklist (-want +got):\n%s", diff)
	}
}
