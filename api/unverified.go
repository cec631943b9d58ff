package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

type holderBody struct {
	Patient patientRef `json:"patient"`
	How     string     `json:"how" enum:"holds,held,near,claimed" doc:"Holds the sensor at that time; held it before or after, or, of a time that is not known well, for a part of it; holds something of the same household; was said to be the one"`
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty"`
}

type unverifiedBody struct {
	ID                vital.UID    `json:"id" format:"uuid"`
	Version           int          `json:"version" doc:"Also in ETag"`
	State             string       `json:"state" enum:"open,acknowledged,closed"`
	Level             string       `json:"level" enum:"red,extreme"`
	Ground            string       `json:"ground" enum:"extreme,limit,beyond,unit" doc:"Why it may be an emergency: beyond what is acted on at once for anybody; a red limit of somebody whose it may be; beyond what the device can measure; red whichever unit it has"`
	Device            string       `json:"device"`
	Sensor            string       `json:"sensor"`
	Metric            string       `json:"metric" example:"oxygen_saturation"`
	Values            []*float64   `json:"values" doc:"The worst one; canonical units, or as read when unitless; null where nobody can have it"`
	Unitless          bool         `json:"unitless" doc:"Which unit the number has is not known"`
	Beyond            string       `json:"beyond,omitempty" enum:"below,above" doc:"Of what the device can measure"`
	Findings          []string     `json:"findings"`
	MeasuredAt        *time.Time   `json:"measured_at,omitempty" doc:"Left out when it is not known"`
	Unsure            float64      `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	ReceivedAt        time.Time    `json:"received_at"`
	LastReceivedAt    time.Time    `json:"last_received_at"`
	Times             int          `json:"times" doc:"How many such values came while it was open"`
	Place             string       `json:"place" enum:"inbox,quarantine,record" doc:"Where the value is"`
	Why               string       `json:"why" doc:"The reason there" example:"no_owner"`
	Historic          bool         `json:"historic" doc:"It tells of more than 6 hours ago: nobody is called"`
	OpenedAt          time.Time    `json:"opened_at"`
	Deadline          *time.Time   `json:"deadline,omitempty" doc:"By when somebody is to look"`
	Overdue           bool         `json:"overdue"`
	AcknowledgedBy    string       `json:"acknowledged_by,omitempty"`
	AcknowledgedUntil *time.Time   `json:"acknowledged_until,omitempty"`
	Closing           string       `json:"closing,omitempty" enum:"claimed,not_real,handled,dismissed,taken_back,read_again" doc:"What became of it: a person said whose it is, that it is not real, or that it was handled; or it ended by itself, claimed in the inbox and judged there, put aside there, taken back by its device, or decoded again and accepted"`
	ClosedAt          *time.Time   `json:"closed_at,omitempty"`
	ClosedBy          string       `json:"closed_by,omitempty"`
	Note              string       `json:"note,omitempty"`
	MayBe             []holderBody `json:"may_be" doc:"Whose it may be, of the patients within your reach. A suggestion: nothing is filed by it"`
	// Of one that is asked for by itself.
	StandsFor []unverifiedValueBody `json:"stands_for,omitempty" doc:"The values that it stands for, those first that still wait, and the worst of them; 100 at most. Of one that is asked for by itself"`
	Log       []unverifiedEntryBody `json:"log,omitempty" doc:"What happened, the oldest first; 100 lines at most. Of one that is asked for by itself"`
}

type unverifiedValueBody struct {
	ID         int64      `json:"id"`
	Values     []*float64 `json:"values" doc:"As of the whole; none where the device could not measure it"`
	Place      string     `json:"place" enum:"inbox,quarantine,record"`
	Why        string     `json:"why"`
	Times      int        `json:"times" doc:"The same bytes without a time, received again, count up"`
	MeasuredAt *time.Time `json:"measured_at,omitempty"`
	Unsure     float64    `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	ReceivedAt time.Time  `json:"received_at"`
	Became     string     `json:"became,omitempty" enum:"claimed,not_real,handled,dismissed,taken_back,read_again" doc:"Left out while it waits; dismissed without ended_at: put aside by somebody who may not end it"`
	By         string     `json:"by,omitempty"`
	Note       string     `json:"note,omitempty"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
	// Of one that was claimed.
	Patient *patientRef `json:"patient,omitempty" doc:"Whose it was said to be, and still is; left out when it is nobody within your reach"`
	Refile  vital.UID   `json:"refile,omitempty" format:"uuid" doc:"What filed it among their readings: undo that where it is not theirs. Left out when nothing did: then unclaim it"`
}

type unverifiedEntryBody struct {
	At     time.Time  `json:"at"`
	Kind   string     `json:"kind" enum:"opened,worsened,overdue,acknowledged,claimed,unclaimed,closed,dismissed,brought_back,taken_back,read_again,correction_refused"`
	By     string     `json:"by,omitempty" doc:"Left out: Hale"`
	Values []*float64 `json:"values,omitempty"`
	Note   string     `json:"note,omitempty"`
}

func unverifiedOf(u *alerts.Unverified, now time.Time) unverifiedBody {
	b := unverifiedBody{
		ID: u.UID, Version: u.Version, State: string(u.State), Level: u.Level.String(), Ground: string(u.Ground), Device: u.Device, Sensor: u.Sensor,
		Metric: u.Metric.String(), Values: numbersOf(u.Values), Unitless: u.Unitless, Findings: orEmpty(u.Findings.Names()), MeasuredAt: at(u.MeasuredAt), Unsure: u.Vague.Within.Seconds(), ReceivedAt: u.ReceivedAt, LastReceivedAt: u.LastAt,
		Times: u.Times, Place: string(u.Place), Why: u.Why, Historic: u.Historic, OpenedAt: u.OpenedAt, Deadline: at(u.Deadline), Overdue: u.Loud(now),
		Closing: string(u.Closing), ClosedAt: at(u.ClosedAt), ClosedBy: u.ClosedBy, Note: u.Note, MayBe: []holderBody{},
	}
	switch u.Beyond {
	case vital.Below:
		b.Beyond = "below"
	case vital.Above:
		b.Beyond = "above"
	case vital.Under, vital.Over: // of a bound the number stands by itself
	}
	if u.State == alerts.Acknowledged {
		b.AcknowledgedBy, b.AcknowledgedUntil = u.AckName, at(u.AckUntil)
	}
	for _, h := range u.Holders {
		b.MayBe = append(b.MayBe, holderBody{patientRef{h.Patient, h.Name, h.Number}, h.How, at(h.From), at(h.To)})
	}
	for i := range u.All {
		v := &u.All[i]
		one := unverifiedValueBody{ID: v.ID, Values: numbersOf(v.Values), Place: string(v.Place), Why: v.Why, Times: v.Times, MeasuredAt: at(v.MeasuredAt), Unsure: v.Vague.Within.Seconds(), ReceivedAt: v.ReceivedAt, EndedAt: at(v.EndedAt)}
		if !v.EndedAt.IsZero() {
			one.Became, one.By, one.Note = string(v.Became), v.By, v.Note
		}
		if p := &v.Claim.Owner; p.ID != 0 {
			one.Patient, one.Refile = &patientRef{p.UID, p.Name, p.Number}, v.Claim.Refile
		}
		b.StandsFor = append(b.StandsFor, one)
	}
	for _, e := range u.Log {
		b.Log = append(b.Log, unverifiedEntryBody{e.At, e.Kind, e.By, numbersOf(e.Values), e.Note})
	}
	return b
}

// numbersOf writes what is no number as null, which JSON has.
func numbersOf(values []float64) []*float64 {
	list := make([]*float64, len(values))
	for i := range values {
		if !math.IsNaN(values[i]) {
			list[i] = &values[i]
		}
	}
	return list
}

type unverifiedsInput struct {
	Closed bool `query:"closed" doc:"Those that are closed, newest first, instead of those that are open"`
	Limit  int  `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type unverifiedsOutput struct {
	Body struct {
		Unverified []unverifiedBody `json:"unverified"`
	}
}

type unverifiedInput struct {
	ID string `path:"id" format:"uuid"`
}

type unverifiedOutput struct {
	ETag string `header:"ETag"`
	Body unverifiedBody
}

type unverifiedAckInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The version you have seen, in quotes" example:"\"1\""`
	Body    struct {
		Minutes int `json:"minutes,omitempty" minimum:"1" maximum:"1440" doc:"For so long; 60 when left out"`
	}
}

type unverifiedClaimInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The version you have seen, in quotes" example:"\"1\""`
	Body    struct {
		Patient string `json:"patient" format:"uuid"`
		Note    string `json:"note,omitempty" maxLength:"2000"`
	}
}

