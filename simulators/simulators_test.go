package simulators

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWallClockInChangedHours(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ wall, want string }{
		"in winter the wall shows UTC":                 {"2019-01-10 08:00:00", "2019-01-10T08:00:00Z"},
		"in summer it is an hour ahead":                {"2019-06-10 08:00:00", "2019-06-10T07:00:00Z"},
		"before the clocks go forward":                 {"2019-03-31 00:59:59", "2019-03-31T00:59:59Z"},
		"in the hour left out the offset before holds": {"2019-03-31 01:30:00", "2019-03-31T01:30:00Z"},
		"after the clocks went forward":                {"2019-03-31 02:00:00", "2019-03-31T01:00:00Z"},
		"in the repeated hour the first pass is taken": {"2019-10-27 01:30:00", "2019-10-27T00:30:00Z"},
		"after the clocks went back":                   {"2019-10-27 02:00:00", "2019-10-27T02:00:00Z"},
		"the morning after they went back":             {"2019-10-27 09:00:00", "2019-10-27T09:00:00Z"},
		"the last second before the repeated hour":     {"2019-10-27 00:59:59", "2019-10-26T23:59:59Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wallClock(c.wall, zone)
			if err != nil || got.UTC().Format(time.RFC3339) != c.want {
				t.Errorf("%s is %s, want %s (%v)", c.wall, got.UTC().Format(time.RFC3339), c.want, err)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadTIHMJoinsBloodPressure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "Physiology.csv", `patient_id,date,device_type,value,unit
p1,2019-04-02 08:57:31,Systolic blood pressure,142.0,mm[Hg]
p1,2019-04-02 08:57:31,Diastolic blood pressure,83.0,mm[Hg]
p1,2019-04-02 08:57:31,Heart rate,61.0,beats/min
p1,2019-04-01 07:58:18,Body Temperature,37.007,Cel
p2,2019-04-01 07:00:00,Heart rate,70.0,beats/min
`)
	write(t, dir, "Demographics.csv", "patient_id,age,sex\np1,\"(80, 90]\",Female\n")
	rec, err := ReadTIHM(dir)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Rows != 5 || len(rec.People) != 2 || rec.People[0].Sex != "female" || rec.People[0].BirthYear != 1934 {
		t.Errorf("%+v", rec)
	}
	var got []string
	for _, m := range rec.People[0].Messages {
		got = append(got, string(m.Body))
	}
	want := []string{
		`{"metric":"body_temperature","time":"2019-04-01T07:58:18+01:00","unit":"Cel","value":37.007}`,
		`{"metric":"heart_rate","time":"2019-04-02T08:57:31+01:00","unit":"beats/min","value":61.0}`,
		`{"diastolic":83.0,"metric":"blood_pressure","pulse":61.0,"systolic":142.0,"time":"2019-04-02T08:57:31+01:00","unit":"mm[Hg]"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	write(t, dir, "Physiology.csv", "patient_id,date,device_type,value,unit\np1,2019-04-02 08:57:31,Tail length,1,cm\n")
	if _, err := ReadTIHM(dir); err == nil {
		t.Error("an unknown device type was read")
	}
}

func TestScoreCountsPatientDays(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		p, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	rec := &Recording{Zone: zone, Labels: []Label{
		{"p1", at("2019-05-01T23:30:00Z"), "Blood pressure"}, // the second of May in London
		{"p1", at("2019-05-02T09:00:00Z"), "Blood pressure"}, // the same day
		{"p2", at("2019-05-02T09:00:00Z"), "Blood pressure"},
		{"p2", at("2019-05-02T09:00:00Z"), "Agitation"},
	}}
	seen := []AlertDay{
		{"p1", "blood_pressure", false, at("2019-05-02T08:00:00Z")},
		{"p1", "blood_pressure", false, at("2019-05-03T08:00:00Z")},
		{"p1", "blood_pressure", false, at("2019-05-03T19:00:00Z")},
		{"p2", "heart_rate", false, at("2019-05-02T08:00:00Z")},
		{"p1", "blood_pressure", true, at("2019-05-04T19:00:00Z")},
	}
	for _, s := range ScoreDays(rec, seen) {
		switch s.Type {
		case "Blood pressure":
			if s.LabelledDays != 2 || s.HitDays != 1 || s.AlertDays != 2 || *s.Recall != 0.5 || *s.Precision != 0.5 {
				t.Errorf("%+v", s)
			}
		case "Pulse":
			if s.LabelledDays != 0 || s.AlertDays != 1 || s.Recall != nil {
				t.Errorf("%+v", s)
			}
		}
	}
}

func TestReadLimitsNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	all, err := ReadLimits("../docs/examples/limits.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Bounds{{"yellow_low": 91, "yellow_high": 160}, {"yellow_low": 56, "yellow_high": 100}, {}}, all["blood_pressure"].Components); diff != "" {
		t.Error(diff)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"metric": `{"happiness":{}}`, "component": `{"heart_rate":{"speed":{}}}`, "bound": `{"heart_rate":{"value":{"yellow_lo":3}}}`, "json": `[`} {
		write(t, dir, name, text)
		if _, err := ReadLimits(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}
