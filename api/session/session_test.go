package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// door knows one person, whose token is "good".
type door struct{ ended []string }

func (d *door) SignIn(context.Context, string, string) (string, account.Session, error) {
	s, err := d.SessionOf(context.Background(), "good")
	return "good", s, err
}

func (d *door) SessionOf(_ context.Context, token string) (account.Session, error) {
	switch token {
	case "good":
		expires := time.Date(2026, 5, 8, 12, 0, 0, 0, time.UTC)
		return account.Session{CSRF: "c5", ExpiresAt: expires, Actor: account.Actor{Org: 1, Name: "Nina", Role: account.Nurse}}, nil
	case "bare":
		return account.Session{Actor: account.Actor{Org: 1, Name: "Nina", Role: account.Nurse}}, nil
	case "away":
		return account.Session{}, fault.New(fault.Unavailable, "the record is away")
	}
	return account.Session{}, fault.New(fault.Unauthenticated, "no session")
}

func (d *door) SignOut(_ context.Context, token string) error {
	d.ended = append(d.ended, token)
	return nil
}

// app answers every request with the name of who speaks, or the status of why it was refused.
func app(k *session.Keeper) *fiber.App {
	a := fiber.New(fiber.Config{Immutable: true, ErrorHandler: func(c *fiber.Ctx, err error) error {
		return c.Status(session.Status(err)).SendString(fault.MessageOf(err))
	}})
	a.Post("/in", k.SameOrigin, func(c *fiber.Ctx) error {
		_, _, err := k.Open(c.UserContext(), session.SetCookie(c), "", "")
		return err
	})
	a.Use(k.Identify)
	a.Post("/out", func(c *fiber.Ctx) error { return k.Close(c.UserContext(), session.SetCookie(c)) })
	a.All("/*", func(c *fiber.Ctx) error { return c.SendString(session.Actor(c.UserContext()).Name) })
	return a
}

func send(t *testing.T, k *session.Keeper, method, path, body string, headers map[string]string) (status int, text string, header http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "hale.test"
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	res, err := app(k).Test(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	const (
		refused = 403
		nobody  = ""
		nina    = "Nina"
		form    = "application/x-www-form-urlencoded"
	)
	type headers = map[string]string
	cookie := "hale_session=good"
	cases := map[string]struct {
		method, body string
		headers      headers
		status       int
		who          string
	}{
		"without anything it is nobody":                     {"GET", "", nil, 200, nobody},
		"a cookie tells who reads":                          {"GET", "", headers{"Cookie": cookie}, 200, nina},
		"a bearer token tells who reads":                    {"GET", "", headers{"Authorization": "Bearer good"}, 200, nina},
		"the scheme may be written small":                   {"GET", "", headers{"Authorization": "bearer good"}, 200, nina},
		"another scheme is none":                            {"GET", "", headers{"Authorization": "Basic Z29vZA=="}, 200, nobody},
		"an ended session is nobody's":                      {"GET", "", headers{"Cookie": "hale_session=old"}, 200, nobody},
		"an ended session changes nothing":                  {"POST", "", headers{"Cookie": "hale_session=old"}, 200, nobody},
		"the record being away is not a sign-out":           {"GET", "", headers{"Cookie": "hale_session=away"}, 503, "the record is away"},
		"the cookie of HTTPS is another":                    {"GET", "", headers{"Cookie": "__Host-hale_session=good"}, 200, nobody},
		"the Authorization header wins over the cookie":     {"GET", "", headers{"Cookie": cookie, "Authorization": "Bearer old"}, 200, nobody},
		"a cookie alone changes nothing":                    {"POST", "", headers{"Cookie": cookie}, refused, ""},
		"a wrong CSRF value changes nothing":                {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c4"}, refused, ""},
		"an empty CSRF field changes nothing":               {"POST", "csrf=", headers{"Cookie": cookie, "Content-Type": form}, refused, ""},
		"a session without a CSRF value changes nothing":    {"POST", "csrf=", headers{"Cookie": "hale_session=bare", "Content-Type": form}, refused, ""},
		"a DELETE changes something too":                    {"DELETE", "", headers{"Cookie": cookie}, refused, ""},
		"the CSRF value in the header lets it pass":         {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5"}, 200, nina},
		"the CSRF value in the form lets it pass":           {"POST", "csrf=c5", headers{"Cookie": cookie, "Content-Type": form}, 200, nina},
		"a bearer token needs no CSRF value":                {"PUT", "", headers{"Authorization": "Bearer good"}, 200, nina},
		"a foreign page with the CSRF value is refused":     {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "http://evil.test"}, refused, ""},
		"a page of another port is foreign":                 {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "http://hale.test:81"}, refused, ""},
		"a sandboxed page is foreign":                       {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "null"}, refused, ""},
		"the browser's word for foreign is enough":          {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Sec-Fetch-Site": "cross-site"}, refused, ""},
		"our own page is not foreign":                       {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "http://hale.test"}, 200, nina},
		"our own page behind a proxy is not foreign":        {"POST", "", headers{"Cookie": cookie, "X-CSRF-Token": "c5", "Origin": "https://board.example.org"}, 200, nina},
		"a foreign page may link to us":                     {"GET", "", headers{"Cookie": cookie, "Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}, 200, nina},
		"a foreign page changes nothing without a session":  {"POST", "", headers{"Origin": "http://evil.test"}, refused, ""},
		"a program with a bearer token may name any origin": {"POST", "", headers{"Authorization": "Bearer good", "Origin": "http://app.test"}, 200, nina},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &session.Keeper{SignIn: &door{}, Origins: []string{"https://board.example.org"}}
			status, text, _ := send(t, k, c.method, "/x", c.body, c.headers)
			if status != c.status || status != refused && text != c.who {
				t.Errorf("%d %q, want %d %q", status, text, c.status, c.who)
			}
		})
	}
}

