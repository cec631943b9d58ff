package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

// TestTheLastKnownIsInTheAnswers asks for an alert, the list, the worklist and the timeline of a red that came late and is
// the last that is known, and again when something newer is.
func TestTheLastKnownIsInTheAnswers(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	last := alerts.Mark{At: noon().Add(-7 * time.Hour), ID: 9}
	h.episode.Metric, h.episode.Historic, h.episode.Contact = vital.OxygenSat, true, true
	h.episode.Last, h.episode.ContactAbout, h.episode.LastValues = last, last, []float64{81}
	h.episode.Since = noon().Add(-33 * time.Hour)
	h.episode.Worst, h.episode.WorstValues = alerts.Mark{At: noon().Add(-8 * time.Hour), ID: 8}, []float64{79}
	h.log[0].Historic, h.log[0].Contact = true, true
	want := map[string]any{"measured_at": "2026-05-01T05:00:00Z", "values": []any{81.0}, "age_seconds": 25200.0}
	for _, newer := range []bool{false, true} {
		h.episode.Newer = newer
		one := ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm, "").json(t)
		list := ask(t, s, "nurse", "GET", "/v1/alerts", "").json(t)
		work := ask(t, s, "nurse", "GET", "/v1/worklist", "").json(t)
		for name, a := range map[string]map[string]any{
			"alert": one, "list": item(t, list["alerts"], 0), "worklist": item(t, item(t, work["patients"], 0)["alerts"], 0),
		} {
			known := a["last_known"]
			if a["contact"] != !newer || newer && known != nil || !newer && !cmp.Equal(want, known) {
				t.Errorf("%s, newer %v: contact %v, last known %v", name, newer, a["contact"], known)
			}
			if a["since"] != "2026-04-30T03:00:00Z" || !cmp.Equal(map[string]any{"measured_at": "2026-05-01T04:00:00Z", "values": []any{79.0}}, a["worst"]) {
				t.Errorf("%s: since %v, worst %v", name, a["since"], a["worst"])
			}
		}
	}
	a := ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm+"/timeline", "")
	if entry := item(t, a.json(t)["entries"], 0); a.status != http.StatusOK || entry["contact"] != true || entry["historic"] != true {
		t.Errorf("the timeline tells %v", entry)
	}
}

// TestAnUncertainTimeIsNotToldAsIfItWereKnown: beside each time of a measurement stands within how much of it that was, and an age is the
// least that it can be.
func TestAnUncertainTimeIsNotToldAsIfItWereKnown(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	last := alerts.Mark{At: noon().Add(-12 * time.Hour), ID: 9}
	e := &h.episode.Episode
	e.Metric, e.Historic, e.Contact, e.Last, e.Worst, e.ContactAbout, e.LastValues, e.WorstValues = vital.OxygenSat, true, true, last, last, last, []float64{81}, []float64{81}
	day := vital.VagueWithin(24*time.Hour+5*time.Minute, noon().Add(-7*time.Hour))
	e.FirstVague, e.SinceVague, e.LastVague, e.WorstVague = day, vital.VagueWithin(time.Hour, noon()), day, day
	e.Retracted = []alerts.Retraction{{Reading: last, How: alerts.InError, At: noon()}}
	h.log[0].Reading, h.log[0].Vague = last, day
	one := ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm, "").json(t)
	if one["last_uncertainty_seconds"] != 86700.0 || one["first_uncertainty_seconds"] != 86700.0 || one["since_uncertainty_seconds"] != 3600.0 {
		t.Errorf("the alert says %v", one)
	}
	for _, what := range []any{one["worst"], item(t, one["retracted"], 0)} {
		if said, ok := what.(map[string]any); !ok || said["uncertainty_seconds"] != 86700.0 {
			t.Errorf("it says %v", what)
		}
	}
	entry := item(t, ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm+"/timeline", "").json(t)["entries"], 0)
	if reading, ok := entry["reading"].(map[string]any); !ok || reading["uncertainty_seconds"] != 86700.0 {
		t.Errorf("the timeline says %v", entry)
	}
	e.Retracted = nil
	one = ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm, "").json(t)
	want := map[string]any{"measured_at": "2026-05-01T00:00:00Z", "uncertainty_seconds": 86700.0, "values": []any{81.0}, "age_seconds": 25200.0}
	if diff := cmp.Diff(want, one["last_known"]); diff != "" {
		t.Errorf("the last that is known (-want +got):\n%s", diff)
	}
}
