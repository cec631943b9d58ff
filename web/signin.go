package web

import (
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// signInView is the form, with what was wrong the last time.
type signInView struct {
	Login, Next, Error string
	Ticket             string // when login and password were right and the code is asked for
	Provider           *providerView
	LocalOff           bool
	Farewell           string // what became of the record of whoever this browser was signed in as
}

// signInForm answers with the form.
func (w *Web) signInForm(c *fiber.Ctx, title string, view signInView) error {
	view.Provider, view.LocalOff = w.provider(view.Next), w.LocalOff
	return w.page(c, "signin", title, "", view)
}

// signInPage answers GET /signin.
func (w *Web) signInPage(c *fiber.Ctx) error {
	next := local(c.Query("next"))
	if _, known := session.Of(c.UserContext()); known {
		return c.Redirect(next, http.StatusSeeOther)
	}
	view := signInView{Next: next}
	if c.Query("staff") == "" { // who was erased is told so, and is no staff unless they say it
		bye, err := w.Sessions.Farewell(c.UserContext())
		if err != nil {
			return err
		}
		view.Farewell = w.farewellWords(bye)
	}
	return w.signInForm(c, "Sign in", view)
}

// signIn answers POST /signin. What is wrong is said on the form, with the login kept and the password not.
func (w *Web) signIn(c *fiber.Ctx) error {
	view := signInView{Login: c.FormValue("login"), Next: local(c.FormValue("next")), Ticket: c.FormValue("ticket")}
	proof := account.Proof{Login: view.Login, Password: c.FormValue("password"), Code: c.FormValue("code"), Ticket: view.Ticket}
	_, _, err := w.Sessions.Open(c.UserContext(), session.SetCookie(c), proof)
	if err == nil {
		return c.Redirect(view.Next, http.StatusSeeOther)
	}
	if ticket, needed := session.CodeNeeded(err); needed {
		// The ticket asks again with the form that follows; the password is not sent back.
		view.Ticket = ticket
		return w.signInForm(c, "Your code", view)
	}
	if !fault.Is(err, fault.Unauthenticated) && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Forbidden) {
		return err
	}
	if wait, ok := session.RetryAfter(err); ok {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
	}
	view.Error = sentence(fault.MessageOf(err))
	c.Status(session.Status(err))
	return w.signInForm(c, "Sign in", view)
}

// signOut answers POST /signout.
func (w *Web) signOut(c *fiber.Ctx) error {
	return w.leave(c)
}
