package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"hale/account"
	"hale/api"
)

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	s, _ := server(t, func(c *api.Config) {
		c.Organisation = func(context.Context, account.Actor) (string, error) { return "Care north", nil }
	})
	in := ask(t, s, "", "POST", "/v1/session", `{"login":"nurse","password":"right"}`, "Cookie", "hale_session=old")
	got := in.json(t)
	if in.status != http.StatusOK || got["token"] != "nurse" || got["csrf"] != "csrf-nurse" || got["name"] != "Nina" || got["role"] != "nurse" || got["organisation"] != "Care north" {
		t.Fatalf("%d %s", in.status, in.body)
	}
	cookie := in.header.Get("Set-Cookie")
	if set := in.header.Values("Set-Cookie"); len(set) != 2 || !strings.HasPrefix(set[1], "hale_device=;") || cookie[:19] != "hale_session=nurse;" {
		t.Errorf("cookie %q", in.header.Values("Set-Cookie"))
	}
	who := ask(t, s, "", "GET", "/v1/session", "", "Cookie", "hale_session=nurse")
	if got := who.json(t); got["csrf"] != "csrf-nurse" || got["token"] != nil {
		t.Errorf("who am I: %s", who.body)
	}
	wantProblem(t, ask(t, s, "", "DELETE", "/v1/session", "", "Cookie", "hale_session=nurse"), http.StatusForbidden, "CSRF")
	out := ask(t, s, "", "DELETE", "/v1/session", "", "Cookie", "hale_session=nurse", "X-CSRF-Token", "csrf-nurse")
	if out.status != http.StatusNoContent || out.header.Get("Set-Cookie")[:14] != "hale_session=;" {
		t.Errorf("%d %v", out.status, out.header)
	}
}

func TestSigningInIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	wantProblem(t, ask(t, s, "", "POST", "/v1/session", `{"login":"nurse","password":"wrong"}`), http.StatusUnauthorized, "login or password is wrong")
	wantProblem(t, ask(t, s, "", "POST", "/v1/session", `{"login":"nurse"}`), http.StatusUnprocessableEntity, "validation failed")
	slow := ask(t, s, "", "POST", "/v1/session", `{"login":"guesser","password":"right"}`)
	if wantProblem(t, slow, http.StatusTooManyRequests, "too many wrong attempts"); slow.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After %q", slow.header.Get("Retry-After"))
	}
	wantProblem(t, ask(t, s, "", "POST", "/v1/session", `{"login":"nurse","password":"right"}`, "Origin", "http://evil.test"), http.StatusForbidden, "another site")
}

func TestACodeThatIsMissingIsSaidSo(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	asked := ask(t, s, "", "POST", "/v1/session", `{"login":"pharmacist","password":"right"}`)
	wantProblem(t, asked, http.StatusUnauthorized, "a code is needed")
	if got := asked.json(t)["type"]; got != "urn:hale:problem:code-needed" {
		t.Errorf("the problem's type is %v", got)
	}
	wrong := ask(t, s, "", "POST", "/v1/session", `{"login":"pharmacist","password":"wrong"}`)
	if got := wrong.json(t)["type"]; got != nil {
		t.Errorf("a wrong password is a problem of type %v", got)
	}
	if in := ask(t, s, "", "POST", "/v1/session", `{"login":"pharmacist","password":"right","code":"123456"}`); in.status != http.StatusOK {
		t.Errorf("%d %s", in.status, in.body)
	}
}
