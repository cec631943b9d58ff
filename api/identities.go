package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/account/identity"
	"hale/vital"
)

type systemBody struct {
	URI   string `json:"uri" minLength:"1" maxLength:"255" example:"urn:oid:1.2.36.146.595.217.0.1"`
	Title string `json:"title" minLength:"1" maxLength:"200" doc:"What people call it" example:"Health insurance number"`
	Folds bool   `json:"folds" doc:"Large and small letters are the same. It can be changed only while there is no identifier of the system"`
}

type systemsOutput struct {
	Body struct {
		Systems []systemBody `json:"systems" doc:"Of a system that is not here, large and small letters are different"`
		Number  string       `json:"number" doc:"The URI of the programme's own numbers, for identifier= and for FHIR" example:"urn:hale:number:0198c0de-0000-7000-8000-000000000001"`
	}
}

type systemInput struct{ Body systemBody }

type systemOutput struct{ Body systemBody }

type identifierBody struct {
	ID      vital.UID  `json:"id" format:"uuid"`
	System  string     `json:"system" example:"urn:oid:1.2.36.146.595.217.0.1"`
	Value   string     `json:"value" example:"12345"`
	Use     string     `json:"use,omitempty" enum:"usual,official,temp,secondary,old"`
	From    string     `json:"from,omitempty" doc:"As far as it is known: YYYY, YYYY-MM, YYYY-MM-DD, or a time"`
	To      string     `json:"to,omitempty" doc:"The same; it includes the end"`
	InForce bool       `json:"in_force" doc:"It says who the person is now"`
	AddedAt time.Time  `json:"added_at"`
	EndedAt *time.Time `json:"ended_at,omitempty"`
	Reason  string     `json:"reason,omitempty" doc:"Why it was ended"`
}

func identifierOf(i *identity.Identifier, now time.Time) identifierBody {
	b := identifierBody{ID: i.UID, System: i.System, Value: i.Value, Use: i.Use, From: i.From, To: i.To, InForce: i.InForce(now), AddedAt: i.AddedAt, Reason: i.Reason}
	if !i.EndedAt.IsZero() {
		b.EndedAt = &i.EndedAt
	}
	return b
}

type identifiersOutput struct {
	Body struct {
		Identifiers []identifierBody `json:"identifiers" doc:"Those in force first"`
	}
}

type newIdentifierInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		System string `json:"system" minLength:"1" maxLength:"255"`
		Value  string `json:"value" minLength:"1" maxLength:"128"`
		Use    string `json:"use,omitempty" enum:"usual,official,temp,secondary"`
		From   string `json:"from,omitempty" maxLength:"40"`
		To     string `json:"to,omitempty" maxLength:"40"`
	}
}

type identifierOutput struct{ Body identifierBody }

type endIdentifierInput struct {
	ID         string `path:"id" format:"uuid"`
	Identifier string `path:"identifier" format:"uuid"`
	Body       struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" example:"It was another person's card"`
	}
}

type changeBody struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Source string    `json:"source" example:"import 0198c0de-0000-7000-8000-000000000001"`
	Field  string    `json:"field" enum:"name,birth_date,sex,number"`
	Before string    `json:"before"`
	After  string    `json:"after"`
}

type changesOutput struct {
	Body struct {
		Changes []changeBody `json:"changes" doc:"The newest first"`
	}
}

type doublesInput struct {
	State string `query:"state" enum:"open,two_people,merged" default:"open"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type sideBody struct {
	ID     vital.UID `json:"id" format:"uuid"`
	Name   string    `json:"name"`
	Number string    `json:"number"`
}

type doubleBody struct {
	ID        vital.UID  `json:"id" format:"uuid"`
	State     string     `json:"state" enum:"open,two_people,merged"`
	One       sideBody   `json:"one" doc:"The older record"`
	Other     sideBody   `json:"other"`
	FoundAt   time.Time  `json:"found_at"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	DecidedBy string     `json:"decided_by,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Parts     []partBody `json:"parts,omitempty" doc:"What both records say, side by side; only of one double"`
}

type partBody struct {
	Field string `json:"field" doc:"name, birth_date, sex, zone, number, or the URI of an identifier's system"`
	One   string `json:"one"`
	Other string `json:"other"`
	Agree bool   `json:"agree"`
}

func doubleOf(d *identity.Double) doubleBody {
	b := doubleBody{
		ID: d.UID, State: string(d.State), FoundAt: d.FoundAt, DecidedBy: d.DecidedBy, Reason: d.Reason,
		One: sideBody{d.One.UID, d.One.Name, d.One.Number}, Other: sideBody{d.Other.UID, d.Other.Name, d.Other.Number},
	}
	if !d.DecidedAt.IsZero() {
		b.DecidedAt = &d.DecidedAt
	}
	return b
}

type doublesOutput struct {
	Body struct {
		Doubles []doubleBody `json:"doubles"`
	}
}

type doubleInput struct {
	ID string `path:"id" format:"uuid"`
}

type doubleOutput struct{ Body doubleBody }

type twoPeopleInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" example:"Mother and daughter, both came in person"`
	}
}

