package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"hale/devices"
	"hale/postgres"
	"hale/vital"
)

// clockTold is a status in which the record's device says what its clock showed, minutes after the assignment began.
func (r *record) clockTold(minutes int, offset time.Duration) vital.Record {
	at := since().Add(time.Duration(minutes) * time.Minute)
	return vital.Record{Status: &vital.Status{
		Org: r.nurse.Org, Device: r.device.ID, Sensor: r.device.Own, ReceivedAt: at, Kind: vital.StatusTold, Clock: at.Add(-offset),
		Look: &vital.ClockLook{At: at, Clock: vital.Clock{Offset: offset, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}},
	}}
}

func TestEveryEdgeKnowsHowWrongAClockIs(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	version := func() int64 {
		v, err := r.work.Version(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	r.advance(t, r.clockTold(0, 3*time.Second))
	if v := version(); v != before {
		t.Errorf("the edges read the registry again for a clock that is right: version %d, %d before", v, before)
	}
	r.advance(t, r.clockTold(10, -37*time.Minute), r.weight(1, 80000))
	if v := version(); v != before+1 {
		t.Errorf("the edges do not hear of a clock that was changed: version %d, %d before", v, before)
	}
	r.advance(t, r.clockTold(20, -37*time.Minute+2*time.Second))
	if v := version(); v != before+1 {
		t.Errorf("the edges read the registry again although nothing changed: version %d, %d before", v, before)
	}
	s, err := r.work.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at := func(minutes int) time.Time { return since().Add(time.Duration(minutes) * time.Minute) }
	clock := func(offset time.Duration) vital.Clock {
		return vital.Clock{Offset: offset, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}
	}
	want := devices.Clocks{{Clock: clock(3 * time.Second), From: at(0), Last: at(0)}, {Clock: clock(-37 * time.Minute), From: at(10), Last: at(20), Told: -37 * time.Minute, ToldAt: at(10)}}
	if diff := cmp.Diff(want, s.Clocks[devices.ClockKey{Sensor: r.device.Own}]); diff != "" {
		t.Error(diff)
	}
	if zone := s.Zones[r.patient.ID]; zone == nil || zone.String() != "Europe/Ljubljana" {
		t.Errorf("the wearer's zone is %v", zone)
	}
	r.exec(t, `INSERT INTO quarantine (org_id, device_id, topic, reason, detail, raw, length, hash, identity, received_at, last_received_at)
        SELECT org_id, id, 't', 'clock', '', '', 0, sha256(''), 'x', now(), now() FROM device`)
	facts, now, err := r.app.DeviceFacts(ctx, r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	problems := facts.List(now)
	wrong := slices.IndexFunc(problems, func(p devices.Problem) bool { return p.Kind == devices.ProblemClock })
	if wrong < 0 {
		t.Fatalf("a wrong clock is no problem: %+v", problems)
	}
	if p := problems[wrong]; p.Sensor != "cuff-1" || p.ClockOff != 37*time.Minute || !p.Since.Equal(at(10)) || p.ClockRefused != 1 {
		t.Errorf("the problem is %+v", p)
	}
	for i := range 40 { // one that is told anew all the time
		r.advance(t, r.clockTold(30, time.Duration(i)*time.Hour))
	}
	if v := version(); v > before+2 {
		t.Errorf("a clock that is told anew all the time moved the version from %d to %d", before, v)
	}
	if n := r.count(t, `SELECT count(*) FROM sensor_clock`); n > 16 {
		t.Errorf("%d spans of one clock are kept", n)
	}
	told := version()
	r.advance(t, r.clockTold(32, 39*time.Hour))
	r.advance(t, r.clockTold(34, 39*time.Hour))
	if v := version(); v != told+1 {
		t.Errorf("what was too soon to be told before moved the version from %d to %d", told, v)
	}
}

func TestWhatAChangeOfOwnerMakesUncertainIsNobodys(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.exec(t, fmt.Sprintf(`UPDATE patient SET zone = 'America/Lima' WHERE id = %d`, other.ID))
	changed := since().Add(10 * time.Hour)
	// The edge has not heard of it: it takes everything for the first one's.
	r.exec(t, fmt.Sprintf(`UPDATE assignment SET to_at = '%s', epoch = epoch + 1 WHERE id = %d`, changed.Format(time.RFC3339), r.given.ID))
	if _, err := r.app.Assign(t.Context(), r.nurse, devices.Binding{Sensor: "cuff-1", Patient: other.UID, From: changed}); err != nil {
		t.Fatal(err)
	}
	within := func(minutes int, clock vital.Clock) vital.Record {
		rec := r.weight(minutes, int64(80000+minutes))
		rec.Reading.More = &vital.More{Clock: clock}
		rec.Reading.MeasuredAt = rec.Reading.SentAt.Add(clock.Offset)
		rec.Reading.ReceivedAt = since().Add(23 * time.Hour)
		return rec
	}
	looked := func(unsure time.Duration) vital.Clock {
		return vital.Clock{Method: vital.ClockCoincident, Uncertainty: unsure}
	}
	clear1, unclear1 := within(590, looked(time.Minute)), within(591, looked(20*time.Minute))
	unclear2, clear2 := within(609, looked(10*time.Minute)), within(620, looked(10*time.Minute))
	// 10:30 on a clock without zone: by the first one's zone it is 09:30, by the second one's 15:30, and either had it then.
	either := within(630, vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: 5 * time.Minute})
	// 12:30 on it can only be the second one's, at 17:30.
	second := within(750, vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: 5 * time.Minute})
	all := []vital.Record{clear1, unclear1, unclear2, clear2, either, second}
	r.advance(t, all...)
	is := func(rec vital.Record, what string, patient vital.PatientID) {
		t.Helper()
		if n := r.count(t, `SELECT count(*) FROM reading WHERE id = $1 AND patient_id = $2`, rec.Reading.ID(), patient); (n == 1) != (patient != 0) {
			t.Errorf("%s: %d readings of patient %d", what, n, patient)
		}
		if n := r.count(t, `SELECT count(*) FROM inbox WHERE id = $1 AND reason = 'clock_uncertain'`, rec.Reading.ID()); (n == 1) != (patient == 0) {
			t.Errorf("%s: parked %d times", what, n)
		}
	}
	outcome := func() {
		t.Helper()
		is(clear1, "before the change, surely", r.patient.ID)
		is(unclear1, "before it, perhaps", 0)
		is(unclear2, "after it, perhaps", 0)
		is(clear2, "after it, surely", other.ID)
		is(either, "in either one's zone", 0)
		is(second, "in the second one's zone", other.ID)
		if n := r.count(t, `SELECT count(*) FROM reading WHERE id = $1 AND measured_at = $2`, second.Reading.ID(), since().Add(17*time.Hour+30*time.Minute)); n != 1 {
			t.Error("the second one's local time was not read in his zone")
		}
		if n := r.count(t, `SELECT count(*) FROM reading`) + r.count(t, `SELECT count(*) FROM inbox`); n != len(all) {
			t.Errorf("%d rows of %d readings", n, len(all))
		}
	}
	outcome()
	// Sent again, through an edge that knows the clock and the people better: each is the same measurement, and stays what it is.
	again := make([]vital.Record, len(all))
	for i, rec := range all {
		twin := *rec.Reading
		twin.Patient, twin.Assignment, twin.Epoch = 0, 0, 0
		twin.More = &vital.More{Clock: vital.Clock{Offset: 3 * time.Hour, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}
		twin.MeasuredAt = twin.SentAt.Add(3 * time.Hour)
		again[i] = vital.Record{Reading: &twin}
	}
	r.advance(t, again...)
	outcome()
}

// A sensor goes from hand to hand; the edge has heard of some of it; the sensor's clock has no zone, or is known to be wrong, or
// was changed at an unknown time. Nobody ever gets what another one measured.
func TestNobodyGetsWhatAnotherMeasuredByAWrongClock(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	zones := []string{"Europe/Ljubljana", "America/Lima", "Pacific/Auckland"}
	var people []vital.PatientID
	located := map[vital.PatientID]*time.Location{}
	uids := map[vital.PatientID]vital.UID{}
	for i, zone := range zones {
		p := r.addPatient(t, r.nurse, fmt.Sprint("p", i))
		r.exec(t, fmt.Sprintf(`UPDATE patient SET zone = '%s' WHERE id = %d`, zone, p.ID))
		people, located[p.ID], uids[p.ID] = append(people, p.ID), vital.ZoneOrUTC(zone), p.UID
	}
	sensors := 0
	rapid.Check(t, func(rt *rapid.T) {
		sensors++
		uid := fmt.Sprintf("cuff-of-%d", sensors)
		d, err := r.app.Enrol(t.Context(), r.nurse, devices.Enrolment{UID: uid, Model: "cuff"})
		if err != nil {
			rt.Fatal(err)
		}
		known := &devices.Snapshot{Assignments: map[vital.SensorID][]devices.Assignment{}, Clocks: map[devices.ClockKey]devices.Clocks{}}
		stale := &devices.Snapshot{Assignments: map[vital.SensorID][]devices.Assignment{}, Zones: located, Clocks: known.Clocks}
		at, n := since(), rapid.IntRange(2, 4).Draw(rt, "wearers")
		heard := rapid.IntRange(0, n).Draw(rt, "of whom the edge has heard")
		for i := range n {
			from := at.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "nobody's")) * time.Minute)
			at = from.Add(time.Duration(rapid.IntRange(10, 400).Draw(rt, "worn")) * time.Minute)
			b := devices.Binding{Sensor: uid, Patient: uids[rapid.SampledFrom(people).Draw(rt, "who")], From: from, To: at}
			a, err := r.app.Assign(t.Context(), r.nurse, b)
			if err != nil {
				rt.Fatal(err)
			}
			known.Assignments[d.Own] = append(known.Assignments[d.Own], a)
			if i < heard { // the edge knows it as it was before its end was: another epoch of the same
				was := a
				was.To, was.Epoch = time.Time{}, a.Epoch-1
				if i+1 < heard {
					was = a
				}
				stale.Assignments[d.Own] = append(stale.Assignments[d.Own], was)
			}
		}
		behind := time.Duration(rapid.IntRange(-200, 200).Draw(rt, "behind")) * time.Minute
		local := rapid.Bool().Draw(rt, "local")
		looked := !local || rapid.Bool().Draw(rt, "looked at")
		if looked {
			var c devices.Clocks
			if rapid.Bool().Draw(rt, "changed") {
				c, _ = c.Hear(vital.ClockLook{At: since(), Clock: vital.Clock{Offset: time.Hour, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}})
			}
			c, _ = c.Hear(vital.ClockLook{At: at, Clock: vital.Clock{Offset: behind, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}})
			known.Clocks[devices.ClockKey{Sensor: d.Own, Local: local}] = c
		}
		var batch []vital.Record
		var ids, wearers []int64
		for i := range 6 {
			a := rapid.SampledFrom(known.Assignments[d.Own]).Draw(rt, "measured by")
			truth := a.From.Add(a.To.Sub(a.From) * time.Duration(rapid.SampledFrom([]int{0, 3, 250, 500, 750, 999}).Draw(rt, "when, of a thousand")) / 1000)
			shown := truth.Add(-behind)
			if local && !looked {
				_, east := truth.In(located[a.Patient]).Zone()
				shown = truth.Add(time.Duration(east) * time.Second)
			}
			rec := r.weight(0, int64(70000+i))
			m := rec.Reading
			m.Sensor, m.Device, m.SentAt, m.ReceivedAt = d.Own, d.ID, shown, at.Add(time.Minute)
			m.Patient, m.Assignment, m.Epoch = 0, 0, 0
			var clock vital.Clock
			m.MeasuredAt, clock = stale.Moment(devices.Stamp{Sent: m.SentAt, Received: m.ReceivedAt, Local: local, Sensor: d.Own, Worn: d.Own}, nil)
			m.More = &vital.More{Clock: clock}
			if o, ok, _ := stale.OwnerWithin(d.Own, m.MeasuredAt, clock.Uncertainty, m.ReceivedAt); ok {
				m.Patient, m.Assignment, m.Epoch = o.Patient, o.ID, o.Epoch
			}
			batch, ids, wearers = append(batch, rec), append(ids, m.ID()), append(wearers, int64(a.Patient))
		}
		r.advance(t, batch...)
		if n := r.count(t, `SELECT count(*) FROM reading r JOIN unnest($1::bigint[], $2::bigint[]) AS w (id, wearer) ON w.id = r.id WHERE r.patient_id <> w.wearer`, ids, wearers); n > 0 {
			rt.Fatalf("%d readings went to somebody else", n)
		}
	})
	filed, parked := r.count(t, `SELECT count(*) FROM reading`), r.count(t, `SELECT count(*) FROM inbox WHERE reason = 'clock_uncertain'`)
	if filed < 10 || parked < 10 {
		t.Errorf("%d filed and %d parked: the test says nothing", filed, parked)
	}
}

