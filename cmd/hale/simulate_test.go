package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hale/internal/browser"
	"hale/simulators"
)

// simulate runs the command to its end and returns what it found.
func simulate(t *testing.T, data string, more ...string) simulators.FleetResult {
	t.Helper()
	p := start(t, append([]string{"simulate", "--data", data, "--json"}, more...)...)
	<-p.ended
	var res simulators.FleetResult
	if err := json.Unmarshal([]byte(p.stdout.String()), &res); err != nil {
		t.Fatalf("simulate said %q and %q", p.stdout.String(), p.stderr.String())
	}
	return res
}

// truths reads what a simulation made happen.
func truths(t *testing.T, path string) []simulators.Truth {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []simulators.Truth
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var one simulators.Truth
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, one)
	}
	return all
}

func TestASimulatedFleetIsInTheRecordOnceAndWhole(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	p, _ := up(t, data, "--demo=false")
	truth := filepath.Join(t.TempDir(), "truth.jsonl")
	start := time.Now().Add(-3 * 24 * time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339)
	asked := []string{"--scenario", "mixed", "--patients", "40", "--days", "3", "--seed", "4", "--start", start, "--score"}
	first := simulate(t, data, append(asked, "--truth", truth)...)
	refused := 0
	for _, n := range first.Quarantined {
		refused += n
	}
	if first.Readings < 300 || first.Stored+refused != first.Readings || first.Parked != 0 || first.Again == 0 || first.Devices <= first.Patients {
		t.Errorf("acknowledged and in the record differ: %+v", first)
	}
	if s := first.Score; s == nil || len(s.Kinds) == 0 || s.PatientWeeks < 6 || s.FalseRedAWeek > 1 {
		t.Errorf("score %+v", first.Score)
	}
	classes := map[simulators.TruthClass]int{}
	for _, one := range truths(t, truth) {
		classes[one.Class]++
	}
	if classes[simulators.Clinical] == 0 || classes[simulators.Missing] == 0 || classes[simulators.Line] == 0 {
		t.Errorf("the truth holds %v", classes)
	}
	// The same people with the same readings: nothing is new to the record. A further person disturbs nobody.
	second := simulate(t, data, asked...)
	if second.Stored != first.Stored || second.Readings != first.Readings || second.Score.Alerts != first.Score.Alerts {
		t.Errorf("a second run changed something:\n%+v\n%+v", first, second)
	}
	more := simulate(t, data, append(asked, "--patients", "41")...)
	if more.Patients != 41 || more.Stored <= first.Stored {
		t.Errorf("with one more person %+v", more)
	}
	p.end(t, syscall.SIGINT)
	if text := p.stderr.String(); strings.Contains(text, "panic") || strings.Contains(text, "level=ERROR") {
		t.Errorf("it did not go well:\n%s", text)
	}
}