func (s *Server) addIdentities() {
	add(s, op(http.MethodGet, "/v1/identifier-systems", "list-identifier-systems", tagPatients, "The systems that give identifiers"), s.listSystems)
	add(s, op(http.MethodPut, "/v1/identifier-systems", "set-identifier-system", tagPatients, "Say what a system is called and whether case counts in it", http.StatusConflict), s.setSystem)
	of := op(http.MethodGet, "/v1/patients/{id}/identifiers", "list-identifiers", tagPatients, "What systems call a patient", http.StatusNotFound)
	add(s, of, s.listIdentifiers)
	add(s, created(op(http.MethodPost, "/v1/patients/{id}/identifiers", "add-identifier", tagPatients, "Give a patient an identifier", http.StatusNotFound, http.StatusConflict)), s.addIdentifier)
	end := op(http.MethodPost, "/v1/patients/{id}/identifiers/{identifier}/end", "end-identifier", tagPatients, "End an identifier that is in force", http.StatusNotFound)
	add(s, end, s.endIdentifier)
	add(s, op(http.MethodGet, "/v1/patients/{id}/changes", "list-patient-changes", tagPatients, "What was changed of who a patient is", http.StatusNotFound), s.listChanges)
	add(s, op(http.MethodGet, "/v1/doubles", "list-doubles", tagPatients, "Two records each that may be one person's"), s.listDoubles)
	one := op(http.MethodGet, "/v1/doubles/{id}", "get-double", tagPatients, "Two records that may be one person's, side by side", http.StatusNotFound)
	one.Description = "The look at both is written into the audit trail."
	add(s, one, s.getDouble)
	two := op(http.MethodPost, "/v1/doubles/{id}/two-people", "say-two-people", tagPatients, "Say that they are two people", http.StatusNotFound, http.StatusConflict)
	two.Description = "Nobody is asked about these two again. One person: merge the records instead."
	add(s, two, s.twoPeople)
}

func (s *Server) listSystems(ctx context.Context, actor account.Actor, _ *struct{}) (*systemsOutput, error) {
	list, number, err := s.Identities.Systems(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &systemsOutput{}
	out.Body.Systems, out.Body.Number = make([]systemBody, len(list)), number
	for i, l := range list {
		out.Body.Systems[i] = systemBody(l)
	}
	return out, nil
}

func (s *Server) setSystem(ctx context.Context, actor account.Actor, in *systemInput) (*systemOutput, error) {
	set, err := s.Identities.SetSystem(ctx, actor, identity.IdentifierSystem(in.Body))
	if err != nil {
		return nil, err
	}
	return &systemOutput{systemBody(set)}, nil
}

func (s *Server) listIdentifiers(ctx context.Context, actor account.Actor, in *patientInput) (*identifiersOutput, error) {
	_, list, err := s.Identities.Of(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &identifiersOutput{}
	out.Body.Identifiers = make([]identifierBody, len(list))
	for i := range list {
		out.Body.Identifiers[i] = identifierOf(&list[i], s.Now())
	}
	return out, nil
}

func (s *Server) addIdentifier(ctx context.Context, actor account.Actor, in *newIdentifierInput) (*identifierOutput, error) {
	b := in.Body
	i, err := s.Identities.Add(ctx, actor, vital.UID(in.ID), identity.Identifier{System: b.System, Value: b.Value, Use: b.Use, From: b.From, To: b.To})
	if err != nil {
		return nil, err
	}
	return &identifierOutput{identifierOf(&i, s.Now())}, nil
}

func (s *Server) endIdentifier(ctx context.Context, actor account.Actor, in *endIdentifierInput) (*struct{}, error) {
	return nil, s.Identities.End(ctx, actor, vital.UID(in.ID), vital.UID(in.Identifier), in.Body.Reason)
}

func (s *Server) listChanges(ctx context.Context, actor account.Actor, in *patientInput) (*changesOutput, error) {
	list, err := s.Identities.Changes(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &changesOutput{}
	out.Body.Changes = make([]changeBody, len(list))
	for i, c := range list {
		out.Body.Changes[i] = changeBody(c)
	}
	return out, nil
}

func (s *Server) listDoubles(ctx context.Context, actor account.Actor, in *doublesInput) (*doublesOutput, error) {
	list, err := s.Doubles.List(ctx, actor, identity.DoubleState(in.State), in.Limit)
	if err != nil {
		return nil, err
	}
	out := &doublesOutput{}
	out.Body.Doubles = make([]doubleBody, len(list))
	for i := range list {
		out.Body.Doubles[i] = doubleOf(&list[i])
	}
	return out, nil
}

func (s *Server) getDouble(ctx context.Context, actor account.Actor, in *doubleInput) (*doubleOutput, error) {
	d, parts, err := s.Doubles.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &doubleOutput{doubleOf(&d)}
	for _, p := range parts {
		out.Body.Parts = append(out.Body.Parts, partBody(p))
	}
	return out, nil
}

func (s *Server) twoPeople(ctx context.Context, actor account.Actor, in *twoPeopleInput) (*doubleOutput, error) {
	d, err := s.Doubles.TwoPeople(ctx, actor, vital.UID(in.ID), in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return &doubleOutput{doubleOf(&d)}, nil
}
