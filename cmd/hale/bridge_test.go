package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hale/ingest"
	others "hale/internal/mosquitto"
)

// mappingFile writes a mapping file for one broker: a vendor's messages and the wire itself.
func mappingFile(t *testing.T, addr, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mapping.yaml")
	text := fmt.Sprintf(`version: 1
brokers:
  - {name: clinic, url: "mqtt://%s", client_id: "hale-{instance}", device: bridge-clinic, subscribe: [vendor/+/bp, hale/v1/#]%s}
mappings:
  - name: vendor
    topic: vendor/{cuff}/bp
    sensor: "{cuff}"
    time: {path: at, format: unix_s}
    findings: {irregular_pulse: ihb}
    readings: [{metric: blood_pressure, systolic: sys, diastolic: dia, unit: "mm[Hg]"}]
  - {name: wire, topic: hale/v1/#, native: true}
`, addr, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAReadingThroughAnotherBrokerAlertsANurse(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	secrets := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(secrets, []byte("hale\nclinic-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broker := others.New(t, others.Config{
		Users: map[string]string{"hale": "clinic-secret", "vendor": "vendor-secret"},
		Lines: []string{"persistence true", "autosave_interval 1", "max_queued_messages 0"},
	})
	p := a.serve(t, "bridge,process", "--mapping", mappingFile(t, broker.Addr, ", credentials_file: "+secrets))
	admin := isReady(t, p)
	if _, err := a.staff.EnrolGateway(t.Context(), "bridge-clinic", "Bridge", []string{"cuff-17"}); err != nil {
		t.Fatal(err)
	}
	k := newKit(t, a.staff, "cuff-18", time.Now().Add(-24*time.Hour)) // speaks the wire, to the clinic's broker
	other := newKit(t, a.staff, "spare-1", time.Now().Add(-24*time.Hour))
	if err := a.staff.AssignSensor(t.Context(), "bridge-clinic", "cuff-17", other.patient.ID, time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if _, checks := readyz(t, admin); !checks["broker clinic"].OK || checks["broker clinic"].Detail != "" || !checks["registry"].OK {
			return fmt.Sprintf("%+v", checks)
		}
		return ""
	})

	publish := func(topic, body string) {
		t.Helper()
		if err := broker.Publish(topic, body, "-u", "vendor", "-P", "vendor-secret"); err != nil {
			t.Fatal(err)
		}
	}
	publish("vendor/cuff-17/bp", fmt.Sprintf(`{"sys":186,"dia":104,"ihb":true,"at":%d,"patient":%q}`, time.Now().Unix(), k.patient.ID))
	publish("hale/v1/cuff-18/readings", string(pressure(187, 105, time.Now())))
	publish("vendor/cuff-17/bp", "garbage")
	for patient, name := range map[string]string{other.patient.ID: "by the mapping", k.patient.ID: "by the wire"} {
		var alert string
		eventually(t, 20*time.Second, func() string {
			list, err := a.staff.Alerts(t.Context(), patient)
			if err != nil || len(list) != 1 || list[0].Level != "red" {
				return fmt.Sprintf("%s: %+v, %v; bridge: %s", name, list, err, p.stderr)
			}
			alert = list[0].ID
			return ""
		})
		token := struct{ Token string }{}
		call(t, http.MethodPost, "http://"+a.http+"/v1/session", "", "", fmt.Sprintf(`{"login":"ana","password":%q}`, a.password), http.StatusOK, &token)
		var log struct {
			Entries []struct {
				Reading struct{ Findings []string }
			}
		}
		call(t, http.MethodGet, "http://"+a.http+"/v1/alerts/"+alert+"/timeline", token.Token, "", "", http.StatusOK, &log)
		if len(log.Entries) == 0 || !slices.Contains(log.Entries[0].Reading.Findings, "trust_broker") {
			t.Errorf("%s: the timeline does not say that the reading came through another broker: %+v", name, log)
		}
		var series struct {
			Points []struct{ Findings []string }
		}
		call(t, http.MethodGet, "http://"+a.http+"/v1/patients/"+patient+"/series?metric=blood_pressure", token.Token, "", "", http.StatusOK, &series)
		want := []string{"trust_broker"}
		if name == "by the mapping" {
			want = []string{"irregular_pulse", "trust_broker"}
		}
		if len(series.Points) != 1 || !slices.Equal(series.Points[0].Findings, want) {
			t.Errorf("%s: the series says %+v", name, series)
		}
	}
	eventually(t, 10*time.Second, func() string {
		in, err := a.staff.Intake(t.Context(), "bridge-clinic")
		if err != nil || in.Stored != 1 || in.Quarantined["unparsable"] != 1 || in.Total != 2 {
			return fmt.Sprintf("intake of the bridge: %+v, %v", in, err)
		}
		return ""
	})
	if _, shown := get(t, admin+"/metrics"); !strings.Contains(shown, `hale_bridge_connected{broker="clinic"} 1`) || !strings.Contains(shown, `hale_bridge_acknowledged_total{broker="clinic"} 3`) {
		t.Errorf("/metrics: %s", shown)
	}
	p.end(t, syscall.SIGTERM)
	if text := p.stderr.String(); strings.Contains(text, "secret") || strings.Contains(text, "level=ERROR") {
		t.Errorf("it did not go well:\n%s", text)
	}
}

func TestUpTakesMessagesFromABrokerThatComesLater(t *testing.T) {
	t.Parallel()
	broker := others.New(t, others.Config{})
	broker.Kill()
	p, told := up(t, dataDir(t), "--demo=false", "--mapping", mappingFile(t, broker.Addr, ""))
	if status, checks := readyz(t, told.URL); status != http.StatusOK || checks["broker clinic"].OK || !checks["broker clinic"].Alarm || checks["broker clinic"].Detail == "" {
		t.Errorf("readyz says of a broker that is away: %d %+v", status, checks)
	}
	health := start(t, "health", "--admin", strings.TrimPrefix(told.URL, "http://"))
	<-health.ended
	if said := health.stdout.String(); health.cmd.ProcessState.ExitCode() != 0 || !strings.Contains(said, "ready; alarm: broker clinic (the broker cannot be reached: ") {
		t.Errorf("hale health ended with %d and said %q", health.cmd.ProcessState.ExitCode(), said)
	}
	if len(told.Brokers) != 1 || told.Brokers[0].Name != "clinic" || told.Brokers[0].URL != "mqtt://"+broker.Addr || !strings.HasPrefix(told.Brokers[0].State, "the broker cannot be reached") {
		t.Errorf("up tells of its brokers %+v", told.Brokers)
	}
	if text := brokerLines(told.Brokers); !strings.HasPrefix(text, "  Broker   mqtt://"+broker.Addr+"   (clinic: the broker cannot be reached") || strings.Count(text, "\n") != 1 {
		t.Errorf("people read %q", text)
	}
	staff := signIn(t, told)
	if _, err := staff.EnrolGateway(t.Context(), "bridge-clinic", "Bridge", nil); err != nil {
		t.Fatal(err)
	}
	k := newKit(t, staff, "cuff-18", time.Now().Add(-24*time.Hour))
	broker.Start()
	eventually(t, 20*time.Second, func() string {
		if _, checks := readyz(t, told.URL); !checks["broker clinic"].OK || checks["broker clinic"].Detail != "" {
			return fmt.Sprintf("%+v", checks)
		}
		return ""
	})
	if err := broker.Publish(k.topic(), string(pressure(130, 80, time.Now()))); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if in, err := staff.Intake(t.Context(), k.device); err != nil || in.Stored != 1 {
			return fmt.Sprintf("%+v, %v", in, err)
		}
		return ""
	})
	p.end(t, syscall.SIGINT)
}

