package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
	"hale/vital"
)

type grantBody struct {
	Caregiver vital.UID  `json:"caregiver" format:"uuid"`
	Name      string     `json:"name" example:"Eva Novak"`
	Guardian  bool       `json:"guardian"`
	Scopes    []string   `json:"scopes" example:"[\"see patients\",\"see readings\"]"`
	From      time.Time  `json:"from"`
	To        *time.Time `json:"to,omitempty" doc:"Left out while no end is set"`
	Document  string     `json:"document,omitempty" doc:"Of a guardian"`
	Reason    string     `json:"reason,omitempty" doc:"How staff knew that it was the patient's wish"`
	By        string     `json:"by" doc:"Who wrote it down"`
	Confirmed bool       `json:"confirmed" doc:"Of a guardian: a second person has seen the document; before that it has no force"`
	Frozen    bool       `json:"frozen" doc:"They see nothing new and do not notice"`
}

func grantOf(g *consent.Grant) grantBody {
	b := grantBody{
		Caregiver: g.Who, Name: g.Name, Guardian: g.Guardian, Scopes: []string{}, From: g.From, To: timeOrNone(g.To), Document: g.Document, Reason: g.Reason, By: g.RecordedBy,
		Confirmed: !g.ConfirmedAt.IsZero(), Frozen: !g.SuspendedAt.IsZero(),
	}
	for _, a := range g.Scopes.Actions() {
		b.Scopes = append(b.Scopes, string(a))
	}
	return b
}

type caregiversOutput struct {
	Body struct {
		Caregivers []grantBody `json:"caregivers" doc:"Every grant, ended ones too, oldest first"`
	}
}

type grantOutput struct{ Body grantBody }

// LetInBody is whom to let in; exported, for the description sees into embedded structs only then.
type LetInBody struct {
	Caregiver vital.UID  `json:"caregiver,omitempty" format:"uuid" doc:"Somebody who was let in before, to change what they see and for how long; left out for somebody new"`
	Name      string     `json:"name,omitempty" maxLength:"200" doc:"Of somebody new"`
	Phone     string     `json:"phone,omitempty" maxLength:"64" doc:"For the emergency sheet; left out: as it was"`
	Scopes    []string   `json:"scopes" minItems:"1" maxItems:"40" doc:"see patients, see readings, see alerts, see the emergency sheet; a guardian's may hold more"`
	From      *time.Time `json:"from,omitempty" doc:"Now when left out"`
	To        *time.Time `json:"to,omitempty" doc:"Until further notice when left out; a guardian's is needed"`
	Reason    string     `json:"reason,omitempty" maxLength:"500" doc:"Of staff: how they know that it is the patient's wish"`
}

func (b *LetInBody) letIn() (consent.LetIn, error) {
	l := consent.LetIn{Who: b.Caregiver, Name: b.Name, Phone: b.Phone, From: timeOrZero(b.From), To: timeOrZero(b.To), Reason: b.Reason}
	var actions []account.Action
	for _, name := range b.Scopes {
		actions = append(actions, account.Action(name))
	}
	l.Scopes = account.ScopesOf(actions...)
	if len(l.Scopes.Actions()) != len(b.Scopes) {
		return l, fault.New(fault.Invalid, "scopes: one of them is no such thing, or is named twice")
	}
	return l, nil
}

type ownLetInInput struct{ Body LetInBody }

type letInInput struct {
	ID   string `path:"id" format:"uuid"`
	Body LetInBody
}

type guardianInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		LetInBody
		Document string `json:"document" minLength:"1" maxLength:"200" doc:"Where the guardian's document is kept"`
	}
}

type ownCaregiverInput struct {
	Caregiver string `path:"caregiver" format:"uuid"`
}

type caregiverInput struct {
	ID        string `path:"id" format:"uuid"`
	Caregiver string `path:"caregiver" format:"uuid"`
}

type privateBody struct {
	ID     vital.UID  `json:"id,omitempty" format:"uuid" readOnly:"true"`
	Kind   string     `json:"kind" enum:"alert,metric,span,consent,correction"`
	Ref    vital.UID  `json:"ref,omitempty" format:"uuid" doc:"Of the alert, consent or correction"`
	Metric string     `json:"metric,omitempty" maxLength:"64" example:"body_weight"`
	From   *time.Time `json:"from,omitempty" doc:"Of a metric or a span: when it was measured"`
	To     *time.Time `json:"to,omitempty"`
	By     string     `json:"by,omitempty" readOnly:"true"`
}

func privateOf(i *consent.PrivateItem) privateBody {
	b := privateBody{ID: i.UID, Kind: string(i.Kind), Ref: i.Ref, From: timeOrNone(i.From), To: timeOrNone(i.To), By: i.MarkedBy}
	if i.Metric != 0 {
		b.Metric = i.Metric.String()
	}
	return b
}

