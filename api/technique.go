package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/devices/measuring"
	"hale/vital"
)

type doubtBody struct {
	ID         vital.UID  `json:"id" format:"uuid"`
	Patient    vital.UID  `json:"patient" format:"uuid"`
	Name       string     `json:"name,omitempty" doc:"Of the patient; only in lists"`
	Sensor     string     `json:"sensor" doc:"The name of the device or sensor"`
	Metric     string     `json:"metric" example:"body_weight"`
	MeasuredAt time.Time  `json:"measured_at"`
	Unsure     float64    `json:"uncertainty_seconds,omitempty" doc:"It may have been measured that much earlier or later; left out when its time is known"`
	Kind       string     `json:"kind" enum:"too_soon,far_apart,other_person" doc:"too_soon: under 30 s after the one before; far_apart: more than 20 mm[Hg] from the one before in the same sitting; other_person: a weight more than 5 kg from the median of the week before it"`
	Values     []float64  `json:"values,omitempty" doc:"In canonical units; left out for roles that do not see readings, as is compared"`
	Compared   []float64  `json:"compared,omitempty" doc:"With what: the reading before it, or the median of the week"`
	Seconds    float64    `json:"seconds_apart,omitempty" doc:"From the reading before it"`
	RaisedAt   time.Time  `json:"raised_at"`
	Answer     string     `json:"answer,omitempty" enum:"theirs,somebody_else,closed" doc:"Left out while it waits"`
	Note       string     `json:"note,omitempty"`
	AnsweredAt *time.Time `json:"answered_at,omitempty"`
	AnsweredBy string     `json:"answered_by,omitempty"`
}

func doubtOf(q *measuring.Question) doubtBody {
	return doubtBody{
		ID: q.UID, Patient: q.Patient.UID, Name: q.Patient.Name, Sensor: q.Sensor, Metric: q.Metric.String(), MeasuredAt: q.MeasuredAt, Unsure: q.Vague.Within.Seconds(), Kind: string(q.Doubt),
		Values: q.Values, Compared: q.Compared, Seconds: q.Apart.Seconds(), RaisedAt: q.RaisedAt, Answer: string(q.Answer), Note: q.Note, AnsweredAt: at(q.AnsweredAt), AnsweredBy: q.AnsweredBy,
	}
}

type doubtsInput struct {
	Before string `query:"before" format:"uuid" doc:"Page: only doubts that were raised before this one"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type doubtsOutput struct {
	Body struct {
		Doubts  []doubtBody `json:"doubts" doc:"The newest first"`
		Waiting int         `json:"waiting" doc:"How many wait, on all pages"`
	}
}

type answerInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Answer string `json:"answer" enum:"theirs,somebody_else,closed" doc:"Of a weight whether it is the patient's; a doubtful sitting is closed with a note"`
		Note   string `json:"note,omitempty" maxLength:"1000"`
	}
}

type answerOutput struct{ Body doubtBody }

type sittingReading struct {
	MeasuredAt time.Time `json:"measured_at"`
	Values     []float64 `json:"values" doc:"Systolic and diastolic, in mm[Hg]"`
	Doubt      string    `json:"doubt,omitempty" enum:"too_soon,far_apart"`
}

type sittingBody struct {
	Readings []sittingReading `json:"readings"`
	Mean     []float64        `json:"mean" doc:"Of all readings of the sitting, rounded half up to whole mm[Hg]"`
}

type sittingsOutput struct {
	Body struct {
		Sittings []sittingBody `json:"sittings" doc:"Blood pressures taken in one go, each at most 10 minutes after the one before; the oldest first. One whose time is not known well is in none"`
		Doubts   []doubtBody   `json:"doubts" doc:"The newest first, answered ones too"`
	}
}

func (s *Server) addTechnique() {
	list := op(http.MethodGet, "/v1/doubts", "list-doubts", tagPatients, "Measurements in doubt that wait for an answer")
	list.Description = "A doubt hides nothing: the reading counts, and its limits judge it. Within a minute or so of its arrival a doubtful reading is listed here."
	add(s, list, func(ctx context.Context, actor account.Actor, in *doubtsInput) (*doubtsOutput, error) {
		page, err := s.Technique.Waiting(ctx, actor, vital.UID(in.Before), in.Limit)
		if err != nil {
			return nil, err
		}
		out := &doubtsOutput{}
		out.Body.Doubts, out.Body.Waiting = []doubtBody{}, page.Waiting
		for i := range page.List {
			out.Body.Doubts = append(out.Body.Doubts, doubtOf(&page.List[i]))
		}
		return out, nil
	})
	answer := op(http.MethodPost, "/v1/doubts/{id}/answer", "answer-doubt", tagPatients, "Say whose a weight is, or close a doubtful sitting", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	answer.Description = "A weight of somebody else is filed into the unassigned inbox, with whatever the same sensor measured in the same moment; it can be undone as any other refile."
	add(s, answer, func(ctx context.Context, actor account.Actor, in *answerInput) (*answerOutput, error) {
		q, err := s.Technique.Settle(ctx, actor, vital.UID(in.ID), measuring.Answer(in.Body.Answer), in.Body.Note)
		if err != nil {
			return nil, err
		}
		out := &answerOutput{Body: doubtOf(&q)}
		out.Body.Name = "" // who answers knows whom they asked about
		return out, nil
	})
	add(s, op(http.MethodGet, "/v1/patients/{id}/sittings", "get-sittings", tagPatients, "Blood pressures by sitting, and what was doubtful", http.StatusNotFound), s.getSittings)
}

func (s *Server) getSittings(ctx context.Context, actor account.Actor, in *coverageInput) (*sittingsOutput, error) {
	sat, err := s.Technique.Of(ctx, actor, vital.UID(in.ID), in.Days)
	if err != nil {
		return nil, err
	}
	out := &sittingsOutput{}
	out.Body.Sittings, out.Body.Doubts = []sittingBody{}, []doubtBody{}
	for _, one := range sat.Sittings {
		b := sittingBody{Mean: one.Mean()}
		for i, r := range one.Readings {
			b.Readings = append(b.Readings, sittingReading{MeasuredAt: r.At, Values: r.Values[:2], Doubt: string(one.Doubts[i])})
		}
		out.Body.Sittings = append(out.Body.Sittings, b)
	}
	for i := range sat.Questions {
		out.Body.Doubts = append(out.Body.Doubts, doubtOf(&sat.Questions[i]))
	}
	return out, nil
}
