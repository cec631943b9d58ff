package web

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
)

// Provider is the identity provider that staff can sign in by (account/signin/oidc.Service).
type Provider interface {
	// Name is what people call it.
	Name() string
	// Start returns the address of ours that begins to sign in by it and leads to the page next.
	Start(next string) string
	// Leaving returns the address at which a browser signs out of it too; "" when that is of no use.
	Leaving(ctx context.Context, actor account.Actor, token string) string
}

// providerView is the way to the identity provider.
type providerView struct{ Name, Address string }

// provider returns the way to the identity provider; nil when there is none.
func (w *Web) provider(next string) *providerView {
	if w.Provider == nil {
		return nil
	}
	return &providerView{Name: w.Provider.Name(), Address: w.Provider.Start(next)}
}

// leave ends the session here and, when the identity provider has opened it, leads the browser on to sign out there. It does
// so from a page: a form of ours may not end anywhere else (form-action).
func (w *Web) leave(c *fiber.Ctx) error {
	ctx, to := c.UserContext(), ""
	if w.Provider != nil {
		to = w.Provider.Leaving(ctx, session.Actor(ctx), session.Token(ctx))
	}
	if err := w.Sessions.Close(ctx, session.SetCookie(c)); err != nil {
		return err
	}
	if to == "" {
		return c.Redirect("/signin", http.StatusSeeOther)
	}
	c.SetUserContext(session.SignedOut(ctx))
	c.Set("Refresh", "0; url="+to)
	return w.page(c, "signedout", "Signed out", "", providerView{Name: w.Provider.Name(), Address: to})
}