func TestASimulatedFleetOutlivesAKilledHaleAndEndsWhenTold(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	first, told := up(t, data, "--demo=false")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(told.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(t.TempDir(), "devices.json")
	// A day takes five seconds, and then goes on in real time.
	p := start(t, "simulate", "--url", told.URL, "--mqtt", told.MQTT, "--login", told.Login, "--password-file", password, "--credentials", credentials,
		"--scenario", "quiet", "--patients", "4", "--days", "1", "--speed", "17280")
	eventually(t, 40*time.Second, func() string {
		if !strings.Contains(p.stderr.String(), "sending the past") {
			return fmt.Sprintf("nothing is sent: %q %q", p.stdout.String(), p.stderr.String())
		}
		return ""
	})
	first.end(t, syscall.SIGKILL)
	_, again := up(t, data, "--demo=false", "--http", strings.TrimPrefix(told.URL, "http://"), "--mqtt", told.MQTT)
	if again.MQTT != told.MQTT {
		t.Fatalf("the second hale is at %s, not at %s", again.MQTT, told.MQTT)
	}
	eventually(t, 60*time.Second, func() string {
		if !strings.Contains(p.stdout.String(), "they live on in real time") {
			return fmt.Sprintf("the present is not reached: %q %q", p.stdout.String(), p.stderr.String())
		}
		return ""
	})
	select {
	case <-p.ended:
		t.Fatal("it did not live on")
	default:
	}
	p.end(t, syscall.SIGINT)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(p.stdout.String(), "ended after") {
		t.Errorf("told to end, it ended with %d and said %q %q", code, p.stdout.String(), p.stderr.String())
	}
	_, ended, _ := strings.Cut(p.stdout.String(), "ended after ")
	acked := 0
	if _, err := fmt.Sscanf(ended, "%d readings acknowledged", &acked); err != nil || acked < 20 {
		t.Fatalf("it told of %d readings, %v: %q", acked, err, p.stdout.String())
	}
	secrets, err := simulators.ReadCredentials(credentials)
	if err != nil {
		t.Fatal(err)
	}
	staff := signIn(t, again)
	eventually(t, 20*time.Second, func() string {
		stored := 0
		for device := range secrets {
			in, err := staff.Intake(t.Context(), device)
			if err != nil {
				return err.Error()
			}
			stored += in.Stored
		}
		if stored != acked {
			return fmt.Sprintf("%d readings were acknowledged, %d are in the record", acked, stored)
		}
		return ""
	})
}

func TestASimulationEndsWhenHaleIsGoneBeforeItsScore(t *testing.T) {
	t.Parallel()
	p, told := up(t, dataDir(t), "--demo=false")
	scenario, err := simulators.FindScenario("quiet")
	if err != nil {
		t.Fatal(err)
	}
	var kill sync.Once
	var gone time.Time
	f := &simulators.Fleet{
		Staff: signIn(t, told), MQTT: told.MQTT, Credentials: filepath.Join(t.TempDir(), "devices.json"), Score: true, Now: time.Now,
		Cohort: simulators.Cohort{Scenario: scenario, Patients: 3, Seed: 1, Start: time.Now().Add(-24 * time.Hour), Days: 1},
		Progress: func(step string, _, _ int) {
			if step == "settle" {
				kill.Do(func() {
					p.end(t, syscall.SIGKILL)
					gone = time.Now()
				})
			}
		},
	}
	ended := make(chan error, 1)
	go func() {
		_, err := f.Run(t.Context())
		ended <- err
	}()
	select {
	case err := <-ended:
		if took := time.Since(gone); err == nil || gone.IsZero() || took > 15*time.Second {
			t.Errorf("it ended %s after Hale with %v", took, err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it has not ended")
	}
}

func TestTheSpareDeviceOfADemoGetsItsPatient(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	// A demo that was killed after it had written the secret down, and before it gave the device to anybody.
	const spare = "my-cuff"
	secret, err := staff.Enrol(t.Context(), spare, "for a first try by hand")
	if err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(t.TempDir(), "devices.json")
	if err := simulators.WriteCredentials(credentials, map[string]string{spare: secret}); err != nil {
		t.Fatal(err)
	}
	for run := range 2 { // the second finds it assigned
		ctx, stop := context.WithCancel(t.Context())
		offered := make(chan string, 1)
		demo := &simulators.Demo{
			Staff: staff, MQTT: told.MQTT, Credentials: credentials, Now: time.Now,
			Spare: func(_, with, _ string) { offered <- with },
		}
		ended := make(chan error, 1)
		go func() { ended <- demo.Run(ctx) }()
		select {
		case with := <-offered:
			if with != secret {
				t.Error("another secret is offered")
			}
		case err := <-ended:
			t.Fatalf("run %d of the demo ended: %v", run+1, err)
		case <-time.After(30 * time.Second):
			t.Fatal("the device was not offered")
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run %d of the demo: %v", run+1, err)
		}
	}
	person, known, err := staff.FindPatient(t.Context(), "DEMO-3")
	if err != nil || !known {
		t.Fatalf("DEMO-3 is known: %v, %v", known, err)
	}
	var problem *simulators.Problem
	err = staff.Assign(t.Context(), spare, person.ID, time.Now().Add(-time.Hour))
	if !errors.As(err, &problem) || problem.Status != http.StatusConflict {
		t.Errorf("the device has nobody: to assign it to another time says %v", err)
	}
}

func TestSimulateListsAndPrintsTheSameTwice(t *testing.T) {
	t.Parallel()
	said := func(args ...string) string {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"simulate"}, args...), &out, &errs, func(string) string { return "" }); code != 0 {
			t.Fatalf("hale simulate %v ended with %d: %s", args, code, errs.String())
		}
		return out.String()
	}
	list := said("--list")
	for _, name := range []string{"mixed", "heart-failure-week", "copd-exacerbation", "hypertension", "diabetes", "atrial-fibrillation", "frailty", "quiet", "storm"} {
		if !strings.Contains(list, "\n"+name) && !strings.HasPrefix(list, name) {
			t.Errorf("%s is not listed", name)
		}
	}
	args := []string{"--print", "--start", "2026-05-04T06:00:00Z", "--patients", "5", "--days", "2"}
	a, b, other := said(args...), said(args...), said(append(args, "--seed", "2")...)
	if a != b || a == other || strings.Count(a, "\n") < 50 {
		t.Errorf("the same seed: %v; another seed: %v; %d lines", a == b, a != other, strings.Count(a, "\n"))
	}
}

