package simulators

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// red reports whether the programme's default limits, or the person's own, call a reading red (clinical/vitals.csv).
func red(l *Life, r *shown) bool {
	v := r.canonical()
	if own, ok := l.Limits[r.Metric]; ok {
		b := own.Components[0]
		high, some := b["red_high"]
		return v < b["red_low"] || some && v >= high
	}
	switch r.Metric {
	case "blood_pressure":
		return v < 91 || v >= 180 || *r.Diastolic >= 120
	case "heart_rate":
		return v < 41 || v >= 131
	case "oxygen_saturation":
		return v < 92
	case "body_temperature":
		return v < 35.1 || v >= 39.1
	case "glucose", "glucose_postmeal":
		return v < 54 || v >= 300
	case "glucose_fasting":
		return v < 54 || v >= 251
	case "respiratory_rate":
		return v < 9 || v >= 25
	}
	return false
}

// mistaken reports whether the simulator itself made the reading a wrong one.
func mistaken(l *Life, at time.Time) bool {
	return slices.ContainsFunc(l.truths, func(t Truth) bool { return (t.Class == Artefact || t.Class == Technique) && t.From.Equal(at) })
}

// troubled reports whether something is wrong with the person, or was in the last hours.
func troubled(l *Life, at time.Time) bool {
	return slices.ContainsFunc(l.Truths(l.end.Add(1e4*time.Hour)), func(t Truth) bool { return t.Class == Clinical && t.covers(at) })
}

func TestNobodyIsRedBeforeTheirTroubleBegins(t *testing.T) {
	t.Parallel()
	for _, s := range Scenarios() {
		reds, readings := 0, 0
		for seed := range uint64(4) {
			c := cohort(t, s.Name, 24, seed)
			if s.Name == "storm" {
				c.Patients = 4
			}
			for _, l := range everybody(c) {
				for _, sent := range lived(c, l) {
					r := read(t, sent.Body)
					if mistaken(l, r.Time) || troubled(l, r.Time) {
						continue
					}
					readings++
					if red(l, &r) {
						reds++
						if s.Name == "quiet" || s.Name == "heart-failure-week" {
							t.Errorf("%s: %s of somebody who is well is red", s.Name, sent.Body)
						}
					}
				}
			}
		}
		if reds*2000 > readings {
			t.Errorf("%s: %d of %d readings of people who are well are red", s.Name, reds, readings)
		}
	}
}

// series returns what a person's instrument showed of a metric, in measured order and without mistakes.
func series(t *testing.T, c *Cohort, l *Life, metric string) []shown {
	t.Helper()
	var list []shown
	for _, s := range lived(c, l) {
		if r := read(t, s.Body); r.Metric == metric && !s.Again && !mistaken(l, r.Time) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b shown) int { return a.Time.Compare(b.Time) })
	return list
}

func mean(list []shown, from, to time.Time) float64 {
	sum, n := 0.0, 0
	for i := range list {
		if !list[i].Time.Before(from) && list[i].Time.Before(to) {
			sum, n = sum+list[i].canonical(), n+1
		}
	}
	return sum / float64(n)
}

