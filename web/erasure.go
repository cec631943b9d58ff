package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mountErasures puts the screens on the app where somebody asks to be forgotten, and where that is decided.
func (w *Web) mountErasures(get, post func(string, fiber.Handler)) {
	if w.Erasures == nil {
		return
	}
	get("/safe/:id/erasure", w.erasureAsk)
	post("/safe/:id/erasure", w.erasureAsked)
	get("/erasures", w.erasures)
	get("/erasures/:id", w.erasure)
	post("/erasures/:id/decide", w.erasureDecide)
	post("/erasures/:id/confirm", w.erasureConfirm)
	post("/erasures/:id/withdraw", w.erasureWithdraw)
	get("/erasures/:id/receipt", w.erasureReceipt)
	get("/erasures/:id/receipt.json", w.erasureReceiptFile)
}

// erasureView is one request as its reader sees it.
type erasureView struct {
	ID, Patient    vital.UID
	Number         int
	Name           string
	State          string
	Steps          []string // what has happened so far, with the day
	Wish, Answer   string
	Items          []erasureItemView
	Proposed       bool // the items are what the table says, and not decided yet
	CanDecide      bool
	CanConfirm     bool
	OwnDecision    bool // the reader decided; somebody else must confirm
	CanWithdraw    bool
	Receipt        bool
	Error          string
	Officer        bool
	Typed, Written string // what was typed into the forms, when they come back
	Told           string // how the person was told that the watch ends
	Watched        bool   // they are under care, so that who confirms says it
	OpenRed        int    // red alerts that somebody closes first
	Pending        string // one sentence on what is coming, while it can be taken back
}

type erasureItemView struct {
	Class, Word string
	Fate        string
	Ground      string
	Kept        bool
}

// classWord is a class as a patient reads it.
func classWord(c safe.Class) string {
	switch c {
	case safe.ClassReadings:
		return "What was measured"
	case safe.ClassAlerts:
		return "Alerts, limits, and who cared"
	case safe.ClassPairing:
		return "Which devices were worn"
	case safe.ClassConsents:
		return "What was agreed to"
	case safe.ClassExports:
		return "Links and corrections"
	case safe.ClassLooks:
		return "Who looked and who did what"
	case safe.ClassIdentity:
		return "Name, birth, numbers, signing in"
	}
	return string(c)
}

func erasureStateWord(s safe.ErasureState) string {
	switch s {
	case safe.ErasureAsked:
		return "Waits for the privacy officer"
	case safe.ErasureRefused:
		return "Refused"
	case safe.ErasureWithdrawn:
		return "Taken back"
	case safe.ErasureDecided:
		return "Decided; a second person must confirm"
	case safe.ErasureConfirmed:
		return "Confirmed"
	case safe.ErasureErasing:
		return "Is being erased just now"
	case safe.ErasureKept:
		return "Erased, but for what the law keeps"
	case safe.ErasureDone:
		return "Erased"
	}
	return string(s)
}

func (w *Web) viewErasure(e *safe.Erasure, actor account.Actor, items []safe.ErasureItem, proposed bool) erasureView {
	day := func(t time.Time) string { return t.In(w.Zone).Format("2 January 2006") }
	v := erasureView{
		ID: e.UID, Patient: e.PatientUID, Number: e.Number, Name: e.Name, State: erasureStateWord(e.State), Wish: e.Wish, Answer: e.Answer,
		Proposed: proposed, Receipt: e.Receipt != nil, Officer: may(actor, account.DecideErasure), CanWithdraw: e.Withdrawable() && e.WithdrawableBy(actor),
	}
	v.Watched, v.OpenRed, v.Told, v.Pending = e.Watched, e.OpenRed, e.Told, w.pendingWords(e)
	v.CanDecide = v.Officer && e.State == safe.ErasureAsked
	v.OwnDecision = v.Officer && e.State == safe.ErasureDecided && e.DecidedBy == actor.Staff
	v.CanConfirm = v.Officer && e.State == safe.ErasureDecided && !v.OwnDecision
	asker := e.Asker()
	if actor.Self != 0 && e.AskedRole == account.SelfRole {
		asker = "you"
	}
	v.Steps = append(v.Steps, "Asked by "+asker+" on "+day(e.AskedAt))
	for _, s := range []struct {
		what string
		at   time.Time
	}{{"Decided on ", e.DecidedAt}, {"Confirmed on ", e.ConfirmedAt}, {"Erased on ", e.ExecutedAt}} {
		if !s.at.IsZero() {
			v.Steps = append(v.Steps, s.what+day(s.at))
		}
	}
	if e.State == safe.ErasureConfirmed {
		v.Steps = append(v.Steps, "Will be erased on "+day(e.DueAt)+"; until then it can be taken back")
		if e.Watched && e.OpenRed > 0 {
			v.Steps = append(v.Steps, "Waits besides until the care team has closed what is red")
		}
	}
	if e.Told != "" {
		v.Steps = append(v.Steps, "Told that nobody watches any more: "+e.Told)
	}
	for _, i := range items {
		item := erasureItemView{Class: string(i.Class), Word: classWord(i.Class), Ground: i.Ground, Fate: "Erased at once", Kept: !i.Until.IsZero()}
		switch {
		case !i.DoneAt.IsZero():
			item.Fate = "Erased on " + day(i.DoneAt)
			item.Ground = ""
		case item.Kept:
			item.Fate = "Kept until " + day(i.Until) + ", then erased by itself"
		case e.State == safe.ErasureConfirmed:
			item.Fate = "Erased on " + day(e.DueAt)
		}
		v.Items = append(v.Items, item)
	}
	return v
}

