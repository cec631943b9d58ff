package web

import (
	"testing"

	"hale/vital"
)

func TestOnlyAmountsAreBold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metric     vital.Metric
		text, want string
	}{
		"a value":                        {vital.OxygenSat, "81 %", "*81 %*"},
		"a pressure with its pulse":      {vital.BloodPressure, "182/104 mmHg, pulse 88 /min", "*182/104 mmHg*, pulse *88 /min*"},
		"a sentence, but not its dates":  {vital.BodyWeight, "up 2.3 kg in 3 days: 68.1 kg on Fri 15 May", "up *2.3 kg* in 3 days: *68.1 kg* on Fri 15 May"},
		"a value without a unit":         {vital.INR, "2.4", "*2.4*"},
		"a unit that no number precedes": {vital.BodyWeight, "in kg 2 kg", "in kg *2 kg*"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			for _, p := range (rowView{metric: c.metric}).Pieces(c.text) {
				if p.Strong {
					p.Text = "*" + p.Text + "*"
				}
				got += p.Text
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