func TestMapTryNeedsNoServer(t *testing.T) {
	t.Parallel()
	const file, samples = "../../docs/examples/mapping.yaml", "../../docs/examples/samples/"
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nbrokers: 7\nmapings: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	large, flood := filepath.Join(t.TempDir(), "large.json"), filepath.Join(t.TempDir(), "flood.json")
	wire := `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-05-21T07:00:15Z"}`
	for path, size := range map[string]int{large: ingest.LargestForeign + 1, flood: largestSample + 1} {
		if err := os.WriteFile(path, []byte(wire+strings.Repeat(" ", size-len(wire))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gateway, err := os.ReadFile(samples + "gateway.json")
	if err != nil {
		t.Fatal(err)
	}
	worded := filepath.Join(t.TempDir(), "worded.json")
	if err := os.WriteFile(worded, bytes.Replace(gateway, []byte(`"ihb":1`), []byte(`"ihb":"1"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args  []string
		code  int
		print string // on standard output
		says  string // on standard error
	}{
		"a good message": {[]string{file, samples + "scale.json", "--topic", "vendor/scale-17/measures"}, 0, "1  body_weight: value 78.350 kg (78.35 kg), at 2026-05-21T07:00:15Z, sensor scale-17, sequence 90121", ""},
		"a finding":      {[]string{file, samples + "gateway.json", "--topic", "qube/g/up", "--broker", "clinic"}, 0, "sensor ble-FF-22-01-0A-33-7C, irregular_pulse, historic, trust_broker", ""},
		"a finding in doubt": {[]string{file, worded, "--topic", "qube/g/up"}, 1, `finding_unclear
     DOUBT    whether there is irregular_pulse cannot be read: at data.value.ihb stands "1", and neither true`, "1 of 1 would be stored with a mark"},
		"another broker's topic":     {[]string{file, samples + "scale.json", "--topic", "vendor/scale-17/measures", "--broker", "maker"}, 1, "REFUSED  element 0: topic: no mapping of the bridge is for this topic", "1 of 1 would be refused"},
		"the wrong sample":           {[]string{file, samples + "scale.json", "--topic", "tele/t/SENSOR"}, 1, "REFUSED  element 0: metric: mapping tasmota: at $ no name is of the form MI32-{address}", "1 of 1 would be refused"},
		"a topic of nobody":          {[]string{file, samples + "scale.json", "--topic", "x"}, 1, "", "no mapping of any broker"},
		"a broker of no name":        {[]string{file, samples + "scale.json", "--topic", "x", "--broker", "y"}, 1, "", `there is no broker "y"`},
		"more than one message":      {[]string{file, flood, "--topic", "hale/v1/a/readings"}, 1, "", "the sample has more than 16777216 bytes"},
		"more than the bridge takes": {[]string{file, large, "--topic", "hale/v1/a/readings"}, 1, "REFUSED  element 0: too_large: the message has 262145 bytes", "1 of 1 would be refused"},
		"no sample":                  {[]string{file, "nowhere.json", "--topic", "x", "--broker", "maker"}, 1, "", "the sample cannot be read"},
		"a bad mapping file":         {[]string{bad, samples + "scale.json", "--topic", "x"}, 1, "", `line 3: the mapping file has no field "mapings"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, said bytes.Buffer
			code := run(t.Context(), append([]string{"map", "try"}, c.args...), &out, &said, func(string) string { return "" })
			if code != c.code || !strings.Contains(out.String(), c.print) || !strings.Contains(said.String(), c.says) {
				t.Errorf("it ended with %d, printed %q and said %q", code, out.String(), said.String())
			}
		})
	}
	for topic, warned := range map[string]bool{"tele/+/SENSOR": true, "hale/v1/#": true, "tele/home-1/SENSOR": false} {
		var out, said bytes.Buffer
		run(t.Context(), []string{"map", "try", file, samples + "thermometer.json", "--topic", topic}, &out, &said, func(string) string { return "" })
		if strings.Contains(said.String(), "warning: no message comes on "+topic) != warned {
			t.Errorf("of the topic %s it said %q", topic, said.String())
		}
	}
	p := start(t, "map", "try", file, "/dev/null", "--topic", "hale/v1/a/readings")
	<-p.ended
	if p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(p.stdout.String(), "it ends too early") {
		t.Errorf("an empty message: %d, %s", p.cmd.ProcessState.ExitCode(), p.stdout)
	}
}

// TestTheGuideTriesEverySample reads docs/bridge.md as its reader does: every sample with the topic that fits it.
func TestTheGuideTriesEverySample(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/bridge.md")
	if err != nil {
		t.Fatal(err)
	}
	samples, err := filepath.Glob("../../docs/examples/samples/*.json")
	if err != nil || len(samples) < 5 {
		t.Fatalf("samples %v, %v", samples, err)
	}
	tried := map[string]bool{}
	for _, line := range regexp.MustCompile(`hale map try (docs/\S+) (docs/\S+) --topic (\S+)`).FindAllStringSubmatch(string(guide), -1) {
		sample := "../../" + line[2]
		tried[sample] = true
		var out, said bytes.Buffer
		if code := run(t.Context(), []string{"map", "try", "../../" + line[1], sample, "--topic", line[3]}, &out, &said, func(string) string { return "" }); code != 0 {
			t.Errorf("%s ends with %d: %s%s", line[0], code, out.String(), said.String())
		}
	}
	for _, sample := range samples {
		if !tried[sample] {
			t.Errorf("docs/bridge.md does not say on which topic %s comes", sample)
		}
	}
}

func TestCredentialsOfABrokerAreNeverInTheMappingFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := map[string]string{"HALE_BRIDGE_MY_CLINIC_USER": "env-user", "HALE_BRIDGE_MY_CLINIC_PASSWORD": "env-password"}
	p := &program{env: func(key string) string { return env[key] }}
	for name, c := range map[string]struct{ file, user, password, wrong string }{
		"environment":   {"", "env-user", "env-password", ""},
		"two lines":     {write("two", "u\np w\n"), "u", "p w", ""},
		"other endings": {write("dos", "u\r\np\r\n"), "u", "p", ""},
		"one line":      {write("one", "u\n"), "", "", "must hold two lines"},
		"three lines":   {write("three", "u\np\nx\n"), "", "", "must hold two lines"},
		"no file":       {filepath.Join(dir, "none"), "", "", "cannot be read"},
	} {
		b := brokerNamed("my-clinic", c.file)
		user, password, err := brokerCredentials(p, &b)
		if user != c.user || password != c.password || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %q, %v", name, user, password, err)
		}
	}
}

func brokerNamed(name, file string) ingest.Broker {
	return ingest.Broker{Name: name, CredentialsFile: file}
}
