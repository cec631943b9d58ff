package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hale/simulators"
)

// mosquitto publishes one message with Debian's client, QoS 1, and returns what it said when it failed.
func mosquitto(t *testing.T, addr string, k kit, topic string, body []byte) error {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	cmd := exec.CommandContext(t.Context(), "mosquitto_pub", "-h", host, "-p", port, "-V", "311", "-q", "1", "-i", k.device, "-u", k.device, "-P", k.secret, "-t", topic, "-s")
	cmd.Stdin = bytes.NewReader(body)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func pressure(systolic, diastolic int, at time.Time) []byte {
	return []byte(fmt.Sprintf(`{"metric":"blood_pressure","systolic":%d,"diastolic":%d,"unit":"mm[Hg]","time":%q}`, systolic, diastolic, at.UTC().Format(time.RFC3339)))
}

func TestTheWayOfAReading(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p, told := up(t, dir, "--demo=false")
	staff := signIn(t, told)
	from := time.Now().Add(-24 * time.Hour)
	k := newKit(t, staff, "cuff-1", from)
	neighbour := newKit(t, staff, "cuff-2", from)
	line := neighbour.dial(t, told.MQTT)

	if err := mosquitto(t, told.MQTT, k, k.topic(), pressure(186, 104, time.Now())); err != nil {
		t.Fatalf("mosquitto_pub (Debian's mosquitto-clients): %v", err)
	}
	var a simulators.Alert
	eventually(t, 5*time.Second, func() string {
		list, err := staff.Alerts(t.Context(), k.patient.ID)
		if err != nil || len(list) != 1 {
			return fmt.Sprintf("%d alerts, %v", len(list), err)
		}
		a = list[0]
		return ""
	})
	if a.Level != "red" || a.State != "open" || a.Historic {
		t.Errorf("alert %+v", a)
	}
	handle(t, told, a.ID)
	shown := metrics(t, told.URL)
	for _, name := range []string{"hale_stream_", "hale_edge_connections", "hale_partition_owned", "hale_records_committed_total", "hale_http_"} {
		if !strings.Contains(shown, "\n"+name) {
			t.Errorf("/metrics shows no %s", name)
		}
	}

	// What is no reading of this device is kept with its reason; nobody else notices.
	now := time.Now()
	good := string(pressure(130, 80, now))
	refused := map[string][]byte{
		"unparsable":   []byte("\x00\xfe garbage"),
		"not_a_number": []byte(strings.Replace(good, "130", `"130"`, 1)),
		"unit":         []byte(strings.Replace(good, "mm[Hg]", "furlong", 1)),
		"implausible":  pressure(400, 80, now),
		"clock":        pressure(130, 80, now.Add(48*time.Hour)),
		"metric":       []byte(strings.Replace(good, "blood_pressure", "happiness", 1)),
		"too_large":    bytes.Repeat([]byte("x"), 1<<20),
	}
	for reason, body := range refused {
		if err := mosquitto(t, told.MQTT, k, k.topic(), body); err != nil {
			t.Errorf("%s: a message that cannot be a reading must be taken and kept: %v", reason, err)
		}
	}
	refused["topic"] = pressure(130, 80, now)
	if err := mosquitto(t, told.MQTT, k, neighbour.topic(), refused["topic"]); err != nil {
		t.Errorf("a message on another device's topic: %v", err)
	}
	if err := mosquitto(t, told.MQTT, k, k.topic(), []byte(`{"metric":"heart_rate","value":NaN,"unit":"/min"}`)); err != nil {
		t.Errorf("NaN: %v", err)
	}
	stranger := kit{device: "stranger", secret: "guess"}
	if err := mosquitto(t, told.MQTT, stranger, stranger.topic(), pressure(130, 80, now)); err == nil {
		t.Error("an unknown device was let in")
	}
	if err := mosquitto(t, told.MQTT, kit{device: k.device, secret: "guess"}, k.topic(), pressure(130, 80, now)); err == nil {
		t.Error("a wrong secret was let in")
	}
	eventually(t, 5*time.Second, func() string {
		in, err := staff.Intake(t.Context(), k.device)
		if err != nil {
			return err.Error()
		}
		for reason := range refused {
			want := 1
			if reason == "unparsable" {
				want = 2 // the garbage and the NaN
			}
			if in.Quarantined[reason] != want {
				return fmt.Sprintf("quarantined as %s: %d, want %d (%+v)", reason, in.Quarantined[reason], want, in)
			}
		}
		if in.Stored != 1 {
			return fmt.Sprintf("%d readings are stored, want 1", in.Stored)
		}
		return ""
	})

	wayOfFormats(t, told, staff)
	wayOfClocks(t, told, staff)

	acked := make(chan time.Time, 1)
	if err := line.Publish(t.Context(), neighbour.topic(), pressure(128, 79, now), func(at time.Time) { acked <- at }); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(t.Context()); err != nil || len(acked) != 1 {
		t.Errorf("the neighbour's connection did not go on: %v", err)
	}
	if in, err := staff.Intake(t.Context(), neighbour.device); err != nil || len(in.Quarantined) != 0 {
		t.Errorf("the neighbour was told of what it did not send: %+v, %v", in, err)
	}
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	p.end(t, syscall.SIGINT)
	if text := p.stderr.String(); strings.Contains(text, "panic") || strings.Contains(text, "level=ERROR") {
		t.Errorf("it did not go well:\n%s", text)
	}
	for _, secret := range []string{k.secret, told.Password, k.patient.Name} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Error("a secret or a name stands in the log")
		}
	}
}

