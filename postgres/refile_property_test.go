package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// TestWhateverIsFiledAnewEndsWhereItBelongs is the property of refiling: after any sequence of refiles, merges and undos, carried out in
// steps of any size, with readings arriving in between in any order, by stale edges, twice, and judged by processes that
// lose what they knew, every reading stands once, under whoever owns it in the end, and every track is the pure fold of them.
func TestWhateverIsFiledAnewEndsWhereItBelongs(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		w := newTown(t, r, n)
		for range rapid.IntRange(4, 24).Draw(rt, "acts") {
			switch rapid.IntRange(0, 11).Draw(rt, "act") {
			case 0, 1, 2, 3:
				w.send(t, rt)
			case 4, 5:
				w.refile(t, rt)
			case 6:
				w.undo(t, rt)
			case 7:
				w.step(t, rapid.IntRange(1, 4).Draw(rt, "most"))
			case 8:
				w.judge(t, rapid.IntRange(0, vital.Partitions-1).Draw(rt, "partition"))
			case 9:
				w.forget(t, rapid.IntRange(0, vital.Partitions-1).Draw(rt, "partition"))
			case 10:
				w.merge(t, rt)
			case 11:
				w.unmerge(t, rt)
			}
		}
		for w.step(t, 3) {
		}
		for p := range vital.Partitions {
			w.judge(t, p)
		}
		w.check(t, rt)
	})
}

// slots is how many places the time line of a town has, ten minutes apart.
const (
	slots    = 40
	slotLong = 10 * time.Minute
	nobody   = -1
)

// town is some people, some cuffs that go from hand to hand, and the model: who owns which cuff in which slot.
type town struct {
	*record
	people    []account.Patient
	kits      []devices.Device
	owner     [][slots]int
	snapshots []*devices.Snapshot // what edges have known, the oldest first
	sent      map[vital.Key]vital.Record
	order     []vital.Key
	asked     []askedRefile
	merged    []askedMerge
	cursors   map[int]alerts.Cursor
	deciders  map[int]*alerts.Decider
	running   map[string]bool // refiles that have begun: until they end, a track need not follow from what has moved so far
	mended    int             // tracks that were found wrong while none was
}

type askedRefile struct {
	uid            vital.UID
	kit            int
	source, target int
	parts          [slots]bool
}

func newTown(t *testing.T, r *record, n int) *town {
	t.Helper()
	w := &town{record: r, sent: map[vital.Key]vital.Record{}, cursors: map[int]alerts.Cursor{}, deciders: map[int]*alerts.Decider{}, running: map[string]bool{}}
	for p := range vital.Partitions {
		w.forget(t, p)
	}
	yellow, red := 140.0, 165.0
	for i := range 3 {
		p := r.addPatient(t, r.nurse, fmt.Sprintf("%d-%d", n, i))
		_, err := r.app.AddVersion(t.Context(), r.nurse, p.UID, alerts.LimitOn(vital.BloodPressure), 1, alerts.Version{
			EffectiveFrom: since(), Enabled: true, Reason: "test",
			Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: &yellow, RedHigh: &red, Margin: 3}}, K: 1 + i%2, N: 1 + i, ClearAfter: 1 + i%2},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.people = append(w.people, p)
	}
	for i := range 2 {
		uid := fmt.Sprintf("kit-%d-%d", n, i)
		d, err := r.app.Enrol(t.Context(), r.nurse, devices.Enrolment{UID: uid, Model: "cuff", SecretHash: sha256.Sum256([]byte(uid))})
		if err != nil {
			t.Fatal(err)
		}
		w.kits = append(w.kits, d)
		var owner [slots]int
		for s := range owner {
			owner[s] = nobody
		}
		w.owner = append(w.owner, owner)
		// The first cuff is the first person's from the beginning; the second begins late, goes on to another, and has a gap.
		w.assign(t, i, i, 10*i, 20+20*(1-i))
		if i == 1 {
			w.assign(t, i, 2, 25, slots)
		}
	}
	w.look(t)
	return w
}

func place(slot int) time.Time { return since().Add(time.Duration(slot) * slotLong) }

