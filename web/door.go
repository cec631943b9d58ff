package web

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// mountDoor puts the pages of the door on the app; open are the handlers of pages that need no session.
func (w *Web) mountDoor(app *fiber.App, open []fiber.Handler, get, post func(string, fiber.Handler)) {
	if w.Door == nil {
		return
	}
	app.Get(session.CodePage, append(open[:len(open):len(open)], w.codePage)...)
	app.Post(session.CodePage, w.faults, headers, w.Sessions.SameOrigin, w.redeem)
	post("/me/password", w.changePassword)
	post("/me/sessions/:session/end", w.endOwnSession)
	get("/patients/:id/signin", w.inviting)
	post("/patients/:id/signin", w.invite)
	post("/patients/:id/sessions/:session/end", w.endPatientSession)
	get("/keys", w.keys)
	post("/keys", w.makeKey)
	post("/keys/:key/revoke", w.revokeKey)
}

// codeView is the page on which a code is typed, with what was wrong the last time.
type codeView struct{ Code, Error string }

// codePage answers GET /code. What stands behind the # of the address is put into the field by a script, and never by us.
func (w *Web) codePage(c *fiber.Ctx) error { return w.page(c, "code", "Your code", "", codeView{}) }

// redeem answers POST /code.
func (w *Web) redeem(c *fiber.Ctx) error {
	view := codeView{Code: c.FormValue("code")}
	_, _, _, err := w.Sessions.Redeem(c.UserContext(), session.SetCookie(c), view.Code, "")
	if err == nil {
		if w.Safe == nil {
			return c.Redirect("/me", http.StatusSeeOther)
		}
		return c.Redirect("/", http.StatusSeeOther)
	}
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Unauthenticated) && !fault.Is(err, fault.Unavailable) {
		return err
	}
	if wait, ok := session.RetryAfter(err); ok {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
	}
	view.Error = sentence(fault.MessageOf(err))
	c.Status(session.Status(err))
	return w.page(c, "code", "Your code", "", view)
}

// sessionView is a device on which somebody is signed in.
type sessionView struct {
	ID      vital.UID
	Name    string // of whom; empty where all are of one
	Label   string
	By      string // who made the code with which the device was let in; empty: no code did
	Current bool
	Seen    moment
	Opened  moment
	Misused moment // set: somebody has shown a copy of its token without the device
}

// deviceList is what the list of sessions is rendered from.
type deviceList struct {
	CSRF, At string // At is the path below which each has its end
	List     []sessionView
}

func signedInDevices(csrf, at string, list []sessionView) deviceList {
	return deviceList{CSRF: csrf, At: at, List: list}
}

func (w *Web) sessionViews(list []account.Session, current vital.UID, named bool, k clock) []sessionView {
	views := make([]sessionView, len(list))
	for i := range list {
		s := &list[i]
		views[i] = sessionView{ID: s.UID, Label: s.Label, Current: s.UID == current, Seen: k.at(s.SeenAt), Opened: k.at(s.CreatedAt), Misused: k.at(s.MisusedAt)}
		if s.LetInBy.UID != "" {
			views[i].By = strings.ReplaceAll(string(s.LetInBy.Role), "_", " ") + " " + s.LetInBy.Name
		}
		if s.Label == "" {
			views[i].Label = "Unknown device"
		}
		if named {
			views[i].Name = s.Actor.Name
		}
	}
	return views
}

// newDevices returns the patient's other devices that were let in within newDeviceFor, with the times of their home: a code is
// made by somebody else, and the patient is to see it without looking for it.
func (w *Web) newDevices(ctx context.Context, actor account.Actor, zone string) ([]sessionView, error) {
	if actor.Self == 0 || w.Door == nil {
		return nil, nil
	}
	list, err := w.Door.Sessions(ctx, actor)
	if err != nil {
		return nil, err
	}
	fresh := slices.DeleteFunc(list, func(s account.Session) bool {
		return s.UID == actor.Session || s.LetInBy.UID == "" || w.Now().Sub(s.CreatedAt) > newDeviceFor
	})
	return w.sessionViews(fresh, actor.Session, false, clock{now: w.Now()}.in(zone)), nil
}

// newDeviceFor is how long a device is new to its owner [J].
const newDeviceFor = 14 * 24 * time.Hour

// changePassword answers POST /me/password.
func (w *Web) changePassword(c *fiber.Ctx) error {
	ctx := c.UserContext()
	chosen := c.FormValue("new")
	if chosen != c.FormValue("again") {
		return w.meAgain(c, meView{}, fault.New(fault.Invalid, "the new password was not typed the same way twice"))
	}
	if err := w.Door.ChangePassword(ctx, session.Actor(ctx), c.FormValue("current"), c.FormValue("code"), chosen); err != nil {
		return w.meAgain(c, meView{}, err)
	}
	return w.mePage(c, meView{Done: "The password was changed. Wherever else you were signed in, you are not any more."})
}

// endOwnSession answers POST /me/sessions/{id}/end.
func (w *Web) endOwnSession(c *fiber.Ctx) error {
	ctx := c.UserContext()
	err := w.Door.EndSession(ctx, session.Actor(ctx), vital.UID(c.Params("session")))
	if err != nil && !fault.Is(err, fault.NotFound) { // what has ended meanwhile is what was wanted
		return err
	}
	return c.Redirect("/me", http.StatusSeeOther)
}

