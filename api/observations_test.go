package api_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"hale/api"
	"hale/devices"
	"hale/devices/credential"
	"hale/ingest"
	"hale/vital"
)

// disk is a publisher on which everything is at once, unless it is full.
type disk struct {
	mu      sync.Mutex
	full    bool
	records []vital.Record
}

func (d *disk) Publish(_ context.Context, _ int, _ vital.Lane, records []vital.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errors.New("no space")
	}
	d.records = append(d.records, records...)
	return nil
}

// phoneServer is a server before a real core, with one phone enrolled whose secret is "open".
func phoneServer(t *testing.T, d *disk, change ...func(*api.Config)) *api.Server {
	t.Helper()
	phone := &devices.Device{ID: 4, Org: 1, UID: "phone-1", Own: 40, SecretHash: devices.HashSecret([]byte("open"))}
	snapshot := &devices.Snapshot{Devices: map[string]*devices.Device{"phone-1": phone}}
	core := ingest.New(ingest.Config{Snapshot: func() *devices.Snapshot { return snapshot }, Publisher: d, Now: noon})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s, _ := server(t, append(change, func(c *api.Config) {
		c.Phones, c.Taker = credential.NewPhones(func() (*devices.Snapshot, bool) { return snapshot, true }, noon), core
	})...)
	return s
}

func basic(uid, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(uid+":"+secret))
}

const (
	heartRate = `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},` +
		`"effectiveDateTime":"2026-05-01T11:55:00Z","valueQuantity":{"value":61.0,"system":"http://unitsofmeasure.org","code":"/min"}}`
	weight = `[{"header":{"id":"a","creation_date_time":"2026-05-01T11:50:00Z","schema_id":{"namespace":"omh","name":"body-weight","version":"2.0"}},` +
		`"body":{"body_weight":{"value":81.4,"unit":"kg"},"effective_time_frame":{"date_time":"2026-05-01T11:50:00Z"}}}]`
)

func TestAPhoneIsAnsweredWhenWhatItSentIsOnDisk(t *testing.T) {
	t.Parallel()
	d := &disk{}
	s := phoneServer(t, d)
	bundle := `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + heartRate + `},{"resource":` + strings.Replace(heartRate, `"/min"`, `"%"`, 1) + `}]}`
	cases := map[string]struct {
		path, kind, body string
		accepted         float64
		refused          int
	}{
		"an Observation":       {"/v1/observations", "application/fhir+json; charset=utf-8", heartRate, 1, 0},
		"a Bundle":             {"/v1/observations", "application/fhir+json", bundle, 1, 1},
		"data points":          {"/v1/observations", "application/vnd.openmhealth+json", weight, 1, 0},
		"our own":              {"/v1/observations", "application/json", `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-05-01T11:55:00Z"}`, 1, 0},
		"the form in the path": {"/v1/observations?format=fhir", "text/plain", heartRate, 1, 0},
		"no JSON":              {"/v1/observations", "application/json", `{"metric"`, 0, 1},
		"an oximeter's bytes":  {"/v1/observations?format=gatt:2A5E&time=2026-05-01T13:54:00%2B02:00", "application/octet-stream", "\x00\x61\x00\x3c\x00", 2, 0},
		"too many bytes":       {"/v1/observations?format=gatt:2A37", "application/octet-stream", "\x00\x3c\x00", 0, 1},
		"an answer of getmeas": {"/v1/observations?format=withings", "application/json", `{"status":0,"body":{"measuregrps":[` + withings("1777636000") + "," + withings(`"soon"`) + `]}}`, 1, 1},
		"a gateway's report":   {"/v1/observations?format=gateway", "application/json", `[` + report(`{"temp":36.8}`) + "," + report(`{"weight":76.3}`) + `]`, 1, 1},
	}
	for name, c := range cases {
		a := ask(t, s, "", http.MethodPost, c.path, c.body, "Authorization", basic("phone-1", "open"), "Content-Type", c.kind)
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
			continue
		}
		told := a.json(t)
		if list, _ := told["refused"].([]any); told["accepted"] != c.accepted || len(list) != c.refused {
			t.Errorf("%s: told %s", name, a.body)
		}
		if name == "a Bundle" && !strings.Contains(a.body, `"field":"entry[1].resource.valueQuantity.code"`) {
			t.Errorf("%s: told %s", name, a.body)
		}
		field := map[string]string{"an answer of getmeas": `"field":"body.measuregrps[1].date"`, "a gateway's report": `"index":1,"reason":"unit","field":"[1].data.value.unit"`, "too many bytes": "byte 2"}[name]
		if !strings.Contains(a.body, field) {
			t.Errorf("%s: told %s", name, a.body)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	readings, originals := 0, 0
	for _, r := range d.records {
		switch {
		case r.Reading != nil && r.Reading.Device == 4 && r.Reading.Sensor == 40:
			readings++
			if r.Reading.Metric == vital.OxygenSat && r.Reading.More == nil && (r.Reading.SentAt.Format("15:04") != "11:54" || r.Reading.Findings&vital.TimeAssumed != 0) {
				t.Errorf("what the phone had timed became %+v", r.Reading)
			}
		case r.Original != nil:
			originals++
		}
	}
	if readings != 9 || originals != 7 {
		t.Errorf("%d readings and %d messages as they were sent are on disk", readings, originals)
	}
}

