package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hale/simulators"
)

// sharedTIHM is where the data set lies beside the project, when it does; nothing of it is part of the project.
const sharedTIHM = "../../../shared/data/tihm"

// recording returns the folder to replay: the data set beside the project, else invented people of our own. A shared
// folder without the data set is a mistake, not a reason to test less.
func recording(t *testing.T) (dir string, real bool) {
	t.Helper()
	if _, err := os.Stat("../../../shared"); err != nil {
		fmt.Println("replay: no data set beside the project; the project's own invented recording is replayed")
		return "testdata/recording", false
	}
	if _, err := os.Stat(filepath.Join(sharedTIHM, "Physiology.csv")); err != nil {
		t.Fatalf("../shared is there, but the TIHM data set is not: %v", err)
	}
	return sharedTIHM, true
}

func replay(t *testing.T, dir, data string, more ...string) simulators.ReplayResult {
	t.Helper()
	p := start(t, append([]string{"replay", dir, "--data", data, "--limits", "../../docs/examples/limits.json", "--score", "--json"}, more...)...)
	<-p.ended
	var res simulators.ReplayResult
	if err := json.Unmarshal([]byte(p.stdout.String()), &res); err != nil {
		t.Fatalf("replay said %q and %q", p.stdout.String(), p.stderr.String())
	}
	if !strings.Contains(p.stderr.String(), "sending readings") {
		t.Error("a long replay shows no progress")
	}
	return res
}

func scoreOf(t *testing.T, res simulators.ReplayResult, label string) simulators.TypeScore {
	t.Helper()
	for _, s := range res.Score.Types {
		if s.Type == label {
			return s
		}
	}
	t.Fatalf("no score of %q", label)
	return simulators.TypeScore{}
}

func TestReplayOfRecordedPeople(t *testing.T) {
	t.Parallel()
	dir, real := recording(t)
	data := dataDir(t)
	p, _ := up(t, data, "--demo=false")
	first := replay(t, dir, data)
	rec, err := simulators.ReadTIHM(dir)
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for _, one := range rec.People {
		messages += len(one.Messages)
	}
	refused := 0
	for _, n := range first.Quarantined {
		refused += n
	}
	if first.Messages != messages || first.Stored+refused != messages || first.Parked != 0 || refused == 0 {
		t.Errorf("%d messages: %+v", messages, first)
	}
	if first.Score.Latency == nil || first.Score.Latency.Count == 0 {
		t.Error("no latency was measured")
	} else {
		t.Logf("latency %+v", *first.Score.Latency)
	}
	pressure, pulse := scoreOf(t, first, "Blood pressure"), scoreOf(t, first, "Pulse")
	for _, s := range first.Score.Types {
		t.Logf("%s: labelled %d, hit %d, alert %d", s.Type, s.LabelledDays, s.HitDays, s.AlertDays)
	}
	if pressure.Recall == nil || *pressure.Recall < 0.95 || pressure.Precision == nil || *pressure.Precision < 0.85 || pulse.Recall == nil || *pulse.Recall < 0.95 {
		t.Errorf("blood pressure %+v, pulse %+v", pressure, pulse)
	}
	if real && first.Messages < 5000 {
		t.Errorf("only %d messages of the data set were sent", first.Messages)
	}
	second := replay(t, dir, data)
	if second.NewStored != 0 || second.NewRefused != 0 || second.NewAlerts != 0 || second.Alerts != first.Alerts || second.Score.Latency != nil {
		t.Errorf("a second replay changed something: %+v", second)
	}
	p.end(t, syscall.SIGINT)
}
