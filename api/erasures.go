package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

type erasureItemBody struct {
	Class  string     `json:"class" enum:"readings,alerts,pairing,consents,exports,looks,identity"`
	Until  *time.Time `json:"until,omitempty" doc:"Kept until then; left out of what is erased at once"`
	Ground string     `json:"ground,omitempty" doc:"Why it is kept, in words"`
	DoneAt *time.Time `json:"done_at,omitempty" doc:"When it was erased"`
}

type erasureBody struct {
	ID          vital.UID         `json:"id" format:"uuid"`
	Number      int               `json:"number" doc:"Of the request; who confirms types it"`
	Patient     vital.UID         `json:"patient,omitempty" doc:"Left out when they are nobody any more"`
	Name        string            `json:"name,omitempty"`
	State       string            `json:"state" enum:"asked,refused,withdrawn,decided,confirmed,erasing,kept,done"`
	AskedBy     string            `json:"asked_by" enum:"patient,guardian,paper,operator" doc:"Who wants it: the patient in their own session, a guardian, somebody on paper, or an operator who put a backup back"`
	Asker       string            `json:"asker" doc:"The same in words, with the name of a guardian"`
	OnPaper     bool              `json:"on_paper" doc:"It came on paper"`
	Wish        string            `json:"wish,omitempty"`
	AskedAt     time.Time         `json:"asked_at"`
	Answer      string            `json:"answer,omitempty" doc:"Why it was refused, or a word with the decision"`
	DecidedAt   *time.Time        `json:"decided_at,omitempty"`
	ConfirmedAt *time.Time        `json:"confirmed_at,omitempty"`
	DueAt       *time.Time        `json:"due_at,omitempty" doc:"When Hale acts next"`
	Items       []erasureItemBody `json:"items" doc:"What was decided by class; before the decision, of one request, what the organisation's table says"`
	Receipt     bool              `json:"receipt" doc:"There is one"`
}

type (
	erasureOutput  struct{ Body erasureBody }
	erasuresOutput struct {
		Body struct {
			Erasures []erasureBody `json:"erasures"`
		}
	}
	erasureInput struct {
		ID string `path:"id" format:"uuid"`
	}
	askErasureInput struct {
		ID   string `path:"id" format:"uuid"`
		Body struct {
			Wish string `json:"wish,omitempty" maxLength:"2000" doc:"In the patient's words"`
		}
	}
	decideErasureInput struct {
		ID   string `path:"id" format:"uuid"`
		Body struct {
			Refuse bool     `json:"refuse,omitempty"`
			Answer string   `json:"answer,omitempty" maxLength:"2000" doc:"The reason of a refusal, or of erasing what the table keeps. The patient reads it"`
			Erase  []string `json:"erase,omitempty" maxItems:"7" enum:"readings,alerts,pairing,consents,exports,looks,identity" doc:"Classes that the table keeps, and that are erased at once all the same"`
		}
	}
	confirmErasureInput struct {
		ID   string `path:"id" format:"uuid"`
		Body struct {
			Number int    `json:"number" minimum:"1" doc:"Of the request, typed by somebody else than who decided"`
			Told   string `json:"told,omitempty" maxLength:"2000" doc:"Of somebody under care: who told them that nobody watches any more once it is erased, when and how. With red alerts open, or without it, the answer is 409"`
		}
	}
	receiptOutput struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
)

type retentionBody struct {
	Class  string `json:"class" enum:"readings,alerts,pairing,consents,exports,looks,identity"`
	Years  int    `json:"years" minimum:"0" maximum:"100" doc:"0: it is not kept"`
	From   string `json:"from" enum:"end of care,decision"`
	Linked bool   `json:"linked" doc:"Kept together with who the person is; otherwise under a number that is nobody's"`
	Ground string `json:"ground" maxLength:"2000" doc:"By which law, in words that the patient can read"`
}