func (w *town) assign(t *testing.T, kit, person, from, to int) {
	t.Helper()
	b := devices.Binding{Sensor: w.kits[kit].UID, Patient: w.people[person].UID, From: place(from)}
	if to < slots {
		b.To = place(to)
	}
	if _, err := w.app.Assign(t.Context(), w.nurse, b); err != nil {
		t.Fatal(err)
	}
	for s := from; s < min(to, slots); s++ {
		w.owner[kit][s] = person
	}
}

func (w *town) look(t *testing.T) {
	t.Helper()
	s, err := w.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.snapshots = append(w.snapshots, s)
}

// forget lets another process take the partition.
func (w *town) forget(t *testing.T, p int) {
	t.Helper()
	w.cursors[p], w.deciders[p] = w.claim(t, p, "p1"), alerts.NewDecider(10)
}

// judge commits a batch of the partition, empty or not.
func (w *town) judge(t *testing.T, p int, records ...vital.Record) {
	t.Helper()
	c := w.cursors[p]
	b := alerts.Batch{Cursor: c, Lane: vital.Live, To: c.LiveSeq + 1, Records: records, Now: since().Add(24 * time.Hour)}
	before := w.deciders[p].Mended()
	res, err := w.work.Advance(t.Context(), b, w.deciders[p].Decide)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.running) == 0 {
		w.mended += w.deciders[p].Mended() - before
	}
	w.deciders[p].Committed()
	w.cursors[p] = res.Cursor
}

// send lets an edge, which may have slept, publish new readings and some that were published before.
func (w *town) send(t *testing.T, rt *rapid.T) {
	t.Helper()
	edge := w.snapshots[rapid.IntRange(max(0, len(w.snapshots)-3), len(w.snapshots)-1).Draw(rt, "edge knows")]
	batches := map[int][]vital.Record{}
	for range rapid.IntRange(1, 6).Draw(rt, "readings") {
		var rec vital.Record
		if len(w.order) > 0 && rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
			rec = w.sent[rapid.SampledFrom(w.order).Draw(rt, "which")]
		} else {
			rec = w.measure(rt)
		}
		own := *rec.Reading
		own.Patient, own.Assignment, own.Epoch = 0, 0, 0
		if a, ok := edge.Owner(own.Sensor, own.MeasuredAt); ok {
			own.Patient, own.Assignment, own.Epoch = a.Patient, a.ID, a.Epoch
		}
		p := own.Partition()
		batches[p] = append(batches[p], vital.Record{Reading: &own})
	}
	for p, list := range batches {
		w.judge(t, p, list...)
	}
}

func (w *town) measure(rt *rapid.T) vital.Record {
	d := w.kits[rapid.IntRange(0, len(w.kits)-1).Draw(rt, "kit")]
	at := place(rapid.IntRange(0, slots-1).Draw(rt, "slot")).Add(time.Duration(rapid.IntRange(0, 8).Draw(rt, "minute")) * time.Minute)
	systolic := int64(rapid.SampledFrom([]int{120, 138, 150, 170}).Draw(rt, "systolic"))
	sent := [3]vital.Quantity{{Mantissa: systolic, Unit: vital.MmHg}, {Mantissa: 80, Unit: vital.MmHg}}
	rec := vital.Record{Reading: &vital.Reading{
		Key:        vital.Key{Sensor: d.Own, Metric: vital.BloodPressure, SentAt: at, Tie: vital.TieOf(sent[:2])},
		MeasuredAt: at, ReceivedAt: at.Add(time.Second), Org: w.nurse.Org, Device: d.ID, Sent: sent, N: 2,
	}}
	if _, known := w.sent[rec.Reading.Key]; !known {
		w.order = append(w.order, rec.Reading.Key)
	}
	w.sent[rec.Reading.Key] = rec
	return rec
}

func (w *town) refiles() *safe.Refiles {
	return &safe.Refiles{People: w.app, Book: w.app, Now: time.Now}
}

func (w *town) uidOf(person int) vital.UID {
	if person == nobody {
		return ""
	}
	return w.people[person].UID
}