// A clock that was ahead is put right: what was sent with the later time was measured earlier. The newest is what was measured
// last, for people and for judgements.
func TestTheNewestIsWhatWasMeasuredLast(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ahead := r.weight(120, 80000) // by a clock that was an hour ahead
	ahead.Reading.MeasuredAt = ahead.Reading.SentAt.Add(-time.Hour)
	ahead.Reading.Findings = vital.TimeCorrected
	ahead.Reading.More = &vital.More{Clock: vital.Clock{Offset: -time.Hour, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}
	right, before := r.weight(90, 81000), r.weight(30, 82000)
	r.advance(t, ahead, right, before)
	newest, err := r.app.Latest(t.Context(), r.nurse, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	if len(newest) != 1 || !newest[0].At.Equal(right.Reading.MeasuredAt) || newest[0].Values[0] != 81 {
		t.Errorf("the newest is %+v, want what was measured at %s", newest, right.Reading.MeasuredAt)
	}
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	tail := `SELECT coalesce(array_agg(value ORDER BY measured_at), '{}') FROM (` + postgres.ReadingQueries()["tails"] + `) t`
	for n, want := range map[int32][]float64{1: {81}, 2: {80, 81}, 3: {82, 80, 81}} {
		var values []float64
		if err := conn.QueryRow(t.Context(), tail, []int64{int64(r.patient.ID)}, []int16{int16(vital.BodyWeight)}, []int32{n}).Scan(&values); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(values, want) {
			t.Errorf("the last %d are %v, want %v", n, values, want)
		}
	}
}

// impossible is a weight whose time was refused, of a sensor, minutes after the assignment began.
func (r *record) impossible(minutes int, sensor vital.SensorID) vital.Record {
	read := *r.weight(minutes, 80000).Reading
	read.Sensor, read.SentAt = sensor, time.Date(2000, 1, 1, 0, minutes, 0, 0, time.UTC)
	raw := []byte(fmt.Sprint("weight ", sensor, minutes))
	return vital.Record{Refused: &vital.Refused{
		Org: r.nurse.Org, Device: r.device.ID, ReceivedAt: read.ReceivedAt, Reason: vital.ReasonClock, Detail: "time lies before 2015", Raw: raw,
		Length: int64(len(raw)), Hash: sha256.Sum256(raw), Read: &read,
	}}
}

// A clock whose times were refused is a problem until it sends good ones, or is found to be right; another sensor of its gateway says
// nothing of it.
func TestTimesThatAreGoodAgainEndTheProblemOfTheRefused(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other, _ := r.addDevice(t, r.nurse, r.patient, "scale-9")
	r.exec(t, fmt.Sprintf(`INSERT INTO gateway_grant (org_id, device_id, sensor_id) VALUES (%d, %d, %d)`, r.nurse.Org, r.device.ID, other.Own))
	problems := func() (sensors []string) {
		t.Helper()
		facts, now, err := r.app.DeviceFacts(t.Context(), r.nurse)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range facts.List(now) {
			if p.Kind == devices.ProblemClock && p.ClockRefused > 0 {
				sensors = append(sensors, fmt.Sprint(p.Sensor, " ", p.ClockRefused))
			}
		}
		return sensors
	}
	is := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, problems()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	lately := func(n int, rec vital.Record) vital.Record { // within one minute, an hour ago, but for the first
		at := time.Now().Add(time.Duration(n) * 5 * time.Second).Add(-time.Hour).Truncate(time.Microsecond).UTC()
		switch {
		case rec.Reading != nil:
			rec.Reading.SentAt, rec.Reading.MeasuredAt, rec.Reading.ReceivedAt = at, at, at
		case rec.Refused != nil:
			rec.Refused.ReceivedAt = at
		default:
			rec.Status.ReceivedAt, rec.Status.Look.At = at, at
		}
		return rec
	}
	assumed, old, good := lately(3, r.weight(3, 81000)), lately(4, r.weight(4, 82000)), lately(5, r.weight(5, 83000))
	assumed.Reading.Findings |= vital.TimeAssumed
	old.Reading.MeasuredAt = old.Reading.MeasuredAt.AddDate(0, 0, -2)
	r.advance(t, lately(0, r.weight(0, 80000)))
	r.advance(t, lately(1, r.impossible(1, r.device.Own)), lately(2, r.impossible(2, other.Own)), lately(3, r.impossible(3, other.Own)))
	is("refused", "cuff-1 1", "scale-9 2")
	r.advance(t, assumed, old)
	is("what has no time of its own, or is of long ago", "cuff-1 1", "scale-9 2")
	r.advance(t, good)
	is("good again", "scale-9 2")
	r.advance(t, lately(6, r.impossible(6, r.device.Own)))
	is("refused again", "cuff-1 2", "scale-9 2")
	if n, err := (postgres.Operator{AdminURL: r.db.AdminURL()}).Clocks(t.Context()); err != nil || n != (devices.ClockCount{Refused: 2}) {
		t.Errorf("an operator is told of %+v, %v", n, err)
	}
	r.advance(t, lately(6, r.clockTold(6, -time.Hour)))
	if n, err := (postgres.Operator{AdminURL: r.db.AdminURL()}).Clocks(t.Context()); err != nil || n != (devices.ClockCount{Off: 1, Refused: 1}) {
		t.Errorf("an operator is told of %+v, %v", n, err)
	}
	r.advance(t, lately(7, r.clockTold(7, 2*time.Second)))
	is("found to be right", "scale-9 2")
}
