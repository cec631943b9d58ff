package alerts_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

func TestTheWorstReadingOfAnEpisode(t *testing.T) {
	t.Parallel()
	saturation := []alerts.Bounds{{YellowLow: ptr(94), RedLow: ptr(92), ExtremeLow: ptr(85), Margin: 2}}
	rate := []alerts.Bounds{{RedLow: ptr(40), RedHigh: ptr(131)}}
	pressure := []alerts.Bounds{{RedHigh: ptr(180)}, {RedHigh: ptr(120), RedLow: ptr(50)}}
	for name, c := range map[string]struct {
		metric vital.Metric
		bounds []alerts.Bounds
		values [][]float64
		want   []float64
	}{
		"a worse level wins":                             {vital.OxygenSat, saturation, [][]float64{{93}, {84}, {91}}, []float64{84}},
		"of one level the lowest, when low is bad":       {vital.OxygenSat, saturation, [][]float64{{90}, {88}, {91}, {93}}, []float64{88}},
		"the first of equals":                            {vital.OxygenSat, saturation, [][]float64{{90}, {90}, {91}}, []float64{90}},
		"of one level the highest, when high is bad":     {vital.HeartRate, rate, [][]float64{{133}, {150}, {140}}, []float64{150}},
		"low and high are compared by their own bounds":  {vital.HeartRate, rate, [][]float64{{135}, {25}, {150}}, []float64{25}},
		"the component that is furthest beyond":          {vital.BloodPressure, pressure, [][]float64{{182, 104}, {178, 140}, {190, 100}}, []float64{178, 140}},
		"a low diastolic pressure, which is yellow only": {vital.BloodPressure, pressure, [][]float64{{120, 48}, {120, 40}, {120, 45}}, []float64{120, 40}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := newRecord(alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: c.metric, Versions: []alerts.Version{{
				Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true, Limit: alerts.Limit{Components: c.bounds, K: 1, N: 1, ClearAfter: 1},
			}}}), alerts.NewDecider(0)
			for i, values := range c.values {
				at := epoch().Add(time.Duration(i) * time.Minute)
				p := alerts.Point{Mark: alerts.Mark{At: at, ID: int64(i + 1)}, Metric: c.metric, Values: values, ReceivedAt: at}
				if _, err := r.take(d, at, 1, p); err != nil {
					t.Fatal(err)
				}
			}
			e := r.openEpisode(11)
			if e == nil {
				t.Fatal("no alert is open")
			}
			if diff := cmp.Diff(c.want, e.WorstValues); diff != "" || !e.Since.Equal(epoch()) {
				t.Errorf("worst, since %s (-want +got):\n%s", e.Since, diff)
			}
			if diff := cmp.Diff(alerts.FoldLog(*e, r.logs[e.ID]), *e); diff != "" {
				t.Errorf("the log folds otherwise (-folded +kept):\n%s", diff)
			}
		})
	}
}

func TestTheWorstOfATrendIsByItsDistanceWithinALevel(t *testing.T) {
	t.Parallel()
	key := alerts.TrendOn(vital.BodyWeight, alerts.FormChange)
	var rule alerts.Rule
	for _, d := range alerts.TrendDefaults("Europe/Ljubljana", 1950, epoch()) {
		if d.Key() == key {
			v := d.Version
			v.Number, v.Enabled, v.EffectiveFrom = 1, true, epoch().AddDate(-1, 0, 0)
			rule = alerts.Rule{ID: 11, Org: org, Patient: patient, Kind: key.Kind, Form: key.Form, Metric: key.Metric, Versions: []alerts.Version{v}}
		}
	}
	r, d := newRecord(rule), alerts.NewDecider(0)
	for i, kilograms := range []float64{70, 70, 72.5, 73, 72.4} {
		at := epoch().AddDate(0, 0, i).Add(7 * time.Hour)
		p := alerts.Point{Mark: alerts.Mark{At: at, ID: int64(i + 1)}, Metric: vital.BodyWeight, Values: []float64{kilograms}, ReceivedAt: at}
		if _, err := r.take(d, at, 1, p); err != nil {
			t.Fatal(err)
		}
	}
	e := r.openEpisode(11)
	if e == nil || e.WorstGrounds == nil || e.WorstGrounds.By != 3 || e.WorstValues[0] != 73 || e.LastGrounds == nil || e.LastGrounds.By >= 3 {
		t.Fatalf("the alert is %+v", e)
	}
}
