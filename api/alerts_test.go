package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
)

func TestAcknowledgeAndResolve(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	path := "/v1/alerts/" + alarm
	a := ask(t, s, "nurse", "GET", path, "")
	if a.status != http.StatusOK || a.header.Get("ETag") != `"2"` || a.json(t)["acknowledged"] != false {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a = ask(t, s, "nurse", "POST", path+"/acknowledge", `{"minutes":30,"note":"calling her"}`, "If-Match", a.header.Get("ETag"))
	got := a.json(t)
	if a.status != http.StatusOK || a.header.Get("ETag") != `"3"` || got["acknowledged"] != true || got["acknowledged_until"] != "2026-05-01T12:30:00Z" || got["acknowledged_by"] != "Nina" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a = ask(t, s, "nurse", "POST", path+"/resolve", `{"next_step":"none"}`, "If-Match", `"3"`)
	if a.status != http.StatusOK || a.json(t)["state"] != "closed" || a.json(t)["next_step"] != "none" {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

func TestHowLongAnAcknowledgementLasts(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`: "2026-05-01T13:00:00Z", `{"minutes":5}`: "2026-05-01T12:05:00Z",
		`{"until":"2026-05-01T17:00:00+02:00","minutes":5}`: "2026-05-01T15:00:00Z",
	} {
		s, _ := server(t)
		if a := ask(t, s, "nurse", "POST", "/v1/alerts/"+alarm+"/acknowledge", body, "If-Match", `"2"`); a.status != http.StatusOK || a.json(t)["acknowledged_until"] != want {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

func TestWhoHasNotSeenTheAlertDoesNotChangeIt(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	path := "/v1/alerts/" + alarm
	for _, act := range []struct{ path, body string }{{path + "/acknowledge", `{}`}, {path + "/resolve", `{"next_step":"none"}`}} {
		wantProblem(t, ask(t, s, "nurse", "POST", act.path, act.body), http.StatusPreconditionRequired, "If-Match")
		wantProblem(t, ask(t, s, "nurse", "POST", act.path, act.body, "If-Match", "*"), http.StatusPreconditionRequired, "version you have seen")
		wantProblem(t, ask(t, s, "nurse", "POST", act.path, act.body, "If-Match", `"1"`), http.StatusPreconditionFailed, "it became red")
		for _, bad := range []string{"2", `"2`, `W/"2"`, `"2", "3"`, `"two"`, `"-2"`, `"02"`, `""`} {
			wantProblem(t, ask(t, s, "nurse", "POST", act.path, act.body, "If-Match", bad), http.StatusBadRequest, "in quotes")
		}
		wantProblem(t, ask(t, s, "pharmacist", "POST", act.path, act.body, "If-Match", `"2"`), http.StatusForbidden, "handle alert")
	}
	if h.episode.Version != 2 || len(h.log) != 1 {
		t.Errorf("the alert changed: %+v", h.episode)
	}
}

func TestAClosedAlertSaysWhoWasFaster(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	h.episode.State, h.episode.Version = alerts.Closed, 5
	h.log = append(h.log, alerts.Entry{Kind: alerts.EntryResolved, Actor: account.Actor{Name: "Zala"}, RecordedAt: noon().Add(-time.Minute)})
	path := "/v1/alerts/" + alarm + "/acknowledge"
	wantProblem(t, ask(t, s, "nurse", "POST", path, `{}`, "If-Match", `"2"`), http.StatusPreconditionFailed, "Zala resolved it at 11:59")
	wantProblem(t, ask(t, s, "nurse", "POST", path, `{}`, "If-Match", `"5"`), http.StatusConflict, "Zala resolved it at 11:59")
}

func TestANextStepIsNeeded(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	path := "/v1/alerts/" + alarm + "/resolve"
	for body, words := range map[string]string{
		`{}`:                      "validation failed",
		`{"next_step":"later"}`:   "validation failed",
		`{"next_step":"recheck"}`: "say when to recheck",
		`{"next_step":"call","next_step_at":"2026-04-30T12:00:00Z"}`: "say when to call",
		`{"next_step":"none","next_step_at":"2026-05-02T12:00:00Z"}`: "has no time",
	} {
		wantProblem(t, ask(t, s, "nurse", "POST", path, body, "If-Match", `"2"`), http.StatusUnprocessableEntity, words)
	}
}

func TestAlertsAreFiltered(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	a := ask(t, s, "nurse", "GET", "/v1/alerts?state=open&state=acknowledged&patient="+ana+"&limit=5", "")
	if a.status != http.StatusOK || !strings.Contains(a.body, `"level":"red"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, bad := range []string{"state=shut", "limit=501", "limit=0", "patient=1", "before=x"} {
		if a := ask(t, s, "nurse", "GET", "/v1/alerts?"+bad, ""); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/alerts/"+ana, ""), http.StatusNotFound, "no such alert")
}
