package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

type alertCount struct {
	Open  int    `json:"open" doc:"Alerts that are not closed"`
	Worst string `json:"worst" enum:"none,yellow,red,extreme"`
}

type patientBody struct {
	ID        vital.UID   `json:"id" format:"uuid"`
	Name      string      `json:"name" example:"Ana Novak"`
	Number    string      `json:"number" example:"P-0017"`
	BirthYear int         `json:"birth_year,omitempty" doc:"Left out when not known" example:"1941"`
	BirthDate string      `json:"birth_date,omitempty" doc:"As far as it is known: YYYY, YYYY-MM or YYYY-MM-DD" example:"1941-03-02"`
	Sex       string      `json:"sex" enum:"female,male,other,unknown"`
	Zone      string      `json:"zone" doc:"Time zone of the home (IANA)" example:"Europe/Ljubljana"`
	Alerts    *alertCount `json:"alerts,omitempty" doc:"Left out for roles that do not see alerts"`

	Latest []latestBody `json:"latest,omitempty" doc:"The newest reading of each metric; only of one patient, and for roles that see readings"`
	Before string       `json:"number_before,omitempty" doc:"Of a search: the number that was asked for is that of a record which was merged into this one"`
	Alike  []vital.UID  `json:"possible_doubles,omitempty" doc:"Of a patient who was just added: who may be the same person, by name and birth. They wait at /v1/doubles for somebody to say"`
}

func patientOf(p *account.Patient) patientBody {
	return patientBody{ID: p.UID, Name: p.Name, Number: p.Number, BirthYear: p.BirthYear, BirthDate: string(p.BirthDate), Sex: p.Sex, Zone: p.Zone, Before: p.Before}
}

