package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/vital"
)

type consentTextBody struct {
	ID            vital.UID `json:"id" format:"uuid"`
	Purpose       string    `json:"purpose" enum:"care,caregiver_sharing,research"`
	Version       int       `json:"version" example:"1"`
	Language      string    `json:"language" example:"en"`
	Text          string    `json:"text"`
	EffectiveFrom time.Time `json:"effective_from"`
	By            string    `json:"by"`
}

func consentTextOf(t *consent.Text) consentTextBody {
	return consentTextBody{ID: t.UID, Purpose: string(t.Purpose), Version: t.Version, Language: t.Language, Text: t.Body, EffectiveFrom: t.EffectiveFrom, By: t.AuthorName}
}

type standingBody struct {
	Purpose  string     `json:"purpose" enum:"care,caregiver_sharing,research"`
	State    string     `json:"state" enum:"unasked,given,refused,withdrawn,lapsed" doc:"lapsed: it was asked for again and nobody answered; care never lapses"`
	Version  int        `json:"version,omitempty" doc:"Of the text that was decided about"`
	Newest   int        `json:"newest" doc:"Version of the text in force. Who agreed to an older one stays with it until asked"`
	Since    *time.Time `json:"since,omitempty"`
	Due      string     `json:"due,omitempty" enum:"never_asked,new_text,half_a_year" doc:"Why it is to be asked for; left out when it is not"`
	LapsesAt *time.Time `json:"lapses_at,omitempty" doc:"When it ends by itself if nobody answers"`
}

func standingOf(s *consent.Standing) standingBody {
	return standingBody{
		Purpose: string(s.Purpose), State: string(s.State), Version: s.Version, Newest: s.Newest, Since: timeOrNone(s.Since), Due: string(s.Due), LapsesAt: timeOrNone(s.LapsesAt),
	}
}

type decisionBody struct {
	ID         vital.UID `json:"id" format:"uuid"`
	Purpose    string    `json:"purpose" enum:"care,caregiver_sharing,research"`
	Version    int       `json:"version"`
	Language   string    `json:"language"`
	Choice     string    `json:"choice" enum:"given,refused,withdrawn"`
	By         string    `json:"by" enum:"self,guardian"`
	Through    string    `json:"through" enum:"own_session,paper,in_person,phone"`
	RecordedBy string    `json:"recorded_by"`
	Document   string    `json:"document,omitempty"`
	Witness    string    `json:"witness,omitempty"`
	DecidedAt  time.Time `json:"decided_at"`
	RecordedAt time.Time `json:"recorded_at"`
}

type requestBody struct {
	ID       vital.UID `json:"id" format:"uuid"`
	Guardian string    `json:"guardian" doc:"Their name"`
	Purpose  string    `json:"purpose"`
	Choice   string    `json:"choice" enum:"given,refused,withdrawn"`
	MadeAt   time.Time `json:"made_at"`
	Answer   string    `json:"answer" enum:"waiting,accepted,refused"`
}

type stepBody struct {
	Kind string    `json:"kind" enum:"started,told,finished,undone,readmitted"`
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	How  string    `json:"how,omitempty" enum:"phone,visit,letter"`
	Note string    `json:"note,omitempty"`
}

func stepsOf(steps []consent.EndingStep) []stepBody {
	list := make([]stepBody, len(steps))
	for i, s := range steps {
		list[i] = stepBody{Kind: string(s.Kind), At: s.At, By: s.ActorName, How: s.How, Note: s.Note}
	}
	return list
}

type consentsOutput struct {
	Body struct {
		Standings []standingBody    `json:"standings"`
		Decisions []decisionBody    `json:"decisions" doc:"Oldest first; nothing of it ever changes"`
		Texts     []consentTextBody `json:"texts" doc:"Those in force"`
		Requests  []requestBody     `json:"requests" doc:"What a guardian asked for; the care team answers"`
	}
}

func consentsOf(f *consent.File, now time.Time) *consentsOutput {
	out := &consentsOutput{}
	b := &out.Body
	b.Standings, b.Decisions, b.Texts, b.Requests = []standingBody{}, make([]decisionBody, len(f.Log)), []consentTextBody{}, make([]requestBody, len(f.Requests))
	for _, s := range f.Standings(now) {
		b.Standings = append(b.Standings, standingOf(&s))
		if t, ok := consent.TextInForce(f.Texts, s.Purpose, "", now); ok {
			b.Texts = append(b.Texts, consentTextOf(&t))
		}
	}
	for i := range f.Log {
		d := &f.Log[i]
		b.Decisions[i] = decisionBody{
			ID: d.UID, Purpose: string(d.Purpose), Version: d.Version, Language: d.Language, Choice: string(d.Choice), By: string(d.By), Through: string(d.Through),
			RecordedBy: d.RecordedBy, Document: d.Document, Witness: d.Witness, DecidedAt: d.DecidedAt, RecordedAt: d.RecordedAt,
		}
	}
	for i, r := range f.Requests {
		answer := "waiting"
		if !r.SettledAt.IsZero() {
			answer = "refused"
			if r.Accepted {
				answer = "accepted"
			}
		}
		b.Requests[i] = requestBody{ID: r.UID, Guardian: r.Name, Purpose: string(r.Purpose), Choice: string(r.Choice), MadeAt: r.MadeAt, Answer: answer}
	}
	return out
}

