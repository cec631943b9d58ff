package api

import (
	"context"
	"strconv"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

type readingRef struct {
	ID         string    `json:"id" doc:"Names the reading; a number too large for some languages, hence text"`
	MeasuredAt time.Time `json:"measured_at"`
	Unsure     float64   `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	Findings   []string  `json:"findings,omitempty" doc:"What the device or Hale noticed about it; trust_broker is a reading that came through another broker" example:"irregular_pulse"`
	Retracted  bool      `json:"retracted,omitempty" doc:"It stands no more: a later entry's retracts says why"`
}

type entryBody struct {
	ID          int64           `json:"id"`
	Kind        string          `json:"kind" enum:"opened,occurred,worsened,cleared,resumed,annotated,acknowledged,resolved,noted"`
	RecordedAt  time.Time       `json:"recorded_at"`
	By          string          `json:"by,omitempty" doc:"Who did it; left out when it was Hale itself"`
	Level       string          `json:"level,omitempty" enum:"yellow,red,extreme"`
	Reading     *readingRef     `json:"reading,omitempty"`
	Values      []float64       `json:"values,omitempty" doc:"Of that reading: canonical units, in the order of the metric's components"`
	Because     string          `json:"because,omitempty" doc:"Of a trend rule: why that reading counts, in plain words"`
	Grounds     *alerts.Grounds `json:"grounds,omitempty" doc:"The same in numbers"`
	RuleVersion int             `json:"rule_version,omitempty"`
	Historic    bool            `json:"historic,omitempty" doc:"The reading came too late to call anybody"`
	Contact     bool            `json:"contact,omitempty" doc:"It was the last that was known all the same: contact was asked for"`
	Until       *time.Time      `json:"until,omitempty" doc:"End of the acknowledgement"`
	NextStep    string          `json:"next_step,omitempty" enum:"none,recheck,call,hand_over"`
	NextStepAt  *time.Time      `json:"next_step_at,omitempty"`
	Note        string          `json:"note,omitempty"`
	Retracts    []retractedBody `json:"retracts,omitempty" doc:"Readings that stand no more since then, or again (restored)"`
}

type timelineOutput struct {
	Body struct {
		Entries []entryBody `json:"entries"`
	}
}

func (s *Server) getTimeline(ctx context.Context, actor account.Actor, in *alertInput) (*timelineOutput, error) {
	a, err := s.Triage.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	entries, err := s.Triage.Log(ctx, actor, a.UID)
	if err != nil {
		return nil, err
	}
	out := &timelineOutput{}
	out.Body.Entries = make([]entryBody, len(entries))
	gone := alerts.RetractedIn(entries)
	for i := range entries {
		out.Body.Entries[i] = entryOf(a.Metric, &entries[i])
		if r := out.Body.Entries[i].Reading; r != nil && gone[entries[i].Reading.ID] != nil {
			r.Retracted = true
		}
		out.Body.Entries[i].ID = int64(i + 1) // a number of the whole installation would tell what happens to others
	}
	return out, nil
}

func entryOf(metric vital.Metric, e *alerts.Entry) entryBody {
	body := entryBody{
		ID: e.ID, Kind: string(e.Kind), RecordedAt: e.RecordedAt.UTC(), By: e.Actor.Name, Values: e.Values,
		RuleVersion: e.RuleVersion, Historic: e.Historic, Contact: e.Contact, Until: at(e.Until),
		NextStep: string(e.NextStep), NextStepAt: at(e.NextStepAt), Note: e.Note,
	}
	if e.Grounds != nil {
		body.Because, body.Grounds = e.Grounds.Words(metric), e.Grounds
	}
	if e.Level != alerts.None {
		body.Level = e.Level.String()
	}
	for i := range e.Retracts {
		body.Retracts = append(body.Retracts, retractionOf(&e.Retracts[i]))
	}
	if !e.Reading.IsZero() {
		body.Reading = &readingRef{ID: strconv.FormatInt(e.Reading.ID, 10), MeasuredAt: e.Reading.At.UTC(), Unsure: e.Vague.Within.Seconds(), Findings: e.Findings.Names()}
	}
	return body
}

type caseBody struct {
	Patient      patientRef  `json:"patient"`
	Level        string      `json:"level" enum:"yellow,red,extreme" doc:"The worst that nobody is looking after; of all, when each is looked after"`
	Acknowledged bool        `json:"acknowledged" doc:"Somebody is looking after every alert"`
	WaitingSince time.Time   `json:"waiting_since" doc:"When the first alert of that level opened"`
	Alerts       []alertBody `json:"alerts"`
}

type worklistOutput struct {
	Body struct {
		Patients []caseBody `json:"patients"`
	}
}

func (s *Server) worklist(ctx context.Context, actor account.Actor, _ *struct{}) (*worklistOutput, error) {
	cases, err := s.Triage.Worklist(ctx, actor)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	out := &worklistOutput{}
	out.Body.Patients = make([]caseBody, len(cases))
	for i, c := range cases {
		out.Body.Patients[i] = caseBody{
			Patient: patientRef{ID: c.Patient, Name: c.Name, Number: c.Number}, Level: c.Level.String(),
			Acknowledged: c.Acknowledged, WaitingSince: c.WaitingSince.UTC(), Alerts: alertsOf(c.Alerts, now),
		}
	}
	return out, nil
}
