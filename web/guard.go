package web

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// headers sets what every page is sent with. Nothing of a page may be kept, framed, or loaded from anywhere else.
// Referrer-Policy must not be no-referrer: browsers then send the Origin "null" with our own forms (Fetch, section 3.2).
func headers(c *fiber.Ctx) error {
	setHeaders(c)
	return c.Next()
}

func setHeaders(c *fiber.Ctx) {
	c.Set(fiber.HeaderContentSecurityPolicy,
		"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set(fiber.HeaderPermissionsPolicy, "camera=(), microphone=(), geolocation=(), payment=()")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Vary("HX-Request")
}

// identify finds out who speaks, unless the app has done so before.
func (w *Web) identify(c *fiber.Ctx) error {
	if _, known := session.Of(c.UserContext()); known {
		return c.Next()
	}
	return w.Sessions.Identify(c)
}

// signedIn lets pass whoever is signed in.
func (w *Web) signedIn(c *fiber.Ctx) error {
	if _, known := session.Of(c.UserContext()); !known {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	return c.Next()
}

// faults turns what a handler could not do into a page, or for a script into a message beside what stands there.
// Whoever is not signed in is sent to the form, and comes back afterwards.
func (w *Web) faults(c *fiber.Ctx) error {
	err := c.Next()
	if err == nil {
		return nil
	}
	status := session.Status(err)
	if status == http.StatusUnauthorized {
		return w.toSignIn(c)
	}
	if status >= http.StatusInternalServerError {
		w.Log.LogAttrs(c.UserContext(), slog.LevelError, "a page failed",
			slog.String("method", c.Method()), slog.String("route", c.Route().Path), slog.Any("error", err))
	}
	if wait, ok := session.RetryAfter(err); ok {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
	}
	c.Status(status)
	message := sentence(fault.MessageOf(err))
	if byScript(c) {
		c.Set("HX-Retarget", "#notice")
		c.Set("HX-Reswap", "innerHTML")
		return w.fragment(c, "notice", noticeView{Bad: true, Text: message})
	}
	return w.faultPage(c, status, message)
}

func (w *Web) faultPage(c *fiber.Ctx, status int, message string) error {
	title := http.StatusText(status)
	return w.page(c, "fault", title, "", struct{ Status, Message string }{title, message})
}

// ErrorPage answers a browser that asked for something that is no screen and is not there. message may be shown to
// anybody. Whoever could not sign in by the identity provider finds both ways in again.
func (w *Web) ErrorPage(c *fiber.Ctx, status int, message string) error {
	setHeaders(c)
	c.Status(status)
	if strings.HasPrefix(c.Path(), account.ProviderBegin) {
		return w.signInForm(c, "Sign in", signInView{Next: "/", Error: sentence(message)})
	}
	return w.faultPage(c, status, sentence(message))
}

func (w *Web) toSignIn(c *fiber.Ctx) error {
	back := "/signin"
	if c.Method() == fiber.MethodGet && !byScript(c) && c.Path() != "/" {
		back += "?next=" + url.QueryEscape(c.Path())
	}
	if byScript(c) {
		c.Set("HX-Redirect", back)
		return c.SendStatus(http.StatusUnauthorized)
	}
	return c.Redirect(back, http.StatusSeeOther)
}

// byScript reports whether htmx asks, for a part of a page.
func byScript(c *fiber.Ctx) bool { return c.Get("HX-Request") == "true" }

// local returns the path if it leads to a page of ours, else the board: a link must not send anybody elsewhere.
func local(path string) string { return session.Local(path) }

// may reports whether the request's actor may do something at all, for what a page offers.
func may(actor account.Actor, action account.Action) bool {
	return account.Allow(actor, action, nil) == nil
}

// sentence returns the text as a sentence: our messages begin in lower case and end without a point.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