type policyBody struct {
	CoolingDays int             `json:"cooling_days" minimum:"0" maximum:"90" doc:"Between confirmation and execution, in which the request can be withdrawn"`
	BackupDays  int             `json:"backup_days" minimum:"0" maximum:"3660" doc:"After which the last backup with what was erased is gone"`
	Retention   []retentionBody `json:"retention" minItems:"7" maxItems:"7" doc:"Every class once, in this order: readings, alerts, pairing, consents, exports, looks, identity"`
}

type policyInOut struct{ Body policyBody }

func (s *Server) addErasures() {
	const tag = tagPatients
	ask := created(op(http.MethodPost, "/v1/patients/{id}/erasures", "ask-erasure", tag, "Ask that everything about a patient is erased", http.StatusNotFound, http.StatusConflict))
	ask.Description = "The patient asks, or a privacy officer for a request on paper. Nothing is erased before it is decided and confirmed (docs/erasure.md)."
	add(s, ask, s.askErasure)
	add(s, op(http.MethodGet, "/v1/patients/{id}/erasures", "list-patient-erasures", tag, "The requests of a patient, and what became of them", http.StatusNotFound), s.patientErasures)
	add(s, op(http.MethodGet, "/v1/erasures", "list-erasures", tag, "All requests for erasure"), s.listErasures)
	add(s, op(http.MethodGet, "/v1/erasures/{id}", "get-erasure", tag, "One request", http.StatusNotFound), s.getErasure)
	add(s, op(http.MethodPost, "/v1/erasures/{id}/decision", "decide-erasure", tag, "Decide on a request, class by class", http.StatusNotFound, http.StatusConflict), s.decideErasure)
	add(s, op(http.MethodPost, "/v1/erasures/{id}/confirmation", "confirm-erasure", tag, "Confirm a decision, as a second person", http.StatusNotFound, http.StatusConflict), s.confirmErasure)
	add(s, op(http.MethodPost, "/v1/erasures/{id}/withdrawal", "withdraw-erasure", tag, "Take a request back", http.StatusNotFound, http.StatusConflict), s.withdrawErasure)
	add(s, op(http.MethodGet, "/v1/erasures/{id}/receipt", "get-erasure-receipt", tag, "The signed receipt", http.StatusNotFound, http.StatusConflict), s.erasureReceipt)
	add(s, op(http.MethodGet, "/v1/erasure-policy", "get-erasure-policy", tag, "How long the organisation keeps what, and why"), s.getPolicy)
	add(s, op(http.MethodPut, "/v1/erasure-policy", "set-erasure-policy", tag, "Change it, for decisions from now on"), s.setPolicy)
}

func erasureOf(e *safe.Erasure) erasureBody {
	b := erasureBody{
		ID: e.UID, Number: e.Number, Patient: e.PatientUID, Name: e.Name, State: string(e.State), AskedBy: askedBy(e), Asker: e.Asker(), OnPaper: e.OnPaper, Wish: e.Wish, AskedAt: e.AskedAt,
		Answer: e.Answer, DecidedAt: someTime(e.DecidedAt), ConfirmedAt: someTime(e.ConfirmedAt), DueAt: someTime(e.DueAt), Items: []erasureItemBody{}, Receipt: e.Receipt != nil,
	}
	for _, i := range e.Items {
		b.Items = append(b.Items, erasureItemBody{Class: string(i.Class), Until: someTime(i.Until), Ground: i.Ground, DoneAt: someTime(i.DoneAt)})
	}
	return b
}

func askedBy(e *safe.Erasure) string {
	switch {
	case e.OnPaper:
		return "paper"
	case e.AskedRole == account.CaregiverRole:
		return "guardian"
	case e.AskedRole == account.SelfRole:
		return "patient"
	}
	return "operator"
}

// someTime is nil for no time.
func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (s *Server) askErasure(ctx context.Context, actor account.Actor, in *askErasureInput) (*erasureOutput, error) {
	e, err := s.Erasures.Ask(ctx, actor, vital.UID(in.ID), in.Body.Wish)
	return answerErasure(e, err)
}