func TestADecompensationIsWeightFirstThenOxygenAndPulse(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		c := cohort(t, "heart-failure-week", 6, seed)
		for i := range c.Patients {
			of := func(metric string) []shown { return series(t, c, c.Life(i), metric) }
			weight, oxygen, pulse := of("body_weight"), of("oxygen_saturation"), of("heart_rate")
			l := c.Life(i)
			end := l.end
			usual, now := mean(weight, l.start, l.start.Add(36*time.Hour)), mean(weight, end.Add(-26*time.Hour), end.Add(time.Hour))
			name := fmt.Sprintf("seed %d, person %d (%s)", seed, i, l.Name)
			switch i % 3 {
			case 0:
				if gain := now - usual; gain < 1.6 || gain > 4.2 {
					t.Errorf("%s gained %.1f kg in the week", name, gain)
				}
				last := oxygen[len(oxygen)-1]
				if v := mean(oxygen, end.Add(-12*time.Hour), end.Add(time.Hour)); v > 94 || last.canonical() > 95 {
					t.Errorf("%s: the saturation is %.1f in the end", name, v)
				}
				if a, b := mean(pulse, l.start, l.start.Add(24*time.Hour)), mean(pulse, end.Add(-12*time.Hour), end.Add(time.Hour)); b < a+10 {
					t.Errorf("%s: the pulse goes from %.0f to %.0f", name, a, b)
				}
				grown := l.Troubles[0].Crisis.Sub(l.Troubles[0].Onset).Hours() / 24
				if grown < 5 || grown > 7 {
					t.Errorf("%s: fluid gathers for %.1f days", name, grown)
				}
				night := slices.ContainsFunc(oxygen, func(r shown) bool { h := r.Time.In(l.Zone).Hour(); return h >= 1 && h < 5 })
				if !night {
					t.Errorf("%s never measured at night", name)
				}
				half := l.Troubles[0].Onset.Add(l.Troubles[0].Crisis.Sub(l.Troubles[0].Onset) / 2)
				if v := mean(oxygen, half.Add(-24*time.Hour), half); v < 95.2 {
					t.Errorf("%s: the saturation falls to %.1f before the weight has told", name, v)
				}
			case 1:
				if gain := now - usual; gain < 0.4 || gain > 2.6 {
					t.Errorf("%s, who begins to gather fluid, gained %.1f kg", name, gain)
				}
			case 2:
				if gain := math.Abs(now - usual); gain > 1.1 {
					t.Errorf("%s, who is well, changed by %.1f kg", name, gain)
				}
			}
		}
	}
}

// found reports whether any reading within a trouble's time is red.
func found(t *testing.T, c *Cohort, i int, metrics ...string) bool {
	t.Helper()
	for _, metric := range metrics {
		l := c.Life(i)
		for _, r := range series(t, c, l, metric) {
			if troubled(l, r.Time) && red(l, &r) {
				return true
			}
		}
	}
	return false
}

func TestEveryScenarioTellsItsStory(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name    string
		person  func(i int) bool
		metrics []string
		least   float64 // share of the concerned whose readings become red
		most    float64 // what passes in minutes or asleep is not always measured
	}{
		{"copd-exacerbation", func(i int) bool { return i%2 == 0 }, []string{"oxygen_saturation"}, 0.95, 1},
		{"hypertension", func(i int) bool { return i%10 == 4 }, []string{"blood_pressure"}, 0.4, 0.9},
		{"diabetes", func(i int) bool { return i%3 == 0 }, []string{"glucose"}, 0.1, 0.5},
		{"atrial-fibrillation", func(i int) bool { return i%4 == 1 }, []string{"heart_rate"}, 0.6, 0.95},
		{"frailty", func(i int) bool { return i%3 == 0 }, []string{"blood_pressure"}, 0.8, 1},
		{"storm", func(i int) bool { return i == 0 }, []string{"oxygen_saturation"}, 1, 1},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			red, all := 0, 0
			for seed := range uint64(4) {
				c := cohort(t, s.name, 15, seed)
				if s.name == "storm" {
					c.Patients = 1
				}
				for i := range c.Patients {
					if !s.person(i) {
						continue
					}
					all++
					if found(t, c, i, s.metrics...) {
						red++
					}
				}
			}
			if float64(red) < s.least*float64(all) || float64(red) > s.most*float64(all) {
				t.Errorf("%d of %d became red", red, all)
			}
		})
	}
}

