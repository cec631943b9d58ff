package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hale/alerts/score"
	"hale/fault"
)

// news2Vector is what was observed, and the score that it has. What is not in the vector was not observed.
type news2Vector struct {
	RespiratoryRate *float64       `json:"rr"`
	Saturation      *float64       `json:"spo2"`
	OnOxygen        *bool          `json:"on_oxygen"`
	Systolic        *float64       `json:"sbp"`
	Pulse           *float64       `json:"pulse"`
	Consciousness   string         `json:"acvpu"`
	Temperature     *float64       `json:"temp_c"`
	Scale           int            `json:"scale"`
	Total           *int           `json:"total"`
	Risk            string         `json:"risk"`
	Parts           map[string]int `json:"parts"`
}

// news2Names are the names of the inputs in a vector's parts.
func news2Names() map[score.Input]string {
	return map[score.Input]string{
		score.RespiratoryRate: "rr", score.OxygenSaturation: "spo2", score.Oxygen: "o2", score.Systolic: "sbp", score.Pulse: "pulse",
		score.Consciousness: "consciousness", score.Temperature: "temp",
	}
}

func conformNEWS2(text []byte) ([]vector, error) {
	var all []news2Vector
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the vectors are no JSON of the form that is expected")
	}
	rows := make([]vector, len(all))
	for i := range all {
		rows[i] = all[i].check(i + 1)
	}
	return rows, nil
}

func (v *news2Vector) check(number int) vector {
	n := score.Of(&score.Observed{
		RespiratoryRate: v.RespiratoryRate, OxygenSaturation: v.Saturation, Oxygen: v.OnOxygen, Systolic: v.Systolic, Pulse: v.Pulse,
		Consciousness: score.ACVPU(v.Consciousness), Temperature: v.Temperature, Scale: score.Scale(v.Scale),
	})
	parts := map[string]int{}
	for input, points := range n.Points {
		parts[news2Names()[input]] = points
	}
	var told []string
	for _, input := range score.Inputs() {
		if points, known := n.Points[input]; known {
			told = append(told, fmt.Sprintf("%s %d", news2Names()[input], points))
		} else {
			told = append(told, news2Names()[input]+" ?")
		}
	}
	expects := v.Total != nil && v.Risk != ""
	return vector{
		name: fmt.Sprintf("%d, scale %d", number, v.Scale),
		ok: expects && n.Total == *v.Total && string(n.Risk) == v.Risk && (v.Parts == nil || maps.Equal(parts, v.Parts)) &&
			slices.Contains([]int{1, 2}, v.Scale),
		got: fmt.Sprintf("%d, %s: %s", n.Total, n.Risk, strings.Join(told, ", ")),
	}
}