func answerErasure(e safe.Erasure, err error) (*erasureOutput, error) {
	if err != nil {
		return nil, err
	}
	return &erasureOutput{Body: erasureOf(&e)}, nil
}

func (s *Server) patientErasures(ctx context.Context, actor account.Actor, in *erasureInput) (*erasuresOutput, error) {
	list, err := s.Erasures.Of(ctx, actor, vital.UID(in.ID))
	return answerErasures(list, err)
}

func (s *Server) listErasures(ctx context.Context, actor account.Actor, _ *struct{}) (*erasuresOutput, error) {
	list, err := s.Erasures.List(ctx, actor)
	return answerErasures(list, err)
}

func answerErasures(list []safe.Erasure, err error) (*erasuresOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &erasuresOutput{}
	out.Body.Erasures = make([]erasureBody, len(list))
	for i := range list {
		out.Body.Erasures[i] = erasureOf(&list[i])
	}
	return out, nil
}

func (s *Server) getErasure(ctx context.Context, actor account.Actor, in *erasureInput) (*erasureOutput, error) {
	e, err := s.Erasures.Get(ctx, actor, vital.UID(in.ID))
	if err == nil && e.State == safe.ErasureAsked {
		e.Items, err = s.Erasures.Proposal(ctx, actor, e, s.Now())
	}
	return answerErasure(e, err)
}

func (s *Server) decideErasure(ctx context.Context, actor account.Actor, in *decideErasureInput) (*erasureOutput, error) {
	d := safe.ErasureDecision{Refuse: in.Body.Refuse, Answer: in.Body.Answer}
	for _, c := range in.Body.Erase {
		d.Erase = append(d.Erase, safe.Class(c))
	}
	e, err := s.Erasures.Decide(ctx, actor, vital.UID(in.ID), d)
	return answerErasure(e, err)
}

func (s *Server) confirmErasure(ctx context.Context, actor account.Actor, in *confirmErasureInput) (*erasureOutput, error) {
	e, err := s.Erasures.Confirm(ctx, actor, vital.UID(in.ID), in.Body.Number, in.Body.Told)
	return answerErasure(e, err)
}

func (s *Server) withdrawErasure(ctx context.Context, actor account.Actor, in *erasureInput) (*erasureOutput, error) {
	e, err := s.Erasures.Withdraw(ctx, actor, vital.UID(in.ID))
	return answerErasure(e, err)
}

func (s *Server) erasureReceipt(ctx context.Context, actor account.Actor, in *erasureInput) (*receiptOutput, error) {
	e, err := s.Erasures.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	if !json.Valid(e.Receipt) {
		return nil, fault.New(fault.Conflict, "request %d is %s: there is a receipt when something was carried out", e.Number, e.State)
	}
	return &receiptOutput{ContentType: "application/json", Body: e.Receipt}, nil
}

func (s *Server) getPolicy(ctx context.Context, actor account.Actor, _ *struct{}) (*policyInOut, error) {
	p, err := s.Erasures.Policy(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &policyInOut{Body: policyBody{CoolingDays: p.CoolingDays, BackupDays: p.BackupDays}}
	for _, r := range p.Retention {
		out.Body.Retention = append(out.Body.Retention, retentionBody{Class: string(r.Class), Years: r.Years, From: string(r.From), Linked: r.Linked, Ground: r.Ground})
	}
	return out, nil
}

func (s *Server) setPolicy(ctx context.Context, actor account.Actor, in *policyInOut) (*policyInOut, error) {
	p := safe.Policy{CoolingDays: in.Body.CoolingDays, BackupDays: in.Body.BackupDays}
	for _, r := range in.Body.Retention {
		p.Retention = append(p.Retention, safe.Retention{Class: safe.Class(r.Class), Years: r.Years, From: safe.Event(r.From), Linked: r.Linked, Ground: r.Ground})
	}
	if err := s.Erasures.SetPolicy(ctx, actor, p); err != nil {
		return nil, err
	}
	return in, nil
}