// pendingWords say in one sentence what is coming; empty when nothing can be taken back any more.
func (w *Web) pendingWords(e *safe.Erasure) string {
	switch {
	case !e.Withdrawable():
		return ""
	case e.State == safe.ErasureConfirmed:
		return "Everything that no law keeps will be erased on " + e.DueAt.In(w.Zone).Format("2 January 2006") + ", and nobody watches any more from then on."
	case e.State == safe.ErasureDecided:
		return "The privacy officer agreed to erase it. A second officer has to confirm, and then it gets its day."
	}
	return "The privacy officer has not answered yet. Nothing is erased before that."
}

// erasureAskView is the page on which a person asks, with what they asked before.
type erasureAskView struct {
	CanAsk   bool
	Guardian bool // a guardian asks in the person's name
	Wish     string
	List     []erasureView
}

// erasureAsk answers GET /safe/{id}/erasure.
func (w *Web) erasureAsk(c *fiber.Ctx) error { return w.erasureAskPage(c, "", "") }

func (w *Web) erasureAskPage(c *fiber.Ctx, wish, wrong string) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	list, err := w.Erasures.Of(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	p, err := w.Directory.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	view := erasureAskView{CanAsk: true, Guardian: actor.Role == account.CaregiverRole, Wish: wish}
	for i := range list {
		view.List = append(view.List, w.viewErasure(&list[i], actor, list[i].Items, false))
		if list[i].Unsettled() && (list[i].AskedRole == account.CaregiverRole) == (actor.Role == account.CaregiverRole) {
			view.CanAsk = false
		}
	}
	v := safeFor(c, &p, view)
	v.Error = wrong
	return w.safePage(c, "erasure", "Erase my data", v)
}

