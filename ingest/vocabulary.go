package ingest

import (
	"strings"

	"hale/vital"
)

// vocabulary is what vital knows by name, laid out for looking up many.
type vocabulary struct {
	metrics map[string]*word
	units   map[string]vital.Unit
}

// word is a metric with the parts of an element in which its components travel.
type word struct {
	vital.Definition
	parts []part
}

func newVocabulary() vocabulary {
	v := vocabulary{metrics: map[string]*word{}, units: vital.Units()}
	for _, d := range vital.Metrics() {
		w := &word{Definition: d}
		for _, c := range d.Components {
			w.parts = append(w.parts, partOf(c.Code))
		}
		v.metrics[d.Code] = w
	}
	return v
}

// unit finds a unit by one of its spellings.
func (v *vocabulary) unit(spelling []byte) (vital.Unit, bool) {
	if u, ok := v.units[string(spelling)]; ok {
		return u, true
	}
	return vital.ParseUnit(string(spelling))
}

// spellings lists the units of a component for a sentence on what to mend.
func spellings(c vital.Component) string {
	names := make([]string, len(c.Accepted))
	for i, u := range c.Accepted {
		names[i] = u.UCUM()
	}
	return strings.Join(names, ", ")
}
