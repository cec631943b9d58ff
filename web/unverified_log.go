package web

import (
	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/vital"
)

// partView is one of the values that an unverified red stands for.
type partView struct {
	Values   string
	Waits    string // where it is, and why
	Measured moment
	Received moment
	Became   string // empty while it waits
	Claim    *claimOfView
}

// entryView is a line of the log of an unverified red.
type entryView struct {
	At           moment
	Words, Value string
	By, Note     string
}

// endedView is the page of what has ended.
type endedView struct{ Rows []unverifiedView }

// tell adds what it stands for and its log.
func (v *unverifiedView) tell(u *alerts.Unverified, k clock, s *account.Session, back string) {
	for i := range u.All {
		p := &u.All[i]
		one := partView{Values: parkedWords(u, p.Ground, p.Values, p.Unitless), Waits: placeWords(&alerts.Unverified{Place: p.Place, Why: p.Why}), Measured: k.measured(p.MeasuredAt, p.Vague), Received: k.at(p.ReceivedAt)}
		if !p.EndedAt.IsZero() || p.Became == alerts.ClosedAsDismissed {
			one.Became = closingWords(p.Became, p.By, p.Place)
		}
		if p.Note != "" && one.Became != "" {
			one.Became += ": “" + p.Note + "”"
		}
		if p.Became == alerts.ClosedAsClaimed {
			one.Claim = viewClaimOf(u.UID, p.ID, p.Place, &p.Claim, s, back)
		}
		v.All = append(v.All, one)
	}
	v.Cut = len(u.All) == alerts.MostShown
	for _, e := range u.Log {
		one := entryView{At: k.at(e.At), Words: happenedWords(e.Kind), By: e.By, Note: e.Note}
		if len(e.Values) > 0 {
			one.Value = parkedWords(u, u.Ground, e.Values, u.Unitless)
		}
		v.Log = append(v.Log, one)
	}
}

// parkedWords says one of the values, by the metric and side of the red.
func parkedWords(u *alerts.Unverified, g alerts.Ground, values []float64, unitless bool) string {
	one := alerts.Unverified{Metric: u.Metric, Values: values, Unitless: unitless}
	if g == alerts.GroundBeyond && len(values) == 0 {
		one.Beyond = vital.Above
		if u.Beyond != 0 {
			one.Beyond = u.Beyond
		}
	}
	return unverifiedValues(&one)
}

// closingWords says how an unverified red, or one of its values, has ended.
func closingWords(c alerts.Closing, by string, place alerts.Place) string {
	words := map[alerts.Closing]string{
		alerts.ClosedAsClaimed: "whose it is was said", alerts.ClosedAsNotReal: "not real", alerts.ClosedAsHandled: "handled", alerts.ClosedAsDismissed: "put aside in the inbox",
		alerts.ClosedAsTakenBack: "taken back", alerts.ClosedAsReadAgain: "decoded again and accepted",
	}[c]
	switch {
	case by != "":
		words += " by " + by
	case c == alerts.ClosedAsTakenBack:
		words += " by its device"
	}
	if c == alerts.ClosedAsClaimed && place == alerts.InInbox {
		words += ", and it was judged there"
	}
	return words
}

func happenedWords(kind string) string {
	return map[string]string{
		"opened": "It came", "worsened": "It became worse, or is better known", "overdue": "Nobody had looked at it in time", "acknowledged": "Acknowledged", "claimed": "Whose it is was said", "unclaimed": "It is not whose it was said to be",
		"closed": "Ended", "dismissed": "Put aside in the inbox", "brought_back": "Brought back to wait in the inbox", "taken_back": "Taken back", "read_again": "Decoded again and accepted",
		"correction_refused": "Its device sent a correction of it that was refused: ask",
	}[kind]
}

// unverifiedEnded answers GET /unverified: those that have ended, the newest first, with what became of them.
func (w *Web) unverifiedEnded(c *fiber.Ctx) error {
	s, _ := session.Of(c.UserContext())
	list, err := w.Unverified.List(c.UserContext(), s.Actor, alerts.UnverifiedFilter{Closed: true})
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone, afar: true}
	var v endedView
	for i := range list {
		v.Rows = append(v.Rows, viewUnverified(&list[i], k, s.CSRF))
	}
	return w.page(c, "unverified-ended", "Unverified reds that have ended", "board", v)
}