type unverifiedUnclaimInput struct {
	ID    string `path:"id" format:"uuid"`
	Value int64  `path:"value" doc:"Of stands_for"`
	Body  struct {
		Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why it is not theirs"`
	}
}

type unverifiedCloseInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The version you have seen, in quotes" example:"\"1\""`
	Body    struct {
		How  string `json:"how" enum:"not_real,handled"`
		Note string `json:"note" minLength:"1" maxLength:"2000" doc:"Why"`
	}
}

func (s *Server) addUnverified() {
	list := op(http.MethodGet, "/v1/unverified", "list-unverified", tagAlerts, "Values of nobody known that may be an emergency, the worst first")
	list.Description = "What waits for an owner, was refused, or is a summary that no limit judges, and is beyond what is acted on at once for anybody or beyond a red limit of somebody whose it may be. For everybody in the organisation who handles alerts."
	add(s, list, s.listUnverified)
	add(s, op(http.MethodGet, "/v1/unverified/{id}", "get-unverified", tagAlerts, "One of them", http.StatusNotFound), s.getUnverified)
	changed := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired}
	add(s, op(http.MethodPost, "/v1/unverified/{id}/acknowledge", "acknowledge-unverified", tagAlerts, "Look after it", changed...), s.acknowledgeUnverified)
	add(s, op(http.MethodPost, "/v1/unverified/{id}/claim", "claim-unverified", tagAlerts, "Say whose it is: what waits is filed, and it ends by itself once the patient was judged by it", changed...), s.claimUnverified)
	add(s, op(http.MethodPost, "/v1/unverified/{id}/close", "close-unverified", tagAlerts, "End it: it is not real, or it was handled", changed...), s.closeUnverified)
	unclaim := op(http.MethodPost, "/v1/unverified/{id}/values/{value}/unclaim", "unclaim-unverified", tagAlerts, "Say that a value is not whose it was said to be", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	unclaim.Description = "Of what no claim has filed: it was refused, or is a summary. It is nobody's again, and within a second listed anew as an unverified red of its own, for whoever claims it for the right one. What was filed (refile of stands_for) is undone by POST /v1/refiles/{id}/undo."
	add(s, unclaim, s.unclaimUnverified)
}

func (s *Server) listUnverified(ctx context.Context, actor account.Actor, in *unverifiedsInput) (*unverifiedsOutput, error) {
	list, err := s.Unverified.List(ctx, actor, alerts.UnverifiedFilter{Closed: in.Closed, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &unverifiedsOutput{}
	out.Body.Unverified = make([]unverifiedBody, len(list))
	for i := range list {
		out.Body.Unverified[i] = unverifiedOf(&list[i], s.Now())
	}
	return out, nil
}

func (s *Server) oneUnverified(u alerts.Unverified, err error) (*unverifiedOutput, error) {
	if err != nil {
		if errors.Is(err, alerts.ErrStale) || errors.Is(err, alerts.ErrClosed) { // every other conflict is none of the version
			err = stale(err)
		}
		return nil, err
	}
	return &unverifiedOutput{ETag: etag(u.Version), Body: unverifiedOf(&u, s.Now())}, nil
}

func (s *Server) getUnverified(ctx context.Context, actor account.Actor, in *unverifiedInput) (*unverifiedOutput, error) {
	return s.oneUnverified(s.Unverified.Get(ctx, actor, vital.UID(in.ID)))
}

func (s *Server) acknowledgeUnverified(ctx context.Context, actor account.Actor, in *unverifiedAckInput) (*unverifiedOutput, error) {
	expected, err := ifMatch(in.IfMatch, false)
	if err != nil {
		return nil, err
	}
	var until time.Time
	if in.Body.Minutes > 0 {
		until = s.Now().Add(time.Duration(in.Body.Minutes) * time.Minute)
	}
	return s.oneUnverified(s.Unverified.Acknowledge(ctx, actor, vital.UID(in.ID), expected, until))
}

func (s *Server) claimUnverified(ctx context.Context, actor account.Actor, in *unverifiedClaimInput) (*unverifiedOutput, error) {
	expected, err := ifMatch(in.IfMatch, false)
	if err != nil {
		return nil, err
	}
	return s.oneUnverified(s.Unverified.Claim(ctx, actor, vital.UID(in.ID), expected, vital.UID(in.Body.Patient), in.Body.Note))
}

func (s *Server) unclaimUnverified(ctx context.Context, actor account.Actor, in *unverifiedUnclaimInput) (*unverifiedOutput, error) {
	return s.oneUnverified(s.Unverified.Unclaim(ctx, actor, vital.UID(in.ID), in.Value, in.Body.Reason))
}

func (s *Server) closeUnverified(ctx context.Context, actor account.Actor, in *unverifiedCloseInput) (*unverifiedOutput, error) {
	expected, err := ifMatch(in.IfMatch, false)
	if err != nil {
		return nil, err
	}
	return s.oneUnverified(s.Unverified.Close(ctx, actor, vital.UID(in.ID), expected, alerts.Closing(in.Body.How), in.Body.Note))
}