// invitingView is the page on which staff let a patient and their caregivers sign in.
type invitingView struct {
	ID       vital.UID
	Name     string
	Others   []account.Invitee
	Sessions []sessionView
	Code     string // once
	For      string // who signs in with it
	Until    moment
	Address  string // to type: without the code
	QR       template.HTML
}

// inviting answers GET /patients/{id}/signin.
func (w *Web) inviting(c *fiber.Ctx) error { return w.invitingPage(c, invitingView{}) }

func (w *Web) invitingPage(c *fiber.Ctx, view invitingView) error {
	ctx := c.UserContext()
	p, others, list, err := w.Door.Inviting(ctx, session.Actor(ctx), vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	view.ID, view.Name, view.Others, view.Sessions = p.UID, p.Name, others, w.sessionViews(list, "", true, clock{now: w.Now(), zone: w.Zone})
	return w.page(c, "inviting", p.Name+", signing in", "patients", view)
}

// invite answers POST /patients/{id}/signin: it shows a code.
func (w *Web) invite(c *fiber.Ctx) error {
	ctx := c.UserContext()
	address, err := session.Address(ctx)
	if err != nil {
		return err
	}
	made, err := w.Door.Invite(ctx, session.Actor(ctx), account.Invited{Patient: vital.UID(c.Params("id")), Caregiver: vital.UID(c.FormValue("caregiver"))})
	if err != nil {
		return err
	}
	view := invitingView{Code: made.Code, For: made.Name, Until: clock{now: w.Now(), zone: w.Zone}.at(made.ExpiresAt), Address: address + session.CodePage}
	if view.QR, err = qrCode(session.CodeAddress(address, made.Code)); err != nil {
		return err
	}
	return w.invitingPage(c, view)
}

// endPatientSession answers POST /patients/{id}/sessions/{session}/end.
func (w *Web) endPatientSession(c *fiber.Ctx) error {
	ctx := c.UserContext()
	patient := vital.UID(c.Params("id"))
	if err := w.Door.EndPatientSession(ctx, session.Actor(ctx), patient, vital.UID(c.Params("session"))); err != nil {
		return err
	}
	return c.Redirect("/patients/"+string(patient)+"/signin", http.StatusSeeOther)
}

// keysView is the page of the organisation's API keys.
type keysView struct {
	Error  string
	Made   string // name of the key that was just made
	Token  string // of it, once
	List   []keyView
	Name   string
	Scopes []scopeView
}

type keyView struct {
	ID      vital.UID
	Name    string
	May     string
	MadeBy  string
	Used    moment
	Ends    moment
	Over    bool // it has run out
	Revoked moment
}

type scopeView struct {
	Name   string
	Chosen bool
}

// keys answers GET /keys.
func (w *Web) keys(c *fiber.Ctx) error { return w.keysPage(c, keysView{}, nil) }

func (w *Web) keysPage(c *fiber.Ctx, view keysView, chosen []account.Action) error {
	ctx := c.UserContext()
	list, err := w.Door.Keys(ctx, session.Actor(ctx))
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	for i := range list {
		one := &list[i]
		var may []string
		for _, a := range one.Scopes.Actions() {
			may = append(may, string(a))
		}
		view.List = append(view.List, keyView{
			ID: one.UID, Name: one.Name, May: strings.Join(may, ", "), MadeBy: one.MadeBy, Used: k.at(one.UsedAt), Ends: k.at(one.ExpiresAt),
			Over: !one.ExpiresAt.After(k.now), Revoked: k.at(one.RevokedAt),
		})
	}
	for _, a := range account.ForSystems() {
		view.Scopes = append(view.Scopes, scopeView{Name: string(a), Chosen: slices.Contains(chosen, a)})
	}
	return w.page(c, "keys", "API keys", "me", view)
}

// makeKey answers POST /keys: it shows the key.
func (w *Web) makeKey(c *fiber.Ctx) error {
	ctx := c.UserContext()
	var chosen []account.Action
	for _, name := range c.Request().PostArgs().PeekMulti("scope") {
		chosen = append(chosen, account.Action(name))
	}
	wanted := account.Key{Name: c.FormValue("name"), Scopes: account.ScopesOf(chosen...)}
	if days, err := strconv.Atoi(c.FormValue("days")); err == nil {
		wanted.ExpiresAt = w.Now().Add(time.Duration(days) * 24 * time.Hour)
	}
	token, made, err := w.Door.MakeKey(ctx, session.Actor(ctx), wanted)
	if err == nil {
		return w.keysPage(c, keysView{Made: made.Name, Token: token}, nil)
	}
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) {
		return err
	}
	c.Status(session.Status(err))
	return w.keysPage(c, keysView{Error: sentence(fault.MessageOf(err)), Name: wanted.Name}, chosen)
}

// revokeKey answers POST /keys/{id}/revoke.
func (w *Web) revokeKey(c *fiber.Ctx) error {
	ctx := c.UserContext()
	if err := w.Door.RevokeKey(ctx, session.Actor(ctx), vital.UID(c.Params("key"))); err != nil {
		return err
	}
	return c.Redirect("/keys", http.StatusSeeOther)
}