func (b *privateBody) item() (consent.PrivateItem, error) {
	i := consent.PrivateItem{Kind: consent.PrivateKind(b.Kind), Ref: b.Ref, From: timeOrZero(b.From), To: timeOrZero(b.To)}
	if b.Metric == "" {
		return i, nil
	}
	m, ok := vital.ParseMetric(b.Metric)
	if !ok {
		return i, fault.New(fault.Invalid, "metric: there is no %q", b.Metric)
	}
	i.Metric = m
	return i, nil
}

type privateOutput struct {
	Body struct {
		Private []privateBody `json:"private"`
	}
}

type onePrivateOutput struct{ Body privateBody }

type ownPrivateInput struct{ Body privateBody }

type privateInput struct {
	ID   string `path:"id" format:"uuid"`
	Body privateBody
}

type ownItemInput struct {
	Item string `path:"item" format:"uuid"`
}

type itemInput struct {
	ID   string `path:"id" format:"uuid"`
	Item string `path:"item" format:"uuid"`
}

func (s *Server) addCaregivers() {
	const me, them = "/v1/me/caregivers", "/v1/patients/{id}/caregivers"
	add(s, op(http.MethodGet, me, "list-own-caregivers", tagConsent, "Whom you have let in", http.StatusNotFound), s.listOwnCaregivers)
	add(s, created(op(http.MethodPost, me, "let-own-caregiver-in", tagConsent, "Let somebody in, or change what they see", http.StatusNotFound, http.StatusConflict)), s.letOwnIn)
	add(s, op(http.MethodDelete, me+"/{caregiver}", "end-own-caregiver", tagConsent, "Let somebody see nothing any more, at once", http.StatusNotFound), s.endOwnCaregiver)
	add(s, op(http.MethodGet, them, "list-caregivers", tagConsent, "Whom a patient has let in", http.StatusNotFound), s.listCaregivers)
	add(s, created(op(http.MethodPost, them, "let-caregiver-in", tagConsent, "Let somebody in as the patient wishes", http.StatusNotFound, http.StatusConflict)), s.letIn)
	add(s, op(http.MethodDelete, them+"/{caregiver}", "end-caregiver", tagConsent, "End what a caregiver or guardian sees, at once", http.StatusNotFound), s.endCaregiver)
	guardian := created(op(http.MethodPost, "/v1/patients/{id}/guardians", "record-guardian", tagConsent, "Record a guardian", http.StatusNotFound, http.StatusConflict))
	guardian.Description = "It needs a document and an end, and has no force before a second member of staff has confirmed it."
	add(s, guardian, s.recordGuardian)
	add(s, op(http.MethodPost, "/v1/patients/{id}/guardians/{caregiver}/confirm", "confirm-guardian", tagConsent, "Say that you have seen the guardian's document too", http.StatusNotFound, http.StatusConflict), s.confirmGuardian)

	quiet := "Freeze what somebody sees without a sign to them"
	add(s, op(http.MethodPut, me+"/{caregiver}/frozen", "freeze-own-caregiver", tagConsent, quiet, http.StatusNotFound), s.freezeOwn(true))
	add(s, op(http.MethodDelete, me+"/{caregiver}/frozen", "thaw-own-caregiver", tagConsent, "Let their view go on", http.StatusNotFound), s.freezeOwn(false))
	add(s, op(http.MethodPut, them+"/{caregiver}/frozen", "freeze-caregiver", tagConsent, quiet, http.StatusNotFound), s.freeze(true))
	add(s, op(http.MethodDelete, them+"/{caregiver}/frozen", "thaw-caregiver", tagConsent, "Let their view go on", http.StatusNotFound), s.freeze(false))

	add(s, op(http.MethodGet, "/v1/me/private", "list-own-private", tagConsent, "What you keep from caregivers and guardians", http.StatusNotFound), s.listOwnPrivate)
	add(s, created(op(http.MethodPost, "/v1/me/private", "mark-own-private", tagConsent, "Keep something from them", http.StatusNotFound)), s.markOwnPrivate)
	add(s, op(http.MethodDelete, "/v1/me/private/{item}", "unmark-own-private", tagConsent, "Show it again", http.StatusNotFound), s.unmarkOwnPrivate)
	add(s, op(http.MethodGet, "/v1/patients/{id}/private", "list-private", tagConsent, "What is kept from a patient's caregivers and guardians", http.StatusNotFound), s.listPrivate)
	add(s, created(op(http.MethodPost, "/v1/patients/{id}/private", "mark-private", tagConsent, "Keep something from them", http.StatusNotFound)), s.markPrivate)
	add(s, op(http.MethodDelete, "/v1/patients/{id}/private/{item}", "unmark-private", tagConsent, "Show it again", http.StatusNotFound), s.unmarkPrivate)
}

func (s *Server) caregivers(ctx context.Context, actor account.Actor, uid vital.UID) (*caregiversOutput, error) {
	list, _, err := s.Caregivers.List(ctx, actor, uid)
	if err != nil {
		return nil, err
	}
	out := &caregiversOutput{}
	out.Body.Caregivers = make([]grantBody, len(list))
	for i := range list {
		out.Body.Caregivers[i] = grantOf(&list[i])
	}
	return out, nil
}

