package web

import (
	"context"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// claimedView is a value that may have been an emergency, with whose it was said to be.
type claimedView struct {
	ID      vital.UID
	Patient vital.UID
	Name    string
	Number  string
	Level   levelView
	Metric  string
	Values  string
	What    string // became of it
	By      string
	Note    string
	At      moment
	Times   moment // measured, or received when that is not known
	Known   bool   // when it was measured
	Link    bool   // the reader may open it
}

// claimedOf is empty for whoever sees no readings.
func (w *Web) claimedOf(ctx context.Context, s account.Session, p *account.Patient, k clock) ([]claimedView, error) {
	if sees := account.Allow(s.Actor, account.SeeReadings, p) == nil; w.Claimed == nil || s.Actor.Staff == 0 || !sees {
		return nil, nil
	}
	list, err := w.Claimed.Of(ctx, s.Actor, p.UID)
	return viewClaimed(list, k, alerts.MayWatch(s.Actor)), err
}

// claimedLately are those that the board tells of; none for whoever does not handle alerts.
func (w *Web) claimedLately(ctx context.Context, s account.Session) ([]claimedView, error) {
	if w.Claimed == nil || !alerts.MayWatch(s.Actor) {
		return nil, nil
	}
	list, err := w.Claimed.Lately(ctx, s.Actor)
	return viewClaimed(list, clock{now: w.Now(), zone: w.Zone}, true), err
}

// becameWords says whether limits judge a claimed red.
func becameWords(c *alerts.ClaimedRed) string {
	switch {
	case c.Filed():
		return "it is filed among the readings, and judged by the limits"
	case c.Place == alerts.InQuarantine:
		return "it " + placeWords(&c.Unverified) + "; it is not among the readings, and no limit judges it"
	}
	return "it " + placeWords(&c.Unverified)
}

func viewClaimed(list []alerts.ClaimedRed, k clock, link bool) []claimedView {
	var views []claimedView
	for i := range list {
		one := &list[i]
		v := claimedView{
			ID: one.UID, Patient: one.Owner.UID, Name: one.Owner.Name, Number: one.Owner.Number, Level: viewLevel(one.Level), Metric: metricWord(one.Metric),
			Values: unverifiedValues(&one.Unverified), What: becameWords(one), By: one.ClosedBy, Note: one.Note,
			At: k.at(one.ClosedAt), Times: k.at(one.ReceivedAt), Link: link,
		}
		if !one.MeasuredAt.IsZero() {
			v.Times, v.Known = k.at(one.MeasuredAt), true
		}
		views = append(views, v)
	}
	return views
}
