package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/devices"
	"hale/postgres"
	"hale/safe"
	"hale/vital"
)

// sugar is a glucose of the record's patient as its meter counted it.
func (r *record) sugar(minutes int, sequence, mgdl int64) vital.Record {
	rec := r.weight(minutes, mgdl)
	rec.Reading.Metric, rec.Reading.Tie, rec.Reading.HasSequence = vital.Glucose, sequence, true
	rec.Reading.Sent[0] = vital.Quantity{Mantissa: mgdl, Unit: vital.MgPerDL}
	return rec
}

// meal is what the meter says beside the measurement of a sequence number.
func (r *record) meal(minutes int, sequence int64, meal string) vital.Record {
	rec := r.sugar(minutes, sequence, 0)
	rec.Reading.Sent, rec.Reading.N = [3]vital.Quantity{}, 0
	rec.Reading.More = &vital.More{Facts: []vital.Fact{{Name: "meal", Value: meal}}}
	return rec
}

// series returns the single readings of a metric as people see them.
func (r *record) series(t *testing.T, m vital.Metric) []alerts.Bucket {
	t.Helper()
	list, err := r.app.Series(t.Context(), r.nurse, alerts.SeriesQuery{Patient: r.patient.UID, Metric: m, From: since().Add(-24 * time.Hour), To: since().Add(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWhatStoodBesideAReadingIsKeptAndShown(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	plain, rich := r.pressure(10, 131, 81), r.pressure(20, 132, 82)
	rich.Reading.More = &vital.More{
		Clock:    vital.Clock{Offset: -90 * time.Second, Method: vital.ClockCoincident, Uncertainty: 5 * time.Second},
		Standing: vital.Amended, Name: 99, Facts: []vital.Fact{{Name: "mean_pressure", Value: "95 mm[Hg]"}, {Name: "note", Value: "it's a \"quote\"\x00"}},
	}
	stranger := r.pressure(30, 133, 83) // of a time when nobody had the device
	stranger.Reading.SentAt = since().Add(-time.Hour)
	stranger.Reading.MeasuredAt, stranger.Reading.Patient, stranger.Reading.Assignment = stranger.Reading.SentAt, 0, 0
	stranger.Reading.More = &vital.More{Facts: []vital.Fact{{Name: "body_site", Value: "arm"}}}
	r.advance(t, plain, rich, stranger, rich)
	r.advance(t, rich, stranger) // again

	got := query(t, r, `SELECT clock_offset_us || ' ' || clock_method || ' ' || uncertainty_us || ' ' || standing || ' ' || name FROM reading_more ORDER BY sent_at`, pgx.RowTo[string])
	if diff := cmp.Diff([]string{"0 0 0 0 0", "-90000000 1 5000000 1 99"}, got); diff != "" {
		t.Error(diff)
	}
	shown := r.series(t, vital.BloodPressure)
	want := []vital.Fact{{Name: "mean_pressure", Value: "95 mm[Hg]"}, {Name: "note", Value: "it's a \"quote\"?"}}
	if len(shown) != 2 || shown[0].Facts != nil || !cmp.Equal(want, shown[1].Facts) {
		t.Errorf("shown is %+v", shown)
	}
	copied, err := r.app.TablesOf(t.Context(), r.nurse, r.patient.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, table := range copied {
		if table.Name == "reading_more" {
			rows = len(table.Rows)
		}
	}
	streams, err := r.app.Streams(t.Context(), r.nurse, r.patient.ID)
	if err != nil || len(streams) != 1 {
		t.Fatalf("streams %v, %v", streams, err)
	}
	all, err := r.app.Readings(t.Context(), r.nurse, r.patient.ID, streams[0], safe.ReadingMark{}, since().Add(48*time.Hour), 10)
	if err != nil || len(all) != 2 || all[0].Facts != nil || !cmp.Equal(want, all[1].Facts) {
		t.Errorf("exported is %+v, %v", all, err)
	}
	if rows != 1 {
		t.Errorf("the patient's copy has %d rows of it, want the one that is theirs", rows)
	}
}

func TestAMealFindsItsMeasurementWhicheverComesFirst(t *testing.T) {
	t.Parallel()
	for name, batches := range map[string]func(r *record) [][]vital.Record{
		"together": func(r *record) [][]vital.Record {
			return [][]vital.Record{{r.sugar(10, 8, 121), r.meal(11, 8, "fasting")}}
		},
		"the meal later": func(r *record) [][]vital.Record {
			return [][]vital.Record{{r.sugar(10, 8, 121)}, {r.meal(11, 8, "fasting")}}
		},
		"the meal before": func(r *record) [][]vital.Record {
			return [][]vital.Record{{r.meal(9, 8, "fasting")}, {r.withContext(10, 8, 121)}}
		},
		"the meal twice": func(r *record) [][]vital.Record {
			return [][]vital.Record{{r.sugar(10, 8, 121), r.meal(11, 8, "fasting")}, {r.meal(12, 8, "fasting")}}
		},
		"another number besides": func(r *record) [][]vital.Record {
			return [][]vital.Record{{r.sugar(10, 8, 121), r.meal(11, 9, "bedtime"), r.meal(11, 8, "fasting")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecord(t)
			for _, batch := range batches(r) {
				r.advance(t, batch...)
			}
			shown := r.series(t, vital.Glucose)
			if len(shown) != 1 || shown[0].Avg[0] != 121 {
				t.Fatalf("shown is %+v", shown)
			}
			var meals []string
			for _, f := range shown[0].Facts {
				if f.Name == "meal" {
					meals = append(meals, f.Value)
				}
			}
			if diff := cmp.Diff([]string{"fasting"}, meals); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// withContext is sugar whose meter has said that more follows.
func (r *record) withContext(minutes int, sequence, mgdl int64) vital.Record {
	rec := r.sugar(minutes, sequence, mgdl)
	rec.Reading.More = &vital.More{Facts: []vital.Fact{{Name: "context", Value: "follows"}}}
	return rec
}

func TestMessagesAreKeptAsTheyWereSentForThirtyDays(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := r.now(t)
	sent := func(raw string, age time.Duration) vital.Record {
		return vital.Record{Original: &vital.Original{Org: r.nurse.Org, Device: r.device.ID, ReceivedAt: now.Add(-age), Topic: "hale/v1/cuff-1/gatt/2A35", Raw: []byte(raw), Hash: sha256.Sum256([]byte(raw))}}
	}
	const day = 24 * time.Hour
	r.advance(t, sent("old", 31*day), sent("again", 40*day), sent("new", 29*day))
	r.advance(t, sent("again", day))
	if n := r.count(t, `SELECT count(*) FROM original`); n != 3 {
		t.Fatalf("%d messages are kept, want one of each", n)
	}
	if err := r.work.KeepOriginals(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := query(t, r, `SELECT convert_from(raw, 'UTF8') FROM original ORDER BY 1`, pgx.RowTo[string])
	if diff := cmp.Diff([]string{"again", "new"}, got); diff != "" {
		t.Error(diff)
	}
	if postgres.OriginalsFor != 30*day {
		t.Errorf("they are kept for %s", postgres.OriginalsFor)
	}
}

func TestAnAverageIsShownAndJudgedByNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	mean := r.pressure(10, 221, 131) // beyond every limit
	mean.Reading.Findings |= vital.Averaged
	r.advance(t, mean)
	if n := r.count(t, `SELECT count(*) FROM episode`); n != 0 {
		t.Errorf("%d alerts are of an average", n)
	}
	if shown := r.series(t, vital.BloodPressure); len(shown) != 1 {
		t.Fatalf("shown is %+v", shown)
	}
	// Nor is it one of so many: what is stored is as if it were not there.
	r.decider.Forget()
	r.exec(t, fmt.Sprintf(`INSERT INTO situation_change (org_id, partition, patient_id, rejudge_from, late, at) VALUES (%d, %d, %d, '2026-01-01Z', false, now())`,
		r.nurse.Org, r.cursor.Partition, r.patient.ID)) // and judge all of it anew
	r.advance(t, r.pressure(11, 121, 71))
	if n := r.count(t, `SELECT count(*) FROM episode`); n != 0 {
		t.Errorf("%d alerts are of an average that was stored before", n)
	}
	if fmt.Sprintf("%d", vital.NotJudged) != "8192" {
		t.Errorf("the record reads another number than %d (facts.go, judged)", vital.NotJudged)
	}
	worst := r.pressure(12, 221, 131)
	r.advance(t, worst)
	if n := r.count(t, `SELECT count(*) FROM episode`); n != 1 {
		t.Errorf("%d alerts are of the same as a measurement, want 1", n)
	}
}

func TestWhatComesFromASharedSensorWithoutAUserWaitsWithThatReason(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	shared, err := r.app.Enrol(t.Context(), r.nurse, sharedScale())
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, fmt.Sprintf(`INSERT INTO sensor (org_id, uid, parent_id, slot) VALUES (1, 'scale-1:2', %d, 2)`, shared.Own))
	rec := r.weight(10, 81000)
	rec.Reading.Sensor, rec.Reading.Device, rec.Reading.Patient, rec.Reading.Assignment = shared.Own, shared.ID, 0, 0
	r.advance(t, rec)
	if got := r.text(t, `SELECT reason FROM inbox`); got != "slot" {
		t.Errorf("it waits for %q", got)
	}
}

func sharedScale() devices.Enrolment {
	return devices.Enrolment{UID: "scale-1", Model: "scale", SecretHash: sha256.Sum256([]byte("s"))}
}
