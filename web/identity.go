package web

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/identity"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// mountIdentities puts the pages on the app that say who is who.
func (w *Web) mountIdentities(get, post func(string, fiber.Handler)) {
	if w.Identities == nil {
		return
	}
	get("/patients/:id/identity", w.identity)
	post("/patients/:id/identity", w.addIdentifier)
	post("/patients/:id/identity/:identifier/end", w.endIdentifier)
	get("/doubles", w.doubles)
	get("/doubles/:id", w.double)
	post("/doubles/:id/two-people", w.twoPeople)
}

// identityView is what systems call a patient, and what was changed of who they are.
type identityView struct {
	Error         string
	ID            vital.UID
	Name          string
	Number        string
	Born          string
	CanChange     bool
	System, Value string
	Systems       []identity.IdentifierSystem
	Now, Before   []identifierLine
	Changes       []changeLine
}

type identifierLine struct {
	ID     vital.UID
	System string // its title, when it has one
	Value  string
	About  string
}

type changeLine struct {
	At     moment
	Text   string
	By     string
	Source string
}

// identity answers GET /patients/{id}/identity.
func (w *Web) identity(c *fiber.Ctx) error { return w.identityPage(c, identityView{}) }

func (w *Web) identityPage(c *fiber.Ctx, view identityView) error {
	ctx := c.UserContext()
	actor, uid := session.Actor(ctx), vital.UID(c.Params("id"))
	p, list, err := w.Identities.Of(ctx, actor, uid)
	if err != nil {
		return err
	}
	systems, _, err := w.Identities.Systems(ctx, actor)
	if err != nil {
		return err
	}
	changes, err := w.Identities.Changes(ctx, actor, uid)
	if err != nil {
		return err
	}
	titles := map[string]string{}
	for _, s := range systems {
		titles[s.URI] = s.Title
	}
	view.ID, view.Name, view.Number, view.Systems, view.CanChange = p.UID, p.Name, p.Number, systems, may(actor, account.AddPatient)
	view.Born = string(p.BirthDate)
	for i := range list {
		one := &list[i]
		line := identifierLine{ID: one.UID, System: one.System, Value: one.Value, About: identifierWords(one)}
		if t := titles[one.System]; t != "" {
			line.System = t
		}
		if one.InForce(w.Now()) {
			view.Now = append(view.Now, line)
		} else {
			view.Before = append(view.Before, line)
		}
	}
	k := clock{now: w.Now()}.in(p.Zone)
	for _, ch := range changes {
		before := ch.Before
		if before == "" {
			before = "not known"
		}
		line := changeLine{At: k.at(ch.At), Text: ch.Field + ": " + before + " became " + ch.After, By: ch.By}
		if kind, id, ok := strings.Cut(ch.Source, " "); ok && kind == "import" && may(actor, account.ImportPeople) {
			line.Source = id
		}
		view.Changes = append(view.Changes, line)
	}
	return w.page(c, "identity", p.Name, "patients", view)
}

func identifierWords(i *identity.Identifier) string {
	var words []string
	if i.Use != "" {
		words = append(words, i.Use)
	}
	if i.From != "" {
		words = append(words, "from "+i.From)
	}
	if i.To != "" {
		words = append(words, "until "+i.To)
	}
	if i.Reason != "" {
		words = append(words, "ended: "+i.Reason)
	}
	return strings.Join(words, ", ")
}

// addIdentifier answers POST /patients/{id}/identity.
func (w *Web) addIdentifier(c *fiber.Ctx) error {
	ctx := c.UserContext()
	view := identityView{System: c.FormValue("system"), Value: c.FormValue("value")}
	_, err := w.Identities.Add(ctx, session.Actor(ctx), vital.UID(c.Params("id")), identity.Identifier{System: view.System, Value: view.Value})
	return w.identityAgain(c, view, err)
}

// endIdentifier answers POST /patients/{id}/identity/{identifier}/end.
func (w *Web) endIdentifier(c *fiber.Ctx) error {
	ctx := c.UserContext()
	err := w.Identities.End(ctx, session.Actor(ctx), vital.UID(c.Params("id")), vital.UID(c.Params("identifier")), c.FormValue("reason"))
	return w.identityAgain(c, identityView{}, err)
}

func (w *Web) identityAgain(c *fiber.Ctx, view identityView, err error) error {
	if err == nil {
		return c.Redirect("/patients/"+c.Params("id")+"/identity", http.StatusSeeOther)
	}
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) {
		return err
	}
	view.Error = sentence(fault.MessageOf(err))
	c.Status(session.Status(err))
	return w.identityPage(c, view)
}

type doublesView struct{ List []doubleLine }

type doubleLine struct {
	ID         vital.UID
	One, Other string
	Found      moment
}

// doubles answers GET /doubles.
func (w *Web) doubles(c *fiber.Ctx) error {
	ctx := c.UserContext()
	list, err := w.Doubles.List(ctx, session.Actor(ctx), identity.DoubleOpen, listedPatients)
	if err != nil {
		return err
	}
	k := w.clock()
	var view doublesView
	for i := range list {
		d := &list[i]
		view.List = append(view.List, doubleLine{d.UID, nameAndNumber(&d.One), nameAndNumber(&d.Other), k.at(d.FoundAt)})
	}
	return w.page(c, "doubles", "One person or two?", "patients", view)
}

func nameAndNumber(p *account.Patient) string {
	if p.Number == "" {
		return p.Name
	}
	return p.Name + " (" + p.Number + ")"
}

type doubleView struct {
	Error      string
	ID         vital.UID
	Open       bool
	One, Other vital.UID
	Names      [2]string
	Parts      []partLine
	Reason     string
	Said       string // who decided, and why
}

type partLine struct {
	Name, One, Other string
	Agree            bool
}

// double answers GET /doubles/{id}.
func (w *Web) double(c *fiber.Ctx) error { return w.doublePage(c, doubleView{}) }

func (w *Web) doublePage(c *fiber.Ctx, view doubleView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	d, parts, err := w.Doubles.Get(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	systems, _, err := w.Identities.Systems(ctx, actor)
	if err != nil {
		return err
	}
	titles := map[string]string{"name": "Name", "birth_date": "Born", "sex": "Sex", "zone": "Time zone", "number": "Number"}
	for _, s := range systems {
		titles[s.URI] = s.Title
	}
	view.ID, view.Open, view.One, view.Other = d.UID, d.State == identity.DoubleOpen, d.One.UID, d.Other.UID
	view.Names = [2]string{nameAndNumber(&d.One), nameAndNumber(&d.Other)}
	if !d.DecidedAt.IsZero() {
		view.Said = d.DecidedBy + ", " + w.clock().at(d.DecidedAt).Exact + ": " + d.Reason
	}
	for _, p := range parts {
		name := titles[p.Field]
		if name == "" {
			name = p.Field
		}
		view.Parts = append(view.Parts, partLine{name, p.One, p.Other, p.Agree})
	}
	return w.page(c, "double", "One person or two?", "patients", view)
}

// twoPeople answers POST /doubles/{id}/two-people.
func (w *Web) twoPeople(c *fiber.Ctx) error {
	ctx := c.UserContext()
	reason := c.FormValue("reason")
	_, err := w.Doubles.TwoPeople(ctx, session.Actor(ctx), vital.UID(c.Params("id")), reason)
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		c.Status(session.Status(err))
		return w.doublePage(c, doubleView{Error: sentence(fault.MessageOf(err)), Reason: reason})
	}
	if err != nil {
		return err
	}
	return c.Redirect("/doubles", http.StatusSeeOther)
}
