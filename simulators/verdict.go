package simulators

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"
)

// StoryScore says how alerts compare with what a simulation made happen. Every alert tells of a trouble (Telling), came
// while its person was ill and tells of nothing (Beside), or is for nothing (False).
type StoryScore struct {
	PatientWeeks  float64     `json:"patient_weeks"`
	Kinds         []KindScore `json:"kinds"`
	Alerts        int         `json:"alerts"`         // of these people
	Telling       int         `json:"telling"`        // of a trouble, by one of its readings at least
	Beside        int         `json:"beside"`         // none tells, but one that was measured well lies in the time of a trouble or its aftermath
	False         int         `json:"false"`          // neither
	FalseRed      int         `json:"false_red"`      // of those: red or worse
	FromMistakes  int         `json:"from_mistakes"`  // of those: every reading was an artefact or measured wrongly
	FalseAWeek    float64     `json:"false_a_week"`   // for each patient
	FalseRedAWeek float64     `json:"false_red_week"` // for each patient
}

// KindScore is the score of one kind of trouble. A trouble counts as grown so far as to show when a fifth of the time
// from its onset to its crisis is over.
type KindScore struct {
	Kind     string   `json:"kind"`
	Happened int      `json:"happened"`
	Detected int      `json:"detected"`
	Red      int      `json:"red"`   // of the detected: a reading that tells of it was red or worse
	Early    int      `json:"early"` // not detected, but the crisis is still to come
	Missed   int      `json:"missed"`
	Delay    *float64 `json:"delay_hours"` // of the detected, median: from when it can show to the first reading that tells of it
	Left     *float64 `json:"left_hours"`  // of the detected, median: from that reading to the crisis; negative: after it
}

// Sign is a reading that opened an alert, occurred in it or worsened it.
type Sign struct {
	Patient string // number
	Alert   string
	Metric  string
	Red     bool // the reading was red or worse
	At      time.Time
}

// showsFrom is the share of its growth from which a trouble may be told from a usual day: a decompensation has brought
// 0.7 kg by then, an exacerbation has taken 0.7 of saturation. What alerts before is chance.
const showsFrom = 0.2

// aftermath is how long after a trouble its alerts are not held for nothing: readings taken to see whether it is over.
const aftermath = 6 * time.Hour

// ScoreStory compares signs with the truth up to a time. Signs at the time of an artefact or a technique error neither
// detect nor excuse: whatever they say, it is not the person's.
func ScoreStory(truths []Truth, signs []Sign, patients int, from, until time.Time) *StoryScore {
	s := &StoryScore{PatientWeeks: float64(patients) * until.Sub(from).Hours() / (7 * 24)}
	byPatient := map[string][]Truth{}
	for _, t := range truths {
		byPatient[t.Patient] = append(byPatient[t.Patient], t)
	}
	var well []Sign
	for _, sign := range signs {
		if !mismeasured(byPatient[sign.Patient], sign) {
			well = append(well, sign)
		}
	}
	kinds := map[string]*KindScore{}
	delays, left := map[string][]float64{}, map[string][]float64{}
	for _, t := range truths {
		if t.Class != Clinical {
			continue
		}
		if kinds[t.Kind] == nil {
			kinds[t.Kind] = &KindScore{Kind: t.Kind}
		}
		if first, ok := kinds[t.Kind].count(&t, well, until); ok {
			delays[t.Kind] = append(delays[t.Kind], first.Sub(t.shows()).Hours())
			left[t.Kind] = append(left[t.Kind], t.Crisis.Sub(first).Hours())
		}
	}
	for kind, k := range kinds {
		k.Delay, k.Left = median(delays[kind]), median(left[kind])
		s.Kinds = append(s.Kinds, *k)
	}
	sort.Slice(s.Kinds, func(i, j int) bool { return s.Kinds[i].Kind < s.Kinds[j].Kind })
	s.countAlerts(byPatient, signs)
	return s
}

// median is the middle of some numbers, between two of them the mean of both; nil of none.
func median(of []float64) *float64 {
	n := len(of)
	if n == 0 {
		return nil
	}
	of = slices.Sorted(slices.Values(of))
	m := (of[(n-1)/2] + of[n/2]) / 2
	return &m
}

// count adds one trouble and returns when the first sign of it was measured; ok is false when none told of it.
func (k *KindScore) count(t *Truth, signs []Sign, until time.Time) (first time.Time, ok bool) {
	k.Happened++
	red := false
	for _, sign := range signs {
		if !t.toldBy(sign) {
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
		return first, true
	case t.Crisis.After(until):
		k.Early++
	default:
		k.Missed++
	}
	return first, false
}

// shows is when a clinical trouble has grown so far that it may be told from a usual day.
func (t *Truth) shows() time.Time {
	return t.From.Add(time.Duration(showsFrom * float64(t.Crisis.Sub(t.From))))
}

// toldBy reports whether a sign that was measured well tells of the trouble: it is of a metric that the trouble moves,
// and from the time in which it shows.
func (t *Truth) toldBy(sign Sign) bool {
	return t.Class == Clinical && t.Crisis != nil && t.To != nil && t.Patient == sign.Patient && slices.Contains(t.Metrics, sign.Metric) &&
		!sign.At.Before(t.shows()) && sign.At.Before(*t.To)
}

// covers reports whether a time lies in that of the trouble or in its aftermath.
func (t *Truth) covers(at time.Time) bool {
	return !at.Before(t.From) && t.To != nil && at.Before(t.To.Add(aftermath))
}

// mismeasured reports whether the person measured wrongly at the time of the sign, or an instrument was wrong.
func mismeasured(truths []Truth, sign Sign) bool {
	return slices.ContainsFunc(truths, func(t Truth) bool {
		return (t.Class == Artefact || t.Class == Technique) && t.From.Equal(sign.At)
	})
}

func (s *StoryScore) countAlerts(byPatient map[string][]Truth, signs []Sign) {
	byAlert := map[string][]Sign{}
	for _, sign := range signs {
		byAlert[sign.Alert] = append(byAlert[sign.Alert], sign)
	}
	s.Alerts = len(byAlert)
	for _, of := range byAlert {
		truths := byPatient[of[0].Patient]
		well := slices.DeleteFunc(slices.Clone(of), func(sign Sign) bool { return mismeasured(truths, sign) })
		some := func(holds func(*Truth, Sign) bool) bool {
			return slices.ContainsFunc(well, func(sign Sign) bool {
				return slices.ContainsFunc(truths, func(t Truth) bool { return holds(&t, sign) })
			})
		}
		switch {
		case some((*Truth).toldBy):
			s.Telling++
			continue
		case some(func(t *Truth, sign Sign) bool { return t.Class == Clinical && t.covers(sign.At) }):
			s.Beside++
			continue
		}
		s.False++
		if slices.ContainsFunc(of, func(sign Sign) bool { return sign.Red }) {
			s.FalseRed++
		}
		if len(well) == 0 {
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
				signs = append(signs, Sign{Patient: p.Number, Alert: a.ID, Metric: a.Metric, Red: n.Level != "yellow", At: n.Reading.MeasuredAt})
			}
		}
	}
	return signs, nil
}
