package api

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// Provider is signing in by an identity provider (account/signin/oidc.Service).
type Provider interface {
	session.Provider
	Logout(ctx context.Context, token string) error
}

// addProvider adds the ways of a browser to the identity provider and back, and of the provider to us. They are no part of the
// API's description: their form is that of OpenID Connect.
func (s *Server) addProvider() {
	if s.Provider == nil {
		return
	}
	s.app.Get(account.ProviderBegin, s.Session.Identify, s.depart)
	s.app.Get(account.ProviderCallback, s.Session.Identify, s.arrive)
	s.app.Post(account.ProviderSignOut, s.providerSignOut)
}

// depart sends the browser to the identity provider.
func (s *Server) depart(c *fiber.Ctx) error {
	address, err := s.Session.Depart(c, s.Provider, c.Query("next"))
	if err != nil {
		return err
	}
	return c.Redirect(address, http.StatusSeeOther)
}

// arrive takes the browser back.
func (s *Server) arrive(c *fiber.Ctx) error {
	next, err := s.Session.Arrive(c, s.Provider, account.ProviderAnswer{
		State: c.Query("state"), Code: c.Query("code"), Issuer: c.Query("iss"), Error: c.Query("error"),
	})
	if err != nil {
		return err
	}
	return c.Redirect(next, http.StatusSeeOther)
}

// providerSignOut hears from the identity provider who has signed out there (OpenID Connect Back-Channel Logout 1.0, section
// 2.5). The token says who speaks, so that neither a cookie nor an origin counts.
func (s *Server) providerSignOut(c *fiber.Ctx) error {
	err := s.Provider.Logout(c.UserContext(), string(c.Request().PostArgs().Peek("logout_token")))
	if fault.Is(err, fault.Invalid) {
		return c.Status(http.StatusBadRequest).JSON(map[string]string{"error": "invalid_request", "error_description": fault.MessageOf(err)})
	}
	if err != nil {
		return err
	}
	return c.SendStatus(http.StatusOK)
}