func metrics(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// handle acknowledges and resolves an alert over HTTP as any program would.
func handle(t *testing.T, told announcement, id string) {
	t.Helper()
	token := struct{ Token string }{}
	call(t, http.MethodPost, told.URL+"/v1/session", "", "", fmt.Sprintf(`{"login":%q,"password":%q}`, told.Login, told.Password), http.StatusOK, &token)
	path := told.URL + "/v1/alerts/" + id
	var a struct {
		Version int
		State   string
	}
	call(t, http.MethodGet, path, token.Token, "", "", http.StatusOK, &a)
	call(t, http.MethodPost, path+"/acknowledge", token.Token, "", `{}`, http.StatusPreconditionRequired, nil)
	call(t, http.MethodPost, path+"/acknowledge", token.Token, strconv.Quote(strconv.Itoa(a.Version+7)), `{}`, http.StatusPreconditionFailed, nil)
	call(t, http.MethodPost, path+"/acknowledge", token.Token, strconv.Quote(strconv.Itoa(a.Version)), `{"note":"I call her"}`, http.StatusOK, &a)
	if a.State != "acknowledged" {
		t.Errorf("the alert is %q", a.State)
	}
	call(t, http.MethodPost, path+"/resolve", token.Token, strconv.Quote(strconv.Itoa(a.Version)), `{"next_step":"recheck"}`, http.StatusUnprocessableEntity, nil)
	call(t, http.MethodPost, path+"/resolve", token.Token, strconv.Quote(strconv.Itoa(a.Version)), `{"next_step":"none","note":"she is fine"}`, http.StatusOK, &a)
	if a.State != "closed" {
		t.Errorf("the alert is %q", a.State)
	}
}

func call(t *testing.T, method, url, token, match, body string, want int, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != want {
		t.Errorf("%s %s answers %d, want %d", method, url, resp.StatusCode, want)
	}
	if out != nil {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			t.Error(err)
		}
	}
}

// below lists the processes that a process has started, and theirs.
func below(t *testing.T, pid int) []int {
	t.Helper()
	var all []int
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				all = append(append(all, child), below(t, child)...)
			}
		}
	}
	return all
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestUpLeavesNoProcessAndNoSecondOne(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		p, told := up(t, dir, "--demo=true")
		family := below(t, p.cmd.Process.Pid)
		if len(family) == 0 {
			t.Fatal("no process below hale: where is PostgreSQL?")
		}
		second := start(t, "up", "--data", dir, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--json")
		<-second.ended
		if text := second.stderr.String(); second.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "already") {
			t.Errorf("a second up on the directory ended with %d and said %q", second.cmd.ProcessState.ExitCode(), text)
		}
		staff := signIn(t, told) // the first one is not disturbed
		eventually(t, 20*time.Second, func() string {
			if _, known, err := staff.FindPatient(t.Context(), "DEMO-5"); err != nil || !known {
				return fmt.Sprintf("the demo's patients are not there: %v", err)
			}
			return ""
		})
		p.end(t, s)
		eventually(t, 15*time.Second, func() string {
			for _, pid := range family {
				if alive(pid) {
					return fmt.Sprintf("process %d lives on after %v", pid, s)
				}
			}
			return ""
		})
	}
}

func TestDoctorAndBadArgumentsSayWhatToMend(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	env := func(key string) string {
		if key == "PATH" {
			return os.Getenv("PATH")
		}
		return ""
	}
	if code := run(t.Context(), []string{"doctor", "--data", dataDir(t)}, &out, &errs, env); code != 0 || !strings.Contains(out.String(), "PostgreSQL") || !strings.Contains(out.String(), "clocks of devices            not known while") {
		t.Errorf("doctor ended with %d:\n%s%s", code, out.String(), errs.String())
	}
	nowhere := func(key string) string {
		if key == "HALE_PG_BIN" {
			return filepath.Join(t.TempDir(), "nothing")
		}
		return env(key)
	}
	out.Reset()
	if code := run(t.Context(), []string{"doctor", "--data", dataDir(t)}, &out, &errs, nowhere); code != 1 || !strings.Contains(out.String(), "MEND") {
		t.Errorf("doctor without PostgreSQL ended with %d:\n%s", code, out.String())
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "--roles", "cook", "--nats", "nats://127.0.0.1:1", "--database", "x"}, "no role"},
		{[]string{"replay", t.TempDir()}, "Physiology.csv"},
		{[]string{"replay", "../../docs", "--data", t.TempDir()}, "Physiology.csv"},
		{[]string{"up", "--http", "nonsense", "--data", dataDir(t)}, "nonsense"},
		{[]string{"up", "--zone", "Mars/Olympus", "--data", dataDir(t)}, "Mars/Olympus"},
	} {
		errs.Reset()
		if code := run(t.Context(), c.args, &out, &errs, env); code == 0 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("hale %v ended with %d and said %q", c.args, code, errs.String())
		}
	}
}