func withings(date string) string {
	return `{"attrib":0,"category":1,"date":` + date + `,"measures":[{"value":70,"type":1,"unit":0}]}`
}

func report(value string) string {
	return `{"type":"reportAttribute","time":1777636000,"data":{"value":` + value + `}}`
}

func TestAPhoneSendsEveryCharacteristicThatHaleReads(t *testing.T) {
	t.Parallel()
	s := phoneServer(t, &disk{})
	characteristics := []string{"2A18", "2A19", "2A1C", "2A34", "2A35", "2A37", "2A5E", "2A5F", "2A9D"} // of docs/formats.md
	want := `"enum":["fhir","omh","json","withings","gateway","gatt:` + strings.Join(characteristics, `","gatt:`) + `"]`
	if said := ask(t, s, "", http.MethodGet, "/openapi.json", "").body; !strings.Contains(said, want) {
		t.Errorf("the OpenAPI document does not have %s", want)
	}
	for _, c := range characteristics {
		a := ask(t, s, "", http.MethodPost, "/v1/observations?format=gatt:"+c, "\x00", "Authorization", basic("phone-1", "open"))
		if a.status != http.StatusOK || strings.Contains(a.body, `"reason":"topic"`) {
			t.Errorf("%s: %d %s", c, a.status, a.body)
		}
	}
	for path, want := range map[string]int{
		"?format=gatt:2A19": http.StatusOK, "?format=gatt": http.StatusUnprocessableEntity, "?format=gatt:2A2B": http.StatusUnprocessableEntity,
		"?format=gatt:2A19&time=2026-05-01T11:54:00": http.StatusUnprocessableEntity, "": http.StatusUnsupportedMediaType,
	} {
		a := ask(t, s, "", http.MethodPost, "/v1/observations"+path, "\x42", "Authorization", basic("phone-1", "open"), "Content-Type", "application/octet-stream")
		if a.status != want {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, want)
		}
	}
}

func TestAPhoneThatIsNotLetInIsToldWhy(t *testing.T) {
	t.Parallel()
	d := &disk{}
	s := phoneServer(t, d)
	const kind, fhir, auth = "Content-Type", "application/fhir+json", "Authorization"
	cases := map[string]struct {
		headers []string
		body    string
		want    int
	}{
		"a wrong secret":    {[]string{kind, fhir, auth, basic("phone-1", "shut")}, heartRate, http.StatusUnauthorized},
		"another's name":    {[]string{kind, fhir, auth, basic("phone-2", "open")}, heartRate, http.StatusUnauthorized},
		"no secret":         {[]string{kind, fhir}, heartRate, http.StatusUnauthorized},
		"no base64":         {[]string{kind, fhir, auth, "Basic ?"}, heartRate, http.StatusUnauthorized},
		"a person's token":  {[]string{kind, fhir, auth, "Bearer nurse"}, heartRate, http.StatusUnauthorized},
		"an unknown format": {[]string{kind, "text/csv", auth, basic("phone-1", "open")}, heartRate, http.StatusUnsupportedMediaType},
		"far too much":      {[]string{kind, fhir, auth, basic("phone-1", "open")}, strings.Repeat(" ", 257<<10), http.StatusRequestEntityTooLarge},
	}
	for name, c := range cases {
		if a := ask(t, s, "", http.MethodPost, "/v1/observations", c.body, c.headers...); a.status != c.want {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, c.want)
		} else if challenge := a.header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (c.want == http.StatusUnauthorized) {
			t.Errorf("%s: challenged by %q", name, challenge)
		}
	}
	if len(d.records) != 0 {
		t.Errorf("%d records are on disk", len(d.records))
	}
}

func TestAPhoneIsToldToSendAgainWhatIsNotOnDisk(t *testing.T) {
	t.Parallel()
	s := phoneServer(t, &disk{full: true})
	a := ask(t, s, "", http.MethodPost, "/v1/observations", heartRate, "Authorization", basic("phone-1", "open"), "Content-Type", "application/fhir+json")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" || !strings.Contains(a.body, "send it again") {
		t.Errorf("%d, Retry-After %q, %s", a.status, a.header.Get("Retry-After"), a.body)
	}
}
