package web

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices/credential"
	"hale/fault"
)

// mountPairing puts the pages on which devices get their secrets on the app; open are the handlers of pages that need no session.
func (w *Web) mountPairing(app *fiber.App, open []fiber.Handler, get, post func(string, fiber.Handler)) {
	if w.Credentials == nil {
		return
	}
	app.Get(credential.PairingPage, append(open[:len(open):len(open)], w.pairPage)...)
	get("/devices/:uid/pair", w.pairing)
	get("/devices/:uid/pair/state", w.pairingState)
	post("/devices/:uid/pair", w.makePairing)
	post("/devices/:uid/secret", w.renewSecret)
	post("/devices/:uid/secret/end", w.endOldSecret)
	post("/devices/:uid/revoke", w.revokeDevice)
}

// pairPage answers GET /pair, which the QR code of a pairing code opens in a browser. What stands behind the # of the address is put
// into the field by a script, and sent nowhere: a code is for the device.
func (w *Web) pairPage(c *fiber.Ctx) error {
	address, err := session.Address(c.UserContext())
	if err != nil {
		address = ""
	}
	return w.page(c, "pair", "Pair a device", "", struct{ Address string }{address})
}

// pairingView is the page of a device's pairing and secrets.
type pairingView struct {
	UID      string
	Model    string
	Revoked  bool
	May      bool // the person may make codes and secrets
	Error    string
	Code     string // once
	Until    moment
	QR       template.HTML
	Secret   string // once
	State    pairingStateView
	MadeAt   moment
	OldUntil moment // set: two secrets are good
	Overlaps []overlapView
	// Certificates are the client certificates that are good besides, in words; empty: none is.
	Certificates string
}

// pairingStateView is how the newest code stands, for the part of the page that asks again.
type pairingStateView struct {
	UID    string
	State  string // empty: there was no code
	Waits  bool   // it is asked for again
	Since  moment // when it was made
	Until  moment
	Paired moment
	Wrong  int // codes that were tried and were wrong
	Fresh  bool
	Shown  string // id of the code that stands on the page; empty: none does
}

type overlapView struct {
	Hours  int
	Words  string
	Chosen bool
}

// pairing answers GET /devices/{uid}/pair.
func (w *Web) pairing(c *fiber.Ctx) error { return w.pairingPage(c, pairingView{}) }

func (w *Web) pairingPage(c *fiber.Ctx, view pairingView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	stands, err := w.Credentials.Standing(ctx, actor, c.Params("uid"))
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view.UID, view.Model, view.Revoked, view.May = stands.UID, stands.Model, stands.Revoked, may(actor, account.EnrolDevice)
	view.MadeAt, view.OldUntil = k.at(stands.MadeAt), k.at(stands.OldUntil)
	view.State = pairingStateOf(&stands, k)
	if stands.Pairing != nil && view.Code != "" {
		view.State.Shown = string(stands.Pairing.UID)
	}
	if w.Certificates != nil && !stands.Revoked {
		list, err := w.Certificates.Of(ctx, actor, stands.UID)
		if err != nil {
			return err
		}
		if n := goodCertificates(list, k.now); n > 0 {
			view.Certificates = countWord(n, "client certificate is", "client certificates are") + " good besides"
		}
	}
	day := int(credential.DefaultOverlap.Hours())
	for _, hours := range []int{1, 24, day, int(credential.LongestOverlap.Hours())} {
		view.Overlaps = append(view.Overlaps, overlapView{Hours: hours, Words: overlapWords(hours), Chosen: hours == day})
	}
	return w.page(c, "pairing", stands.UID+", pairing", "devices", view)
}

// goodCertificates is how many of them let the device in at a time.
func goodCertificates(list []credential.KeptCertificate, now time.Time) (n int) {
	for i := range list {
		if !list[i].Revoked && now.Before(list[i].NotAfter) {
			n++
		}
	}
	return n
}

func overlapWords(hours int) string {
	switch {
	case hours == 1:
		return "1 hour"
	case hours == 24:
		return "1 day"
	case hours%24 == 0:
		return strconv.Itoa(hours/24) + " days"
	}
	return strconv.Itoa(hours) + " hours"
}