// TestScreensOfAHeartFailureWeek takes the pictures of a board after a simulated week; HALE_SCREENS names where they are
// kept.
func TestScreensOfAHeartFailureWeek(t *testing.T) {
	t.Parallel()
	keep := os.Getenv("HALE_SCREENS")
	if keep == "" {
		keep = t.TempDir()
	}
	data := dataDir(t)
	p, told := up(t, data, "--demo=false")
	res := simulate(t, data, "--scenario", "heart-failure-week", "--patients", "9", "--score")
	for _, k := range res.Score.Kinds {
		if k.Kind == string(simulators.Decompensation) && (k.Happened != 6 || k.Detected < 3 || k.Missed > 0) {
			t.Errorf("of the decompensations %+v", k)
		}
	}
	// What is drawn hangs on the hour at which the test runs: one false red in three weeks of a patient is much, and no more [J].
	if res.Score.FalseRedAWeek > 0.34 {
		t.Errorf("false alerts: %+v", res.Score)
	}
	b := browser.Start(t)
	for name, size := range map[string][2]int{"desktop": {1280, 900}, "phone": {390, 844}} {
		tab := b.Tab(t, size[0], size[1])
		signInAt(tab, told)
		tab.Until("those who decompensate on the board", `document.querySelectorAll('article.case').length >= 3`)
		tab.Shot(filepath.Join(keep, "heart-failure-board-"+name+".png"))
		patient := browser.Eval[string](tab, `document.querySelector('article.case h3 a').href`)
		tab.Open(patient)
		drawn(tab)
		tab.Shot(filepath.Join(keep, "heart-failure-patient-"+name+".png"))
		if wide := browser.Eval[bool](tab, `document.documentElement.scrollWidth > document.documentElement.clientWidth`); wide {
			t.Errorf("the %s page scrolls sideways", name)
		}
	}
	p.end(t, syscall.SIGINT)
}

func TestSimulatedHeartFailureHasADryWeight(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	_, told := up(t, data, "--demo=false")
	staff := signIn(t, told)
	asked := []string{"--scenario", "heart-failure-week", "--patients", "1", "--days", "1", "--seed", "4", "--start", time.Now().Add(-24 * time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339), "--no-live"}
	scenario, err := simulators.FindScenario("heart-failure-week")
	if err != nil {
		t.Fatal(err)
	}
	start, err := time.Parse(time.RFC3339, asked[9])
	if err != nil {
		t.Fatal(err)
	}
	cohort := simulators.Cohort{Scenario: scenario, Patients: 1, Seed: 4, Start: start, Days: 1}
	number := cohort.Life(0).Number
	for run := range 2 { // the second finds it set
		more := asked
		if run == 1 { // its result is told although the truth finds no room
			more = append(asked, "--truth", "/dev/full")
		}
		simulate(t, data, more...)
		person, known, err := staff.FindPatient(t.Context(), number)
		if err != nil || !known {
			t.Fatalf("%s is known: %v, %v", number, known, err)
		}
		version, kilograms, err := staff.DryWeight(t.Context(), person.ID)
		if err != nil || version != 1 || kilograms < 40 || kilograms > 130 {
			t.Errorf("after run %d: version %d, %v kg, %v", run+1, version, kilograms, err)
		}
	}
}
