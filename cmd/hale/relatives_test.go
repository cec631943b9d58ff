package main

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// words is what a page says, without its markup.
func (f *front) words(t *testing.T, path string, who ...string) string {
	t.Helper()
	a := f.ask(t, "GET", path, "", who...)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	bare := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(a.body, "")
	return strings.Join(strings.Fields(html.UnescapeString(bare)), " ")
}

// TestThePagesSayWhoSeesWhoAsksAndWhatIsPrivate is a patient with a caregiver and a guardian, from the pages.
func TestThePagesSayWhoSeesWhoAsksAndWhatIsPrivate(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina, boss := f.signIn(t, "nina"), f.signIn(t, "boss")
	phone := f.phone(t, nina, f.ana)
	ana, cookie := phone.headers(), []string{"Cookie", phone.cookies()}
	path, home := "/v1/patients/"+string(f.ana.UID), "/safe/"+string(f.ana.UID)
	want := func(status int, says, method, path, body string, who []string) answered {
		t.Helper()
		a := f.ask(t, method, path, body, who...)
		if a.status != status || !strings.Contains(a.body, says) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", method, path, body, a.status, a.body, status, says)
		}
		return a
	}
	says := func(page string, all ...string) {
		t.Helper()
		text := f.words(t, page, cookie...)
		for _, words := range all {
			words, not := strings.CutPrefix(words, "not ")
			if strings.Contains(text, words) == not {
				t.Errorf("%s with %q is %v: %s", page, words, not, text)
			}
		}
	}
	const share = `{"purpose":"caregiver_sharing","version":1,"choice":%q}`
	want(http.StatusOK, "", "POST", "/v1/me/consents", fmt.Sprintf(share, "given"), ana)
	want(http.StatusCreated, "", "POST", "/v1/me/caregivers", `{"name":"Dana Daughter","scopes":["see readings"]}`, ana)
	says(home+"/caregivers", "Sees what is measured.")
	says(home+"/consents", "not see again what they saw before")
	want(http.StatusOK, "", "POST", "/v1/me/consents", fmt.Sprintf(share, "withdrawn"), ana)
	says(home+"/caregivers", "not Sees what is measured", "Sees nothing now", "With a new yes they see again: what is measured")
	says(home+"/consents", "If you agree, these people see again what they saw before: Dana Daughter (what is measured)")

	// A guardian with few scopes, who asks.
	guardian := func(name, scopes string) []string {
		t.Helper()
		made := want(http.StatusCreated, "", "POST", path+"/guardians",
			fmt.Sprintf(`{"name":%q,"scopes":[%s],"document":"court 1","reason":"seen","to":%q}`, name, scopes, f.clock().AddDate(1, 0, 0).Format(time.RFC3339)), nina)
		who := made.text(t, "caregiver")
		want(http.StatusNoContent, "", "POST", path+"/guardians/"+who+"/confirm", "", boss)
		in := f.redeem(t, f.ask(t, "POST", path+"/codes", fmt.Sprintf(`{"caregiver":%q}`, who), nina...).text(t, "code"))
		return []string{"Authorization", "Bearer " + in.text(t, "token"), "Hale-Device", in.text(t, "device")}
	}
	guardian("Tina Tutor", `"see patients"`)
	says(home+"/caregivers", "Tina Tutor guardian A guardian by law. Sees the name and nothing else.")
	son := guardian("Saul Son", `"see consents","record consent"`)
	ask := fmt.Sprintf(share, "given")
	want(http.StatusOK, "waiting", "POST", path+"/consents", ask, son)
	want(http.StatusConflict, "asked for this already", "POST", path+"/consents", ask, son)
	says(home+"/consents", "Saul Son, guardian, asks the care team for a yes to “letting family or friends see”. They have not answered, and nothing changes before they do.", "not The care team has it")

	// What is private says which it is, and stands there once.
	paper := fmt.Sprintf(`{"purpose":"care","version":1,"choice":"given","through":%%q,"document":"folder 3","witness":"Dr. B","at":%q}`, f.clock().AddDate(0, -6, 0).Format(time.RFC3339))
	want(http.StatusConflict, "only a signed paper", "POST", path+"/consents", fmt.Sprintf(paper, "phone"), nina)
	want(http.StatusOK, "", "POST", path+"/consents", fmt.Sprintf(paper, "paper"), nina)
	says(home+"/consents", "being looked after at home, agreed (the words of the paper), on paper, written down by nina of Home, document folder 3")
	var decision string
	if err := f.admin.QueryRow(t.Context(), `SELECT uid::text FROM consent_decision WHERE purpose = 'care'`).Scan(&decision); err != nil {
		t.Fatal(err)
	}
	wrong := want(http.StatusCreated, "", "POST", path+"/corrections", `{"kind":"name","wish":"Ana Novak Kos"}`, ana).text(t, "id")
	for _, item := range []string{`{"kind":"consent","ref":"` + decision + `"}`, `{"kind":"correction","ref":"` + wrong + `"}`, `{"kind":"metric","metric":"body_weight"}`} {
		first := want(http.StatusCreated, "", "POST", "/v1/me/private", item, ana).text(t, "id")
		if again := want(http.StatusCreated, "", "POST", "/v1/me/private", item, ana).text(t, "id"); again != first {
			t.Errorf("%s is private twice", item)
		}
	}
	says(home+"/private", " about “being looked after at home”", "What was said to be wrong on ", ": the name", "Body weight")
	if n := f.count(t, `SELECT count(*) FROM private_item WHERE unmarked_at IS NULL`); n != 3 {
		t.Errorf("%d private items", n)
	}
	// One that was marked twice before that was so is shown again as a whole.
	f.exec(t, `INSERT INTO private_item (org_id, uid, patient_id, kind, metric, marked_at, marked_by) SELECT org_id, gen_random_uuid(), patient_id, kind, metric, now(), '' FROM private_item WHERE kind = 'metric'`)
	var twice string
	if err := f.admin.QueryRow(t.Context(), `SELECT uid::text FROM private_item WHERE kind = 'metric' ORDER BY id LIMIT 1`).Scan(&twice); err != nil {
		t.Fatal(err)
	}
	want(http.StatusNoContent, "", "DELETE", "/v1/me/private/"+twice, "", ana)
	says(home+"/private", "not Body weight Show it again")
}

// TestAPatientReadsTheTimesOfTheirHome on the notice of a new device, and where they end it.
func TestAPatientReadsTheTimesOfTheirHome(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	nina := f.signIn(t, "nina")
	cookie := []string{"Cookie", f.phone(t, nina, f.ana).cookies()}
	f.phone(t, nina, f.ana)
	f.exec(t, `UPDATE session SET created_at = date_trunc('hour', created_at) + interval '17 minutes' WHERE patient_id IS NOT NULL`)
	var opened time.Time
	if err := f.admin.QueryRow(t.Context(), `SELECT max(created_at) FROM session WHERE patient_id IS NOT NULL`).Scan(&opened); err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation(f.ana.Zone)
	if err != nil {
		t.Fatal(err)
	}
	for page, words := range map[string]string{"/safe/" + string(f.ana.UID): ": a new device", "/me": " with a code of nurse"} {
		if text := f.words(t, page, cookie...); !strings.Contains(text, opened.In(zone).Format("15:04")+words) {
			t.Errorf("%s does not say %s: %s", page, opened.In(zone).Format("15:04")+words, text)
		}
	}
}
