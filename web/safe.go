package web

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mountSafe puts the screens of the patient's data safe on the app: for patients, for whoever stands beside them, and for staff
// as far as their role goes.
func (w *Web) mountSafe(app *fiber.App, get, post func(string, fiber.Handler)) {
	if w.Safe == nil {
		return
	}
	get("/safe", w.safeStart)
	get("/safe/:id", w.safeHome)
	get("/safe/:id/looks", w.safeLooks)
	get("/safe/:id/sheet", w.safeSheet)
	get("/safe/:id/copy", w.safeCopy)
	post("/safe/:id/copy", w.safeDownload)
	get("/safe/:id/shares", w.safeShares)
	post("/safe/:id/shares", w.safeShare)
	post("/safe/:id/shares/:share/end", w.safeShareEnd)
	get("/safe/:id/corrections", w.safeCorrections)
	post("/safe/:id/corrections", w.safeAsk)
	post("/safe/:id/corrections/:correction/withdraw", w.safeWithdraw)
	post("/safe/:id/corrections/:correction/decide", w.safeDecide)
	app.Get("/record.css", w.recordStyle)
	// A share's link has no session. Its secret stands behind the # and is posted: no log and no Referer ever holds it.
	app.Get("/s", w.faults, headers, w.shareDoor)
	app.Post("/s", w.faults, headers, w.Sessions.SameOrigin, w.shareOpened)
}

// safeView is what every page of the safe shows of whose it is.
type safeView struct {
	ID     vital.UID
	Name   string
	Mine   bool // the reader is the patient
	Whose  safe.Whose
	Error  string
	Notice string
	Body   any
}

// safeFor begins the view of a patient's safe.
func safeFor(c *fiber.Ctx, p *account.Patient, body any) safeView {
	v := safeView{ID: p.UID, Name: p.Name, Whose: safe.Theirs, Body: body}
	if session.Actor(c.UserContext()).Role == account.SelfRole {
		v.Mine, v.Whose = true, safe.Yours
	}
	return v
}

// safePage renders a page of the safe; nobody but its reader may see from where it was come to.
func (w *Web) safePage(c *fiber.Ctx, name, title string, v safeView) error {
	return w.page(c, "safe-"+name, title, "safe", v)
}

// safeStart answers GET /safe: whoever has one record to look at is led to it.
func (w *Web) safeStart(c *fiber.Ctx) error {
	actor := session.Actor(c.UserContext())
	if actor.Role != account.SelfRole && actor.Role != account.CaregiverRole {
		return c.Redirect("/", http.StatusSeeOther)
	}
	list, err := w.Directory.Patients(c.UserContext(), actor, "", account.MostPatients)
	if err != nil {
		return err
	}
	if len(list) == 1 {
		return c.Redirect("/safe/"+string(list[0].UID), http.StatusSeeOther)
	}
	return w.page(c, "safe-start", "Your data", "safe", list)
}

// homeView is what the first page of the safe offers.
type homeView struct {
	Looks, Sheet, Copy, Share, Correct bool
	Consents, People, Private          bool
	Waiting                            int // corrections that wait
	Erase                              bool
	Erasures                           []erasureView // that are coming, and can be taken back
	NewDevices                         []sessionView // of the patient, that they may not know of
}

// safeHome answers GET /safe/{id}.
func (w *Web) safeHome(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	p, err := w.Directory.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	can := func(action account.Action) bool { return account.Allow(actor, action, &p) == nil }
	view := homeView{
		Looks: can(account.SeeLooks), Sheet: can(account.SeeSheet), Copy: can(account.ExportRecord), Share: can(account.ShareRecord),
		Correct: can(account.AskCorrection) || can(account.DecideCorrection), Erase: w.Erasures != nil && can(account.AskErasure),
		// A guardian asks for consents; whom to let in and what is private is the patient's own.
		Consents: w.Consents != nil && ownOnly(actor) && can(account.SeeConsents), People: w.Consents != nil && actor.Self != 0, Private: w.Consents != nil && actor.Self != 0,
	}
	if view.NewDevices, err = w.newDevices(ctx, actor, p.Zone); err != nil {
		return err
	}
	if view.Correct {
		_, list, err := w.Safe.Corrections.Of(ctx, actor, p.UID)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].State == safe.Asked {
				view.Waiting++
			}
		}
	}
	if view.Erase && ownOnly(actor) {
		if view.Erasures, err = w.comingErasures(ctx, actor, p.UID); err != nil {
			return err
		}
	}
	return w.safePage(c, "home", "Data of "+p.Name, safeFor(c, &p, view))
}

