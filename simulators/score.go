package simulators

import (
	"sort"
	"time"
)

// Score says how alerts compare with the labels of a recording, per type and counted in patient-days.
type Score struct {
	Types   []TypeScore `json:"types"`
	Latency *Latency    `json:"latency"` // of alerts that this run caused; null when it caused none
}

// TypeScore is the score of one type of label.
type TypeScore struct {
	Type         string   `json:"type"`
	LabelledDays int      `json:"labelled_days"`
	HitDays      int      `json:"hit_days"`
	AlertDays    int      `json:"alert_days"`
	Recall       *float64 `json:"recall"`    // null: no labelled day
	Precision    *float64 `json:"precision"` // null: no alert day
}

// Latency is the time from the PUBACK of a reading to the moment at which the alert it caused or joined had been
// read from the API.
type Latency struct {
	Count int     `json:"count"`
	P50ms float64 `json:"p50_ms"`
	P99ms float64 `json:"p99_ms"`
	MaxMs float64 `json:"max_ms"`
}

// AlertDay is a reading that opened an alert or occurred in it.
type AlertDay struct {
	Key    string // of the recorded person
	Metric string
	Trend  bool      // by a trend rule
	At     time.Time // measured
}

// scoredTypes pairs the labels of the data set with the metrics whose alerts answer them. Agitation cannot be judged
// from these readings.
func scoredTypes() map[string]string {
	return map[string]string{
		"Blood pressure":   "blood_pressure",
		"Pulse":            "heart_rate",
		"Body water":       "body_water",
		"Body temperature": "body_temperature",
		"Weight":           "body_weight",
	}
}

type personDay struct {
	key, day string
}

// ScoreDays counts (patient, local day, type): an alert day is a local day on which a reading opened an alert of
// that type or occurred in one; a labelled day that is an alert day is a hit.
func ScoreDays(rec *Recording, seen []AlertDay) []TypeScore {
	day := func(key string, at time.Time) personDay { return personDay{key, at.In(rec.Zone).Format(time.DateOnly)} }
	alerted := map[string]map[personDay]bool{}
	for _, a := range seen {
		// The labels of single values answer limits; only a weight was looked at over days. A mean of a week is another question.
		if a.Trend && a.Metric != "body_weight" {
			continue
		}
		if alerted[a.Metric] == nil {
			alerted[a.Metric] = map[personDay]bool{}
		}
		alerted[a.Metric][day(a.Key, a.At)] = true
	}
	labelled := map[string]map[personDay]bool{}
	for _, l := range rec.Labels {
		if labelled[l.Type] == nil {
			labelled[l.Type] = map[personDay]bool{}
		}
		labelled[l.Type][day(l.Key, l.At)] = true
	}
	var scores []TypeScore
	for label, metric := range scoredTypes() {
		s := TypeScore{Type: label, LabelledDays: len(labelled[label]), AlertDays: len(alerted[metric])}
		for d := range labelled[label] {
			if alerted[metric][d] {
				s.HitDays++
			}
		}
		s.Recall, s.Precision = share(s.HitDays, s.LabelledDays), share(s.HitDays, s.AlertDays)
		scores = append(scores, s)
	}
	sort.Slice(scores, func(i, j int) bool { return scores[i].Type < scores[j].Type })
	return scores
}

func share(part, of int) *float64 {
	if of == 0 {
		return nil
	}
	v := float64(part) / float64(of)
	return &v
}

// latencyOf sums up durations; nil when there are none.
func latencyOf(d []time.Duration) *Latency {
	if len(d) == 0 {
		return nil
	}
	sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
	ms := func(q float64) float64 {
		return float64(d[int(q*float64(len(d)-1))].Microseconds()) / 1000
	}
	return &Latency{Count: len(d), P50ms: ms(0.50), P99ms: ms(0.99), MaxMs: ms(1)}
}
