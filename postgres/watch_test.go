package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/measuring"
	"hale/vital"
)

// expect has a patient weigh themselves each morning between seven and nine.
func (r *record) expect(t *testing.T, p account.Patient) {
	t.Helper()
	line := measuring.Line{Metric: vital.BodyWeight, First: vital.Date(since().Format(time.DateOnly)), Times: []measuring.Window{{From: 7 * 60, At: 8 * 60, To: 9 * 60}}}
	a := measuring.Authored{Schedule: measuring.Schedule{EffectiveFrom: since(), Lines: []measuring.Line{line}}, Reason: "heart failure"}
	if _, err := r.app.AddSchedule(t.Context(), r.nurse, p.ID, 0, a); err != nil {
		t.Fatal(err)
	}
}

// gatewayOf gives a gateway's scales to so many new people who weigh themselves each morning.
func (r *record) gatewayOf(t *testing.T, people int) (devices.Device, []account.Patient) {
	t.Helper()
	e := devices.Enrolment{UID: "gw-1", Model: "gateway", SecretHash: sha256.Sum256([]byte("gw-1"))}
	for i := range people {
		e.Sensors = append(e.Sensors, fmt.Sprintf("scale-%d", i+1))
	}
	gateway, err := r.app.Enrol(t.Context(), r.nurse, e)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]account.Patient, people)
	for i := range all {
		all[i] = r.addPatient(t, r.nurse, fmt.Sprint(100+i))
		r.expect(t, all[i])
		if _, err := r.app.Assign(t.Context(), r.nurse, devices.Binding{Sensor: e.Sensors[i], Patient: all[i].UID, From: since()}); err != nil {
			t.Fatal(err)
		}
	}
	return gateway, all
}

func (r *record) lookAtPresence(t *testing.T, at time.Time) {
	t.Helper()
	if err := (&devices.Lookout{Store: r.work}).RunOnce(t.Context(), at); err != nil {
		t.Fatal(err)
	}
}

func TestAGatewayThatIsOutIsOneIncidentAndNotSix(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	gateway, people := r.gatewayOf(t, 6)
	r.exec(t, `DELETE FROM canary`)
	speaks := func(minutes int, kind vital.StatusKind, epoch int64) vital.Record {
		return r.told(minutes, func(s *vital.Status) { s.Device, s.Sensor, s.Kind, s.Connection = gateway.ID, gateway.Own, kind, epoch })
	}
	r.advance(t, speaks(5, vital.StatusCame, 1), speaks(60, vital.StatusLeft, 1))

	r.lookAtPresence(t, since().Add(7*time.Hour)) // a quarter to eight at home: their time has not passed
	if n := r.count(t, `SELECT count(*) FROM incident`); n != 0 {
		t.Fatalf("%d incidents before anything was missed", n)
	}
	noon := since().Add(11 * time.Hour)
	r.lookAtPresence(t, noon)
	r.holds(t, "incident", "kind = 'gateway' AND device_id = "+id(gateway.ID)+" AND to_at IS NULL AND explains = 6 AND why = 'silent' AND from_at = '2026-03-01 01:00Z'")
	if n := r.count(t, `SELECT count(*) FROM device_silence WHERE explained`); n != 6 || r.count(t, `SELECT count(*) FROM device_silence`) != 6 {
		t.Errorf("%d sensors are silent because of it", n)
	}
	r.lookAtPresence(t, noon.Add(time.Minute))
	r.holds(t, "incident", "to_at IS NULL AND explains = 6 AND seen_at > opened_at")

	// A problem is one line, the incident; and of the strip of a patient is known since when nothing can arrive.
	watch := &devices.Problems{Book: r.app}
	list, err := watch.List(t.Context(), r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Kind != devices.ProblemOutage || list[0].Device != "gw-1" || list[0].Incident.Explains != 6 || len(list[0].Wearers) != 6 {
		t.Errorf("problems: %+v", list)
	}
	silent, err := r.app.SilentOf(t.Context(), r.nurse, people[2].ID, since())
	if err != nil || !slices.Equal(silent[vital.BodyWeight], []measuring.Away{{From: since().Add(time.Hour)}}) {
		t.Errorf("silent %v (%v)", silent, err)
	}

	// It is heard again: it has ended, and what was expected within it has not arrived, and is nobody's problem.
	r.advance(t, speaks(12*60, vital.StatusCame, 2))
	r.lookAtPresence(t, noon.Add(2*time.Hour))
	r.holds(t, "incident", "to_at = '2026-03-01 12:00Z'")
	if list, err = watch.List(t.Context(), r.nurse); err != nil || len(list) != 0 {
		t.Errorf("after its return: %+v (%v)", list, err)
	}
	if silent, err := r.app.SilentOf(t.Context(), r.nurse, people[2].ID, since()); err != nil ||
		!slices.Equal(silent[vital.BodyWeight], []measuring.Away{{From: since().Add(time.Hour), To: since().Add(12 * time.Hour)}}) {
		t.Errorf("silent %v (%v)", silent, err)
	}
}

func TestAnOutageOfThePlatformHidesNoRed(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.gatewayOf(t, 2)
	r.exec(t, fmt.Sprintf(`DELETE FROM canary; INSERT INTO canary (partition, edge, number, sent_at, committed_at, level, evaluator)
		SELECT p, 'edge/1', 1, '%[1]s', '%[1]s', 0, 1 FROM generate_series(0, 7) p`, since().Add(6*time.Hour).Format(time.RFC3339)))
	r.lookAtPresence(t, since().Add(10*time.Hour))
	r.holds(t, "incident", "kind = 'platform' AND why = 'edge_missed' AND device_id IS NULL AND explains = 2 AND to_at IS NULL")
	before := r.count(t, `SELECT count(*) FROM episode WHERE state = 'open' AND level = 3`)
	r.advance(t, r.pressure(24*60-2, 235, 120))
	if after := r.count(t, `SELECT count(*) FROM episode WHERE state = 'open' AND level = 3`); after != before+1 {
		t.Errorf("a red value during an outage: %d alerts, want one more than %d", after, before)
	}
	r.exec(t, `UPDATE canary SET sent_at = '2026-03-01 10:01Z'`)
	r.lookAtPresence(t, since().Add(10*time.Hour+2*time.Minute))
	r.holds(t, "incident", "kind = 'platform' AND to_at = '2026-03-01 10:02Z'")
}
