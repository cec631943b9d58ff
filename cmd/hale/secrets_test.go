package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hale/account"
	"hale/account/signin"
	"hale/postgres"
	"hale/simulators"
)

// caller speaks to a Hale as a program does, or a browser.
type caller struct {
	base   string
	client *http.Client
	signed http.Header
}

// call sends a request and returns the status and the body; 0 when there was no answer.
func (c *caller) call(ctx context.Context, method, path, kind, body string, more ...string) (int, string) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error() // what cannot be sent
	}
	for name, values := range c.signed {
		r.Header[name] = values
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	res, err := c.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err.Error()
	}
	return res.StatusCode, string(b)
}

// json sends JSON and reads the answer, which must be a success.
func (c *caller) json(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, said := c.call(t.Context(), method, path, "application/json", string(text))
	var answer map[string]any
	if status < 200 || status > 299 {
		t.Fatalf("%s %s: %d %s", method, path, status, said)
	}
	if err := json.Unmarshal([]byte(said), &answer); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, said)
	}
	return answer
}

// planted is what the journey put into a Hale and must not find in its logs, by what it is.
type planted map[string]string

func (p planted) plant(what string, secret any) string {
	text := fmt.Sprint(secret)
	p[what] = spills().plant(what, text)
	return text
}

// furnish makes a patient with everything that is secret about one, and plants it.
func furnish(t *testing.T, told announcement) (planted, *caller, *caller, kit) {
	t.Helper()
	p := planted{}
	p.plant("the password", told.Password)
	c := &caller{base: told.URL, client: &http.Client{Timeout: 10 * time.Second}, signed: http.Header{}}
	session := c.json(t, http.MethodPost, "/v1/session", map[string]string{"login": told.Login, "password": told.Password})
	c.signed.Set("Authorization", "Bearer "+p.plant("a session's token", session["token"]))
	p.plant("a CSRF value", session["csrf"])
	p.plant("a patient's number", "NR-77XQ-9042")
	patient := c.json(t, http.MethodPost, "/v1/patients", map[string]any{"name": p.plant("a patient's name", "Xaveria Quillfeather"), "number": p["a patient's number"], "zone": "Europe/Ljubljana"})
	uid := fmt.Sprint(patient["id"])
	device := c.json(t, http.MethodPost, "/v1/devices", map[string]string{"model": "Scale"})
	k := kit{patient: simulators.Person{ID: uid}, device: fmt.Sprint(device["uid"]), secret: p.plant("a device's secret", device["secret"])}
	c.json(t, http.MethodPost, "/v1/devices/"+k.device+"/assignments", map[string]any{"patient": uid, "from": time.Now().Add(-time.Hour)})
	key := c.json(t, http.MethodPost, "/v1/keys", map[string]any{"name": p.plant("the name of a key", "Qorvex interface"), "scopes": []string{"see patients"}})
	p.plant("an API key", key["token"])
	nurse := nurseAt(t, told, p)
	code := nurse.json(t, http.MethodPost, "/v1/patients/"+uid+"/codes", map[string]string{})
	p.plant("an invitation's code", code["code"])
	phone := &caller{base: c.base, client: c.client, signed: http.Header{}}
	theirs := phone.json(t, http.MethodPost, "/v1/session/code", map[string]any{"code": code["code"], "label": p.plant("the name of a phone", "Quillphone Eleven")})
	phone.signed.Set("Authorization", "Bearer "+p.plant("the token of a patient's session", theirs["token"]))
	phone.signed.Set("Hale-Device", p.plant("the secret of a patient's device", theirs["device"]))
	share := phone.json(t, http.MethodPost, "/v1/patients/"+uid+"/shares", map[string]any{"what": "sheet", "minutes": 60, "opens": 3})
	p.plant("the secret of a share", share["code"])
	status, page := c.call(t.Context(), http.MethodPost, "/me/second-factor", "application/x-www-form-urlencoded", "password="+url.QueryEscape(told.Password))
	secret := regexp.MustCompile(`id="secret">([^<]+)<`).FindStringSubmatch(page)
	if status != http.StatusOK || secret == nil {
		t.Fatalf("the second factor: %d %s", status, page)
	}
	p.plant("the secret of a second factor", secret[1])
	digits, err := totp.GenerateCode(secret[1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	status, page = c.call(t.Context(), http.MethodPost, "/me/second-factor/confirm", "application/x-www-form-urlencoded", "code="+digits)
	recovery := regexp.MustCompile(`<code>([0-9a-z-]{19})</code>`).FindAllStringSubmatch(page, -1)
	if status != http.StatusOK || len(recovery) < 2 {
		t.Fatalf("the second factor is turned on: %d %s", status, page)
	}
	for _, one := range recovery {
		p.plant("a recovery code "+one[1], one[1])
	}
	again := nobodyAt(c).json(t, http.MethodPost, "/v1/session", map[string]string{"login": told.Login, "password": told.Password, "code": recovery[0][1]})
	p.plant("the token of a session by recovery code", again["token"])
	c.json(t, http.MethodPost, "/v1/patients/"+uid+"/identifiers", map[string]string{"system": "urn:oid:1.2.36.1", "value": p.plant("an identifier of a patient", "QZ-5519-7741-KV")})
	p.plant("a reading", "173.53125")
	p.plant("a diagnosis", "pneumothorax quirk")
	return p, c, nurse, k
}

// nurseAt is a nurse of the patient's team: only those who look after a patient let them sign in.
func nurseAt(t *testing.T, told announcement, p planted) *caller {
	t.Helper()
	password := p.plant("a nurse's password", "teal heron umbrella 77")
	_, err := postgres.Operator{AdminURL: told.Database}.SetStaff(t.Context(), postgres.Staff{
		Organisation: organisation, Login: "nurse", Name: p.plant("a nurse's name", "Wilhelmina Sparrowgate"), Role: account.Nurse, PasswordHash: signin.Hash(password),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{base: told.URL, client: &http.Client{Timeout: 10 * time.Second}, signed: http.Header{}}
	session := c.json(t, http.MethodPost, "/v1/session", map[string]string{"login": "nurse", "password": password})
	c.signed.Set("Authorization", "Bearer "+p.plant("the token of a nurse's session", session["token"]))
	return c
}

// nobodyAt is somebody at the same Hale who is not signed in.
func nobodyAt(c *caller) *caller { return &caller{base: c.base, client: c.client} }

// tryEverywhere shows a secret at every door, in every place where a person or a program could have put it by mistake.
func (c *caller) tryEverywhere(ctx context.Context, secret string) {
	nobody := nobodyAt(c)
	text, _ := json.Marshal(secret) // a string is never refused
	q, at := string(text), url.PathEscape(secret)
	for _, who := range []*caller{c, nobody} {
		for _, path := range []string{
			"/v1/patients?q=", "/v1/patients?identifier=urn:oid:1.2.36.1%7C", "/v1/patients?identifier=", "/v1/patients/", "/v1/alerts/", "/v1/alerts?patient=", "/v1/devices/", "/v1/", "/patients?q=", "/patients/", "/alerts/", "/signin?next=/", "/static/", "/s#", "/s?",
		} {
			who.call(ctx, http.MethodGet, path+at, "", "")
		}
		for _, body := range []string{`{"login":` + q + `,"password":` + q + `}`, `{"login":` + q, q} {
			who.call(ctx, http.MethodPost, "/v1/session", "application/json", body)
			who.call(ctx, http.MethodPost, "/v1/session/code", "application/json", body)
		}
		who.call(ctx, http.MethodPost, "/v1/patients", "application/json", `{"name":`+q+`,"number":"NR-77XQ-9042","zone":`+q+`}`)
		who.call(ctx, http.MethodPost, "/v1/patients", "application/json", `{"name":`+q+`,"number":"NR-77XQ-9042","zone":"Europe/Ljubljana"}`)
		who.call(ctx, http.MethodPost, "/v1/patients", "application/json", `{"name":"a\u0000`+q[1:]+`,"zone":"Europe/Ljubljana"}`)
		who.call(ctx, http.MethodPost, "/v1/devices", "application/json", `{"model":`+q+`,"uid":`+q+`}`)
		who.call(ctx, http.MethodPost, "/signin", "application/x-www-form-urlencoded", "login="+url.QueryEscape(secret)+"&password="+url.QueryEscape(secret))
		who.call(ctx, http.MethodPost, "/v1/imports?kind=patients", "text/csv", "name,number,zone\n"+secret+","+secret+",Nowhere\n")
		who.call(ctx, http.MethodPost, "/me/second-factor/remove", "application/x-www-form-urlencoded", "password="+url.QueryEscape(secret)+"&code="+url.QueryEscape(secret))
		who.call(ctx, http.MethodPost, "/welcome", "application/x-www-form-urlencoded", "code="+url.QueryEscape(secret)+"&password="+url.QueryEscape(secret))
		who.call(ctx, http.MethodPost, "/s", "application/x-www-form-urlencoded", "code="+url.QueryEscape(secret))
	}
	nobody.call(ctx, http.MethodGet, "/v1/patients", "", "", "Authorization", "Bearer "+secret)
	nobody.call(ctx, http.MethodGet, "/v1/patients", "", "", "Cookie", "hale_session="+url.QueryEscape(secret)+"; hale_device="+url.QueryEscape(secret))
	nobody.call(ctx, http.MethodGet, "/healthz", "", "", "User-Agent", secret, "Referer", "https://"+at+"/")
}

// askUntil asks the same again and again until ended is closed.
func (c *caller) askUntil(ctx context.Context, ended <-chan struct{}, path string) {
	for {
		select {
		case <-ended:
			return
		default:
			c.call(ctx, http.MethodGet, path, "", "")
		}
	}
}

// sendOddly sends readings of the kit that are right, and such as are not: what is refused is a value too. Then it shows wrong
// secrets and names; the edge lets those wait, so that the end of all is waited for when Hale has ended.
func (k kit) sendOddly(t *testing.T, told announcement, p planted) (wait func()) {
	t.Helper()
	for _, payload := range []string{
		`{"metric":"body_weight","value":173.53125,"unit":"kg","seq":1}`,
		`{"metric":"body_weight","value":173.53125,"unit":"stone","seq":2}`,
		`{"metric":"` + p["a diagnosis"] + `","value":173.53125,"unit":"kg","seq":3}`,
		`{"metric":"body_weight","value":"` + p["a patient's name"] + `","unit":"kg"`,
		`{"metric":"body_weight","value":173531.25,"unit":"kg","seq":5,"patient":"` + p["a patient's name"] + `"}`,
	} {
		w := k.dial(t, told.MQTT)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := errors.Join(w.Publish(ctx, k.topic(), []byte(payload), nil), w.Flush()); err != nil {
			t.Error(err)
		}
		_ = w.Drain(ctx) // the edge does not acknowledge everything
		cancel()
		_ = w.Close()
	}
	var wrong sync.WaitGroup
	for _, secret := range p {
		for _, shown := range [][2]string{{k.device, secret + "x"}, {secret, k.secret}} {
			wrong.Go(func() {
				w, err := simulators.Dial(context.WithoutCancel(t.Context()), told.MQTT, shown[0], shown[1], 1)
				if err == nil {
					_ = w.Close()
					t.Errorf("a device came in as %q with %q", shown[0], shown[1])
				}
			})
		}
	}
	return wrong.Wait
}

// killDatabase ends the database of the data directory at once, as a lack of memory does.
func killDatabase(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	pid, err := strconv.Atoi(string(first))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestNoLogHoldsASecretANameOrAValue plants all of them in a running Hale, makes every kind of mistake with each, takes the
// database away while requests are under way, and reads everything that was logged.
func TestNoLogHoldsASecretANameOrAValue(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	process, told := up(t, dir, "--demo=false")
	p, c, nurse, k := furnish(t, told)
	turnedAway := k.sendOddly(t, told, p)
	for _, secret := range p {
		c.tryEverywhere(t.Context(), secret)
		hasty, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond) // it hangs up before most answers
		c.tryEverywhere(hasty, secret)
		cancel()
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		nurse.tryEverywhere(t.Context(), p["a patient's name"]) // what fails is logged of her, and not her name
		for _, secret := range p {
			c.tryEverywhere(t.Context(), secret)
		}
	}()
	var asking sync.WaitGroup
	for range 4 { // so that in whatever moment the database goes, something is under way that fails of it
		asking.Go(func() {
			nurse.askUntil(t.Context(), process.ended, "/v1/patients?q="+url.QueryEscape(p["a patient's name"]))
		})
	}
	killDatabase(t, dir)
	<-gone
	<-process.ended
	asking.Wait()
	turnedAway()
	logs := &spill{words: map[string]string{}}
	for what, secret := range p {
		logs.plant(what, secret)
	}
	server, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	logs.keep("hale", process.stderr.String())
	logs.keep("PostgreSQL", string(server))
	for _, line := range logs.found() {
		t.Error(line)
	}
	// The mistakes were seen: a log that says nothing holds nothing.
	for _, want := range []string{"database", "level=ERROR", "ERROR: "} {
		if !strings.Contains(process.stderr.String()+string(server), want) {
			t.Errorf("nothing was logged of what went wrong (%q):\n%s\n%s", want, process.stderr.String(), server)
		}
	}
}
