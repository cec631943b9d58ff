package web

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"
	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// Factors is how somebody who is signed in sets up a second factor and turns it off (account/signin.Service).
type Factors interface {
	SecondFactor(ctx context.Context, actor account.Actor) (account.SecondFactor, error)
	OfferFactor(ctx context.Context, actor account.Actor, password string) (address, secret string, err error)
	OfferedFactor(ctx context.Context, actor account.Actor) (address, secret string, err error)
	ConfirmFactor(ctx context.Context, actor account.Actor, code string) (recovery []string, err error)
	RemoveFactor(ctx context.Context, actor account.Actor, password, code string) error
}

// meView is the page of the person's own signing in.
type meView struct {
	Error    string
	Done     string
	Staff    bool          // with a password, and perhaps a second factor
	Keys     bool          // the person looks after API keys
	Door     bool          // sessions are listed
	Sessions []sessionView // where the person is signed in
	Factor   account.SecondFactor
	Secret   string // while the second factor is being set up
	QR       template.HTML
	Recovery []string // once
}

// me answers GET /me.
func (w *Web) me(c *fiber.Ctx) error { return w.mePage(c, meView{}) }

func (w *Web) mePage(c *fiber.Ctx, view meView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	var err error
	if view.Staff = actor.Staff != 0; view.Staff {
		if view.Factor, err = w.Factors.SecondFactor(ctx, actor); err != nil {
			return err
		}
	}
	if view.Door = w.Door != nil; view.Door {
		list, err := w.Door.Sessions(ctx, actor)
		if err != nil {
			return err
		}
		k, err := w.homeClock(ctx, actor)
		if err != nil {
			return err
		}
		view.Sessions, view.Keys = w.sessionViews(list, actor.Session, false, k), may(actor, account.ManageKeys)
	}
	return w.page(c, "me", "Your signing in", "me", view)
}

// homeClock is the clock of the home that a patient, or who is close to one patient, reads of; of the house for anybody else.
func (w *Web) homeClock(ctx context.Context, actor account.Actor) (clock, error) {
	k := clock{now: w.Now(), zone: w.Zone}
	if !ownOnly(actor) {
		return k, nil
	}
	list, err := w.Directory.Patients(ctx, actor, "", account.MostPatients)
	if err != nil || len(list) != 1 {
		return k, err
	}
	return k.in(list[0].Zone), nil
}

// offerFactor answers POST /me/second-factor: it shows the QR code of a new secret.
func (w *Web) offerFactor(c *fiber.Ctx) error {
	address, secret, err := w.Factors.OfferFactor(c.UserContext(), session.Actor(c.UserContext()), c.FormValue("password"))
	if err != nil {
		return w.meAgain(c, meView{}, err)
	}
	view := meView{Secret: secret}
	if view.QR, err = qrCode(address); err != nil {
		return err
	}
	return w.mePage(c, view)
}

// confirmFactor answers POST /me/second-factor/confirm: it shows the recovery codes, or the QR code again.
func (w *Web) confirmFactor(c *fiber.Ctx) error {
	ctx := c.UserContext()
	codes, err := w.Factors.ConfirmFactor(ctx, session.Actor(ctx), c.FormValue("code"))
	if err == nil {
		return w.mePage(c, meView{Recovery: codes})
	}
	view := meView{}
	if fault.Is(err, fault.Invalid) {
		address, secret, again := w.Factors.OfferedFactor(ctx, session.Actor(ctx))
		if again != nil {
			return again
		}
		view.Secret = secret
		if view.QR, again = qrCode(address); again != nil {
			return again
		}
	}
	return w.meAgain(c, view, err)
}

// removeFactor answers POST /me/second-factor/remove.
func (w *Web) removeFactor(c *fiber.Ctx) error {
	err := w.Factors.RemoveFactor(c.UserContext(), session.Actor(c.UserContext()), c.FormValue("password"), c.FormValue("code"))
	if err != nil {
		return w.meAgain(c, meView{}, err)
	}
	return c.Redirect("/me", http.StatusSeeOther)
}

// meAgain shows the page with what was wrong. A wrong password here is no end of the session, so that it does not lead to
// the form for signing in as it would elsewhere.
func (w *Web) meAgain(c *fiber.Ctx, view meView, err error) error {
	if fault.Is(err, fault.Internal) {
		return err
	}
	if wait, ok := session.RetryAfter(err); ok {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
	}
	status := session.Status(err)
	if status == http.StatusUnauthorized {
		status = http.StatusUnprocessableEntity
	}
	view.Error = sentence(fault.MessageOf(err))
	c.Status(status)
	return w.mePage(c, view)
}

// quiet is the empty border of a QR code, in modules (ISO/IEC 18004, section 6.3.8).
const quiet = 4

// qrCode draws a text as a QR code in SVG, dark on white whatever the colours of the page are: cameras want that.
func qrCode(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	n := code.Bounds().Dx()
	var dark strings.Builder
	for y := range n {
		for x := range n {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&dark, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	size := n + 2*quiet
	//nolint:gosec // numbers and our own letters only: the text is in the picture, not in the markup
	return template.HTML(fmt.Sprintf(`<svg class="qr" role="img" aria-label="QR code of what stands beside it" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		size, size, size, size, dark.String())), nil
}
