package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
)

// credentials are those of the front, by its clock.
func (f *front) credentials() *credential.Credentials {
	return credential.NewCredentials(f.app, f.app, f.clock)
}

// ways are those of an edge that nobody listens at.
func (f *front) ways(host string) (credential.Ways, error) {
	if host == "" {
		return credential.Ways{}, fault.New(fault.Invalid, "nobody knows")
	}
	return credential.Ways{MQTTS: []string{"mqtts://" + host + ":8883"}, CA: "-----BEGIN CERTIFICATE-----\n"}, nil
}

// device enrols a device of the front's organisation and returns its secret.
func (f *front) device(t *testing.T, uid string) (secret string) {
	t.Helper()
	desk := &devices.Desk{Kit: f.app, Now: f.clock}
	made, err := desk.Enrol(t.Context(), account.Actor{Org: f.ana.Org, Role: account.DeviceDesk}, devices.Enrolment{UID: uid, Model: "Cuff"})
	if err != nil {
		t.Fatal(err)
	}
	return made.Secret
}

func TestADeviceGetsItsSecretForACode(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.device(t, "cuff-1")
	f.staff(t, "Home", "desi", account.DeviceDesk)
	desk := f.signIn(t, "desi")
	if a := f.ask(t, "POST", "/v1/devices/cuff-1/pairing", "", f.signIn(t, "nina")...); a.status != http.StatusForbidden {
		t.Errorf("a nurse makes a code: %d %s", a.status, a.body)
	}
	made := f.ask(t, "POST", "/v1/devices/cuff-1/pairing", "", desk...)
	code := made.text(t, "code")
	if made.status != http.StatusCreated || made.text(t, "address") != f.url+"/pair#"+strings.ReplaceAll(code, "-", "") {
		t.Fatalf("%d %s", made.status, made.body)
	}
	stands := func() (state string) {
		t.Helper()
		var body struct {
			Pairing struct{ State string } `json:"pairing"`
		}
		a := f.ask(t, "GET", "/v1/devices/cuff-1/credentials", "", desk...)
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || strings.Contains(a.body, strings.ReplaceAll(code, "-", "")) {
			t.Errorf("%d %s: %v", a.status, a.body, err)
		}
		return body.Pairing.State
	}
	if got := stands(); got != "waiting" {
		t.Errorf("it is %s", got)
	}
	if a := f.ask(t, "GET", "/pair", ""); a.status != http.StatusNotFound { // the front has no such pages
		t.Errorf("%d", a.status)
	}
	wrong := f.ask(t, "POST", "/v1/pair", `{"code":"K7W2-9XQ4-M0ST"}`)
	got := f.ask(t, "POST", "/v1/pair", `{"code":"`+strings.ToLower(code)+`"}`)
	var told struct {
		UID, Secret, CA string
		MQTTS, MQTT     []string
		Topics          map[string]string
	}
	if err := json.Unmarshal([]byte(got.body), &told); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	if told.UID != "cuff-1" || len(told.Secret) != 43 || told.CA == "" || len(told.MQTTS) != 1 || told.MQTTS[0] != "mqtts://127.0.0.1:8883" || told.MQTT == nil ||
		told.Topics["readings"] != "hale/v1/cuff-1/readings" || told.Topics["commands"] != "hale/v1/cuff-1/commands" {
		t.Errorf("a paired device is told %+v", told)
	}
	if got := stands(); got != "paired" {
		t.Errorf("it is %s", got)
	}
	again := f.ask(t, "POST", "/v1/pair", `{"code":"`+code+`"}`)
	other := f.ask(t, "POST", "/v1/devices/cuff-1/pairing", "", desk...).text(t, "code")
	f.pass(credential.PairingLasts)
	late := f.ask(t, "POST", "/v1/pair", `{"code":"`+other+`"}`)
	for name, a := range map[string]answered{"wrong": wrong, "used": again, "too old": late} {
		if a.status != http.StatusUnauthorized || a.text(t, "detail") != wrong.text(t, "detail") || strings.Contains(a.body, "cuff-1") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if got := stands(); got != "expired" {
		t.Errorf("it is %s", got)
	}
	if a := f.ask(t, "POST", "/v1/pair", `{"code":"K7W2"}`); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, "K7W2\"") {
		t.Errorf("half a code: %d %s", a.status, a.body)
	}
}

