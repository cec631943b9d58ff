package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/api"
	"hale/fault"
)

func TestEveryOperationNeedsASession(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	for _, o := range operations(t, s) {
		if o.public {
			continue
		}
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			t.Parallel()
			path := strings.NewReplacer("{id}", ana, "{session}", alarm, "{uid}", "hub-1", "{metric}", "blood_pressure", "{form}", "average").Replace(o.path)
			if strings.HasSuffix(path, "/series") {
				path += "?metric=heart_rate"
			}
			a := ask(t, s, "", o.method, path, bodyFor(o.id), "If-Match", `"2"`)
			wantProblem(t, a, http.StatusUnauthorized, "sign in")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			if a = ask(t, s, "away", o.method, path, bodyFor(o.id), "If-Match", `"2"`); a.status != http.StatusServiceUnavailable {
				t.Errorf("with the record away: %d %s", a.status, a.body)
			}
		})
	}
}

// bodyFor is a good request of an operation.
func bodyFor(operation string) string {
	return map[string]string{
		"sign-in":           `{"login":"nurse","password":"right"}`,
		"add-patient":       `{"name":"Cene","zone":"Europe/Ljubljana"}`,
		"set-limits":        `{"reason":"agreed","components":[{"red_high":160}]}`,
		"set-trend":         `{"reason":"agreed","average":{"days":7,"skip_days":1,"least_readings":12,"least_days":4,"components":[{"yellow_high":140}]}}`,
		"enrol-device":      `{"uid":"bp-1","model":"Cuff"}`,
		"assign-device":     `{"patient":"` + ana + `","from":"2026-05-01T12:00:00Z"}`,
		"acknowledge-alert": `{}`,
		"resolve-alert":     `{"next_step":"none"}`,
		"invite-patient":    `{}`,
		"make-key":          `{"name":"interface","scopes":["see patients"]}`,
		"change-password":   `{"current":"right","new":"tulip rabbit kettle"}`,
	}[operation]
}

func TestEveryKindOfFaultHasItsStatus(t *testing.T) {
	t.Parallel()
	cases := map[fault.Kind]int{
		fault.Invalid: 422, fault.NotFound: 404, fault.Conflict: 409, fault.Forbidden: 403, fault.Unauthenticated: 401,
		fault.Gone: 410, fault.Unavailable: 503, fault.Internal: 500,
	}
	for kind, status := range cases {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, h := server(t)
			h.broken = fmt.Errorf("list patients: %w", fault.Wrap(kind, errors.New("password=swordfish"), "words for the caller"))
			words := "words for the caller"
			if kind == fault.Internal {
				words = "it has been logged"
			}
			a := ask(t, s, "nurse", "GET", "/v1/patients", "")
			wantProblem(t, a, status, words)
			if strings.Contains(a.body, "swordfish") {
				t.Error("the cause left the house")
			}
		})
	}
}

func TestWhatNoOperationAnswersIsAProblemToo(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/nothing", ""), http.StatusNotFound, "")
	wantProblem(t, ask(t, s, "nurse", "PATCH", "/v1/patients", ""), http.StatusMethodNotAllowed, "")
	wantProblem(t, ask(t, s, "administrator", "POST", "/v1/patients", `{"name":`), http.StatusBadRequest, "")
	wantProblem(t, ask(t, s, "administrator", "POST", "/v1/patients", `{"name":"A","zone":"UTC","colour":"red"}`), http.StatusUnprocessableEntity, "validation failed")
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/patients/1", ""), http.StatusUnprocessableEntity, "validation failed")
}

func TestAPanicIsOneRequestsFailure(t *testing.T) {
	t.Parallel()
	s, _ := server(t, func(c *api.Config) {
		c.Organisation = nil
		c.Ready = nil
		c.Limits = nil // nobody home: the handler panics
	})
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/limits", ""), http.StatusInternalServerError, "it has been logged")
	if a := ask(t, s, "nurse", "GET", "/v1/patients", ""); a.status != http.StatusOK {
		t.Errorf("the next request: %d", a.status)
	}
}

