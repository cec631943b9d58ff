package alerts_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/alerts"
	"hale/vital"
)

// parseBaseline reads what stands behind "oxygen_saturation baseline": "as offered", or "21 days, gap 7, at least 14, spread 1, fall
// yellow 3, rise yellow 15 and 3 spreads, margin 1, from 04:00 until 12:00".
func parseBaseline(metric vital.Metric, head []string, rest string) (alerts.TrendBaseline, error) {
	if slices.Equal(head, []string{"as", "offered"}) {
		b, _, ok := alerts.BaselineOffer(metric)
		if !ok {
			return b, fmt.Errorf("no baseline of %s is offered", metric)
		}
		return b, nil
	}
	b := alerts.TrendBaseline{Days: atoi(head[0]), LeastSpread: alerts.LeastSpread(metric)}
	number := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return -1 // refused by Check
		}
		return v
	}
	for part := range strings.SplitSeq(rest, ",") {
		switch words := strings.Fields(part); words[0] {
		case "gap":
			b.GapDays = atoi(words[1])
		case "at":
			b.LeastDays, b.LeastSessions = atoi(words[2]), atoi(words[2])
		case "spread":
			b.LeastSpread = number(words[1])
		case "margin":
			b.Margin = number(words[1])
		case "from":
			b.Part = &alerts.DayPart{From: words[1], Until: words[3]}
		default:
			step := alerts.TrendStep{Direction: alerts.Direction(words[0])}
			if err := step.Level.UnmarshalText([]byte(words[1])); err != nil {
				return b, err
			}
			if step.By = number(words[2]); len(words) > 4 {
				step.Spreads = number(words[4])
			}
			b.Steps = append(b.Steps, step)
		}
	}
	return b, nil
}

// daily reads "1 to 28 at 08:00 oxygen_saturation 93 94", a reading of each of the days with the values in turn, "... and at 20:00
// oxygen_saturation 95", and "9 to 9 from 08:00 to 09:00 oxygen_saturation 85", one each minute.
func (s *scenario) daily(text string) error {
	var first, last int
	if _, err := fmt.Sscanf(text, "%d to %d", &first, &last); err != nil {
		return err
	}
	words := strings.Fields(text)[3:]
	for day := first; day <= last; day++ {
		s.day = day - 1
		for part := range strings.SplitSeq(strings.Join(words, " "), " and at ") {
			if err := s.daytime(strings.Fields(strings.TrimPrefix(part, "at ")), day-first); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scenario) daytime(words []string, nth int) error {
	every := words[0] == "from"
	if every {
		words = slices.Delete(words, 2, 3)[1:] // the time until which
	}
	from, err := s.clock(words[0])
	if err != nil {
		return err
	}
	until, values := from, words[2:]
	if every {
		if until, err = s.clock(words[1]); err != nil {
			return err
		}
		words, values = words[1:], words[3:]
	}
	for s.now = from; !s.now.After(until); s.now = s.now.Add(time.Minute) {
		made, err := s.arrive([]string{words[1] + " " + values[nth%len(values)]})
		if err != nil {
			return err
		}
		s.tell(made)
	}
	return nil
}