// refile asks for a span of a cuff; what the record refuses changes nothing.
func (w *town) refile(t *testing.T, rt *rapid.T) {
	t.Helper()
	kit := rapid.IntRange(0, len(w.kits)-1).Draw(rt, "kit")
	a := askedRefile{kit: kit, source: rapid.IntRange(nobody, 2).Draw(rt, "from whom"), target: rapid.IntRange(nobody, 2).Draw(rt, "to whom")}
	if a.source == a.target {
		return
	}
	from := rapid.IntRange(0, slots-2).Draw(rt, "from slot")
	to := rapid.IntRange(from+1, slots).Draw(rt, "to slot")
	wish := safe.Wish{Sensor: w.kits[kit].UID, From: place(from), Owner: w.uidOf(a.source), BelongsTo: w.uidOf(a.target), Reason: "test"}
	if to < slots {
		wish.To = place(to)
	}
	made, err := w.refiles().Ask(t.Context(), w.nurse, wish)
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	a.uid = made.UID
	for s := from; s < to; s++ {
		a.parts[s] = w.owner[kit][s] == a.source
	}
	w.carry(a)
}

// carry brings the model to where the refile will bring the record.
func (w *town) carry(a askedRefile) {
	for s, is := range a.parts {
		if is {
			w.owner[a.kit][s] = a.target
		}
	}
	w.asked = append(w.asked, a)
}

func (w *town) undo(t *testing.T, rt *rapid.T) {
	t.Helper()
	if len(w.asked) == 0 {
		return
	}
	was := rapid.SampledFrom(w.asked).Draw(rt, "undo")
	made, err := w.refiles().Undo(t.Context(), w.nurse, was.uid, "")
	if fault.Is(err, fault.Conflict) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	a := askedRefile{uid: made.UID, kit: was.kit, source: was.target, target: was.source}
	for s, is := range was.parts {
		a.parts[s] = is && w.owner[a.kit][s] == a.source
	}
	w.carry(a)
}

// askedMerge is a merge with what it did to each cuff.
type askedMerge struct {
	uid        vital.UID
	from, into int
	parts      []askedRefile
	over       bool
}

func (w *town) merges() *safe.Merges { return &safe.Merges{People: w.app, Book: w.app} }

// merge finds that two of the people are one.
func (w *town) merge(t *testing.T, rt *rapid.T) {
	t.Helper()
	from := rapid.IntRange(0, 2).Draw(rt, "who")
	into := (from + rapid.IntRange(1, 2).Draw(rt, "is also")) % 3
	c, err := w.merges().Compare(t.Context(), w.nurse, w.people[from].UID, w.people[into].UID)
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.merges().Ask(t.Context(), w.nurse, safe.MergeWish{
		Patient: w.people[from].UID, Into: w.people[into].UID, Confirm: c.Confirm, Reason: "test", Override: "the test says so",
	})
	if fault.Is(err, fault.Conflict) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m := askedMerge{uid: made.UID, from: from, into: into}
	for kit := range w.kits {
		a := askedRefile{kit: kit, source: from, target: into}
		for s := range a.parts {
			a.parts[s] = w.owner[kit][s] == from
			if a.parts[s] {
				w.owner[kit][s] = into
			}
		}
		m.parts = append(m.parts, a)
	}
	w.merged = append(w.merged, m)
}

func (w *town) unmerge(t *testing.T, rt *rapid.T) {
	t.Helper()
	if len(w.merged) == 0 {
		return
	}
	m := &w.merged[rapid.IntRange(0, len(w.merged)-1).Draw(rt, "unmerge")]
	_, err := w.merges().Undo(t.Context(), w.nurse, m.uid, "")
	if fault.Is(err, fault.Conflict) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.over {
		rt.Fatal("a merge was undone twice")
	}
	m.over = true
	for _, a := range m.parts {
		for s, is := range a.parts {
			if is && w.owner[a.kit][s] == m.into {
				w.owner[a.kit][s] = m.from
			}
		}
	}
}