func TestPatients(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	want := map[string]any{
		"id": ana, "name": "Ana Novak", "number": "P-1", "birth_year": 1941.0, "sex": "female", "zone": "Europe/Ljubljana",
		"alerts": map[string]any{"open": 1.0, "worst": "red"},
	}
	got := ask(t, s, "nurse", "GET", "/v1/patients", "").json(t)
	if diff := cmp.Diff(map[string]any{"patients": []any{want}}, got); diff != "" {
		t.Error(diff)
	}
	want["latest"] = []any{map[string]any{
		"metric": "blood_pressure", "display": "Blood pressure", "measured_at": "2026-05-01T12:00:00Z", "received_at": "0001-01-01T00:00:00Z",
		"values": []any{
			map[string]any{"code": "systolic", "unit": "mm[Hg]", "value": 172.0}, map[string]any{"code": "diastolic", "unit": "mm[Hg]", "value": 96.0},
		},
	}}
	if diff := cmp.Diff(want, ask(t, s, "nurse", "GET", "/v1/patients/"+ana, "").json(t)); diff != "" {
		t.Error(diff)
	}
	if len(h.audit) != 1 || h.audit[0].Action != "look" || h.audit[0].Patient != 1 {
		t.Errorf("audit %+v", h.audit)
	}
	delete(want, "latest")
	delete(want, "alerts")
	if diff := cmp.Diff(want, ask(t, s, "device_desk", "GET", "/v1/patients/"+ana, "").json(t)); diff != "" {
		t.Errorf("the device desk sees more or less than it needs: %s", diff)
	}
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/patients/"+bor, ""), http.StatusNotFound, "there is no patient")
}

