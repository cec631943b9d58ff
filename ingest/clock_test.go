package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// heartAt is a heart rate with a time of the device.
func heartAt(at time.Time) string {
	return fmt.Sprintf(`{"metric":"heart_rate","value":61,"unit":"/min","time":"%s"}`, at.Format(time.RFC3339Nano))
}

func clockSays(at time.Time) string {
	return fmt.Sprintf(`{"clock":"%s"}`, at.Format(time.RFC3339Nano))
}

// away is the registry when Bruno lives five hours behind.
func away() *devices.Snapshot {
	s := registry()
	s.Zones[bruno] = time.FixedZone("", -5*3600)
	return s
}

// one takes a message that holds one reading or refusal.
func one(t *testing.T, c *ingest.Core, s *devices.Snapshot, m ingest.Message) vital.Record {
	t.Helper()
	records, _ := c.Decode(s, m)
	if len(records) == 0 || records[0].Reading == nil && records[0].Refused == nil {
		t.Fatalf("%s became %+v", m.Payload, records)
	}
	return records[0]
}

func TestADeviceThatSaysItsClockIsPutRight(t *testing.T) {
	t.Parallel()
	core, s := ingest.New(ingest.Config{}), registry()
	ahead := moment().Add(37 * time.Minute)
	// Before it says so, nobody can know: what lies ahead of us waits, with what could be read of it.
	if no := one(t, core, s, message(readings, heartAt(ahead))).Refused; no == nil || no.Reason != vital.ReasonClock || no.Read == nil || no.Read.N != 1 || no.Read.Patient != anna {
		t.Fatalf("ahead of us it became %+v", no)
	}
	records, _ := core.Decode(s, message(status, clockSays(ahead)))
	want := vital.Clock{Offset: -37 * time.Minute, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}
	if diff := cmp.Diff(&vital.ClockLook{Clock: want, At: moment()}, records[0].Status.Look); diff != "" {
		t.Fatal(diff)
	}
	// Then it sends what it has just measured, and what lay in its memory.
	for _, age := range []time.Duration{0, 6 * time.Hour, 23 * time.Hour} {
		r := one(t, core, s, message(readings, heartAt(ahead.Add(-age)))).Reading
		if r == nil {
			t.Fatalf("%s old it was refused", age)
		}
		if !r.SentAt.Equal(ahead.Add(-age)) || !r.MeasuredAt.Equal(moment().Add(-age)) || r.Findings&vital.TimeCorrected == 0 {
			t.Errorf("%s old: sent %s, measured %s, findings %v", age, r.SentAt, r.MeasuredAt, r.Findings.Names())
		}
		if diff := cmp.Diff(want, r.More.Clock); diff != "" {
			t.Error(diff)
		}
	}
	// Its own clock is not what the gateway's other sensors measure by, unless they have none of their own.
	if r := one(t, core, s, message(gateway, heartAt(ahead))).Reading; r == nil || !r.MeasuredAt.Equal(moment()) {
		t.Errorf("a sensor of the gateway: %+v", r)
	}
	// Set right, it says so, and is believed at once.
	core.Decode(s, message(status, clockSays(moment())))
	if r := one(t, core, s, message(readings, heartAt(moment()))).Reading; r == nil || r.Findings&vital.TimeCorrected != 0 || !r.MeasuredAt.Equal(moment()) {
		t.Errorf("set right: %+v", r)
	}
}

func TestAnotherEdgeKnowsTheClockFromTheRegistry(t *testing.T) {
	t.Parallel()
	s := registry()
	look := vital.ClockLook{At: moment().Add(-time.Hour), Clock: vital.Clock{Offset: -37 * time.Minute, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}
	clocks, _ := devices.Clocks(nil).Hear(look)
	s.Clocks = map[devices.ClockKey]devices.Clocks{{Sensor: own}: clocks}
	r := one(t, ingest.New(ingest.Config{}), s, message(readings, heartAt(moment().Add(30*time.Minute)))).Reading
	if r == nil || !r.MeasuredAt.Equal(moment().Add(-7*time.Minute)) {
		t.Errorf("became %+v", r)
	}
}

func TestAClockThatWasResetWaitsForAPerson(t *testing.T) {
	t.Parallel()
	core, s := ingest.New(ingest.Config{}), registry()
	reset := time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC)
	for _, says := range []string{"lies before 2015; set the device's clock", "by a clock that is wrong by 9821 days: set it"} {
		no := one(t, core, s, message(readings, heartAt(reset))).Refused
		if no == nil || no.Reason != vital.ReasonClock || !strings.Contains(no.Detail, says) {
			t.Fatalf("became %+v", no)
		}
		if no.Read == nil || !no.Read.SentAt.Equal(reset) || !no.Read.MeasuredAt.Equal(moment()) || no.Read.N != 1 || no.Read.More != nil {
			t.Errorf("read of it: %+v", no.Read)
		}
		core.Decode(s, message(status, clockSays(reset)))
	}
}

