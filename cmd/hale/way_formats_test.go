package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hale/simulators"
)

// wayOfFormats sends what other people's devices and phones send through the real doors, until a person sees it.
func wayOfFormats(t *testing.T, told announcement, staff *simulators.Staff) {
	t.Helper()
	k := newKit(t, staff, "cuff-3", time.Now().Add(-24*time.Hour))
	observation := func(value int, at time.Time) string {
		return fmt.Sprintf(`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},"note":[{"text":"after breakfast"}],`+
			`"effectiveDateTime":%q,"valueQuantity":{"value":%d.50,"system":"http://unitsofmeasure.org","code":"kg"}}`, at.UTC().Format(time.RFC3339), value)
	}
	bundle := func(at time.Time) string {
		return `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + observation(81, at) + `},{"resource":` + observation(900, at) + `}]}`
	}
	own := "hale/v1/" + k.device
	eventually(t, 10*time.Second, func() string { // the edge hears of a new device within a second
		if err := mosquitto(t, told.MQTT, k, own+"/gatt/2A35", []byte{0, 0x80, 0, 0x4f, 0, 0x5f, 0}); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := mosquitto(t, told.MQTT, k, own+"/fhir", []byte(bundle(time.Now().Add(-2*time.Hour)))); err != nil {
		t.Fatal(err)
	}
	post := func(secret string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, told.URL+"/v1/observations", bytes.NewReader([]byte(bundle(time.Now().Add(-time.Hour)))))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(k.device, secret)
		req.Header.Set("Content-Type", "application/fhir+json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if status, body := post(k.secret); status != http.StatusOK || !strings.Contains(body, `"accepted":1`) || !strings.Contains(body, `"index":1`) {
		t.Errorf("a phone was told %d %s", status, body)
	}
	if status, body := post("guess"); status != http.StatusUnauthorized {
		t.Errorf("a phone with a wrong secret was told %d %s", status, body)
	}
	eventually(t, 5*time.Second, func() string {
		in, err := staff.Intake(t.Context(), k.device)
		if err != nil || in.Stored != 3 || in.Quarantined["implausible"] != 2 {
			return fmt.Sprintf("%+v, %v", in, err)
		}
		return ""
	})
	for metric, want := range map[string]string{"blood_pressure": `"facts":[{"name":"mean_pressure","value":"95 mm[Hg]"}]`, "body_weight": `"facts":[{"name":"note","value":"after breakfast"}]`} {
		if shown := series(t, told, k.patient.ID, metric); !strings.Contains(shown, want) {
			t.Errorf("the series of %s shows no %s:\n%s", metric, want, shown)
		}
	}
}

// series returns what the API shows of a metric.
func series(t *testing.T, told announcement, patient, metric string) string {
	t.Helper()
	var token struct {
		Token string `json:"token"`
	}
	call(t, http.MethodPost, told.URL+"/v1/session", "", "", fmt.Sprintf(`{"login":%q,"password":%q}`, told.Login, told.Password), http.StatusOK, &token)
	var shown json.RawMessage
	call(t, http.MethodGet, told.URL+"/v1/patients/"+patient+"/series?metric="+url.QueryEscape(metric), token.Token, "", "", http.StatusOK, &shown)
	return string(shown)
}
