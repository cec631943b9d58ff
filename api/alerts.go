package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

type patientRef struct {
	ID     vital.UID `json:"id" format:"uuid"`
	Name   string    `json:"name" example:"Ana Novak"`
	Number string    `json:"number" doc:"The programme's own number; may be empty" example:"P-0017"`
}

type alertBody struct {
	ID                vital.UID       `json:"id" format:"uuid"`
	Version           int             `json:"version" doc:"Counts what a person must have seen before acting; also in ETag" example:"2"`
	State             string          `json:"state" enum:"open,acknowledged,closed"`
	Acknowledged      bool            `json:"acknowledged" doc:"Somebody is looking after it now; an acknowledgement that has expired does not count"`
	Holds             bool            `json:"holds" doc:"The readings are still beyond the limit"`
	Level             string          `json:"level" enum:"yellow,red,extreme" doc:"The worst since it opened"`
	Historic          bool            `json:"historic" doc:"Every reading in it came too late to call anybody"`
	Metric            string          `json:"metric" example:"blood_pressure"`
	Patient           patientRef      `json:"patient"`
	Kind              string          `json:"kind" enum:"limit,trend" doc:"Of the rule"`
	Form              string          `json:"form,omitempty" enum:"change,reference,moving_average,average,baseline" doc:"Of a trend rule"`
	Because           string          `json:"because,omitempty" doc:"Of a trend rule: why the latest reading counts, in plain words" example:"up 2.3 kg in 3 days: 68.1 kg on Fri 15 May, lowest 65.8 kg on Tue 12 May"`
	Grounds           *alerts.Grounds `json:"grounds,omitempty" doc:"The same in numbers"`
	Rule              vital.UID       `json:"rule" format:"uuid"`
	RuleVersion       int             `json:"rule_version" doc:"Version of the rule that opened it"`
	LastRuleVersion   int             `json:"last_rule_version" doc:"Version that judged its latest reading, and explains it"`
	OpenedAt          time.Time       `json:"opened_at" doc:"When Hale opened it"`
	Since             time.Time       `json:"since" doc:"When the earliest of its readings beyond the limit was measured; before first_at when that one came later"`
	FirstAt           time.Time       `json:"first_at" doc:"When the reading that opened it was measured"`
	LastAt            time.Time       `json:"last_at" doc:"When the latest reading beyond the limit was measured"`
	SinceUnsure       float64         `json:"since_uncertainty_seconds,omitempty" doc:"That was within so much of since, either way; left out, as of the others, when the time is known to 5 minutes. Then say no time, and no age, as if it were known" example:"86700"`
	FirstUnsure       float64         `json:"first_uncertainty_seconds,omitempty" doc:"The same of first_at"`
	LastUnsure        float64         `json:"last_uncertainty_seconds,omitempty" doc:"The same of last_at"`
	LastValues        []float64       `json:"last_values" doc:"Of that reading: canonical units, in the order of the metric's components" example:"[172,96]"`
	Worst             *worstBody      `json:"worst,omitempty" doc:"The reading furthest beyond the limit; left out of alerts that opened before Hale kept it"`
	Contact           bool            `json:"contact" doc:"Get in touch now: its last reading came too late to call anybody, and nothing newer of that vital is known"`
	LastKnown         *lastKnown      `json:"last_known,omitempty" doc:"That reading, when contact is true"`
	Occurrences       int             `json:"occurrences" doc:"Readings beyond the limit since it opened"`
	AcknowledgedBy    string          `json:"acknowledged_by,omitempty"`
	AcknowledgedUntil *time.Time      `json:"acknowledged_until,omitempty"`
	ClosedAt          *time.Time      `json:"closed_at,omitempty"`
	Closing           string          `json:"closing,omitempty" enum:"resolved,cleared" doc:"resolved by a person, or cleared by itself"`
	NextStep          string          `json:"next_step,omitempty" enum:"none,recheck,call,hand_over"`
	NextStepAt        *time.Time      `json:"next_step_at,omitempty"`
	Note              string          `json:"note,omitempty"`
	Retracted         []retractedBody `json:"retracted,omitempty" doc:"Readings that it tells of and that stand no more: its last and its worst when they are among them, and the newest of the others. last_values and worst.values stay what people were shown: never show them as if they stood when they are named here"`
}

