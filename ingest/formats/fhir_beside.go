package formats

import (
	"encoding/json"
	"strconv"
	"strings"

	"hale/fhir"
	"hale/vital"
)

// circumstances takes what is said beside the numbers.
func (d *Draft) circumstances(o *fhir.Observation) {
	d.words("body_site", o.BodySite.Words())
	d.words("method", o.Method.Words())
	for _, note := range o.Note {
		if f, ok := findingOf(note.Text); ok {
			d.Findings |= f
		} else {
			d.words("note", note.Text)
		}
	}
}

// words keeps what was said in words; of blanks nothing was.
func (d *Draft) words(name, said string) {
	if strings.TrimSpace(name) != "" && strings.TrimSpace(said) != "" {
		d.Facts = append(d.Facts, vital.Fact{Name: clipped(name, 100), Value: clipped(said, factAtMost)})
	}
}

// findingOf knows the findings of a measurement by the words with which Hale writes them into a note.
func findingOf(note string) (vital.Finding, bool) {
	const ofDevices = vital.IrregularPulse | vital.BodyMovement | vital.CuffLoose | vital.PoorSignal | vital.LowPerfusion |
		vital.PulseDropped | vital.FindingUnclear
	for bit := range 32 {
		f := vital.Finding(1) << bit & ofDevices
		if names := f.Names(); len(names) == 1 && strings.ReplaceAll(names[0], "_", " ") == note {
			return f, true
		}
	}
	return 0, false
}

// parts takes the components of an Observation that has one number: a meal, or something to be kept beside it.
func (d *Draft) parts(o *fhir.Observation, n *node) *Refusal {
	for i := range o.Component {
		c := &o.Component[i]
		var said fhir.CodeableConcept
		if raw := c.Rest["valueCodeableConcept"]; raw != nil && json.Unmarshal(raw, &said) != nil {
			return malformed(n.at("component["+strconv.Itoa(i)+"].valueCodeableConcept"), "this is not what FHIR R4 has here")
		}
		for _, w := range said.Coding {
			if m, ok := fhir.MealOf(w); ok && d.Metric == vital.Glucose {
				d.Metric = m
			}
		}
		d.kept(c)
	}
	return nil
}

// kept keeps a component as a fact, by its code. One that says that the numbers are a statistic over a time makes them one.
func (d *Draft) kept(c *fhir.Component) {
	name, said := c.Code.Words(), ""
	var notion fhir.CodeableConcept
	if raw := c.Rest["valueCodeableConcept"]; raw != nil && json.Unmarshal(raw, &notion) == nil {
		said = notion.Words()
	}
	for _, form := range []string{"valueString", "valueInteger", "valueBoolean", "valueDateTime"} {
		if said == "" {
			said = scalar(c.Rest[form])
		}
	}
	if c.ValueQuantity != nil && c.ValueQuantity.Value != "" {
		unit := c.ValueQuantity.Code
		if unit == "" {
			unit = c.ValueQuantity.Unit
		}
		said = strings.TrimSpace(c.ValueQuantity.Comparator + string(c.ValueQuantity.Value) + " " + unit)
	}
	if fhir.IsStatistic(&notion) {
		d.statistical()
		if name = "descriptive_statistic"; said == fhir.UnnamedStatistic {
			return
		}
	}
	d.words(name, said)
}

// scalar returns a text, a number or a truth of JSON as text; "" when it is something else.
func scalar(raw json.RawMessage) string {
	var said any
	if raw == nil || json.Unmarshal(raw, &said) != nil {
		return ""
	}
	switch said := said.(type) {
	case string:
		return said
	case float64, bool:
		return string(raw)
	}
	return ""
}

// statistical notes that the numbers are a statistic over a time: whatever its standing, no limit judges it.
func (d *Draft) statistical() {
	d.Findings |= vital.Averaged
	if d.Standing == vital.Final {
		d.Standing = vital.Summary
	}
}