// erasureAsked answers POST /safe/{id}/erasure.
func (w *Web) erasureAsked(c *fiber.Ctx) error {
	ctx := c.UserContext()
	_, err := w.Erasures.Ask(ctx, session.Actor(ctx), vital.UID(c.Params("id")), c.FormValue("wish"))
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		c.Status(session.Status(err))
		return w.erasureAskPage(c, c.FormValue("wish"), sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect("/safe/"+c.Params("id")+"/erasure", http.StatusSeeOther)
}

// erasures answers GET /erasures: all requests, for those who decide.
func (w *Web) erasures(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	list, err := w.Erasures.List(ctx, actor)
	if err != nil {
		return err
	}
	views := make([]erasureView, len(list))
	for i := range list {
		views[i] = w.viewErasure(&list[i], actor, nil, false)
	}
	return w.page(c, "erasures", "Erasures", "erasures", views)
}

// erasure answers GET /erasures/{id}.
func (w *Web) erasure(c *fiber.Ctx) error { return w.erasurePage(c, nil) }

func (w *Web) erasurePage(c *fiber.Ctx, wrong error) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	e, err := w.Erasures.Get(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	items, proposed := e.Items, e.State == safe.ErasureAsked && may(actor, account.DecideErasure)
	if proposed {
		if items, err = w.Erasures.Proposal(ctx, actor, e, w.Now()); err != nil {
			return err
		}
	}
	view := w.viewErasure(&e, actor, items, proposed)
	if wrong != nil {
		c.Status(session.Status(wrong))
		view.Error, view.Written, view.Typed, view.Told = sentence(fault.MessageOf(wrong)), c.FormValue("answer"), c.FormValue("number"), c.FormValue("told")
	}
	return w.page(c, "erasure", "Request "+strconv.Itoa(e.Number), "erasures", view)
}

// erasureDecide answers POST /erasures/{id}/decide.
func (w *Web) erasureDecide(c *fiber.Ctx) error {
	ctx := c.UserContext()
	d := safe.ErasureDecision{Refuse: c.FormValue("decision") == "refuse", Answer: c.FormValue("answer")}
	for _, class := range safe.Classes() {
		if c.FormValue("erase-"+string(class)) != "" {
			d.Erase = append(d.Erase, class)
		}
	}
	_, err := w.Erasures.Decide(ctx, session.Actor(ctx), vital.UID(c.Params("id")), d)
	return w.afterErasure(c, err)
}

// erasureConfirm answers POST /erasures/{id}/confirm.
func (w *Web) erasureConfirm(c *fiber.Ctx) error {
	ctx := c.UserContext()
	typed, err := strconv.Atoi(c.FormValue("number"))
	if err != nil {
		return w.erasurePage(c, fault.New(fault.Invalid, "type the number of the request"))
	}
	_, err = w.Erasures.Confirm(ctx, session.Actor(ctx), vital.UID(c.Params("id")), typed, c.FormValue("told"))
	return w.afterErasure(c, err)
}

// erasureWithdraw answers POST /erasures/{id}/withdraw.
func (w *Web) erasureWithdraw(c *fiber.Ctx) error {
	ctx := c.UserContext()
	_, err := w.Erasures.Withdraw(ctx, session.Actor(ctx), vital.UID(c.Params("id")))
	return w.afterErasure(c, err)
}

func (w *Web) afterErasure(c *fiber.Ctx, err error) error {
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		return w.erasurePage(c, err)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/erasures/"+c.Params("id"), http.StatusSeeOther)
}

// receiptView is a receipt as a person reads it, and keeps it on paper.
type receiptView struct {
	Organisation, Asked, Decided, Issued, Backups string
	ID                                            vital.UID
	Number                                        int
	Erased, Kept                                  []erasureItemView
	Text                                          string // as it was signed
}

// erasureReceipt answers GET /erasures/{id}/receipt.
func (w *Web) erasureReceipt(c *fiber.Ctx) error {
	e, err := w.receiptOf(c)
	if err != nil {
		return err
	}
	r, _, err := safe.ReadReceipt(e.Receipt, nil)
	if fault.Is(err, fault.Invalid) {
		return err
	}
	day := func(t time.Time) string { return t.In(w.Zone).Format("2 January 2006") }
	v := receiptView{
		ID: e.UID, Organisation: r.Organisation, Number: r.Number, Asked: day(r.AskedAt), Decided: day(r.DecidedAt), Issued: day(r.IssuedAt), Backups: day(r.BackupsUntil), Text: string(e.Receipt),
	}
	for _, i := range r.Erased {
		v.Erased = append(v.Erased, erasureItemView{Word: classWord(i.Class), Fate: day(i.DoneAt)})
	}
	for _, i := range r.Kept {
		v.Kept = append(v.Kept, erasureItemView{Word: classWord(i.Class), Fate: day(i.Until), Ground: i.Ground})
	}
	return w.page(c, "erasure-receipt", "Receipt of request "+strconv.Itoa(r.Number), "erasures", v)
}

// erasureReceiptFile answers GET /erasures/{id}/receipt.json.
func (w *Web) erasureReceiptFile(c *fiber.Ctx) error {
	e, err := w.receiptOf(c)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSONCharsetUTF8)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="erasure-`+strconv.Itoa(e.Number)+`.json"`)
	return c.Send(append(e.Receipt, '\n'))
}

func (w *Web) receiptOf(c *fiber.Ctx) (safe.Erasure, error) {
	ctx := c.UserContext()
	e, err := w.Erasures.Get(ctx, session.Actor(ctx), vital.UID(c.Params("id")))
	if err == nil && e.Receipt == nil {
		err = fault.New(fault.Conflict, "there is a receipt when something was erased")
	}
	return e, err
}
