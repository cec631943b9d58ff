package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hale/devices/measuring"
	"hale/internal/browser"
	"hale/vital"
)

// TestManyDoubtsAreTurnedPageByPage: the number at the top is of all of them, and an answer leads back to the page it was given on.
func TestManyDoubtsAreTurnedPageByPage(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	m := f.expects(t)
	for i := range 60 {
		m.doubts = append(m.doubts, measuring.Question{
			UID: vital.UID(fmt.Sprintf("many-%d", i)), Patient: m.doubts[0].Patient, Sensor: "cuff-17", Metric: vital.BloodPressure, MeasuredAt: f.now.Add(-time.Hour), Reading: int64(i),
			Values: []float64{160, 71}, Doubt: measuring.FarApart, Compared: []float64{131, 71}, Apart: 8 * time.Second, RaisedAt: f.now.Add(-time.Hour),
		})
	}
	mira := visit(t, f.app(t), "mira")
	_, page := mira.get("/doubts")
	wants(t, page, "Measurements in doubt 62", "Older")
	if n := strings.Count(page, "/answer"); n != 50 || strings.Contains(page, "many-48/answer") {
		t.Errorf("%d are on the first page", n)
	}
	_, page = mira.get("/doubts?before=many-47")
	wants(t, page, "Measurements in doubt 62", "Newest")
	if n := strings.Count(page, "/answer"); n != 12 || strings.Contains(page, ">Older<") {
		t.Errorf("%d are on the second page", n)
	}
	form := mira.form(page, "/doubts/many-50/answer")
	form.Set("answer", "closed")
	form.Set("note", "She rests in between now.")
	if answer, _ := mira.post("/doubts/many-50/answer", form); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/doubts?before=many-47" {
		t.Errorf("an answer leads to %q", answer.Header.Get("Location"))
	}
}

// TestADoubtAboutADateTellsNoTime: on the list, and on the patient's page.
func TestADoubtAboutADateTellsNoTime(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	m := f.expects(t)
	zone, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	here := f.now.In(zone)
	m.doubts[0].MeasuredAt = time.Date(here.Year(), here.Month(), here.Day(), 0, 0, 0, 0, zone)
	m.doubts[0].Vague = vital.VagueWithin(24*time.Hour+5*time.Minute, f.now)
	_, page := visit(t, f.app(t), "mira").get("/doubts")
	wants(t, page, "the time of day was not sent")
	if text := words(page); strings.Contains(text, "00:00") {
		t.Errorf("it tells the midnight: %s", text)
	}
}

func TestTheListOfDoubtsFitsAPhoneAndReadsAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.expects(t)
	address := f.serve(t)
	fitAPhoneAndReadAloud(t, browser.Start(t), address, "mira", map[string]string{"doubts-nurse": "/doubts", "doubts-older": "/doubts?before=doubt-2"})
}