func pairingStateOf(stands *credential.Standing, k clock) pairingStateView {
	v := pairingStateView{UID: stands.UID}
	if p := stands.Pairing; p != nil {
		state := p.State(k.now)
		v.State, v.Waits, v.Since, v.Until, v.Paired, v.Wrong = string(state), state == credential.PairingWaits, k.at(p.CreatedAt), k.at(p.ExpiresAt), k.at(p.UsedAt), p.Attempts
		if state == credential.PairingDone {
			v.Wrong-- // the last one was right
		}
		v.Fresh = state == credential.PairingDone && k.now.Sub(p.UsedAt) < time.Hour
	}
	return v
}

// pairingState answers GET /devices/{uid}/pair/state, the part of the page that asks again until the code is used or over.
func (w *Web) pairingState(c *fiber.Ctx) error {
	ctx := c.UserContext()
	stands, err := w.Credentials.Standing(ctx, session.Actor(ctx), c.Params("uid"))
	if err != nil {
		return err
	}
	view := pairingStateOf(&stands, clock{now: w.Now(), zone: w.Zone})
	if view.Shown = c.Query("shown"); view.Shown != "" && stands.Pairing != nil && string(stands.Pairing.UID) != view.Shown {
		view.State, view.Waits, view.Wrong = string(credential.PairingEnded), false, 0
	}
	return w.fragment(c, "pairing-state", view)
}

// makePairing answers POST /devices/{uid}/pair: it shows a code.
func (w *Web) makePairing(c *fiber.Ctx) error {
	ctx := c.UserContext()
	address, err := session.Address(ctx)
	if err != nil {
		return w.pairingAgain(c, err)
	}
	if err := w.reachable(address); err != nil {
		return w.pairingAgain(c, err)
	}
	made, err := w.Credentials.MakeCode(ctx, session.Actor(ctx), c.Params("uid"))
	if err != nil {
		return w.pairingAgain(c, err)
	}
	view := pairingView{Code: made.Code, Until: clock{now: w.Now(), zone: w.Zone}.at(made.ExpiresAt)}
	if view.QR, err = qrCode(address + credential.PairingPage + "#" + strings.ReplaceAll(made.Code, "-", "")); err != nil {
		return err
	}
	return w.pairingPage(c, view)
}

// reachable reports whether this Hale knows how the devices that are paired at an address reach it.
func (w *Web) reachable(address string) error {
	if w.Ways == nil {
		return nil
	}
	host := ""
	if u, err := url.Parse(address); err == nil {
		host = u.Hostname()
	}
	_, err := w.Ways(host)
	return err
}

// renewSecret answers POST /devices/{uid}/secret: it shows a new secret.
func (w *Web) renewSecret(c *fiber.Ctx) error {
	ctx := c.UserContext()
	hours, err := strconv.Atoi(c.FormValue("hours"))
	if err != nil || hours < 1 {
		return w.pairingAgain(c, fault.New(fault.Invalid, "say how long the old secret is to stay good"))
	}
	made, err := w.Credentials.Renew(ctx, session.Actor(ctx), c.Params("uid"), time.Duration(hours)*time.Hour)
	if err != nil {
		return w.pairingAgain(c, err)
	}
	return w.pairingPage(c, pairingView{Secret: made.Secret})
}

// endOldSecret answers POST /devices/{uid}/secret/end.
func (w *Web) endOldSecret(c *fiber.Ctx) error {
	ctx := c.UserContext()
	err := w.Credentials.DropOld(ctx, session.Actor(ctx), c.Params("uid"))
	if err != nil && !fault.Is(err, fault.Conflict) { // what has ended meanwhile is what was wanted
		return err
	}
	return c.Redirect("/devices/"+url.PathEscape(c.Params("uid"))+"/pair", http.StatusSeeOther)
}

// revokeDevice answers POST /devices/{uid}/revoke: a lost device is taken out of use.
func (w *Web) revokeDevice(c *fiber.Ctx) error {
	if err := w.Desk.Revoke(c.UserContext(), session.Actor(c.UserContext()), c.Params("uid")); err != nil {
		return err
	}
	return c.Redirect("/devices/"+url.PathEscape(c.Params("uid"))+"/pair", http.StatusSeeOther)
}

// pairingAgain shows the page with what was wrong.
func (w *Web) pairingAgain(c *fiber.Ctx, err error) error {
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) {
		return err
	}
	c.Status(session.Status(err))
	return w.pairingPage(c, pairingView{Error: sentence(fault.MessageOf(err))})
}
