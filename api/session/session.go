// Package session knows who speaks in a request: it reads the session's token from the cookie of a browser or the
// Authorization header of a program, keeps foreign pages from speaking in a person's name, and hands the account.Actor
// on in the request's context. The API and the screens share it.
package session

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/fault"
)

// SignIn is what opens, finds and ends sessions (account/signin.Service).
type SignIn interface {
	SignIn(ctx context.Context, from netip.Addr, p account.Proof) (token string, s account.Session, err error)
	SessionOf(ctx context.Context, token string) (account.Session, error)
	SignOut(ctx context.Context, token string) error
}

// Keeper turns tokens into people. It has no state of its own; every request asks SignIn, so that the end of a session
// acts at once.
type Keeper struct {
	SignIn  SignIn
	Proxies Proxies  // that are believed
	Origins []string // further origins that may send changing requests, such as "https://hale.example.org" behind a proxy
}

// The names of the session's cookie. A request that came encrypted has the second: a __Host- cookie cannot be set by a
// neighbouring host or over plain HTTP.
const (
	plainCookie  = "hale_session"
	secureCookie = "__Host-hale_session"
)

// CSRFHeader and CSRFField carry the session's CSRF value in changing requests that are signed in by the cookie.
const (
	CSRFHeader = "X-CSRF-Token"
	CSRFField  = "csrf"
)

type contextKey int

const (
	sessionKey contextKey = iota
	arrivalKey
)

// held is the session of a request with the token that it came by.
type held struct {
	session account.Session
	token   string
}

// Of returns the session of a request from its context; ok is false when nobody is signed in.
func Of(ctx context.Context) (s account.Session, ok bool) {
	h, ok := ctx.Value(sessionKey).(held)
	return h.session, ok
}

// Actor returns who acts in a request; the zero Actor is nobody.
func Actor(ctx context.Context) account.Actor {
	s, _ := Of(ctx)
	return s.Actor
}

// Token returns the token that the request was signed in by, or "". It is for whoever asks again later, as a feed does.
func Token(ctx context.Context) string {
	h, _ := ctx.Value(sessionKey).(held)
	return h.token
}

// With returns a context in which the session speaks, signed in by the token.
func With(ctx context.Context, s account.Session, token string) context.Context {
	return context.WithValue(ctx, sessionKey, held{session: s, token: token})
}

// Identify is the middleware that finds out who speaks. A request without a session goes on as nobody's: what it may
// do is account.Allow's to say. A changing request of a browser must come from our own pages (Origin) and, when the
// cookie signs it in, carry the session's CSRF value; otherwise it ends here with fault.Forbidden.
func (k *Keeper) Identify(c *fiber.Ctx) error {
	k.enter(c)
	token, byCookie := tokenOf(c)
	if byCookie || token == "" {
		if err := k.sameOrigin(c); err != nil {
			return err
		}
	}
	if token == "" {
		return c.Next()
	}
	ctx := c.UserContext()
	s, err := k.SignIn.SessionOf(ctx, token)
	if fault.Is(err, fault.Unauthenticated) {
		return c.Next()
	}
	if err != nil {
		return err
	}
	if byCookie && changes(c) && !carries(c, s.CSRF) {
		return fault.New(fault.Forbidden, "the request lacks this session's CSRF value (header %s): reload the page and try again", CSRFHeader)
	}
	c.SetUserContext(With(ctx, s, token))
	return c.Next()
}

// SameOrigin is the middleware for the requests that sign in: it refuses changing requests that a foreign page sends.
func (k *Keeper) SameOrigin(c *fiber.Ctx) error {
	k.enter(c)
	if err := k.sameOrigin(c); err != nil {
		return err
	}
	return c.Next()
}

// Open signs somebody in and sets the cookie. The token is for programs, which send it as a bearer token.
func (k *Keeper) Open(ctx context.Context, setCookie func(string), p account.Proof) (token string, s account.Session, err error) {
	token, s, err = k.SignIn.SignIn(ctx, arrived(ctx).from, p)
	if err != nil {
		return "", account.Session{}, err
	}
	setCookie(cookie(arrived(ctx).secure, token, s.ExpiresAt))
	return token, s, nil
}

// Close ends the request's session and clears the cookie. Without a session there is nothing to do but that.
func (k *Keeper) Close(ctx context.Context, setCookie func(string)) error {
	if token := Token(ctx); token != "" {
		if err := k.SignIn.SignOut(ctx, token); err != nil {
			return err
		}
	}
	setCookie(cookie(arrived(ctx).secure, "", time.Unix(0, 0)))
	return nil
}

// SetCookie returns the function that adds a Set-Cookie header to the response of c, as Open and Close ask for it.
func SetCookie(c *fiber.Ctx) func(string) {
	return func(cookie string) { c.Response().Header.Add(fiber.HeaderSetCookie, cookie) }
}

// cookieName returns the name of the session's cookie.
func cookieName(secure bool) string {
	if secure {
		return secureCookie
	}
	return plainCookie
}

// cookie returns the value of a Set-Cookie header. SameSite=Lax, so that a link in a message opens the board; what
// changes something is kept to our pages by Origin and the CSRF value.
func cookie(secure bool, token string, expires time.Time) string {
	parts := []string{
		cookieName(secure) + "=" + token, "Path=/", "Expires=" + expires.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), "HttpOnly", "SameSite=Lax",
	}
	if secure {
		parts = append(parts, "Secure")
	}
	return strings.Join(parts, "; ")
}

// tokenOf returns the request's token. The Authorization header wins: no browser sends it by itself, so a request that
// has it needs no CSRF value.
func tokenOf(c *fiber.Ctx) (token string, byCookie bool) {
	if scheme, bearer, ok := strings.Cut(c.Get(fiber.HeaderAuthorization), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(bearer), false
	}
	token = c.Cookies(cookieName(arrived(c.UserContext()).secure))
	return token, token != ""
}