func TestAddingPatients(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	const team = "0192a000-0000-7000-8000-00000000000a"
	ask(t, s, "device_desk", "POST", "/v1/patients", `{"name":"Cene","zone":"Europe/London","teams":["`+team+`"]}`)
	if last := h.people[len(h.people)-1]; len(last.Teams) != 1 || last.Teams[0] != team {
		t.Errorf("the care teams that were named: %v", last.Teams)
	}
	a := ask(t, s, "device_desk", "POST", "/v1/patients", `{"name":"Cene","zone":"Europe/London"}`)
	if a.status != http.StatusCreated || a.header.Get("Location") != "/v1/patients/"+alarm || a.json(t)["sex"] != "unknown" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	wantProblem(t, ask(t, s, "device_desk", "POST", "/v1/patients", `{"name":"Cene","zone":"Europe/London","number":"P-1"}`), http.StatusConflict, "cannot be given again")
	wantProblem(t, ask(t, s, "device_desk", "POST", "/v1/patients", `{"name":"Cene","zone":"Moon/Base"}`), http.StatusUnprocessableEntity, "zone")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	rule := item(t, ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/limits", "").json(t)["rules"], 0)
	if rule["version"] != 2.0 || rule["metric"] != "blood_pressure" {
		t.Errorf("rule %v", rule)
	}
	path, good := "/v1/patients/"+ana+"/limits/blood_pressure", bodyFor("set-limits")
	a := ask(t, s, "nurse", "PUT", path, good, "If-Match", `"2"`)
	if a.status != http.StatusOK || a.header.Get("ETag") != `"3"` {
		t.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
	version := item(t, a.json(t)["versions"], 2)
	delete(version, "created_at")
	want := map[string]any{
		"number": 3.0, "effective_from": "2026-05-01T12:00:00Z", "enabled": true, "components": []any{map[string]any{"red_high": 160.0}},
		"k": 1.0, "n": 1.0, "clear_after": 1.0, "author": "Nina", "reason": "agreed",
	}
	if diff := cmp.Diff(want, version); diff != "" {
		t.Error(diff)
	}
	wantProblem(t, ask(t, s, "nurse", "PUT", path, good, "If-Match", `"1"`), http.StatusPreconditionFailed, "Zala set version 2")
	wantProblem(t, ask(t, s, "nurse", "PUT", path, good, "If-Match", `*`), http.StatusPreconditionFailed, "Zala set version 2")
	wantProblem(t, ask(t, s, "nurse", "PUT", path, good), http.StatusPreconditionRequired, "If-Match")
	wantProblem(t, ask(t, s, "nurse", "PUT", path, `{"reason":"x","components":[{"red_high":100,"red_low":150}]}`, "If-Match", `"2"`), http.StatusUnprocessableEntity, "red_")
	wantProblem(t, ask(t, s, "pharmacist", "PUT", path, good, "If-Match", `"2"`), http.StatusForbidden, "set limits")
	wantProblem(t, ask(t, s, "nurse", "PUT", strings.Replace(path, "blood_pressure", "mood", 1), good, "If-Match", `"2"`), http.StatusNotFound, "mood")
	internal := ask(t, s, "nurse", "PUT", strings.Replace(path, "blood_pressure", "heart_rate", 1), good, "If-Match", `*`)
	if wantProblem(t, internal, http.StatusInternalServerError, "logged"); strings.Contains(internal.body, "10.0.0.7") {
		t.Error("an inner detail left the house")
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	want := map[string]any{"devices": []any{map[string]any{"uid": "hub-1", "model": "Hub", "revoked": false, "sensors": []any{"a", "b"}}}}
	if diff := cmp.Diff(want, ask(t, s, "device_desk", "GET", "/v1/devices", "").json(t)); diff != "" {
		t.Error(diff)
	}
	a := ask(t, s, "device_desk", "POST", "/v1/devices", bodyFor("enrol-device"))
	if a.status != http.StatusCreated || a.json(t)["secret"] != "secret" || a.json(t)["uid"] != "bp-1" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := ask(t, s, "device_desk", "POST", "/v1/devices", `{"model":"Cuff"}`); a.json(t)["uid"] != "made-up" || a.header.Get("Location") != "/v1/devices/made-up" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := ask(t, s, "device_desk", "POST", "/v1/devices", `{"uid":"a/b","model":"x"}`); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a name with a slash: %d", a.status)
	}
	a = ask(t, s, "device_desk", "POST", "/v1/devices/hub-1/assignments", `{"patient":"`+ana+`","from":"2026-05-01T14:00:00+02:00","sensor":"a"}`)
	if a.status != http.StatusCreated || a.json(t)["sensor"] != "a" || a.json(t)["from"] != "2026-05-01T12:00:00Z" {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = ask(t, s, "device_desk", "POST", "/v1/devices/hub-1/assignments", `{"patient":"`+ana+`"}`)
	if a.status != http.StatusCreated || a.json(t)["sensor"] != "hub-1" {
		t.Errorf("without a start: %d %s", a.status, a.body)
	}
	became := map[string]any{"stored": 3.0, "parked": 1.0, "quarantined": map[string]any{"unit": 2.0}, "total": 6.0}
	if diff := cmp.Diff(became, ask(t, s, "device_desk", "GET", "/v1/devices/hub-1/intake", "").json(t)); diff != "" {
		t.Error(diff)
	}
	if a := ask(t, s, "device_desk", "DELETE", "/v1/devices/hub-1", ""); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	wantProblem(t, ask(t, s, "device_desk", "DELETE", "/v1/devices/hub-2", ""), http.StatusNotFound, "hub-2")
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/devices", ""), http.StatusForbidden, "see devices")
}

func TestSeriesChoosesItsWidth(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	cases := map[string]struct {
		query    string
		readings int // in one bucket
		widths   []time.Duration
		seconds  float64
	}{
		"few readings come as they are":          {"from=2026-04-01T00:00:00Z&to=2026-05-01T00:00:00Z&points=600", 600, []time.Duration{3 * time.Hour, 0}, 0},
		"many readings of a month by hours":      {"from=2026-04-01T00:00:00Z&to=2026-05-01T00:00:00Z&points=600", 601, []time.Duration{3 * time.Hour}, 10800},
		"many readings of an hour by minutes":    {"from=2026-04-01T00:00:00Z&to=2026-04-01T01:00:00Z&points=600", 9999, []time.Duration{time.Minute}, 60},
		"many readings of a year by days":        {"from=2025-05-01T00:00:00Z&to=2026-05-01T00:00:00Z&points=400", 9999, []time.Duration{day}, 86400},
		"the last month when nothing is said":    {"", 9999, []time.Duration{3 * time.Hour}, 10800},
		"twenty years still come within reason":  {"from=2006-05-02T00:00:00Z&to=2026-05-01T00:00:00Z&points=100", 9999, []time.Duration{91 * day}, 91 * 86400},
		"as few points as one may ask for, wide": {"from=2006-05-02T00:00:00Z&to=2026-05-01T00:00:00Z&points=10", 9999, []time.Duration{364 * day}, 364 * 86400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, h := server(t)
			h.buckets = []alerts.Bucket{{Start: noon(), N: c.readings, Min: []float64{1}, Max: []float64{3}, Avg: []float64{2}}}
			a := ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/series?metric=blood_pressure&"+c.query, "")
			if a.status != http.StatusOK || a.json(t)["bucket_seconds"] != c.seconds {
				t.Fatalf("%d %s", a.status, a.body)
			}
			var asked []time.Duration
			for _, q := range h.series {
				asked = append(asked, q.Width)
			}
			if diff := cmp.Diff(c.widths, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeriesDrawsTheLimitsOfItsTime(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	got := ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/series?metric=blood_pressure&from=2026-04-01T00:00:00Z&to=2026-05-01T00:00:00Z", "").json(t)
	want := []any{
		map[string]any{"from": "2026-04-01T00:00:00Z", "version": 1.0, "enabled": true, "components": []any{map[string]any{"red_low": 90.0}}},
		map[string]any{"from": "2026-04-28T12:00:00Z", "version": 2.0, "enabled": false, "components": []any{}},
	}
	if diff := cmp.Diff(want, got["limits"]); diff != "" {
		t.Error(diff)
	}
	if len(h.audit) != 1 || h.audit[0].Detail != "blood_pressure" {
		t.Errorf("audit %+v", h.audit)
	}
	early := ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/series?metric=blood_pressure&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "").json(t)
	if diff := cmp.Diff([]any{}, early["limits"]); diff != "" {
		t.Errorf("before any limits: %s", diff)
	}
}

func TestSeriesRefuses(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	path := "/v1/patients/" + ana + "/series?metric="
	wantProblem(t, ask(t, s, "nurse", "GET", path+"mood", ""), http.StatusUnprocessableEntity, "mood")
	wantProblem(t, ask(t, s, "nurse", "GET", path+"heart_rate&from=2026-05-01T00:00:00Z&to=2026-05-01T00:00:00Z", ""), http.StatusUnprocessableEntity, "from must lie before to")
	wantProblem(t, ask(t, s, "nurse", "GET", path+"heart_rate&from=1990-05-01T00:00:00Z", ""), http.StatusUnprocessableEntity, "20 years")
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/patients/"+bor+"/series?metric=heart_rate", ""), http.StatusNotFound, "there is no patient")
	wantProblem(t, ask(t, s, "device_desk", "GET", path+"heart_rate", ""), http.StatusForbidden, "see readings")
	if len(h.series) != 0 {
		t.Error("readings were read for a request that was refused")
	}
}

func TestAReadingsIDSurvivesLanguagesWithoutLargeNumbers(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	var got struct {
		Entries []struct {
			ID      int64
			Kind    string
			Level   string
			By      *string
			Reading struct {
				ID string
			}
		}
	}
	a := ask(t, s, "pharmacist", "GET", "/v1/alerts/"+alarm+"/timeline", "")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Entries) != 1 || got.Entries[0].Reading.ID != "4611686018427387904" || got.Entries[0].Level != "red" || got.Entries[0].By != nil {
		t.Errorf("%s", a.body)
	}
}

func TestWorklist(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	got := item(t, ask(t, s, "nurse", "GET", "/v1/worklist", "").json(t)["patients"], 0)
	if got["level"] != "red" || got["waiting_since"] != "2026-05-01T12:00:00Z" || got["acknowledged"] != false || item(t, got["alerts"], 0)["id"] != alarm {
		t.Errorf("got %v", got)
	}
	if diff := cmp.Diff(map[string]any{"id": ana, "name": "Ana Novak", "number": "P-1"}, got["patient"]); diff != "" {
		t.Error(diff)
	}
	wantProblem(t, ask(t, s, string(account.DeviceDesk), "GET", "/v1/worklist", ""), http.StatusForbidden, "see alerts")
}
