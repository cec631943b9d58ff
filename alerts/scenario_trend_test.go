package alerts_test

import (
	"fmt"
	"strconv"
	"strings"

	"hale/alerts"
	"hale/vital"
)

// trend reads what parseTrend does and gives the patient that rule.
func (s *scenario) trend(text string) error {
	metric, t, err := s.parseTrend(text)
	if err != nil {
		return err
	}
	s.rules = append(s.rules, alerts.Rule{
		ID: alerts.RuleID(len(s.rules) + 1), Org: org, Patient: patient, Kind: alerts.KindTrend, Form: t.Form(), Metric: metric,
		Versions: []alerts.Version{{Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true, Trend: &t}},
	})
	return nil
}

// parseTrend reads "body_weight change default", "blood_pressure average default at 82", "body_weight change, rise red
// over 2 in 3 days" and "body_weight reference 66 dry weight, rise yellow 2, margin 0.3".
func (s *scenario) parseTrend(text string) (vital.Metric, alerts.Trend, error) {
	head, rest, _ := strings.Cut(text, ",")
	words := strings.Fields(head)
	metric, ok := vital.ParseMetric(words[0])
	if !ok || len(words) < 2 {
		return 0, alerts.Trend{}, fmt.Errorf("cannot read %q", text)
	}
	if len(words) > 2 && words[2] == "default" {
		age := 0
		if len(words) > 4 {
			age = atoi(words[4])
		}
		t, err := defaultTrend(metric, alerts.Form(words[1]), s.zone, age)
		return metric, t, err
	}
	t := alerts.Trend{Zone: s.zone, ClearAfter: 1}
	part := alerts.DayPart{From: "04:00", Until: "12:00"}
	var steps *[]alerts.TrendStep
	margin := new(float64)
	switch alerts.Form(words[1]) {
	case alerts.FormChange:
		t.Change = &alerts.TrendChange{Part: part, SameSensor: true, Unlike: 5}
		steps = &t.Change.Steps
	case alerts.FormReference:
		value, err := strconv.ParseFloat(words[2], 64)
		if err != nil {
			return 0, t, err
		}
		t.Reference = &alerts.TrendReference{Part: part, Value: value, Name: strings.Join(words[3:], " "), Unlike: 5}
		steps, margin = &t.Reference.Steps, &t.Reference.Margin
	case alerts.FormBaseline:
		b, err := parseBaseline(metric, words[2:], rest)
		t.Baseline, t.ClearAfter = &b, 2
		if err != nil {
			return 0, t, err
		}
		return metric, t, t.Check(metric)
	case alerts.FormMovingAverage, alerts.FormAverage:
		return 0, t, fmt.Errorf("of %s a scenario knows the default only", words[1])
	}
	for part := range strings.SplitSeq(rest, ",") {
		words := strings.Fields(part)
		if words[0] == "margin" {
			if _, err := fmt.Sscan(words[1], margin); err != nil {
				return 0, t, err
			}
			continue
		}
		step := alerts.TrendStep{Direction: alerts.Direction(words[0])}
		if err := step.Level.UnmarshalText([]byte(words[1])); err != nil {
			return 0, t, err
		}
		words = words[2:]
		if words[0] == "over" {
			step.MoreThan, words = true, words[1:]
		}
		if len(words) > 2 {
			step.Days = atoi(words[2])
		}
		var err error
		if step.By, err = strconv.ParseFloat(words[0], 64); err != nil {
			return 0, t, err
		}
		*steps = append(*steps, step)
	}
	return metric, t, t.Check(metric)
}

func defaultTrend(metric vital.Metric, form alerts.Form, zone string, age int) (alerts.Trend, error) {
	born := 0
	if age != 0 {
		born = epoch().Year() - age
	}
	for _, d := range alerts.TrendDefaults(zone, born, epoch()) {
		if d.Key() == alerts.TrendOn(metric, form) {
			return *d.Version.Trend, nil
		}
	}
	return alerts.Trend{}, fmt.Errorf("%s has no default %s", metric, form)
}
