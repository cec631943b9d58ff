package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/fault"
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
	Claim   *claimOfView
}

// claimOfView is whose a value was said to be, and how that is taken back.
type claimOfView struct {
	ID      vital.UID // of the unverified red
	Value   int64
	Patient vital.UID
	Name    string
	Refile  vital.UID // that filed it, which is undone instead; empty: none
	May     bool      // the reader may say that it is not theirs
	CSRF    string
	Back    string // where the reader goes on
}

// viewClaimOf is nil of what is nobody's, or of somebody whom the reader does not reach.
func viewClaimOf(red vital.UID, value int64, place alerts.Place, c *alerts.Claim, s *account.Session, back string) *claimOfView {
	if c.Owner.ID == 0 {
		return nil
	}
	v := &claimOfView{ID: red, Value: value, Patient: c.Owner.UID, Name: c.Owner.Name, CSRF: s.CSRF, Back: back}
	switch {
	case place != alerts.InInbox:
		v.May = account.Allow(s.Actor, account.HandleAlert, &c.Owner) == nil
	case account.Allow(s.Actor, account.Refile, &c.Owner) == nil:
		v.Refile = c.Refile
	}
	return v
}

// claimedOf is empty for whoever sees no readings.
func (w *Web) claimedOf(ctx context.Context, s account.Session, p *account.Patient, k clock) ([]claimedView, error) {
	if sees := account.Allow(s.Actor, account.SeeReadings, p) == nil; w.Claimed == nil || s.Actor.Staff == 0 || !sees {
		return nil, nil
	}
	list, err := w.Claimed.Of(ctx, s.Actor, p.UID)
	return viewClaimed(list, k, &s, "/patients/"+string(p.UID)), err
}

// claimedLately are those that the board tells of; none for whoever does not handle alerts.
func (w *Web) claimedLately(ctx context.Context, s account.Session) ([]claimedView, error) {
	if w.Claimed == nil || !alerts.MayWatch(s.Actor) {
		return nil, nil
	}
	list, err := w.Claimed.Lately(ctx, s.Actor)
	return viewClaimed(list, clock{now: w.Now(), zone: w.Zone}, &s, "/"), err
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

// unclaim answers POST /unverified/{id}/values/{value}/unclaim: the reader is back where they were.
func (w *Web) unclaim(c *fiber.Ctx) error {
	s, _ := session.Of(c.UserContext())
	value, err := strconv.ParseInt(c.Params("value"), 10, 64)
	if err != nil {
		return fault.New(fault.NotFound, "there is no value %q of this unverified red", c.Params("value"))
	}
	_, err = w.Unverified.Unclaim(c.UserContext(), s.Actor, vital.UID(c.Params("id")), value, c.FormValue("reason"))
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		return w.unverifiedPage(c, session.Status(err), sentence(fault.MessageOf(err)), nil)
	}
	if err != nil {
		return err
	}
	return c.Redirect(local(c.FormValue("back")), http.StatusSeeOther)
}

func viewClaimed(list []alerts.ClaimedRed, k clock, s *account.Session, back string) []claimedView {
	var views []claimedView
	for i := range list {
		one := &list[i]
		v := claimedView{
			ID: one.UID, Patient: one.Owner.UID, Name: one.Owner.Name, Number: one.Owner.Number, Level: viewLevel(one.Level), Metric: metricWord(one.Metric),
			Values: unverifiedValues(&one.Unverified), What: becameWords(one), By: one.ClosedBy, Note: one.Note,
			At: k.at(one.ClosedAt), Times: k.at(one.ReceivedAt), Link: alerts.MayWatch(s.Actor), Claim: viewClaimOf(one.UID, one.Value, one.Place, &one.Claim, s, back),
		}
		if !one.MeasuredAt.IsZero() {
			v.Times, v.Known = k.measured(one.MeasuredAt, one.Vague), true
		}
		views = append(views, v)
	}
	return views
}
