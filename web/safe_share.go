package web

import (
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/guess"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// sharesView is the links that a patient made, and the form for a new one.
type sharesView struct {
	Portions []offer
	Lasting  []offer
	Opens    string
	List     []shareView
	Fresh    *freshShare
}

// offer is one of several that a form lets choose from.
type offer struct {
	Value, Text string
	Chosen      bool
}

type shareView struct {
	ID                        vital.UID
	Patient                   vital.UID
	What, Made, Until, Opened string
	MadeBy, State             string
	Last                      string // when it was opened last; empty: never
	Open, CanEnd              bool
	CSRF                      string // the forms of the list stand in a range
}

// freshShare is a link that was just made: it is shown once.
type freshShare struct {
	Address, Code string
	QR            template.HTML
	Until         string
	ends          time.Time
}

// lasting are the lengths that a patient can choose.
func lasting() []offer {
	return []offer{
		{Value: "15m", Text: "15 minutes"}, {Value: "1h", Text: "1 hour"}, {Value: "24h", Text: "1 day", Chosen: true},
		{Value: "72h", Text: "3 days"}, {Value: "168h", Text: "7 days"},
	}
}

func portions(whose safe.Whose) []offer {
	return []offer{
		{Value: string(safe.ShareSheet), Text: "Only " + string(whose) + " emergency sheet", Chosen: true},
		{Value: string(safe.ShareMonth), Text: "The sheet and the last 30 days"},
		{Value: string(safe.ShareEverything), Text: "The sheet and everything that was measured"},
	}
}

func portionWords(p safe.Portion) string {
	switch p {
	case safe.ShareSheet:
		return "The emergency sheet"
	case safe.ShareMonth:
		return "The sheet and the last 30 days"
	case safe.ShareEverything:
		return "The sheet and everything measured"
	}
	return string(p)
}

// safeShares answers GET /safe/{id}/shares.
func (w *Web) safeShares(c *fiber.Ctx) error { return w.sharesPage(c, nil, "") }

func (w *Web) sharesPage(c *fiber.Ctx, fresh *freshShare, wrong string) error {
	s, _ := session.Of(c.UserContext())
	p, list, err := w.Safe.Shares.List(c.UserContext(), s.Actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	v := safeFor(c, &p, nil)
	k := clock{now: w.Now()}.in(p.Zone)
	if fresh != nil {
		fresh.Until = k.exact(fresh.ends)
	}
	view := sharesView{Portions: portions(v.Whose), Lasting: lasting(), Opens: "3", Fresh: fresh}
	for i := range list {
		view.List = append(view.List, viewShare(&list[i], k, p.UID, s))
	}
	v.Body, v.Error = view, wrong
	return w.safePage(c, "shares", "Show a doctor", v)
}

func viewShare(s *safe.Share, k clock, patient vital.UID, reader account.Session) shareView {
	v := shareView{
		ID: s.UID, What: portionWords(s.What), Made: k.exact(s.CreatedAt), Until: k.exact(s.ExpiresAt), MadeBy: s.MadeBy, CSRF: reader.CSRF, Patient: patient,
		Open: s.Open(k.now), CanEnd: s.Open(k.now) && safe.Own(reader.Actor, s.Maker) == nil, Opened: strconv.Itoa(s.Opened) + " of " + strconv.Itoa(s.OpensMost) + " times",
	}
	if !s.LastOpened.IsZero() {
		v.Last = k.exact(s.LastOpened)
	}
	switch {
	case v.Open:
		v.State = "Open until " + v.Until
	case !s.EndedAt.IsZero():
		v.State = "Ended " + k.exact(s.EndedAt)
	case s.Opened >= s.OpensMost:
		v.State = "Used up"
	default:
		v.State = "Ran out " + v.Until
	}
	return v
}

// safeShare answers POST /safe/{id}/shares: it shows the new link, once.
func (w *Web) safeShare(c *fiber.Ctx) error {
	ctx := c.UserContext()
	lasts, err := time.ParseDuration(c.FormValue("lasts"))
	if err != nil {
		return fault.New(fault.Invalid, "say how long the link is to last")
	}
	opens, err := strconv.Atoi(c.FormValue("opens"))
	if err != nil {
		opens = 0 // refused with what to mend
	}
	address, err := session.Address(ctx)
	if err != nil {
		return err
	}
	share, secret, err := w.Safe.Shares.Make(ctx, session.Actor(ctx), vital.UID(c.Params("id")), safe.Portion(c.FormValue("what")), lasts, opens)
	if fault.Is(err, fault.Invalid) {
		c.Status(http.StatusUnprocessableEntity)
		return w.sharesPage(c, nil, sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	fresh := &freshShare{Address: address + "/s#" + secret, Code: guess.Spelled(secret), ends: share.ExpiresAt}
	if fresh.QR, err = qrCode(fresh.Address); err != nil {
		return err
	}
	return w.sharesPage(c, fresh, "")
}

// safeShareEnd answers POST /safe/{id}/shares/{share}/end.
func (w *Web) safeShareEnd(c *fiber.Ctx) error {
	if err := w.Safe.Shares.End(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("share"))); err != nil {
		return err
	}
	return c.Redirect("/safe/"+c.Params("id")+"/shares", http.StatusSeeOther)
}

// doorView is the page at which a share is opened.
type doorView struct{ Error string }

// shareDoor answers GET /s: the code is typed, or taken from behind the # by a script, and sent when somebody presses.
func (w *Web) shareDoor(c *fiber.Ctx) error {
	return w.page(c, "share-door", "Open a record", "", doorView{})
}

// sharedView is what somebody with a link sees.
type sharedView struct {
	Sheet sheetView
	Body  template.HTML
	Until string
	Left  int // how often the link opens yet
}

// shareOpened answers POST /s.
func (w *Web) shareOpened(c *fiber.Ctx) error {
	ctx := c.UserContext()
	opened, p, err := w.Safe.Shares.Open(ctx, c.FormValue("code"), session.From(ctx))
	if wait, tooMany := session.RetryAfter(err); tooMany || fault.Is(err, fault.NotFound) {
		if tooMany {
			c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
		}
		c.Status(session.Status(err))
		return w.page(c, "share-door", "Open a record", "", doorView{Error: sentence(fault.MessageOf(err))})
	}
	if err != nil {
		return err
	}
	view, err := w.shared(c, &opened, p)
	if err != nil {
		return err
	}
	return w.page(c, "shared", "Record of "+p.Name, "", view)
}

func (w *Web) shared(c *fiber.Ctx, o *safe.Opened, p account.Patient) (sharedView, error) {
	ctx := c.UserContext()
	sheet, err := w.Safe.Sheets.Make(ctx, o.Actor, p)
	if err != nil {
		return sharedView{}, err
	}
	body, err := w.Safe.Exports.SharedWith(ctx, o, p)
	if err != nil {
		return sharedView{}, err
	}
	k := clock{now: w.Now()}.in(p.Zone)
	return sharedView{Sheet: w.viewSheet(&sheet), Body: body, Until: k.exact(o.ExpiresAt), Left: o.OpensMost - o.Opened}, nil
}