func TestAFibrillatingPulseIsFoundIrregular(t *testing.T) {
	t.Parallel()
	c := cohort(t, "atrial-fibrillation", 8, 2)
	for i, l := range everybody(c) {
		irregular, all := 0, 0
		for _, r := range series(t, c, l, "blood_pressure") {
			if len(l.Troubles) > 0 && l.Troubles[0].Kind == arrhythmia {
				all++
				if slices.Contains(r.Findings, "irregular_pulse") {
					irregular++
				}
			}
		}
		if i%2 == 0 && (all == 0 || irregular*100 < 60*all) {
			t.Errorf("%d of %d cuff readings of permanent fibrillation tell of it", irregular, all)
		}
	}
}

func TestAFrailPersonLosesWeightAndMeasuresLess(t *testing.T) {
	t.Parallel()
	frail, well := cohort(t, "frailty", 20, 4), cohort(t, "diabetes", 20, 4)
	frail.Days, well.Days = 28, 28
	sessions := func(c *Cohort) (n int, lost float64) {
		for i, l := range everybody(c) {
			if i%3 == 0 {
				continue // dries out
			}
			w := series(t, c, l, "body_weight")
			n += len(w)
			lost += mean(w, l.start, l.start.Add(5*24*time.Hour)) - mean(w, l.end.Add(-5*24*time.Hour), l.end)
		}
		return n, lost / float64(c.Patients)
	}
	a, lostA := sessions(frail)
	b, lostB := sessions(well)
	if a >= b || lostA < 0.2 || math.Abs(lostB) > 0.2 {
		t.Errorf("frail people weighed themselves %d times and lost %.2f kg each, others %d times and %.2f kg", a, lostA, b, lostB)
	}
}

// TestTheDistributionsAreThoseOfRealPeople holds the simulated cohort against a data set of real home monitoring
// where that lies beside the project; nothing of it is part of the project.
func TestTheDistributionsAreThoseOfRealPeople(t *testing.T) {
	t.Parallel()
	shared := "../../shared/data/tihm"
	if _, err := os.Stat("../../shared"); err != nil {
		fmt.Println("simulators: no data set beside the project; the distributions are not held against real people")
		return
	}
	if _, err := os.Stat(filepath.Join(shared, "Physiology.csv")); err != nil {
		t.Fatalf("../shared is there, but the TIHM data set is not: %v", err)
	}
	rec, err := ReadTIHM(shared)
	if err != nil {
		t.Fatal(err)
	}
	real := map[string][]float64{}
	for _, p := range rec.People {
		for _, m := range p.Messages {
			if r := read(t, m.Body); r.Value != nil || r.Systolic != nil {
				real[m.Metric] = append(real[m.Metric], r.canonical())
			}
		}
	}
	made := map[string][]float64{}
	c := cohort(t, "mixed", 80, 1)
	for _, l := range everybody(c) {
		for _, s := range lived(c, l) {
			r := read(t, s.Body)
			if troubled(l, r.Time) {
				continue // whoever is ill measures far oftener than anybody in the data set
			}
			made[s.Metric] = append(made[s.Metric], r.canonical())
		}
	}
	for metric, far := range map[string]struct{ median, spread float64 }{
		"blood_pressure": {9, 9}, "heart_rate": {6, 9}, "body_temperature": {0.5, 0.4}, "body_weight": {10, 8},
	} {
		a, b := real[metric], made[metric]
		slices.Sort(a)
		slices.Sort(b)
		quarter := func(v []float64, q int) float64 { return v[len(v)*q/4] }
		spreadA, spreadB := quarter(a, 3)-quarter(a, 1), quarter(b, 3)-quarter(b, 1)
		t.Logf("%s: median %.1f simulated, %.1f recorded; between the quartiles %.1f and %.1f", metric, quarter(b, 2), quarter(a, 2), spreadB, spreadA)
		if math.Abs(quarter(a, 2)-quarter(b, 2)) > far.median || math.Abs(spreadA-spreadB) > far.spread {
			t.Errorf("%s: median %.1f simulated, %.1f recorded; between the quartiles %.1f and %.1f", metric, quarter(b, 2), quarter(a, 2), spreadB, spreadA)
		}
	}
}
