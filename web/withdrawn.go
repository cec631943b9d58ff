package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// withdrawnView is what was taken back of a patient's readings, with the form to take another back.
type withdrawnView struct {
	ID    vital.UID
	CSRF  string
	Lines []withdrawnLine
	Entry []enteredLine // of which one may be marked as entered in error
	Error string
}

type withdrawnLine struct {
	Metric, Values, Who, Why string
	Measured, At             moment
	Amended                  bool
}

type enteredLine struct {
	Value string // as the form sends it
	Text  string
}

func (w *Web) mountWithdrawn(post func(string, fiber.Handler)) {
	if w.Withdrawals != nil {
		post("/patients/:id/withdraw", w.withdraw)
	}
}

// withdrawnOf is nil for whoever sees no readings.
func (w *Web) withdrawnOf(ctx context.Context, s account.Session, p *account.Patient, k clock) (*withdrawnView, error) {
	if may := account.Allow(s.Actor, account.SeeReadings, p) == nil; !may || w.Withdrawals == nil {
		return nil, nil //nolint:nilnil // nothing to show is an answer here
	}
	list, err := w.Withdrawals.Of(ctx, s.Actor, p.UID)
	if err != nil {
		return nil, err
	}
	view := &withdrawnView{ID: p.UID, CSRF: s.CSRF}
	for i := range list {
		one := &list[i]
		line := withdrawnLine{Metric: metricWord(one.Metric), Values: valueWords(one.Metric, one.Values), Who: "the device", Why: one.Why, Measured: k.measured(one.MeasuredAt, one.Vague), At: k.at(one.At), Amended: one.How == "amended"}
		if one.By != "" {
			line.Who = one.By
		}
		view.Lines = append(view.Lines, line)
	}
	if account.Allow(s.Actor, account.DecideCorrection, p) == nil {
		latest, err := w.Charts.Latest(ctx, s.Actor, p.UID)
		if err != nil {
			return nil, err
		}
		for i := range latest {
			one := &latest[i]
			view.Entry = append(view.Entry, enteredLine{
				Value: strconv.FormatInt(one.ID, 10) + " " + one.At.UTC().Format(time.RFC3339Nano),
				Text:  metricWord(one.Metric) + " " + valueWords(one.Metric, one.Values) + ", " + k.measured(one.At, one.Vague()).Exact,
			})
		}
	}
	if len(view.Lines)+len(view.Entry) == 0 {
		return nil, nil //nolint:nilnil // nothing to show is an answer here
	}
	return view, nil
}

// withdraw answers POST /patients/{id}/withdraw: one of the latest readings was entered in error.
func (w *Web) withdraw(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.DecideCorrection, nil); err != nil {
		return err
	}
	id, at, ok := cutReading(c.FormValue("reading"))
	if !ok {
		return fault.New(fault.Invalid, "say which reading")
	}
	if err := w.Withdrawals.Withdraw(ctx, actor, vital.UID(c.Params("id")), id, at, c.FormValue("why")); err != nil {
		return err
	}
	return c.Redirect("/patients/"+c.Params("id")+"#withdrawn", http.StatusSeeOther)
}

func cutReading(text string) (id int64, at time.Time, ok bool) {
	for i := range text {
		if text[i] != ' ' {
			continue
		}
		id, err := strconv.ParseInt(text[:i], 10, 64)
		at, wrong := time.Parse(time.RFC3339Nano, text[i+1:])
		return id, at, err == nil && wrong == nil
	}
	return 0, time.Time{}, false
}
