// Package session knows who speaks in a request: it reads the session's token from the cookie of a browser or the
// Authorization header of a program, keeps foreign pages from speaking in a person's name, and hands the account.Actor
// on in the request's context. The API and the screens share it.
package session

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// SignIn is what opens, finds and ends sessions (account/signin.Service).
type SignIn interface {
	SignIn(ctx context.Context, from netip.Addr, p account.Proof) (token string, s account.Session, err error)
	SessionOf(ctx context.Context, token string) (account.Session, error)
	SignOut(ctx context.Context, token string) error
}

// Codes opens sessions for codes (account/signin.Service). device is the secret of the device to which the session is bound:
// SessionOf wants the token, a point, and that.
type Codes interface {
	Redeem(ctx context.Context, from netip.Addr, code, label string) (token, device string, s account.Session, err error)
}

// Keys finds who an API key acts as (account/signin.Service).
type Keys interface {
	KeySession(ctx context.Context, from netip.Addr, token string) (account.Session, error)
}

// Door is how people come in besides login and password, and what they see of their own signing in (account/signin.Service).
// Its methods check account.Allow.
type Door interface {
	Invite(ctx context.Context, actor account.Actor, whom account.Invited) (account.Invitation, error)
	Inviting(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, []account.Invitee, []account.Session, error)
	EndPatientSession(ctx context.Context, actor account.Actor, patient, session vital.UID) error
	Sessions(ctx context.Context, actor account.Actor) ([]account.Session, error)
	EndSession(ctx context.Context, actor account.Actor, session vital.UID) error
	ChangePassword(ctx context.Context, actor account.Actor, current, code, chosen string) error
	MakeKey(ctx context.Context, actor account.Actor, k account.Key) (token string, made account.Key, err error)
	Keys(ctx context.Context, actor account.Actor) ([]account.Key, error)
	RevokeKey(ctx context.Context, actor account.Actor, key vital.UID) error
}

// Farewells knows what became of the record of somebody who is signed in no more (account/signin.Service).
type Farewells interface {
	Farewell(ctx context.Context, shown string) (account.Farewell, error)
}

// Keeper turns tokens into people. It has no state of its own; every request asks SignIn, so that the end of a session
// acts at once. It is used by its address.
type Keeper struct {
	SignIn  SignIn
	Codes   Codes     // nobody signs in with a code when nil
	Keys    Keys      // no key is known when nil
	Leaving Farewells // nobody is told that they were erased when nil
	Proxies Proxies   // that are believed
	Origins []string  // further origins that may send changing requests, such as "https://hale.example.org" behind a proxy

	Public string       // address by which browsers know this Hale, as ParsePublic returns it; empty: the host that they ask for, if it is ours
	Hosts  []string     // names (a certificate's, so that *.example.org is one) and addresses by which this machine is known, besides localhost
	Log    *slog.Logger // of what an operator should mend; nobody is told when nil

	warned sync.Once // of a proxy that is not believed
}

// The names of the session's cookie, and of the one that holds the secret of the device the session is bound to. A request that
// came encrypted has them with the prefix: a __Host- cookie cannot be set by a neighbouring host or over plain HTTP.
const (
	sessionCookie = "hale_session"
	deviceCookie  = "hale_device"
	securePrefix  = "__Host-"
)

// DeviceHeader carries the secret of the device beside a bearer token that is bound to one.
const DeviceHeader = "Hale-Device"

// keyPrefix is how API keys begin (account/signin).
const keyPrefix = "hale_key_"

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

// Token returns what the request was signed in by, as SignIn knows it, or "". It is for whoever asks again later, as a feed
// does.
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
	s, err := k.sessionOf(ctx, token)
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

func (k *Keeper) sessionOf(ctx context.Context, token string) (account.Session, error) {
	if strings.HasPrefix(token, keyPrefix) && k.Keys != nil {
		return k.Keys.KeySession(ctx, arrived(ctx).from, token)
	}
	return k.SignIn.SessionOf(ctx, token)
}

// Farewell returns what became of the record of whoever this browser was signed in as, when it was erased.
func (k *Keeper) Farewell(ctx context.Context) (account.Farewell, error) {
	if before := arrived(ctx).before; k.Leaving != nil && before != "" {
		return k.Leaving.Farewell(ctx, before)
	}
	return account.Farewell{}, nil
}

// SameOrigin is the middleware for the requests that sign in: it refuses changing requests that a foreign page sends.
func (k *Keeper) SameOrigin(c *fiber.Ctx) error {
	k.enter(c)
	if err := k.sameOrigin(c); err != nil {
		return err
	}
	return c.Next()
}