// looksView is who looked.
type looksView struct {
	Days     []lookDay
	From, To string // as they were asked for: dates of the home
	More     int64
	Any      bool
}

type lookDay struct {
	Date   string
	Visits []visitView
}

type visitView struct {
	safe.Words
	Time  string // of the last thing: the page is sorted by it
	Since string // when the first was; empty when it was in the same minute
	More  int    // things besides those that Did names; the line opens
	Glass bool
	Rows  []visitRow // more than one: the line opens
}

type visitRow struct{ At, Text string }

// mostThings is how many things one line names: more are not read on a phone [J].
const mostThings = 3

// safeLooks answers GET /safe/{id}/looks.
func (w *Web) safeLooks(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	uid := vital.UID(c.Params("id"))
	p, err := w.safePatient(c, account.SeeLooks)
	if err != nil {
		return err
	}
	zone := clock{now: w.Now()}.in(p.Zone).zone
	f := safe.LookFilter{Before: int64(c.QueryInt("before"))}
	view := looksView{From: c.Query("from"), To: c.Query("to")}
	if f.From, err = dateOf(view.From, zone, 0); err != nil {
		return err
	}
	if f.To, err = dateOf(view.To, zone, 1); err != nil {
		return err
	}
	_, visits, more, err := w.Safe.Looks.List(ctx, actor, uid, f)
	if err != nil {
		return err
	}
	v := safeFor(c, &p, nil)
	view.More = more
	for i := range visits {
		view.add(&visits[i], zone, v.Whose)
	}
	view.Any = len(visits) > 0
	v.Body = view
	return w.safePage(c, "looks", "Who looked", v)
}

// safePatient finds the patient of the page without a look of its own: the service behind the page writes what is looked at.
func (w *Web) safePatient(c *fiber.Ctx, action account.Action) (account.Patient, error) {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, action, nil); err != nil {
		return account.Patient{}, err
	}
	p, err := w.Safe.Looks.People.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return account.Patient{}, err
	}
	return p, account.Allow(actor, action, &p)
}

// dateOf reads a date of a form, in days after it; the zero time when there is none.
func dateOf(text string, zone *time.Location, days int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "give a date such as 2026-03-29")
	}
	return t.AddDate(0, 0, days), nil
}

func (l *looksView) add(visit *safe.Visit, zone *time.Location, whose safe.Whose) {
	date := visit.To.In(zone).Format("Monday 2 January 2006")
	if n := len(l.Days); n == 0 || l.Days[n-1].Date != date {
		l.Days = append(l.Days, lookDay{Date: date})
	}
	few, more := visit.Few(mostThings, whose)
	v := visitView{Words: few.Words(zone, whose), Time: visit.To.In(zone).Format("15:04"), More: more, Glass: visit.Glass != ""}
	if from := visit.From.In(zone); from.Format("2 15:04") != visit.To.In(zone).Format("2 15:04") {
		v.Since = from.Format("15:04")
	}
	if len(visit.Rows) > 1 {
		for i := range visit.Rows {
			r := &visit.Rows[i]
			v.Rows = append(v.Rows, visitRow{At: r.At.In(zone).Format("15:04:05"), Text: r.Did(whose)})
		}
	}
	last := &l.Days[len(l.Days)-1]
	last.Visits = append(last.Visits, v)
}

// recordStyle answers GET /record.css: the style of the readable page, whose body a share shows.
func (w *Web) recordStyle(c *fiber.Ctx) error {
	return w.send(c, asset{kind: mediaType("record.css"), plain: []byte(safe.PageStyle())}, "public, max-age=3600")
}
