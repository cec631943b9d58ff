package simulators

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/vital"
)

func noon() time.Time { return time.Date(2026, 11, 14, 12, 0, 0, 0, time.UTC) }

func cohort(t interface{ Fatal(...any) }, name string, patients int, seed uint64) *Cohort {
	s, err := FindScenario(name)
	if err != nil {
		t.Fatal(err)
	}
	return &Cohort{Scenario: s, Patients: patients, Seed: seed, Start: noon()}
}

// everybody draws the whole cohort.
func everybody(c *Cohort) []*Life {
	all := make([]*Life, c.Patients)
	for i := range all {
		all[i] = c.Life(i)
	}
	return all
}

// lived returns everything that a person sends until the story ends.
func lived(c *Cohort, l *Life) []Sending {
	var all []Sending
	for !l.Lived().After(c.Start.Add(c.Length())) {
		all = append(all, l.NextDay()...)
	}
	return all
}

// shown is a reading as its bytes tell it.
type shown struct {
	Metric    string
	Value     *float64
	Systolic  *float64
	Diastolic *float64
	Pulse     *float64
	Unit      string
	Time      time.Time
	Seq       *int64
	Findings  []string
}

func read(t interface{ Fatalf(string, ...any) }, body []byte) shown {
	var s shown
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return s
}

// canonical is the number that limits look at: the value or the systolic pressure, in the canonical unit.
func (s *shown) canonical() float64 {
	if s.Systolic != nil {
		return *s.Systolic
	}
	if s.Unit == "mmol/L" {
		return *s.Value * 18.0156
	}
	return *s.Value
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := Scenarios()
		name := all[rapid.IntRange(0, len(all)-1).Draw(t, "scenario")].Name
		seed := rapid.Uint64().Draw(t, "seed")
		if name == "storm" && rapid.IntRange(0, 9).Draw(t, "seldom") > 0 {
			name = "mixed" // a storm has a thousand readings a day
		}
		small, large := cohort(t, name, 1, seed), cohort(t, name, 2, seed)
		small.Days, large.Days = 2, 2
		a, b := everybody(small), everybody(large)
		for i := range a {
			if diff := cmp.Diff(lived(small, a[i]), lived(large, b[i])); diff != "" {
				t.Fatalf("person %d of %s differs in a larger cohort of the same seed: %s", i, name, diff)
			}
			if diff := cmp.Diff(a[i].Truths(noon().Add(48*time.Hour)), b[i].Truths(noon().Add(48*time.Hour))); diff != "" {
				t.Fatal(diff)
			}
		}
		other := cohort(t, name, 1, seed+1)
		other.Days = 3
		if l := other.Life(0); l.Number == a[0].Number || l.Kits[0].Device == a[0].Kits[0].Device {
			t.Fatalf("another seed gives the same person %s", l.Number)
		}
	})
}

// refusal says why a reading would be refused; "" when it would be stored.
func refusal(t *testing.T, s *shown) string {
	t.Helper()
	m, ok := vital.ParseMetric(s.Metric)
	if !ok {
		return "no such metric"
	}
	d, _ := vital.Define(m)
	unit, ok := vital.ParseUnit(s.Unit)
	if !ok {
		return "no such unit"
	}
	quantity := func(v float64, u vital.Unit) vital.Quantity {
		mantissa, exponent, err := vital.ParseDecimal(fmt.Sprint(v))
		if err != nil {
			t.Fatal(err)
		}
		return vital.Quantity{Mantissa: mantissa, Exponent: exponent, Unit: u}
	}
	var sent []vital.Quantity
	if m == vital.BloodPressure {
		sent = append(sent, quantity(*s.Systolic, unit), quantity(*s.Diastolic, unit), quantity(*s.Pulse, vital.PerMinute))
		sent = sent[:d.Usable(sent)]
	} else {
		sent = append(sent, quantity(*s.Value, unit))
	}
	if reason, detail, ok := d.Check(sent); !ok {
		return string(reason) + ": " + detail
	}
	return ""
}

func TestEveryReadingIsPlausibleUnlessAnArtefactSaysOtherwise(t *testing.T) {
	t.Parallel()
	readings, artefacts := 0, 0
	for _, s := range Scenarios() {
		for seed := range uint64(3) {
			c := cohort(t, s.Name, 12, seed)
			if s.Name == "storm" {
				c.Patients = 3
			}
			for _, l := range everybody(c) {
				var last time.Time
				seqs := map[string]map[int64]string{}
				measured := map[string]string{}
				for _, sent := range lived(c, l) {
					r := read(t, sent.Body)
					readings++
					if !r.Time.Equal(sent.Measured) || r.Metric != sent.Metric || sent.At.Before(sent.Measured) || r.Time.Before(c.Start) {
						t.Fatalf("%s: sent %s, measured %s: %s", l.Number, sent.At, sent.Measured, sent.Body)
					}
					if identity := fmt.Sprint(sent.Kit, sent.Sensor, sent.Metric, sent.Measured); !sent.Again {
						if was, ok := measured[identity]; ok {
							t.Fatalf("%s: %s and %s are of one moment", l.Number, was, sent.Body)
						}
						measured[identity] = string(sent.Body)
					}
					if r.Seq != nil {
						key := fmt.Sprint(sent.Kit, sent.Sensor, sent.Metric)
						if seqs[key] == nil {
							seqs[key] = map[int64]string{}
						}
						if was, ok := seqs[key][*r.Seq]; ok && was != string(sent.Body) {
							t.Fatalf("a sequence number stands for %s and %s", was, sent.Body)
						}
						seqs[key][*r.Seq] = string(sent.Body)
					}
					if why := refusal(t, &r); why != "" {
						artefacts++
						told := slices.ContainsFunc(l.truths, func(t Truth) bool { return t.Class == Artefact && t.From.Equal(r.Time) })
						if !told {
							t.Errorf("%s: %s: %s", s.Name, sent.Body, why)
						}
					}
					if r.Unit == "mm[Hg]" && (*r.Systolic != math.Trunc(*r.Systolic) || l.habits.even && int(*r.Systolic)%2 != 0) {
						t.Errorf("a cuff shows %s", sent.Body)
					}
					last = sent.At
				}
				if last.IsZero() {
					t.Errorf("%s: %s measured nothing", s.Name, l.Number)
				}
			}
		}
	}
	if readings < 30_000 || artefacts == 0 || artefacts*500 > readings {
		t.Errorf("%d readings, %d of them refused", readings, artefacts)
	}
}

