package session

import (
	"context"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
)

// flowCookie holds what a browser keeps on its way to an identity provider and back.
const flowCookie = "hale_flow"

// Provider signs staff in by an identity provider (account/signin/oidc.Service).
type Provider interface {
	Begin(ctx context.Context, next string) (address, kept string, until time.Time, err error)
	Finish(ctx context.Context, kept string, a account.ProviderAnswer) (token string, s account.Session, next string, err error)
}

// Depart returns the address at the provider that the browser is to be sent to, and gives it what it has to bring back. next
// is the page to go to afterwards, when it is one of ours. Identify must have seen the request.
func (k *Keeper) Depart(c *fiber.Ctx, p Provider, next string) (address string, err error) {
	address, kept, until, err := p.Begin(c.UserContext(), Local(next))
	if err != nil {
		return "", err
	}
	SetCookie(c)(cookie(arrived(c.UserContext()).secure, flowCookie, kept, until))
	return address, nil
}

// Arrive takes the provider's answer, sets the cookie of the new session, and returns the page to go to. What the browser has
// brought back is taken from it whatever becomes of it, and a session that it came with ends. Identify must have seen the request.
func (k *Keeper) Arrive(c *fiber.Ctx, p Provider, a account.ProviderAnswer) (next string, err error) {
	came := arrived(c.UserContext())
	kept := c.Cookies(cookieName(came.secure, flowCookie))
	SetCookie(c)(cookie(came.secure, flowCookie, "", time.Unix(0, 0)))
	a.Label = came.label()
	token, s, next, err := p.Finish(c.UserContext(), kept, a)
	if err != nil {
		return "", err
	}
	if err := k.replace(c.UserContext()); err != nil {
		return "", err
	}
	SetCookie(c)(cookie(came.secure, sessionCookie, token, s.ExpiresAt))
	SetCookie(c)(cookie(came.secure, deviceCookie, "", time.Unix(0, 0)))
	return Local(next), nil
}

// SignedOut returns a context in which nobody speaks any more.
func SignedOut(ctx context.Context) context.Context { return context.WithValue(ctx, sessionKey, nil) }

// Local returns the path if it leads to a page of ours, else the start: a link must not send anybody elsewhere.
func Local(path string) string {
	odd := func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(path) > longestPath || strings.ContainsFunc(path, odd) {
		return "/"
	}
	return path
}

// longestPath is how long the path of a page of ours can be, in bytes.
const longestPath = 1000