func TestWhatWasNotSaidJustNowTellsNothingOfAClock(t *testing.T) {
	t.Parallel()
	will, kept := message(status, clockSays(moment().Add(-time.Hour))), message(status, clockSays(moment().Add(-time.Hour)))
	will.Presence, kept.Retained = vital.StatusWill, true
	for name, m := range map[string]ingest.Message{"a will": will, "kept by a broker": kept, "no time": message(status, `{"clock":"2026-11-21"}`)} {
		core, s := ingest.New(ingest.Config{}), registry()
		if records, _ := core.Decode(s, m); records[0].Status.Look != nil {
			t.Errorf("%s: %+v", name, records[0].Status.Look)
		}
		if r := one(t, core, s, message(readings, heartAt(moment()))).Reading; r == nil || !r.MeasuredAt.Equal(moment()) {
			t.Errorf("%s moved a reading: %+v", name, r)
		}
	}
}

func TestAGatewayTellsTheClockOfItsSensor(t *testing.T) {
	t.Parallel()
	core, s := ingest.New(ingest.Config{}), away()
	// The gateway is 2 minutes behind. It read the scale's clock, which has no zone, 10 minutes ago by its own.
	records, _ := core.Decode(s, message(status, `{"clock":"2026-11-21T07:23:00.25Z","sensors":{"scale-1":{"clock":"2026-11-21T02:00:00","gateway_time":"2026-11-21T07:13:00.25Z"}}}`))
	if len(records) != 2 || records[1].Status.Look == nil {
		t.Fatalf("became %+v", records)
	}
	at := moment().Add(-10 * time.Minute)
	want := &vital.ClockLook{At: at, Local: true, Clock: vital.Clock{Offset: at.Sub(time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)), Method: vital.ClockGateway, Uncertainty: 22 * time.Second}}
	if diff := cmp.Diff(want, records[1].Status.Look); diff != "" {
		t.Fatal(diff)
	}
	// What the scale measures without zone is put right by it, whatever the zone of whoever stands on it.
	weighed := message("hale/v1/cuff-7/sensors/scale-1/gatt/2A9D", octets(t, "02 803E EA070B15 020500")) // at 02:05:00
	r := one(t, core, s, weighed).Reading
	if r == nil || !r.MeasuredAt.Equal(at.Add(5*time.Minute)) || r.More.Clock.Method != vital.ClockGateway || r.Findings&(vital.TimeCorrected|vital.TimeLocal) != vital.TimeCorrected {
		t.Fatalf("became %+v", r)
	}
	// Without a look it is the zone, five hours behind: 07:05, and the mark says so.
	r = one(t, ingest.New(ingest.Config{}), s, weighed).Reading
	if r == nil || !r.MeasuredAt.Equal(time.Date(2026, 11, 21, 7, 5, 0, 0, time.UTC)) || r.More.Clock.Method != vital.ClockZone || r.Findings&vital.TimeLocal == 0 {
		t.Fatalf("by the zone it became %+v", r)
	}
	// A gateway whose own time cannot be is not believed about another's.
	records, _ = ingest.New(ingest.Config{}).Decode(s, message(status, `{"sensors":{"scale-1":{"clock":"2026-11-21T02:00:00","gateway_time":"2027-11-21T07:13:00.25Z"}}}`))
	if records[1].Status.Look != nil {
		t.Errorf("believed: %+v", records[1].Status.Look)
	}
}

// Whoever wears the sensor, wherever he lives, and whatever is known of the clock: it is the same measurement.
func TestTheIdentityOfALocalTimeHangsOnNobody(t *testing.T) {
	t.Parallel()
	weighed := message("hale/v1/cuff-7/sensors/scale-1/gatt/2A9D", octets(t, "02 803E EA070B15 020500"))
	elsewhere, nobodys, looked := registry(), registry(), registry()
	elsewhere.Zones[bruno] = time.FixedZone("", -2*3600)
	delete(nobodys.Assignments, granted)
	clocks, _ := devices.Clocks(nil).Hear(vital.ClockLook{At: moment(), Local: true, Clock: vital.Clock{Offset: 4 * time.Hour}})
	looked.Clocks = map[devices.ClockKey]devices.Clocks{{Sensor: granted, Local: true}: clocks}
	first := one(t, ingest.New(ingest.Config{}), away(), weighed).Reading
	for name, s := range map[string]*devices.Snapshot{"in another zone": elsewhere, "nobody's": nobodys, "a known clock": looked} {
		again := one(t, ingest.New(ingest.Config{}), s, weighed).Reading
		if again == nil || again.Key != first.Key || again.MeasuredAt.Equal(first.MeasuredAt) {
			t.Errorf("%s: %+v, first %+v", name, again, first)
		}
	}
}

func TestAnUncertainTimeAtAChangeOfOwnerIsNobodys(t *testing.T) {
	t.Parallel()
	// Bruno's until noon, in his zone 07:00; a cuff without zone shows the minutes before.
	gatt := func(hour, minute int) string {
		return octets(t, fmt.Sprintf("02 7800 5000 6400 EA070B14 %02X%02X00", hour, minute))
	}
	s := away()
	for shown, want := range map[[2]int]vital.PatientID{{6, 50}: bruno, {6, 58}: 0, {7, 3}: 0} {
		r := one(t, ingest.New(ingest.Config{}), s, message("hale/v1/cuff-7/gatt/2A35", gatt(shown[0], shown[1]))).Reading
		if r == nil || r.Patient != want {
			t.Errorf("%v: %+v, want patient %d", shown, r, want)
		}
	}
}