func TestDevicesSendLateAndTwice(t *testing.T) {
	t.Parallel()
	c := cohort(t, "mixed", 60, 3)
	late, twice, all := 0, 0, 0
	for _, l := range everybody(c) {
		first := map[string]time.Time{}
		for _, s := range lived(c, l) {
			key := fmt.Sprint(s.Kit, s.Sensor, string(s.Body))
			if s.Again {
				twice++
				if at, ok := first[key]; ok && s.At.Before(at) {
					t.Fatalf("%s is sent again before it is sent", s.Body)
				}
				continue
			}
			if _, ok := first[key]; ok {
				t.Fatalf("%s is measured twice", s.Body)
			}
			first[key] = s.At
			all++
			if s.At.Sub(s.Measured) > time.Hour {
				late++
			}
		}
	}
	if all < 3000 || late*100 < all || late*5 > all || twice == 0 {
		t.Errorf("%d readings, %d late, %d sent twice", all, late, twice)
	}
	classes := map[TruthClass]int{}
	for _, l := range everybody(c) {
		lived(c, l)
		for _, truth := range l.Truths(c.Start.Add(c.Length())) {
			classes[truth.Class]++
		}
	}
	for _, class := range []TruthClass{Clinical, Artefact, Technique, Missing, Line} {
		if classes[class] == 0 {
			t.Errorf("nothing of class %s happened: %v", class, classes)
		}
	}
}

func TestAPersonKeepsTheirRhythm(t *testing.T) {
	t.Parallel()
	c := cohort(t, "hypertension", 30, 11)
	var day, night, pairs, squares, lagged float64
	for _, l := range everybody(c) {
		l.Troubles = nil
		for d := range 200 {
			day += l.at(l.clock(d, 15)).systolic
			night += l.at(l.clock(d, 4)).systolic
			if d > 0 {
				a, b := l.drift(d-1).systolic, l.drift(d).systolic
				lagged, squares, pairs = lagged+a*b, squares+a*a, pairs+1
			}
		}
	}
	if dip := 1 - night/day; dip < 0.07 || dip > 0.13 {
		t.Errorf("the pressure dips by %.3f at night, want about a tenth", dip)
	}
	if rho := lagged / squares; math.Abs(rho-persistence) > 0.05 {
		t.Errorf("a day keeps %.2f of the one before, want %.2f", rho, persistence)
	}
	if sd := math.Sqrt(squares / pairs); sd < 0.85 || sd > 1.1 {
		t.Errorf("days differ by %.2f standard deviations, want 1", sd)
	}
}

func TestFeverDrivesThePulse(t *testing.T) {
	t.Parallel()
	l := cohort(t, "quiet", 1, 5).Life(0)
	at := l.start.Add(60 * time.Hour)
	well := l.at(at)
	l.suffer(trouble(Infection, at.Add(-24*time.Hour), 12, 48, 12, 1))
	ill := l.at(at)
	if ill.temperature < well.temperature+1.8 || ill.pulse < well.pulse+6 || ill.respiration <= well.respiration {
		t.Errorf("well %+v, with fever %+v", well, ill)
	}
}

func TestFolkDrawsPeopleOfEveryKind(t *testing.T) {
	t.Parallel()
	sexes, zones, names, old := map[string]int{}, map[string]int{}, map[string]int{}, 0
	lives := everybody(cohort(t, "mixed", 300, 1))
	for _, l := range lives {
		sexes[l.Sex]++
		zones[l.Zone.String()]++
		names[l.Name]++
		if age := noon().Year() - l.BirthYear; age < 62 || age > 98 {
			t.Errorf("%s is %d", l.Name, age)
		} else if age >= 75 {
			old++
		}
	}
	if len(zones) != 8 || sexes["female"] < 120 || sexes["male"] < 90 || len(names) < 150 || old < 150 {
		t.Errorf("%v, %v, %d names, %d of 75 or more", sexes, zones, len(names), old)
	}
}

func TestNothingMeasuresTwiceAtOnce(t *testing.T) {
	t.Parallel()
	taken := map[visit]bool{}
	var at []time.Time
	for i, instrument := range []Instrument{Cuff, Cuff, Oximeter, Cuff} {
		v := visit{at: noon(), instrument: instrument, turn: i % 2}
		v.wait(taken)
		at = append(at, v.at)
	}
	want := []time.Time{noon(), noon().Add(time.Second), noon(), noon().Add(2 * time.Second)}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Error(diff)
	}
}
