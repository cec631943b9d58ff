package api

import (
	"strconv"
	"time"

	"hale/alerts"
)

// retractedBody is a reading that an alert tells of and that stands no more.
type retractedBody struct {
	Reading    string       `json:"reading" doc:"Names it, as in the timeline"`
	MeasuredAt time.Time    `json:"measured_at"`
	Unsure     float64      `json:"uncertainty_seconds,omitempty" doc:"As of the alert's last or worst reading, when it is that; of others the timeline says it"`
	Values     []float64    `json:"values,omitempty" doc:"As they were" example:"[210,110]"`
	How        string       `json:"how" enum:"entered_in_error,amended,not_theirs,restored" doc:"entered_in_error: taken back; amended: another stands in its place; not_theirs: a person said that it is somebody else's; restored, in a timeline only: it is theirs after all"`
	By         string       `json:"by,omitempty" doc:"Who said it; left out when the device did"`
	At         time.Time    `json:"at" doc:"When that was said"`
	Instead    *insteadBody `json:"instead,omitempty" doc:"Of one that was amended: what stands in its place"`
	Last       bool         `json:"last,omitempty" doc:"It is the reading of last_values"`
	Worst      bool         `json:"worst,omitempty" doc:"It is the reading of worst"`
}

type insteadBody struct {
	MeasuredAt time.Time `json:"measured_at"`
	Values     []float64 `json:"values" example:"[120,74]"`
	Last       bool      `json:"last,omitempty" doc:"It is the reading of last_values"`
}

func retractionOf(r *alerts.Retraction) retractedBody {
	b := retractedBody{Reading: strconv.FormatInt(r.Reading.ID, 10), MeasuredAt: r.Reading.At.UTC(), Values: r.Values, How: string(r.How), By: r.By, At: r.At.UTC()}
	if r.Instead != nil {
		b.Instead = &insteadBody{MeasuredAt: r.Instead.Reading.At.UTC(), Values: orEmpty(r.Instead.Values)}
	}
	return b
}

func retractedOf(e *alerts.Episode) []retractedBody {
	var list []retractedBody
	for i := range e.Retracted {
		r := &e.Retracted[i]
		b := retractionOf(r)
		switch {
		case r.Reading.Compare(e.Last) == 0:
			b.Unsure = e.LastVague.Within.Seconds()
		case r.Reading.Compare(e.Worst) == 0:
			b.Unsure = e.WorstVague.Within.Seconds()
		case r.Reading.Compare(e.First) == 0:
			b.Unsure = e.FirstVague.Within.Seconds()
		}
		b.Last, b.Worst = r.Reading.Compare(e.Last) == 0, r.Reading.Compare(e.Worst) == 0
		if b.Instead != nil {
			b.Instead.Last = r.Instead.Reading.Compare(e.Last) == 0
		}
		list = append(list, b)
	}
	return list
}