// step carries out one step and reports whether there was one.
func (w *town) step(t *testing.T, most int) bool {
	t.Helper()
	now, err := w.work.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.work.StepRefile(t.Context(), now, most)
	if err != nil || s.Trouble != nil {
		t.Fatal(err, s.Trouble)
	}
	switch {
	case s.Ended:
		delete(w.running, s.Refile)
	case s.Found:
		w.running[s.Refile] = true
	}
	if s.Registry {
		w.look(t)
	}
	if _, err := w.work.EndMerges(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return s.Found
}

// A reading names the assignment that it was filed under, of its sensor and patient; and one of these covers it. Of an
// assignment that was cut in two, the later part is another row.
const whereItIs = `
SELECT CASE WHEN EXISTS (SELECT FROM assignment a WHERE a.id = r.assignment_id AND a.patient_id = r.patient_id AND a.sensor_id = r.sensor_id)
    AND EXISTS (SELECT FROM assignment a WHERE a.patient_id = r.patient_id AND a.sensor_id = r.sensor_id AND a.from_at <= r.measured_at AND (a.to_at IS NULL OR a.to_at > r.measured_at))
    THEN 'filed' ELSE 'filed by no assignment' END, r.sensor_id, r.metric, r.sent_at, r.tie, r.patient_id
FROM reading r WHERE r.sensor_id = ANY($1)
UNION ALL SELECT 'parked', i.sensor_id, i.metric, i.sent_at, i.tie, 0 FROM inbox i WHERE i.sensor_id = ANY($1) AND i.state = 'waiting'
ORDER BY 2, 4, 5, 1`

type located struct {
	What    string
	Key     vital.Key
	Patient vital.PatientID
}

func (w *town) check(t *testing.T, rt *rapid.T) {
	t.Helper()
	var sensors []int64
	kitOf := map[vital.SensorID]int{}
	for i, k := range w.kits {
		sensors = append(sensors, int64(k.Own))
		kitOf[k.Own] = i
	}
	got := query(t, w.record, whereItIs, func(row pgx.CollectableRow) (located, error) {
		var l located
		err := row.Scan(&l.What, &l.Key.Sensor, &l.Key.Metric, &l.Key.SentAt, &l.Key.Tie, &l.Patient)
		l.Key.SentAt = l.Key.SentAt.UTC()
		return l, err
	}, sensors)
	seen := map[vital.Key]bool{}
	for _, l := range got {
		slot := int(l.Key.SentAt.Sub(since()) / slotLong)
		want := located{What: "parked", Key: l.Key}
		if who := w.owner[kitOf[l.Key.Sensor]][slot]; who != nobody {
			want.What, want.Patient = "filed", w.people[who].ID
		}
		if diff := cmp.Diff(want, l); diff != "" || seen[l.Key] {
			rt.Fatalf("a reading of slot %d is not where it belongs, or twice (%v) (-want +got):\n%s", slot, seen[l.Key], diff)
		}
		seen[l.Key] = true
	}
	if len(seen) != len(w.sent) {
		rt.Fatalf("%d readings were sent and %d are there", len(w.sent), len(seen))
	}
	for i := range w.people {
		w.checkPerson(t, rt, &w.people[i])
	}
	if w.mended > 0 {
		rt.Fatalf("%d tracks were found wrong on the way", w.mended)
	}
}

const pointsOf = `SELECT value, coalesce(value2, 'NaN'), measured_at, id, sensor_id FROM reading WHERE patient_id = $1 ORDER BY measured_at, id`

func (w *town) checkPerson(t *testing.T, rt *rapid.T, p *account.Patient) {
	t.Helper()
	points := query(t, w.record, pointsOf, func(row pgx.CollectableRow) (alerts.Point, error) {
		p := alerts.Point{Metric: vital.BloodPressure, Values: make([]float64, 2)}
		err := row.Scan(&p.Values[0], &p.Values[1], &p.At, &p.ID, &p.Sensor)
		p.At = p.At.UTC()
		return p, err
	}, int64(p.ID))
	rules, err := w.app.Rules(context.Background(), w.nurse, p.UID)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{record: w.record}
	for i := range rules {
		if rules[i].Metric != vital.BloodPressure {
			continue
		}
		if diff := cmp.Diff(alerts.FoldAll(&rules[i], points), s.track(t, rules[i].ID), cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("the stored track of %s differs from the pure fold (-want +got):\n%s", rules[i].Key(), diff)
		}
	}
	list, err := w.app.Alerts(t.Context(), w.nurse, alerts.Filter{Patient: p.UID, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		log, err := w.app.Log(t.Context(), w.nurse, a.UID)
		if err != nil {
			t.Fatal(err)
		}
		first := alerts.Episode{ID: a.ID, UID: a.UID, Org: a.Org, Patient: a.Patient, Rule: a.Rule, Metric: a.Metric}
		if diff := cmp.Diff(a.Episode, alerts.FoldLog(first, log)); diff != "" {
			rt.Fatalf("the log does not fold to the episode (-stored +folded):\n%s", diff)
		}
	}
}