func (s *Server) listOwnCaregivers(ctx context.Context, actor account.Actor, _ *struct{}) (*caregiversOutput, error) {
	return s.caregivers(ctx, actor, "")
}

func (s *Server) listCaregivers(ctx context.Context, actor account.Actor, in *patientInput) (*caregiversOutput, error) {
	return s.caregivers(ctx, actor, vital.UID(in.ID))
}

func (s *Server) let(ctx context.Context, actor account.Actor, uid vital.UID, l consent.LetIn, err error) (*grantOutput, error) {
	if err != nil {
		return nil, err
	}
	g, err := s.Caregivers.LetIn(ctx, actor, uid, l)
	if err != nil {
		return nil, err
	}
	return &grantOutput{Body: grantOf(&g)}, nil
}

func (s *Server) letOwnIn(ctx context.Context, actor account.Actor, in *ownLetInInput) (*grantOutput, error) {
	l, err := in.Body.letIn()
	return s.let(ctx, actor, "", l, err)
}

func (s *Server) letIn(ctx context.Context, actor account.Actor, in *letInInput) (*grantOutput, error) {
	l, err := in.Body.letIn()
	return s.let(ctx, actor, vital.UID(in.ID), l, err)
}

func (s *Server) recordGuardian(ctx context.Context, actor account.Actor, in *guardianInput) (*grantOutput, error) {
	l, err := in.Body.letIn()
	l.Guardian, l.Document = true, in.Body.Document
	return s.let(ctx, actor, vital.UID(in.ID), l, err)
}

func (s *Server) confirmGuardian(ctx context.Context, actor account.Actor, in *caregiverInput) (*struct{}, error) {
	return nil, s.Caregivers.Confirm(ctx, actor, vital.UID(in.ID), vital.UID(in.Caregiver))
}

func (s *Server) endOwnCaregiver(ctx context.Context, actor account.Actor, in *ownCaregiverInput) (*struct{}, error) {
	return nil, s.Caregivers.End(ctx, actor, "", vital.UID(in.Caregiver))
}

func (s *Server) endCaregiver(ctx context.Context, actor account.Actor, in *caregiverInput) (*struct{}, error) {
	return nil, s.Caregivers.End(ctx, actor, vital.UID(in.ID), vital.UID(in.Caregiver))
}

func (s *Server) freezeOwn(frozen bool) func(context.Context, account.Actor, *ownCaregiverInput) (*struct{}, error) {
	return func(ctx context.Context, actor account.Actor, in *ownCaregiverInput) (*struct{}, error) {
		return nil, s.Caregivers.Suspend(ctx, actor, "", vital.UID(in.Caregiver), frozen)
	}
}

func (s *Server) freeze(frozen bool) func(context.Context, account.Actor, *caregiverInput) (*struct{}, error) {
	return func(ctx context.Context, actor account.Actor, in *caregiverInput) (*struct{}, error) {
		return nil, s.Caregivers.Suspend(ctx, actor, vital.UID(in.ID), vital.UID(in.Caregiver), frozen)
	}
}

func (s *Server) private(ctx context.Context, actor account.Actor, uid vital.UID) (*privateOutput, error) {
	list, err := s.Caregivers.Private(ctx, actor, uid)
	if err != nil {
		return nil, err
	}
	out := &privateOutput{}
	out.Body.Private = make([]privateBody, len(list))
	for i := range list {
		out.Body.Private[i] = privateOf(&list[i])
	}
	return out, nil
}

func (s *Server) listOwnPrivate(ctx context.Context, actor account.Actor, _ *struct{}) (*privateOutput, error) {
	return s.private(ctx, actor, "")
}

func (s *Server) listPrivate(ctx context.Context, actor account.Actor, in *patientInput) (*privateOutput, error) {
	return s.private(ctx, actor, vital.UID(in.ID))
}

func (s *Server) mark(ctx context.Context, actor account.Actor, uid vital.UID, b *privateBody) (*onePrivateOutput, error) {
	item, err := b.item()
	if err != nil {
		return nil, err
	}
	if item, err = s.Caregivers.MarkPrivate(ctx, actor, uid, item); err != nil {
		return nil, err
	}
	return &onePrivateOutput{Body: privateOf(&item)}, nil
}

func (s *Server) markOwnPrivate(ctx context.Context, actor account.Actor, in *ownPrivateInput) (*onePrivateOutput, error) {
	return s.mark(ctx, actor, "", &in.Body)
}

func (s *Server) markPrivate(ctx context.Context, actor account.Actor, in *privateInput) (*onePrivateOutput, error) {
	return s.mark(ctx, actor, vital.UID(in.ID), &in.Body)
}

func (s *Server) unmarkOwnPrivate(ctx context.Context, actor account.Actor, in *ownItemInput) (*struct{}, error) {
	return nil, s.Caregivers.UnmarkPrivate(ctx, actor, "", vital.UID(in.Item))
}

func (s *Server) unmarkPrivate(ctx context.Context, actor account.Actor, in *itemInput) (*struct{}, error) {
	return nil, s.Caregivers.UnmarkPrivate(ctx, actor, vital.UID(in.ID), vital.UID(in.Item))
}