// Open signs somebody in and sets the cookie; the session that the browser came with ends. The token is for programs, which send it as a bearer token.
func (k *Keeper) Open(ctx context.Context, setCookie func(string), p account.Proof) (token string, s account.Session, err error) {
	came := arrived(ctx)
	p.Label = came.label()
	token, s, err = k.SignIn.SignIn(ctx, came.from, p)
	if err != nil {
		return "", account.Session{}, err
	}
	if err := k.replace(ctx); err != nil {
		return "", account.Session{}, err
	}
	setCookie(cookie(came.secure, sessionCookie, token, s.ExpiresAt))
	setCookie(cookie(came.secure, deviceCookie, "", time.Unix(0, 0)))
	return token, s, nil
}

// replace ends the session that the browser came with, now that it gets another: nobody signs out of what they do not see any
// more.
func (k *Keeper) replace(ctx context.Context) error {
	if before := arrived(ctx).before; before != "" {
		return k.SignIn.SignOut(ctx, before)
	}
	return nil
}

// Redeem signs somebody in with a code, and sets the cookies of the session and of the device; the session that the browser came
// with ends. Token and device are for apps,
// which send them as a bearer token and in DeviceHeader. An empty label is made from what the browser says it is.
func (k *Keeper) Redeem(ctx context.Context, setCookie func(string), code, label string) (token, device string, s account.Session, err error) {
	if k.Codes == nil {
		return "", "", account.Session{}, fault.New(fault.NotFound, "nobody signs in with a code here")
	}
	came := arrived(ctx)
	if label == "" {
		label = came.label()
	}
	token, device, s, err = k.Codes.Redeem(ctx, came.from, code, label)
	if err != nil {
		return "", "", account.Session{}, err
	}
	if err := k.replace(ctx); err != nil {
		return "", "", account.Session{}, err
	}
	setCookie(cookie(came.secure, sessionCookie, token, s.ExpiresAt))
	setCookie(cookie(came.secure, deviceCookie, device, s.ExpiresAt))
	return token, device, s, nil
}

// Close ends the request's session and clears the cookies. Without a session there is nothing to do but that.
func (k *Keeper) Close(ctx context.Context, setCookie func(string)) error {
	if token := Token(ctx); token != "" {
		if err := k.SignIn.SignOut(ctx, token); err != nil {
			return err
		}
	}
	for _, name := range []string{sessionCookie, deviceCookie} {
		setCookie(cookie(arrived(ctx).secure, name, "", time.Unix(0, 0)))
	}
	return nil
}

// CodePage is where a code is typed, and what its QR code opens. The code stands behind the # there: browsers send that to
// nobody, and a program that looks at links before a person does uses nothing up.
const CodePage = "/code"

// CodeAddress returns the address that the QR code of a code holds, at an Address.
func CodeAddress(address, code string) string {
	return address + CodePage + "#" + strings.ReplaceAll(code, "-", "")
}

// SetCookie returns the function that adds a Set-Cookie header to the response of c, as Open and Close ask for it.
func SetCookie(c *fiber.Ctx) func(string) {
	return func(cookie string) { c.Response().Header.Add(fiber.HeaderSetCookie, cookie) }
}

// Cookies returns the function that adds a Set-Cookie header to the answer of a request, for handlers that do not see Fiber: an
// answer of huma's can carry one cookie only.
func Cookies(ctx context.Context) func(string) { return arrived(ctx).setCookie }

// cookieName returns the name that a cookie has in this request.
func cookieName(secure bool, name string) string {
	if secure {
		return securePrefix + name
	}
	return name
}

// cookie returns the value of a Set-Cookie header. SameSite=Lax, so that a link in a message opens the board; what
// changes something is kept to our pages by Origin and the CSRF value.
func cookie(secure bool, name, value string, expires time.Time) string {
	parts := []string{
		cookieName(secure, name) + "=" + value, "Path=/", "Expires=" + expires.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), "HttpOnly", "SameSite=Lax",
	}
	if secure {
		parts = append(parts, "Secure")
	}
	return strings.Join(parts, "; ")
}

// tokenOf returns the request's token, with the secret of its device behind a point where there is one. The Authorization header
// wins: no browser sends it by itself, so a request that has it needs no CSRF value. A key in a cookie is none.
func tokenOf(c *fiber.Ctx) (token string, byCookie bool) {
	if scheme, bearer, ok := strings.Cut(c.Get(fiber.HeaderAuthorization), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return bound(strings.TrimSpace(bearer), c.Get(DeviceHeader)), false
	}
	token = arrived(c.UserContext()).before
	return token, token != ""
}

// brought returns the token of the session that the browser came with, and "" when it came without.
func brought(c *fiber.Ctx, secure bool) string {
	token := c.Cookies(cookieName(secure, sessionCookie))
	if strings.HasPrefix(token, keyPrefix) {
		return ""
	}
	return bound(token, c.Cookies(cookieName(secure, deviceCookie)))
}

// bound joins a token and the secret of a device. A token that brings a point of its own is none of ours.
func bound(token, device string) string {
	switch {
	case strings.Contains(token, "."):
		return ""
	case token == "" || device == "":
		return token
	}
	return token + "." + device
}
