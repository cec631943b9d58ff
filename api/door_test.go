package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hale/account"
	"hale/api"
	"hale/fault"
	"hale/vital"
)

// hall is a door that asks account.Allow and opens one code.
type hall struct{}

func (hall) Invite(_ context.Context, actor account.Actor, whom account.Invited) (account.Invitation, error) {
	if whom.Patient != ana {
		return account.Invitation{}, fault.New(fault.NotFound, "there is no such patient")
	}
	return account.Invitation{Code: "K7W2-9XQ4-M0ST", Name: "Ana Novak", ExpiresAt: noon()}, account.Allow(actor, account.InvitePatient, nil)
}

func (hall) Inviting(_ context.Context, actor account.Actor, _ vital.UID) (account.Patient, []account.Invitee, []account.Session, error) {
	return account.Patient{}, nil, []account.Session{{UID: alarm, Label: "Firefox on Android", MisusedAt: noon()}}, account.Allow(actor, account.InvitePatient, nil)
}

func (hall) EndPatientSession(_ context.Context, actor account.Actor, _, _ vital.UID) error {
	return account.Allow(actor, account.InvitePatient, nil)
}

func (hall) Sessions(context.Context, account.Actor) ([]account.Session, error) {
	return []account.Session{{UID: "s", Label: "curl"}, {UID: alarm}}, nil
}

func (hall) EndSession(context.Context, account.Actor, vital.UID) error { return nil }

func (hall) ChangePassword(context.Context, account.Actor, string, string, string) error { return nil }

func (hall) MakeKey(_ context.Context, actor account.Actor, k account.Key) (string, account.Key, error) {
	return "hale_key_x", k, account.Allow(actor, account.ManageKeys, nil)
}

func (hall) Keys(_ context.Context, actor account.Actor) ([]account.Key, error) {
	return []account.Key{{UID: alarm, Name: "interface", Scopes: account.ScopesOf(account.SeePatients), RevokedAt: noon()}}, account.Allow(actor, account.ManageKeys, nil)
}

func (hall) RevokeKey(_ context.Context, actor account.Actor, _ vital.UID) error {
	return account.Allow(actor, account.ManageKeys, nil)
}

func (hall) Redeem(_ context.Context, _ netip.Addr, code, label string) (token, device string, s account.Session, err error) {
	if code != "k7w2 9xq4 m0st" {
		return "", "", s, fault.New(fault.Unauthenticated, "this code does not open")
	}
	return "tok", "dev", account.Session{Label: label, ExpiresAt: noon(), Actor: account.Actor{Org: 1, Self: 1, Name: "Ana Novak", Role: account.SelfRole}}, nil
}

// withHall lets people come in by code and key.
func withHall(c *api.Config) { c.Session.Codes, c.Session.Public = hall{}, "https://hale.example.org" }

func TestACodeIsMadeAndRedeemed(t *testing.T) {
	t.Parallel()
	s, _ := server(t, withHall)
	made := ask(t, s, "nurse", "POST", "/v1/patients/"+ana+"/codes", `{}`, "Host", "evil.example.net")
	if got := made.json(t); made.status != http.StatusCreated || got["code"] != "K7W2-9XQ4-M0ST" || got["name"] != "Ana Novak" || got["address"] != "https://hale.example.org/code#K7W29XQ4M0ST" {
		t.Errorf("%d %s", made.status, made.body)
	}
	in := ask(t, s, "", "POST", "/v1/session/code", `{"code":"k7w2 9xq4 m0st"}`, "User-Agent", "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0")
	if got := in.json(t); in.status != http.StatusOK || got["role"] != "patient" || got["token"] != "tok" || got["device"] != "dev" {
		t.Errorf("%d %s", in.status, in.body)
	}
	var cookies []string
	for _, c := range in.header.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(c, ";")
		cookies = append(cookies, name)
		if !strings.Contains(rest, "HttpOnly") || !strings.Contains(rest, "SameSite=Lax") {
			t.Errorf("cookie %s", c)
		}
	}
	if want := []string{"hale_session=tok", "hale_device=dev"}; !slices.Equal(cookies, want) {
		t.Errorf("cookies %v", cookies)
	}
	wantProblem(t, ask(t, s, "", "POST", "/v1/session/code", `{"code":"another"}`), http.StatusUnauthorized, "does not open")
	wantProblem(t, ask(t, s, "", "POST", "/v1/session/code", `{"code":"k7w2 9xq4 m0st"}`, "Origin", "http://evil.test"), http.StatusForbidden, "another site")
}

func TestSessionsAndKeysAsTheyAreTold(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	mine := ask(t, s, "nurse", "GET", "/v1/me/sessions", "").json(t)
	first, second := item(t, mine["sessions"], 0), item(t, mine["sessions"], 1)
	if first["label"] != "curl" || first["misused_at"] != nil || second["id"] != alarm {
		t.Errorf("%v", mine)
	}
	theirs := ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/sessions", "").json(t)
	if got := item(t, theirs["sessions"], 0); got["misused_at"] != "2026-05-01T12:00:00Z" || got["current"] != false {
		t.Errorf("%v", got)
	}
	key := item(t, ask(t, s, "administrator", "GET", "/v1/keys", "").json(t)["keys"], 0)
	if b, err := json.Marshal(key["scopes"]); err != nil || string(b) != `["see patients"]` || key["revoked_at"] == nil || key["used_at"] != nil || key["token"] != nil {
		t.Errorf("%v", key)
	}
}