// TestTheQuestionsOfEMQX asks in the shapes in which EMQX 5.8 does (its documentation: "Use HTTP Service"): what a client did not say comes as
// an empty text.
func TestTheQuestionsOfEMQX(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	secret := f.device(t, "cuff-1")
	f.device(t, "cuff-2")
	boss := f.signIn(t, "boss")
	key, _ := f.makeKey(t, boss, "EMQX", `["check devices for a broker"]`)
	other, _ := f.makeKey(t, boss, "Another program", `["see devices","enrol device"]`)
	login := func(client, user, password string) string {
		body, err := json.Marshal(map[string]string{"clientid": client, "username": user, "password": password, "peerhost": "192.0.2.7", "protocol": "mqtt"})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	use := func(user, topic, action string) string {
		return `{"username":"` + user + `","topic":"` + topic + `","action":"` + action + `"}`
	}
	for _, path := range []string{"/v1/broker/auth", "/v1/broker/acl"} {
		for name, who := range map[string][]string{"nobody": nil, "an administrator": boss, "a key for something else": bearer(other)} {
			if a := f.ask(t, "POST", path, login("cuff-1", "cuff-1", secret), who...); a.status != http.StatusForbidden && a.status != http.StatusUnauthorized || strings.Contains(a.body, "allow") {
				t.Errorf("%s asks %s: %d %s", name, path, a.status, a.body)
			}
		}
	}
	auth := func(body, want string) {
		t.Helper()
		a := f.ask(t, "POST", "/v1/broker/auth", body, bearer(key)...)
		if a.status != http.StatusOK || a.body != `{"result":"`+want+`","is_superuser":false}`+"\n" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Errorf("%d %s %s, want %s", a.status, a.header.Get("Content-Type"), a.body, want)
		}
	}
	auth(login("cuff-1", "cuff-1", secret), "allow")
	auth(login("cuff-1", "cuff-1", "x"), "deny")
	auth(login("cuff-2", "cuff-1", secret), "deny") // another's client id
	auth(login("cuff-2", "cuff-2", secret), "deny") // another's secret
	auth(login("", "cuff-1", secret), "deny")
	auth(`{"clientid":"cuff-1","username":"","password":"","peerhost":""}`, "deny")
	auth(`{"clientid":"cuff-1","username":"cuff-1","password":"`+secret+`","peerhost":"2001:db8::7"}`, "allow")
	auth(`{}`, "deny")
	auth(login(strings.Repeat("x", 5000), "+/#\x00", "\x00"), "deny")
	acl := func(body, want string) {
		t.Helper()
		a := f.ask(t, "POST", "/v1/broker/acl", body, bearer(key)...)
		if a.status != http.StatusOK || a.body != `{"result":"`+want+`"}`+"\n" {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.body, want)
		}
	}
	acl(use("cuff-1", "hale/v1/cuff-1/readings", "publish"), "allow")
	acl(use("cuff-1", "hale/v1/cuff-1/commands", "subscribe"), "allow")
	acl(use("cuff-1", "hale/v1/cuff-2/readings", "publish"), "deny")
	acl(use("cuff-1", "hale/v1/+/commands", "subscribe"), "deny")
	acl(use("cuff-1", "hale/v1/cuff-1/readings", "all"), "deny")
	acl(`{}`, "deny")
	if err := f.app.Revoke(t.Context(), account.Actor{Org: f.ana.Org, Role: account.DeviceDesk}, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	auth(login("cuff-1", "cuff-1", secret), "deny")
	acl(use("cuff-1", "hale/v1/cuff-1/readings", "publish"), "deny")
	if n := f.count(t, `SELECT count(*) FROM audit WHERE detail LIKE '%' || $1 || '%' OR object LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("a secret is in the trail")
	}
}

func TestASecretIsRenewedOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	old := f.device(t, "cuff-1")
	boss := f.signIn(t, "boss")
	key, _ := f.makeKey(t, boss, "EMQX", `["check devices for a broker"]`)
	good := func(secret string) bool {
		t.Helper()
		a := f.ask(t, "POST", "/v1/broker/auth", `{"clientid":"cuff-1","username":"cuff-1","password":"`+secret+`"}`, bearer(key)...)
		return a.text(t, "result") == "allow"
	}
	for body, want := range map[string]int{`{"overlap_hours":721}`: 422, `{"overlap_hours":-1}`: 422} {
		if a := f.ask(t, "POST", "/v1/devices/cuff-1/secret", body, boss...); a.status != want {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	made := f.ask(t, "POST", "/v1/devices/cuff-1/secret", `{"overlap_hours":2}`, boss...)
	fresh := made.text(t, "secret")
	until, err := time.Parse(time.RFC3339, made.text(t, "old_until"))
	if made.status != http.StatusCreated || err != nil || until.Sub(f.clock()) > 2*time.Hour {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if a := f.ask(t, "GET", "/v1/devices/cuff-1/credentials", "", boss...); a.text(t, "old_until") == "" || strings.Contains(a.body, fresh) {
		t.Errorf("%s", a.body)
	}
	if !good(old) || !good(fresh) || good(old) { // the first use of the new one ends the old
		t.Error("the overlap is not as it is told")
	}
	if a := f.ask(t, "DELETE", "/v1/devices/cuff-1/secret/old", "", boss...); a.status != http.StatusConflict {
		t.Errorf("nothing is to be ended: %d %s", a.status, a.body)
	}
	fresh = f.ask(t, "POST", "/v1/devices/cuff-1/secret", `{}`, boss...).text(t, "secret")
	if a := f.ask(t, "DELETE", "/v1/devices/cuff-1/secret/old", "", boss...); a.status != http.StatusNoContent || !good(fresh) {
		t.Errorf("%d %s", a.status, a.body)
	}
}