// OwnConsent is what somebody decided; exported, for the description sees into embedded structs only then.
type OwnConsent struct {
	Purpose  string `json:"purpose" enum:"care,caregiver_sharing,research"`
	Version  int    `json:"version" minimum:"1" doc:"Of the text that was read"`
	Language string `json:"language,omitempty" maxLength:"35"`
	Choice   string `json:"choice" enum:"given,refused,withdrawn"`
}

func (o *OwnConsent) act() consent.Act {
	return consent.Act{Purpose: consent.Purpose(o.Purpose), Version: o.Version, Language: o.Language, Choice: consent.Choice(o.Choice)}
}

type ownConsentInput struct{ Body OwnConsent }

type consentInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		OwnConsent
		Through  string     `json:"through,omitempty" enum:"paper,in_person,phone" doc:"How staff learnt of it; left out by a guardian"`
		Guardian vital.UID  `json:"guardian,omitempty" format:"uuid" doc:"Whose decision it was, when it was a guardian's"`
		Document string     `json:"document,omitempty" maxLength:"200" doc:"Where the signed paper is kept"`
		Witness  string     `json:"witness,omitempty" maxLength:"200" doc:"Who heard it, when there is no paper"`
		At       *time.Time `json:"at,omitempty" doc:"When it was decided; now when left out"`
	}
}

type requestInput struct {
	ID      string `path:"id" format:"uuid"`
	Request string `path:"request" format:"uuid"`
	Body    struct {
		Accept bool `json:"accept"`
	}
}

type consentTextInput struct {
	Body struct {
		Purpose       string     `json:"purpose" enum:"care,caregiver_sharing,research"`
		Version       int        `json:"version,omitempty" minimum:"1" doc:"Left out: the next version. The newest one's number adds a translation of it"`
		Language      string     `json:"language" minLength:"2" maxLength:"35" example:"en"`
		Text          string     `json:"text" minLength:"1" maxLength:"20000"`
		EffectiveFrom *time.Time `json:"effective_from,omitempty" doc:"Now when left out"`
	}
}

type consentTextOutput struct{ Body consentTextBody }

type consentTextsOutput struct {
	Body struct {
		Texts []consentTextBody `json:"texts"`
	}
}

type dueOutput struct {
	Body struct {
		Due     []dueBody    `json:"due"`
		Endings []patientRef `json:"endings" doc:"Whose care is ending and waits for a person"`
	}
}

type dueBody struct {
	Patient  patientRef   `json:"patient"`
	Standing standingBody `json:"standing"`
}

type endingOutput struct {
	Body struct {
		Stage      string     `json:"stage" enum:"none,stopping,stopped,locked"`
		OpenAlerts int        `json:"open_alerts" doc:"A person closes each before the end"`
		Steps      []stepBody `json:"steps"`
	}
}

type endingInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Step string `json:"step" enum:"told,finished"`
		How  string `json:"how,omitempty" enum:"phone,visit,letter" doc:"Of told: how the patient was told that nobody watches any more"`
		Note string `json:"note,omitempty" maxLength:"500"`
	}
}

func (s *Server) addConsents() {
	add(s, op(http.MethodGet, "/v1/me/consents", "list-own-consents", tagConsent, "What you agreed to", http.StatusNotFound), s.listOwnConsents)
	add(s, op(http.MethodPost, "/v1/me/consents", "decide-own-consent", tagConsent, "Agree, refuse or withdraw", http.StatusNotFound, http.StatusConflict), s.decideOwnConsent)
	add(s, op(http.MethodGet, "/v1/patients/{id}/consents", "list-consents", tagConsent, "What a patient agreed to", http.StatusNotFound), s.listConsents)
	decide := op(http.MethodPost, "/v1/patients/{id}/consents", "record-consent", tagConsent, "Write down what a patient decided", http.StatusNotFound, http.StatusConflict)
	decide.Description = "By staff, with a paper or a witness. A guardian asks with it; the care team answers. Withdrawing sharing or research stops it at once; withdrawing care starts off-boarding."
	add(s, decide, s.recordConsent)
	add(s, op(http.MethodPost, "/v1/patients/{id}/consents/requests/{request}", "settle-consent-request", tagConsent, "Answer what a guardian asked for", http.StatusNotFound, http.StatusConflict), s.settleConsent)
	add(s, op(http.MethodGet, "/v1/consents/due", "list-due-consents", tagConsent, "Whom to ask again, and whose care is ending"), s.listDue)
	add(s, op(http.MethodGet, "/v1/consent-texts", "list-consent-texts", tagConsent, "The organisation's consent texts, all versions"), s.listConsentTexts)
	add(s, created(op(http.MethodPost, "/v1/consent-texts", "add-consent-text", tagConsent, "Add a consent text; none is ever changed", http.StatusConflict)), s.addConsentText)
	add(s, op(http.MethodGet, "/v1/patients/{id}/offboarding", "get-offboarding", tagConsent, "How care of a patient ends", http.StatusNotFound), s.getOffboarding)
	take := op(http.MethodPost, "/v1/patients/{id}/offboarding", "take-offboarding-step", tagConsent, "Take the next step of ending care", http.StatusNotFound, http.StatusConflict)
	take.Description = "told: a person has told the patient that nobody watches any more; until then everything goes on. finished: no alert is open, and the record is locked."
	add(s, take, s.takeEndingStep)
}

