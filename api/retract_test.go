package api_test

import (
	"net/http"
	"strings"
	"testing"

	"hale/account"
	"hale/alerts"
)

// TestAnAlertNamesWhatWasTakenBack: a program must not show a number as if it stood.
func TestAnAlertNamesWhatWasTakenBack(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	mark := h.log[0].Reading
	c := alerts.Withdrawn(&h.episode.Episode, account.Actor{Staff: 4, Name: "Zala"}, alerts.Retraction{
		Reading: mark, Values: []float64{210}, How: alerts.Amended, Instead: &alerts.Instead{Reading: alerts.Mark{At: noon(), ID: 9}, Values: []float64{120}},
	}, "she wrote it down wrong", noon())
	h.episode.Episode, h.log = *c.Episode, append(h.log, c.Entries...)
	h.episode.Last = mark

	a := ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm, "")
	for _, want := range []string{`"retracted":[{"reading":"`, `"values":[210]`, `"how":"amended"`, `"by":"Zala"`, `"at":"2026-05-01T12:00:00Z"`, `"instead":{"measured_at":"2026-05-01T12:00:00Z","values":[120]}`, `"last":true`} {
		if a.status != http.StatusOK || !strings.Contains(a.body, want) {
			t.Errorf("%d, without %s: %s", a.status, want, a.body)
		}
	}
	list := ask(t, s, "nurse", "GET", "/v1/worklist", "")
	if !strings.Contains(list.body, `"retracted":[{`) {
		t.Errorf("the worklist: %s", list.body)
	}
	told := ask(t, s, "nurse", "GET", "/v1/alerts/"+alarm+"/timeline", "")
	if strings.Count(told.body, `"retracted":true`) != 2 || !strings.Contains(told.body, `"retracts":[{`) {
		t.Errorf("the timeline: %s", told.body)
	}
}
