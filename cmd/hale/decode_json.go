package main

import (
	"time"

	"hale/ingest/formats"
	"hale/vital"
)

// decodedJSON is what `hale decode --json` prints. Numbers as they were sent are text, so that no digit is lost.
type decodedJSON struct {
	Readings []readingJSON `json:"readings"`
	Refused  []refusedJSON `json:"refused"`
	Facts    []factJSON    `json:"facts,omitempty"`
	Context  *contextJSON  `json:"context,omitempty"`
}

type readingJSON struct {
	Metric     string       `json:"metric"`
	Values     []amountJSON `json:"values"`
	Time       string       `json:"time,omitempty"`
	Until      string       `json:"until,omitempty"`
	Local      bool         `json:"local_time,omitempty"`
	Sequence   *int64       `json:"sequence,omitempty"`
	Slot       *uint8       `json:"user_slot,omitempty"`
	Findings   []string     `json:"findings,omitempty"`
	Standing   string       `json:"standing"`
	Identifier string       `json:"identifier,omitempty"`
	Facts      []factJSON   `json:"facts,omitempty"`
	Doubt      string       `json:"doubt,omitempty"` // why it would be refused all the same
}

type amountJSON struct {
	Component     string  `json:"component"`
	Sent          string  `json:"sent"`
	SentUnit      string  `json:"sent_unit"`
	Canonical     float64 `json:"canonical"`
	CanonicalUnit string  `json:"canonical_unit"`
}

type refusedJSON struct {
	Index   int          `json:"index"`
	Reason  vital.Reason `json:"reason"`
	Field   string       `json:"field,omitempty"`
	Detail  string       `json:"detail"`
	NotKept bool         `json:"not_kept,omitempty"`
	Beyond  string       `json:"beyond,omitempty"`
	Facts   []factJSON   `json:"facts,omitempty"`
}

type factJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type contextJSON struct {
	Sequence int64      `json:"sequence"`
	Metric   string     `json:"metric,omitempty"`
	Facts    []factJSON `json:"facts"`
}

func factsJSON(facts []vital.Fact) []factJSON {
	all := make([]factJSON, len(facts))
	for i, f := range facts {
		all[i] = factJSON{f.Name, f.Value}
	}
	return all
}

func messageJSON(m *formats.Message) decodedJSON {
	out := decodedJSON{Readings: []readingJSON{}, Refused: []refusedJSON{}, Facts: factsJSON(m.Facts)}
	for i := range m.Drafts {
		out.Readings = append(out.Readings, draftJSON(&m.Drafts[i]))
	}
	for _, r := range m.Refused {
		one := refusedJSON{Index: r.Index, Reason: r.Reason, Field: r.Field, Detail: r.Detail, NotKept: r.NotKept}
		one.Beyond = map[vital.Beyond]string{vital.Above: "above", vital.Below: "below"}[r.Beyond]
		if r.Draft != nil {
			one.Facts = factsJSON(r.Draft.Facts)
		}
		out.Refused = append(out.Refused, one)
	}
	if c := m.Context; c != nil {
		out.Context = &contextJSON{Sequence: c.Sequence, Facts: factsJSON(c.Facts)}
		if c.Metric != 0 {
			out.Context.Metric = c.Metric.String()
		}
	}
	return out
}

func draftJSON(d *formats.Draft) readingJSON {
	r := readingJSON{
		Metric: d.Metric.String(), Values: []amountJSON{}, Local: d.Time.Local, Findings: d.Findings.Names(), Standing: standingWord(d.Standing),
		Identifier: d.Identifier, Facts: factsJSON(d.Facts), Doubt: doubt(d), Time: momentJSON(d.Time.At, d.Time), Until: momentJSON(d.Time.Until, d.Time),
	}
	if d.HasSequence {
		r.Sequence = &d.Sequence
	}
	if d.HasSlot {
		r.Slot = &d.Slot
	}
	def, _ := vital.Define(d.Metric)
	for i, q := range d.Measured() {
		c := def.Components[i]
		v, _ := q.To(c.Canonical)
		r.Values = append(r.Values, amountJSON{c.Code, q.String(), q.Unit.UCUM(), v, c.Canonical.UCUM()})
	}
	return r
}

func momentJSON(at time.Time, t formats.Time) string {
	if at.IsZero() {
		return ""
	}
	return measuredAt(at, t)
}