type worstBody struct {
	MeasuredAt time.Time       `json:"measured_at"`
	Unsure     float64         `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	Values     []float64       `json:"values" doc:"Canonical units, in the order of the metric's components" example:"[186,101]"`
	Because    string          `json:"because,omitempty" doc:"Of a trend rule: why it counts, in plain words"`
	Grounds    *alerts.Grounds `json:"grounds,omitempty" doc:"The same in numbers"`
}

type lastKnown struct {
	MeasuredAt time.Time `json:"measured_at"`
	Unsure     float64   `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	Values     []float64 `json:"values" doc:"Canonical units, in the order of the metric's components" example:"[81]"`
	AgeSeconds int64     `json:"age_seconds" doc:"How long ago it was measured; at least, when that is uncertain" example:"25200"`
}

func worstOf(a *alerts.Alert) *worstBody {
	if a.Worst.IsZero() {
		return nil
	}
	return &worstBody{MeasuredAt: a.Worst.At.UTC(), Unsure: a.WorstVague.Within.Seconds(), Values: orEmpty(a.WorstValues), Because: a.WorstBecause(), Grounds: a.WorstGrounds}
}

func lastKnownOf(a *alerts.Alert, now time.Time) *lastKnown {
	if !a.ContactNow() {
		return nil
	}
	_, latest := a.LastVague.Span(a.Last.At)
	return &lastKnown{
		MeasuredAt: a.Last.At.UTC(), Unsure: a.LastVague.Within.Seconds(), Values: orEmpty(a.LastValues), AgeSeconds: int64(max(0, now.Sub(latest)) / time.Second),
	}
}

func alertOf(a *alerts.Alert, now time.Time) alertBody {
	return alertBody{
		ID: a.UID, Version: a.Version, State: string(stateOf(a, now)), Acknowledged: a.AckInForce(now), Holds: a.Holds,
		Level: a.Level.String(), Historic: a.Historic, Metric: a.Metric.String(),
		Patient: patientRef{ID: a.PatientUID, Name: a.PatientName, Number: a.PatientNumber},
		Kind:    string(a.RuleKind), Form: string(a.RuleForm), Because: a.Because(), Grounds: a.LastGrounds,
		Rule: a.RuleUID, RuleVersion: a.RuleVersion, LastRuleVersion: a.LastVersion,
		Since: a.Since.UTC(), Worst: worstOf(a), Contact: a.ContactNow(), LastKnown: lastKnownOf(a, now),
		OpenedAt: a.OpenedAt, FirstAt: a.First.At, LastAt: a.Last.At, LastValues: orEmpty(a.LastValues), Occurrences: a.Occurrences,
		AcknowledgedBy: a.AckName, AcknowledgedUntil: at(a.AckUntil),
		ClosedAt: at(a.ClosedAt), Closing: string(a.Closing), NextStep: string(a.NextStep), NextStepAt: at(a.NextStepAt), Note: a.Note,
		Retracted:   retractedOf(&a.Episode),
		SinceUnsure: a.SinceVague.Within.Seconds(), FirstUnsure: a.FirstVague.Within.Seconds(), LastUnsure: a.LastVague.Within.Seconds(),
	}
}

// stateOf is the state as it counts now: an acknowledgement that has run out is none.
func stateOf(a *alerts.Alert, now time.Time) alerts.State {
	if a.State == alerts.Acknowledged && !a.AckInForce(now) {
		return alerts.Open
	}
	return a.State
}

func alertsOf(list []alerts.Alert, now time.Time) []alertBody {
	bodies := make([]alertBody, len(list))
	for i := range list {
		bodies[i] = alertOf(&list[i], now)
	}
	return bodies
}

