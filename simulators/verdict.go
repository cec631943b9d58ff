package simulators

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"
)

// StoryScore says how alerts compare with what a simulation made happen.
type StoryScore struct {
	PatientWeeks  float64     `json:"patient_weeks"`
	Kinds         []KindScore `json:"kinds"`
	Alerts        int         `json:"alerts"`         // of these people
	False         int         `json:"false"`          // none of its readings lies in a time in which something was wrong
	FalseRed      int         `json:"false_red"`      // of those: red or worse
	FromMistakes  int         `json:"from_mistakes"`  // of those: every reading was an artefact or measured wrongly
	FalseAWeek    float64     `json:"false_a_week"`   // for each patient
	FalseRedAWeek float64     `json:"false_red_week"` // for each patient
}

// KindScore is the score of one kind of trouble.
type KindScore struct {
	Kind     string   `json:"kind"`
	Happened int      `json:"happened"`
	Detected int      `json:"detected"`
	Red      int      `json:"red"`   // of the detected: an alert became red or worse
	Early    int      `json:"early"` // not detected, but the crisis is still to come
	Missed   int      `json:"missed"`
	Lead     *float64 `json:"lead_hours"` // median time from the first alert to the crisis; negative: after it
}

// Sign is a reading that opened an alert or occurred in it.
type Sign struct {
	Patient string // number
	Alert   string
	Metric  string
	Red     bool // the alert is, or became, red or worse
	At      time.Time
}

// aftermath is how long after a trouble its alerts still tell of it: readings taken to see whether it is over.
const aftermath = 6 * time.Hour

// ScoreStory compares signs with the truth up to a time.
func ScoreStory(truths []Truth, signs []Sign, patients int, from, until time.Time) *StoryScore {
	s := &StoryScore{PatientWeeks: float64(patients) * until.Sub(from).Hours() / (7 * 24)}
	byPatient := map[string][]Truth{}
	for _, t := range truths {
		byPatient[t.Patient] = append(byPatient[t.Patient], t)
	}
	kinds := map[string]*KindScore{}
	leads := map[string][]float64{}
	for _, t := range truths {
		if t.Class != Clinical {
			continue
		}
		if kinds[t.Kind] == nil {
			kinds[t.Kind] = &KindScore{Kind: t.Kind}
		}
		if lead, ok := kinds[t.Kind].count(t, signs, until); ok {
			leads[t.Kind] = append(leads[t.Kind], lead)
		}
	}
	for kind, k := range kinds {
		if l := leads[kind]; len(l) > 0 {
			sort.Float64s(l)
			k.Lead = &l[len(l)/2]
		}
		s.Kinds = append(s.Kinds, *k)
	}
	sort.Slice(s.Kinds, func(i, j int) bool { return s.Kinds[i].Kind < s.Kinds[j].Kind })
	s.countFalse(byPatient, signs)
	return s
}

// count adds one trouble and returns its lead in hours; ok is false when no alert told of it.
func (k *KindScore) count(t Truth, signs []Sign, until time.Time) (lead float64, ok bool) {
	k.Happened++
	var first time.Time
	red := false
	for _, sign := range signs {
		if sign.Patient != t.Patient || !slices.Contains(t.Metrics, sign.Metric) || !t.covers(sign.At) {
			continue
		}
		red = red || sign.Red
		if first.IsZero() || sign.At.Before(first) {
			first = sign.At
		}
	}
	switch {
	case !first.IsZero():
		k.Detected++
		if red {
			k.Red++
		}
		return t.Crisis.Sub(first).Hours(), true
	case t.Crisis.After(until):
		k.Early++
	default:
		k.Missed++
	}
	return 0, false
}

// covers reports whether a reading of a time may tell of the trouble.
func (t *Truth) covers(at time.Time) bool {
	return !at.Before(t.From) && t.To != nil && at.Before(t.To.Add(aftermath))
}

func (s *StoryScore) countFalse(byPatient map[string][]Truth, signs []Sign) {
	byAlert := map[string][]Sign{}
	for _, sign := range signs {
		byAlert[sign.Alert] = append(byAlert[sign.Alert], sign)
	}
	s.Alerts = len(byAlert)
	for _, of := range byAlert {
		truths := byPatient[of[0].Patient]
		tells := func(sign Sign) bool {
			return slices.ContainsFunc(truths, func(t Truth) bool { return t.Class == Clinical && t.covers(sign.At) })
		}
		mistaken := func(sign Sign) bool {
			return slices.ContainsFunc(truths, func(t Truth) bool {
				return (t.Class == Artefact || t.Class == Technique) && t.From.Equal(sign.At)
			})
		}
		if slices.ContainsFunc(of, tells) {
			continue
		}
		s.False++
		if slices.ContainsFunc(of, func(sign Sign) bool { return sign.Red }) {
			s.FalseRed++
		}
		if !slices.ContainsFunc(of, func(sign Sign) bool { return !mistaken(sign) }) {
			s.FromMistakes++
		}
	}
	if s.PatientWeeks > 0 {
		s.FalseAWeek, s.FalseRedAWeek = float64(s.False)/s.PatientWeeks, float64(s.FalseRed)/s.PatientWeeks
	}
}

// score waits until the record holds what was acknowledged, and compares the alerts with the truth.
func (f *Fleet) score(ctx context.Context, people []*resident, res *FleetResult) error {
	if err := f.settle(ctx, people, res); err != nil {
		return err
	}
	var truths []Truth
	var signs []Sign
	for i, p := range people {
		truths = append(truths, p.Truths(f.began)...)
		of, err := f.signs(ctx, p)
		if err != nil {
			return err
		}
		signs = append(signs, of...)
		f.progress("collect", i+1, len(people))
	}
	res.Score = ScoreStory(truths, signs, len(people), f.Cohort.Start, f.began)
	return nil
}

// settle waits until everything that was acknowledged is stored, parked or quarantined.
func (f *Fleet) settle(ctx context.Context, people []*resident, res *FleetResult) error {
	deadline := time.Now().Add(settlePatience)
	for i, p := range people {
		for k := range p.Kits {
			for {
				in, err := f.Staff.Intake(ctx, p.Kits[k].Device)
				if err != nil {
					return err
				}
				if in.Total >= p.acked[k] {
					res.Stored, res.Parked = res.Stored+in.Stored, res.Parked+in.Parked
					for reason, n := range in.Quarantined {
						res.Quarantined[reason] += n
					}
					break
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("device %s: %d readings were acknowledged, but only %d are stored, parked or quarantined after %s", p.Kits[k].Device, p.acked[k], in.Total, settlePatience)
				}
				if err := waitUntil(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
					return err
				}
			}
		}
		f.progress("settle", i+1, len(people))
	}
	return nil
}

// signs reads the alerts of a person with the readings that they tell of.
func (f *Fleet) signs(ctx context.Context, p *resident) ([]Sign, error) {
	list, err := f.Staff.Alerts(ctx, p.id)
	if err != nil {
		return nil, err
	}
	var signs []Sign
	for _, a := range list {
		log, err := f.Staff.Timeline(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		for _, n := range log {
			if tellsOfReading(n) {
				signs = append(signs, Sign{Patient: p.Number, Alert: a.ID, Metric: a.Metric, Red: a.Level != "yellow", At: n.Reading.MeasuredAt})
			}
		}
	}
	return signs, nil
}