func TestTheCookie(t *testing.T) {
	t.Parallel()
	plain := &session.Keeper{SignIn: &door{}}
	_, _, h := send(t, plain, "POST", "/in", "", nil)
	if diff := cmp.Diff([]string{"hale_session=good; Path=/; Expires=Fri, 08 May 2026 12:00:00 GMT; HttpOnly; SameSite=Lax"}, h["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
	secure := &session.Keeper{SignIn: &door{}, Secure: true}
	_, _, h = send(t, secure, "POST", "/in", "", nil)
	if diff := cmp.Diff([]string{"__Host-hale_session=good; Path=/; Expires=Fri, 08 May 2026 12:00:00 GMT; HttpOnly; SameSite=Lax; Secure"}, h["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
	if _, text, _ := send(t, secure, "GET", "/x", "", map[string]string{"Cookie": "__Host-hale_session=good"}); text != "Nina" {
		t.Errorf("HTTPS: %q", text)
	}
	if status, _, _ := send(t, secure, "POST", "/in", "", map[string]string{"Origin": "http://hale.test"}); status != 403 {
		t.Errorf("a plain page of our host signs in over HTTPS: %d", status)
	}
}

func TestSigningInFromAForeignPageIsRefused(t *testing.T) {
	t.Parallel()
	k := &session.Keeper{SignIn: &door{}}
	status, _, h := send(t, k, "POST", "/in", "", map[string]string{"Origin": "http://evil.test"})
	if status != 403 || h.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", status, h)
	}
}

func TestCloseEndsTheSessionAndClearsTheCookie(t *testing.T) {
	t.Parallel()
	d := &door{}
	k := &session.Keeper{SignIn: d}
	_, _, h := send(t, k, "POST", "/out", "", map[string]string{"Cookie": "hale_session=good", "X-CSRF-Token": "c5"})
	if !strings.HasPrefix(h.Get("Set-Cookie"), "hale_session=; Path=/; Expires=Thu, 01 Jan 1970") {
		t.Errorf("cookie %q", h.Get("Set-Cookie"))
	}
	if diff := cmp.Diff([]string{"good"}, d.ended); diff != "" {
		t.Error(diff)
	}
	if _, _, h := send(t, k, "POST", "/out", "", nil); h.Get("Set-Cookie") == "" || len(d.ended) != 1 {
		t.Error("signing out without a session does not clear the cookie, or ends one")
	}
}

type wait struct{}

func (wait) Error() string             { return "wait" }
func (wait) RetryAfter() time.Duration { return time.Second }

func TestStatusIsWrittenOnce(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err  error
		want int
	}{
		"invalid":               {fault.New(fault.Invalid, ""), 422},
		"not found":             {fault.New(fault.NotFound, ""), 404},
		"conflict":              {fault.New(fault.Conflict, ""), 409},
		"forbidden":             {fault.New(fault.Forbidden, ""), 403},
		"unauthenticated":       {fault.New(fault.Unauthenticated, ""), 401},
		"gone":                  {fault.New(fault.Gone, ""), 410},
		"unavailable":           {fault.New(fault.Unavailable, ""), 503},
		"internal":              {fault.New(fault.Internal, ""), 500},
		"an error without kind": {errors.New("x"), 500},
		"a kind nobody knows":   {fault.New("odd", ""), 500},
		"a wrapped fault":       {fmt.Errorf("list: %w", fault.New(fault.Gone, "")), 410},
		"too many attempts":     {&fault.Error{Kind: fault.Unavailable, Err: wait{}}, 429},
		"Fiber's own":           {fiber.ErrMethodNotAllowed, 405},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := session.Status(c.err); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