// at is an instant in an answer, left out when there is none.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// orEmpty keeps an empty list from becoming null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type alertsInput struct {
	State   []string `query:"state,explode" enum:"open,acknowledged,closed" doc:"Only these states; may be repeated"`
	Patient string   `query:"patient" format:"uuid" doc:"Only of this patient"`
	Before  string   `query:"before" format:"uuid" doc:"Page: only alerts that opened before this one"`
	Limit   int      `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type alertsOutput struct {
	Body struct {
		Alerts []alertBody `json:"alerts"`
	}
}

type alertInput struct {
	ID string `path:"id" format:"uuid"`
}

type alertOutput struct {
	ETag string `header:"ETag" doc:"The version, for If-Match"`
	Body alertBody
}

func (s *Server) addAlerts() {
	list := op(http.MethodGet, "/v1/alerts", "list-alerts", tagAlerts, "Alerts, newest first")
	add(s, list, s.listAlerts)
	add(s, op(http.MethodGet, "/v1/alerts/{id}", "get-alert", tagAlerts, "One alert", http.StatusNotFound), s.getAlert)
	add(s, op(http.MethodGet, "/v1/alerts/{id}/timeline", "get-alert-timeline", tagAlerts, "What happened to an alert, in recorded order", http.StatusNotFound), s.getTimeline)
	changing := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired}
	acknowledge := op(http.MethodPost, "/v1/alerts/{id}/acknowledge", "acknowledge-alert", tagAlerts, "Say that you are looking after an alert", changing...)
	acknowledge.Description = "It ends: at `until`, or after `minutes`, 60 when neither is given. Name the version you have seen in If-Match; when somebody was faster, 412 says who."
	add(s, acknowledge, s.acknowledge)
	resolve := op(http.MethodPost, "/v1/alerts/{id}/resolve", "resolve-alert", tagAlerts, "Close an alert with a next step", changing...)
	resolve.Description = "`recheck` and `call` need a time, `next_step_at`. Name the version you have seen in If-Match; when somebody was faster, 412 says who."
	add(s, resolve, s.resolve)
	add(s, op(http.MethodGet, "/v1/worklist", "get-worklist", tagAlerts, "Patients who need somebody, the worst first"), s.worklist)
}

func (s *Server) listAlerts(ctx context.Context, actor account.Actor, in *alertsInput) (*alertsOutput, error) {
	f := alerts.Filter{Patient: vital.UID(in.Patient), Before: vital.UID(in.Before), Limit: in.Limit}
	for _, state := range in.State {
		f.States = append(f.States, alerts.State(state))
	}
	list, err := s.Triage.List(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	out := &alertsOutput{}
	out.Body.Alerts = alertsOf(list, s.Now())
	return out, nil
}

func (s *Server) alert(a *alerts.Alert) *alertOutput {
	return &alertOutput{ETag: etag(a.Version), Body: alertOf(a, s.Now())}
}

func (s *Server) getAlert(ctx context.Context, actor account.Actor, in *alertInput) (*alertOutput, error) {
	a, err := s.Triage.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return s.alert(&a), nil
}

type acknowledgeInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The version you have seen, in quotes" example:"\"2\""`
	Body    struct {
		Until   *time.Time `json:"until,omitempty" doc:"Until then; within a day"`
		Minutes int        `json:"minutes,omitempty" minimum:"1" maximum:"1440" doc:"For so long, when until is not given; 60 when neither is" example:"60"`
		Note    string     `json:"note,omitempty" maxLength:"2000"`
	}
}

func (s *Server) acknowledge(ctx context.Context, actor account.Actor, in *acknowledgeInput) (*alertOutput, error) {
	expected, err := ifMatch(in.IfMatch, false)
	if err != nil {
		return nil, err
	}
	var until time.Time
	switch {
	case in.Body.Until != nil:
		until = *in.Body.Until
	case in.Body.Minutes > 0:
		until = s.Now().Add(time.Duration(in.Body.Minutes) * time.Minute)
	}
	a, err := s.Triage.Acknowledge(ctx, actor, vital.UID(in.ID), expected, until, in.Body.Note)
	if err != nil {
		return nil, s.tooLate(ctx, actor, in.ID, expected, err)
	}
	return s.alert(&a), nil
}

type resolveInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The version you have seen, in quotes" example:"\"2\""`
	Body    struct {
		NextStep   string     `json:"next_step" enum:"none,recheck,call,hand_over"`
		NextStepAt *time.Time `json:"next_step_at,omitempty" doc:"When; for recheck and call"`
		Note       string     `json:"note,omitempty" maxLength:"2000"`
	}
}

func (s *Server) resolve(ctx context.Context, actor account.Actor, in *resolveInput) (*alertOutput, error) {
	expected, err := ifMatch(in.IfMatch, false)
	if err != nil {
		return nil, err
	}
	var when time.Time
	if in.Body.NextStepAt != nil {
		when = *in.Body.NextStepAt
	}
	a, err := s.Triage.Resolve(ctx, actor, vital.UID(in.ID), expected, alerts.NextStep(in.Body.NextStep), when, in.Body.Note)
	if err != nil {
		return nil, s.tooLate(ctx, actor, in.ID, expected, err)
	}
	return s.alert(&a), nil
}

// tooLate says 412 when the caller has not seen the alert as it stands, closed ones too. Somebody who has seen that it
// is closed and acts all the same gets 409.
func (s *Server) tooLate(ctx context.Context, actor account.Actor, id string, expected int, err error) error {
	if errors.Is(err, alerts.ErrClosed) {
		if a, readErr := s.Triage.Get(ctx, actor, vital.UID(id)); readErr == nil && a.Version == expected {
			return err
		}
	}
	return stale(err)
}
