package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestConsentOverTheAPI: a patient, a nurse, a guardian and a caregiver ask for what each may, and are refused what they may not.
func TestConsentOverTheAPI(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina, boss := f.signIn(t, "nina"), f.signIn(t, "boss")
	ana := f.phone(t, nina, f.ana).headers()
	path := "/v1/patients/" + string(f.ana.UID)
	want := func(status int, says, method, path, body string, who []string) string {
		t.Helper()
		a := f.ask(t, method, path, body, who...)
		if a.status != status || !strings.Contains(a.body, says) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", method, path, body, a.status, a.body, status, says)
		}
		return a.body
	}
	const yes = `{"purpose":"caregiver_sharing","version":1,"choice":"given"}`
	let := `{"name":"Eva","scopes":["see readings"]}`
	want(http.StatusConflict, "consent to sharing", "POST", "/v1/me/caregivers", let, ana)
	want(http.StatusOK, `"purpose":"caregiver_sharing","state":"given"`, "POST", "/v1/me/consents", yes, ana)
	want(http.StatusUnprocessableEntity, "scopes", "POST", "/v1/me/caregivers", `{"name":"Eva","scopes":["fly"]}`, ana)
	eva := f.ask(t, "POST", "/v1/me/caregivers", let, ana...)
	if eva.status != http.StatusCreated {
		t.Fatalf("%d %s", eva.status, eva.body)
	}
	who := eva.text(t, "caregiver")
	code := f.ask(t, "POST", path+"/codes", fmt.Sprintf(`{"caregiver":%q}`, who), nina...).text(t, "code")
	in := f.redeem(t, code)
	daughter := []string{"Authorization", "Bearer " + in.text(t, "token"), "Hale-Device", in.text(t, "device")}
	want(http.StatusOK, `"name":"Ana Novak"`, "GET", path, "", daughter)
	// She learns nothing of what is private, of others who were let in, or of a frozen view: with and without one she is told the same.
	refusals := func() (all string) {
		for _, route := range []string{"GET /private", "GET /caregivers", "GET /consents", "GET /offboarding", "PUT /caregivers/" + who + "/frozen", "POST /private"} {
			method, rest, _ := strings.Cut(route, " ")
			a := f.ask(t, method, path+rest, map[string]string{"POST": `{"kind":"metric","metric":"body_weight"}`}[method], daughter...)
			if a.status != http.StatusForbidden && a.status != http.StatusNotFound {
				t.Errorf("%s of a caregiver: %d %s", route, a.status, a.body)
			}
			all += route + " " + a.body + "\n"
		}
		return all
	}
	open := refusals()
	want(http.StatusNoContent, "", "PUT", "/v1/me/caregivers/"+who+"/frozen", "", ana)
	want(http.StatusOK, `"frozen":true`, "GET", path+"/caregivers", "", nina)
	if frozen := refusals(); frozen != open {
		t.Errorf("the answers betray it:\n%s\n---\n%s", open, frozen)
	}
	private := f.ask(t, "POST", "/v1/me/private", `{"kind":"metric","metric":"body_weight"}`, ana...)
	want(http.StatusOK, "body_weight", "GET", path+"/private", "", nina)
	want(http.StatusNoContent, "", "DELETE", "/v1/me/private/"+private.text(t, "id"), "", ana)
	want(http.StatusUnprocessableEntity, "metric", "POST", "/v1/me/private", `{"kind":"metric","metric":"love"}`, ana)

	guardian := fmt.Sprintf(`{"name":"Gal","scopes":["see consents","record consent"],"document":"court 1","reason":"seen","to":%q}`, time.Now().AddDate(1, 0, 0).Format(time.RFC3339))
	want(http.StatusForbidden, "", "POST", path+"/guardians", guardian, ana)
	made := f.ask(t, "POST", path+"/guardians", guardian, nina...)
	gal := made.text(t, "caregiver")
	want(http.StatusForbidden, "second member", "POST", path+"/guardians/"+gal+"/confirm", "", nina)
	want(http.StatusNoContent, "", "POST", path+"/guardians/"+gal+"/confirm", "", boss)
	in = f.redeem(t, f.ask(t, "POST", path+"/codes", fmt.Sprintf(`{"caregiver":%q}`, gal), nina...).text(t, "code"))
	son := []string{"Authorization", "Bearer " + in.text(t, "token"), "Hale-Device", in.text(t, "device")}
	want(http.StatusOK, `"answer":"waiting"`, "POST", path+"/consents", `{"purpose":"research","version":1,"choice":"given"}`, son)
	want(http.StatusForbidden, "", "POST", path+"/caregivers", let, son)

	stop := `{"purpose":"care","version":1,"choice":"withdrawn","through":"paper","document":"folder 3"}`
	want(http.StatusConflict, "nothing to withdraw", "POST", path+"/consents", stop, nina)
	want(http.StatusOK, "", "POST", path+"/consents", strings.Replace(stop, "withdrawn", "given", 1), nina)
	want(http.StatusOK, "never_asked", "GET", "/v1/consents/due", "", nina) // of the other patient
	want(http.StatusOK, "", "POST", path+"/consents", stop, nina)
	want(http.StatusOK, `"endings":[{"id":"`+string(f.ana.UID), "GET", "/v1/consents/due", "", nina)
	want(http.StatusOK, `"stage":"stopping"`, "GET", path+"/offboarding", "", ana)
	want(http.StatusForbidden, "", "POST", path+"/offboarding", `{"step":"told","how":"phone"}`, ana)
	want(http.StatusConflict, "tell the patient first", "POST", path+"/offboarding", `{"step":"finished"}`, nina)
	want(http.StatusOK, `"stage":"stopped"`, "POST", path+"/offboarding", `{"step":"told","how":"phone"}`, nina)
	want(http.StatusOK, `"stage":"locked"`, "POST", path+"/offboarding", `{"step":"finished"}`, nina)
	want(http.StatusConflict, "has ended already", "POST", path+"/offboarding", `{"step":"finished"}`, nina)
	want(http.StatusNotFound, "", "GET", path, "", daughter)
	want(http.StatusForbidden, "", "POST", "/v1/consent-texts", `{"purpose":"care","language":"en","text":"x"}`, nina)
	want(http.StatusCreated, `"version":2`, "POST", "/v1/consent-texts", `{"purpose":"care","language":"en","text":"x"}`, boss)
	want(http.StatusOK, `"version":2`, "GET", "/v1/consent-texts", "", ana)
	eve := f.signIn(t, "eva")
	for _, route := range []string{"GET /consents", "GET /caregivers", "GET /private", "GET /offboarding"} {
		method, rest, _ := strings.Cut(route, " ")
		want(http.StatusNotFound, "", method, path+rest, "", eve)
	}
}