type patientsInput struct {
	Query string `query:"q" maxLength:"200" doc:"A part of the name, or the number; that of a record that was merged finds the one that stays"`

	Identifier string `query:"identifier" maxLength:"400" doc:"Exactly the patient whom a system calls so: system|value. Instead of q" example:"urn:oid:1.2.36.146.595.217.0.1|12345"`

	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type patientsOutput struct {
	Body struct {
		Patients []patientBody `json:"patients"`
	}
}

type newPatientInput struct {
	Body struct {
		Name      string `json:"name" minLength:"1" maxLength:"200" example:"Ana Novak"`
		Number    string `json:"number,omitempty" maxLength:"64" doc:"The programme's own number; no two patients have the same" example:"P-0017"`
		BirthYear int    `json:"birth_year,omitempty" minimum:"1900" maximum:"2200" example:"1941"`
		BirthDate string `json:"birth_date,omitempty" maxLength:"10" doc:"As far as it is known: YYYY, YYYY-MM or YYYY-MM-DD; birth_year follows from it" example:"1941-03-02"`
		Sex       string `json:"sex,omitempty" enum:"female,male,other,unknown" doc:"unknown when left out"`
		Zone      string `json:"zone" minLength:"1" maxLength:"64" doc:"Time zone of the home (IANA)" example:"Europe/Ljubljana"`

		Teams []vital.UID `json:"teams,omitempty" maxItems:"20" doc:"Care teams that take the patient in; the usual one when left out. In one of them somebody must be who can answer alerts"`
	}
}

type newPatientOutput struct {
	Location string `header:"Location"`
	Body     patientBody
}

type patientInput struct {
	ID string `path:"id" format:"uuid"`
}

type latestBody struct {
	Metric     string      `json:"metric" example:"heart_rate"`
	Display    string      `json:"display" example:"Heart rate"`
	MeasuredAt time.Time   `json:"measured_at"`
	Unsure     float64     `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	ReceivedAt time.Time   `json:"received_at"`
	Values     []valueBody `json:"values"`
}

type valueBody struct {
	Code  string  `json:"code" example:"value"`
	Unit  string  `json:"unit" doc:"UCUM" example:"/min"`
	Value float64 `json:"value" example:"66"`
}

type patientOutput struct{ Body patientBody }

func (s *Server) addPatients() {
	add(s, op(http.MethodGet, "/v1/patients", "list-patients", tagPatients, "Patients by name"), s.listPatients)
	add(s, created(op(http.MethodPost, "/v1/patients", "add-patient", tagPatients, "Take a patient into the programme", http.StatusBadRequest, http.StatusConflict)), s.addPatient)
	one := op(http.MethodGet, "/v1/patients/{id}", "get-patient", tagPatients, "One patient, with the newest readings", http.StatusNotFound, http.StatusGone)
	one.Description = "The look is written into the audit trail. Of a patient who was merged into another record, the answer is 410, and its detail names that record."
	add(s, one, s.getPatient)
	series := op(http.MethodGet, "/v1/patients/{id}/series", "get-series", tagPatients, "Readings of one metric, for a chart", http.StatusNotFound)
	series.Description = "Few readings come as they are (bucket_seconds 0), many as the minimum, maximum and mean of equal spans of time. The look is written into the audit trail."
	add(s, series, s.getSeries)
}

func (s *Server) listPatients(ctx context.Context, actor account.Actor, in *patientsInput) (*patientsOutput, error) {
	list, err := s.findPatients(ctx, actor, in)
	if err != nil {
		return nil, err
	}
	counts, err := s.alertCounts(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &patientsOutput{}
	out.Body.Patients = make([]patientBody, len(list))
	for i := range list {
		out.Body.Patients[i] = patientOf(&list[i])
		out.Body.Patients[i].Alerts = counts.of(actor, &list[i])
	}
	return out, nil
}

func (s *Server) findPatients(ctx context.Context, actor account.Actor, in *patientsInput) ([]account.Patient, error) {
	switch {
	case in.Identifier == "":
		return s.Directory.Patients(ctx, actor, in.Query, in.Limit)
	case in.Query != "":
		return nil, fault.New(fault.Invalid, "give q or identifier, not both")
	}
	return s.Identities.Find(ctx, actor, in.Identifier)
}

// counts is how many alerts wait per patient; nil for roles that do not see them.
type counts map[vital.UID]alertCount

// of returns how many wait of one patient; nil for whoever does not see this patient's: no number is no reassurance.
func (c counts) of(actor account.Actor, p *account.Patient) *alertCount {
	if c == nil || !may(actor, account.SeeAlerts, p) {
		return nil
	}
	n, some := c[p.UID]
	if !some {
		n.Worst = alerts.None.String()
	}
	return &n
}

func (s *Server) alertCounts(ctx context.Context, actor account.Actor) (counts, error) {
	cases, err := s.Triage.Worklist(ctx, actor)
	if fault.Is(err, fault.Forbidden) {
		return nil, nil //nolint:nilnil // nil counts say that this role sees none
	}
	if err != nil {
		return nil, err
	}
	all := make(counts, len(cases))
	for _, c := range cases {
		all[c.Patient] = countOf(c.Alerts)
	}
	return all, nil
}

// alertCount is the same of one patient: nobody else's alerts are looked at.
func (s *Server) alertCount(ctx context.Context, actor account.Actor, p *account.Patient) (*alertCount, error) {
	if !may(actor, account.SeeAlerts, p) {
		return nil, nil //nolint:nilnil // as alertCounts
	}
	list, err := s.Triage.List(ctx, actor, alerts.Filter{Patient: p.UID, States: []alerts.State{alerts.Open, alerts.Acknowledged}, Limit: mostOpen})
	n := countOf(list)
	return &n, err
}

// mostOpen is more than one patient can have open: one for each rule.
const mostOpen = 500

func countOf(list []alerts.Alert) alertCount {
	worst := alerts.None
	for i := range list {
		worst = max(worst, list[i].Level)
	}
	return alertCount{Open: len(list), Worst: worst.String()}
}

func (s *Server) addPatient(ctx context.Context, actor account.Actor, in *newPatientInput) (*newPatientOutput, error) {
	p, err := s.Directory.AddPatient(ctx, actor, account.Patient{
		Name: in.Body.Name, Number: in.Body.Number, BirthYear: in.Body.BirthYear, BirthDate: vital.Date(in.Body.BirthDate), Sex: in.Body.Sex, Zone: in.Body.Zone, Teams: in.Body.Teams,
	})
	if err != nil {
		return nil, err
	}
	body := patientOf(&p)
	body.Alike = p.Alike
	return &newPatientOutput{Location: "/v1/patients/" + string(p.UID), Body: body}, nil
}

func (s *Server) getPatient(ctx context.Context, actor account.Actor, in *patientInput) (*patientOutput, error) {
	p, err := s.Directory.Patient(ctx, actor, vital.UID(in.ID))
	if err == nil {
		err = s.movedOn(ctx, actor, &p)
	}
	if err != nil {
		return nil, err
	}
	out := &patientOutput{Body: patientOf(&p)}
	if out.Body.Alerts, err = s.alertCount(ctx, actor, &p); err != nil {
		return nil, err
	}
	if !may(actor, account.SeeReadings, &p) {
		return out, nil
	}
	latest, err := s.Charts.Latest(ctx, actor, p.UID)
	if err != nil {
		return nil, err
	}
	for _, r := range latest {
		if d, ok := vital.Define(r.Metric); ok {
			out.Body.Latest = append(out.Body.Latest, latestOf(d, r))
		}
	}
	return out, nil
}

// may reports whether an answer may hold more than what was asked for needs.
func may(actor account.Actor, action account.Action, p *account.Patient) bool {
	return account.Allow(actor, action, p) == nil
}

func latestOf(d vital.Definition, r alerts.Point) latestBody {
	body := latestBody{Metric: d.Code, Display: d.Display, MeasuredAt: r.At.UTC(), Unsure: r.Vague().Within.Seconds(), ReceivedAt: r.ReceivedAt.UTC(), Values: []valueBody{}}
	for i, v := range r.Values[:min(len(r.Values), len(d.Components))] {
		body.Values = append(body.Values, valueBody{Code: d.Components[i].Code, Unit: d.Components[i].Canonical.UCUM(), Value: v})
	}
	return body
}