func (s *Server) consents(ctx context.Context, actor account.Actor, uid vital.UID) (*consentsOutput, error) {
	f, now, err := s.Consents.File(ctx, actor, uid)
	if err != nil {
		return nil, err
	}
	return consentsOf(&f, now), nil
}

func (s *Server) listOwnConsents(ctx context.Context, actor account.Actor, _ *struct{}) (*consentsOutput, error) {
	return s.consents(ctx, actor, "")
}

func (s *Server) listConsents(ctx context.Context, actor account.Actor, in *patientInput) (*consentsOutput, error) {
	return s.consents(ctx, actor, vital.UID(in.ID))
}

func (s *Server) decideOwnConsent(ctx context.Context, actor account.Actor, in *ownConsentInput) (*consentsOutput, error) {
	if err := s.Consents.Decide(ctx, actor, "", in.Body.act()); err != nil {
		return nil, err
	}
	return s.consents(ctx, actor, "")
}

func (s *Server) recordConsent(ctx context.Context, actor account.Actor, in *consentInput) (*consentsOutput, error) {
	act, b := in.Body.act(), &in.Body
	act.Through, act.Guardian, act.Document, act.Witness, act.At = consent.Through(b.Through), b.Guardian, b.Document, b.Witness, timeOrZero(b.At)
	if err := s.Consents.Decide(ctx, actor, vital.UID(in.ID), act); err != nil {
		return nil, err
	}
	return s.consents(ctx, actor, vital.UID(in.ID))
}

func (s *Server) settleConsent(ctx context.Context, actor account.Actor, in *requestInput) (*consentsOutput, error) {
	if err := s.Consents.Settle(ctx, actor, vital.UID(in.ID), vital.UID(in.Request), in.Body.Accept); err != nil {
		return nil, err
	}
	return s.consents(ctx, actor, vital.UID(in.ID))
}

func (s *Server) listDue(ctx context.Context, actor account.Actor, _ *struct{}) (*dueOutput, error) {
	due, endings, err := s.Consents.DueList(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &dueOutput{}
	out.Body.Due, out.Body.Endings = make([]dueBody, len(due)), make([]patientRef, len(endings))
	for i := range due {
		d := &due[i]
		out.Body.Due[i] = dueBody{Patient: patientRef{ID: d.Patient, Name: d.Name, Number: d.Number}, Standing: standingOf(&d.Standing)}
	}
	for i, p := range endings {
		out.Body.Endings[i] = patientRef{ID: p.UID, Name: p.Name, Number: p.Number}
	}
	return out, nil
}

func (s *Server) listConsentTexts(ctx context.Context, actor account.Actor, _ *struct{}) (*consentTextsOutput, error) {
	list, err := s.Consents.Texts(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &consentTextsOutput{}
	out.Body.Texts = make([]consentTextBody, len(list))
	for i := range list {
		out.Body.Texts[i] = consentTextOf(&list[i])
	}
	return out, nil
}

func (s *Server) addConsentText(ctx context.Context, actor account.Actor, in *consentTextInput) (*consentTextOutput, error) {
	b := &in.Body
	t, err := s.Consents.AddText(ctx, actor, consent.Text{
		Purpose: consent.Purpose(b.Purpose), Version: b.Version, Language: b.Language, Body: b.Text, EffectiveFrom: timeOrZero(b.EffectiveFrom),
	})
	if err != nil {
		return nil, err
	}
	return &consentTextOutput{Body: consentTextOf(&t)}, nil
}

func (s *Server) getOffboarding(ctx context.Context, actor account.Actor, in *patientInput) (*endingOutput, error) {
	_, steps, open, err := s.Offboarding.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &endingOutput{}
	out.Body.Stage, out.Body.OpenAlerts, out.Body.Steps = string(consent.StageOf(steps)), open, stepsOf(steps)
	return out, nil
}

func (s *Server) takeEndingStep(ctx context.Context, actor account.Actor, in *endingInput) (*endingOutput, error) {
	act := consent.EndingAct{Kind: consent.EndingKind(in.Body.Step), How: in.Body.How, Note: in.Body.Note}
	if err := s.Offboarding.Take(ctx, actor, vital.UID(in.ID), act); err != nil {
		return nil, err
	}
	return s.getOffboarding(ctx, actor, &patientInput{ID: in.ID})
}
