package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

type looksInput struct {
	ID     string    `path:"id" format:"uuid"`
	From   time.Time `query:"from"`
	To     time.Time `query:"to"`
	Before int64     `query:"before" minimum:"0" doc:"The value of more of the page before"`
	Limit  int       `query:"limit" minimum:"1" maximum:"2000" default:"500" doc:"Rows of the trail, of which visits are made"`
}

type lookBody struct {
	At     time.Time `json:"at"`
	Action string    `json:"action" example:"look"`
	Object string    `json:"object,omitempty" example:"worklist"`
	Detail string    `json:"detail,omitempty"`
}

type visitBody struct {
	From      time.Time  `json:"from"`
	To        time.Time  `json:"to"`
	Who       string     `json:"who" doc:"A program is named by its key" example:"Ana Novak"`
	Role      string     `json:"role,omitempty" example:"nurse"`
	Emergency string     `json:"emergency,omitempty" doc:"The reason, when it was through broken glass"`
	Words     string     `json:"words" doc:"The same as a person would say it, by the clock of the patient's home"`
	Rows      []lookBody `json:"rows"`
}

type looksOutput struct {
	Body struct {
		Visits []visitBody `json:"visits"`
		More   int64       `json:"more,omitempty" doc:"Pass it as before for what is older; left out at the end"`
	}
}

type sheetOutput struct{ Body sheetBody }

type sheetBody struct {
	Patient    patientBody      `json:"patient"`
	At         time.Time        `json:"at"`
	Conditions []string         `json:"not_recorded" doc:"What this record does not hold. It does not mean that there is none"`
	Latest     []sheetVitalBody `json:"latest"`
	Limits     []ownLimitBody   `json:"limits" doc:"Limits that somebody set for this patient: at these values Hale calls somebody at once"`
	Teams      []phoneBody      `json:"care_teams"`
	Helpers    []phoneBody      `json:"helpers"`
}

// sheetVitalBody is the newest reading of a metric; the sheet says when it was measured, and not when it arrived.
type sheetVitalBody struct {
	Metric     string      `json:"metric"`
	Display    string      `json:"display"`
	MeasuredAt time.Time   `json:"measured_at"`
	Unsure     float64     `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	Values     []valueBody `json:"values"`
}

// ownLimitBody is the red bound of one component.
type ownLimitBody struct {
	Metric    string   `json:"metric"`
	Display   string   `json:"display"`
	Component string   `json:"component"`
	Unit      string   `json:"unit"`
	Below     *float64 `json:"red_below,omitempty"`
	AtOrAbove *float64 `json:"red_at_or_above,omitempty"`
	Reason    string   `json:"reason"`
}

type phoneBody struct {
	Name  string `json:"name"`
	Phone string `json:"phone,omitempty" doc:"Left out when it is not recorded"`
}

type shareBody struct {
	ID         vital.UID  `json:"id" format:"uuid"`
	What       string     `json:"what" enum:"sheet,month,everything"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	OpensMost  int        `json:"opens_most"`
	Opened     int        `json:"opened"`
	LastOpened *time.Time `json:"last_opened_at,omitempty"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
	Code       string     `json:"code,omitempty" doc:"The secret. It is answered once, when the share is made"`
}

type sharesOutput struct {
	Body struct {
		Shares []shareBody `json:"shares"`
	}
}

type newShareInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		What    string `json:"what" enum:"sheet,month,everything"`
		Minutes int    `json:"minutes" minimum:"15" maximum:"10080" doc:"How long it lasts"`
		Opens   int    `json:"opens" minimum:"1" maximum:"100" doc:"How often it can be opened"`
	}
}

type shareOutput struct{ Body shareBody }

type correctionBody struct {
	ID        vital.UID  `json:"id" format:"uuid"`
	Patient   vital.UID  `json:"patient" format:"uuid"`
	Kind      string     `json:"kind" enum:"reading,name,birth,note"`
	Metric    string     `json:"metric,omitempty" example:"heart_rate"`
	ReadingAt *time.Time `json:"reading_at,omitempty"`
	Reading   int64      `json:"reading,omitempty"`
	Alert     vital.UID  `json:"alert,omitempty"`
	Wish      string     `json:"wish" doc:"What is wrong, in the patient's words"`
	AskedBy   string     `json:"asked_by"`
	AskedAt   time.Time  `json:"asked_at"`
	State     string     `json:"state" enum:"asked,accepted,refused,withdrawn"`
	DecidedBy string     `json:"decided_by,omitempty"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	Answer    string     `json:"answer,omitempty"`
}

type correctionsOutput struct {
	Body struct {
		Corrections []correctionBody `json:"corrections"`
	}
}

type correctionOutput struct{ Body correctionBody }

type newCorrectionInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Kind      string    `json:"kind" enum:"reading,name,birth,note"`
		Metric    string    `json:"metric,omitempty" doc:"Of a reading, with the two below"`
		ReadingAt time.Time `json:"reading_at,omitempty"`
		Reading   int64     `json:"reading,omitempty"`
		Alert     string    `json:"alert,omitempty" doc:"Of a note"`
		Wish      string    `json:"wish" minLength:"1" maxLength:"2000"`
	}
}

type decideCorrectionInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Accept bool   `json:"accept"`
		Answer string `json:"answer" minLength:"1" maxLength:"2000" doc:"What was done, or why not: the patient reads it"`
		Name   string `json:"name,omitempty" maxLength:"200" doc:"The right name, when a name is accepted"`
		Birth  string `json:"birth,omitempty" maxLength:"10" doc:"The right date of birth, as far as it is known" example:"1941-05-17"`
	}
}

type correctionInput struct {
	ID string `path:"id" format:"uuid"`
}

func (s *Server) addSafe() {
	if s.Safe == nil {
		return
	}
	looks := op(http.MethodGet, "/v1/patients/{id}/looks", "list-looks", tagSafe, "Who looked at a patient's data, newest first", http.StatusNotFound)
	looks.Description = "Looks and acts of one person that follow each other within ten minutes are one visit."
	add(s, looks, s.listLooks)
	add(s, op(http.MethodGet, "/v1/patients/{id}/sheet", "get-sheet", tagSafe, "The emergency sheet", http.StatusNotFound), s.getSheet)
	add(s, op(http.MethodGet, "/v1/patients/{id}/shares", "list-shares", tagSafe, "The links to a patient's data", http.StatusNotFound), s.listShares)
	made := op(http.MethodPost, "/v1/patients/{id}/shares", "add-share", tagSafe, "Make a link for a doctor", http.StatusNotFound)
	made.Description = "The link is this server's address with /s# and the code. The code stands behind the # so that it is in no log."
	add(s, created(made), s.addShare)
	add(s, op(http.MethodDelete, "/v1/shares/{id}", "end-share", tagSafe, "End a link at once", http.StatusNotFound), s.endShare)
	add(s, op(http.MethodGet, "/v1/patients/{id}/corrections", "list-corrections", tagSafe, "What a patient says is wrong", http.StatusNotFound), s.listCorrections)
	add(s, op(http.MethodGet, "/v1/corrections", "list-waiting-corrections", tagSafe, "What waits for the care team"), s.waitingCorrections)
	add(s, created(op(http.MethodPost, "/v1/patients/{id}/corrections", "ask-correction", tagSafe, "Say that something is wrong", http.StatusNotFound, http.StatusConflict)), s.askCorrection)
	add(s, op(http.MethodPost, "/v1/corrections/{id}/withdraw", "withdraw-correction", tagSafe, "Take it back", http.StatusNotFound, http.StatusConflict), s.withdrawCorrection)
	add(s, op(http.MethodPost, "/v1/corrections/{id}/decide", "decide-correction", tagSafe, "Accept or refuse", http.StatusNotFound, http.StatusConflict), s.decideCorrection)
}

func (s *Server) listLooks(ctx context.Context, actor account.Actor, in *looksInput) (*looksOutput, error) {
	p, visits, more, err := s.Safe.Looks.List(ctx, actor, vital.UID(in.ID), safe.LookFilter{From: in.From, To: in.To, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	zone := vital.ZoneOrUTC(p.Zone)
	whose := safe.Theirs
	if actor.Role == account.SelfRole {
		whose = safe.Yours
	}
	out := &looksOutput{}
	out.Body.More, out.Body.Visits = more, make([]visitBody, len(visits))
	for i := range visits {
		v := &visits[i]
		body := visitBody{From: v.From, To: v.To, Who: v.Name, Role: string(v.Role), Emergency: v.Glass, Words: v.Words(zone, whose).String()}
		for _, r := range v.Rows {
			body.Rows = append(body.Rows, lookBody{At: r.At, Action: r.Action, Object: r.Object, Detail: r.Detail})
		}
		out.Body.Visits[i] = body
	}
	return out, nil
}

func (s *Server) getSheet(ctx context.Context, actor account.Actor, in *patientInput) (*sheetOutput, error) {
	sheet, err := s.Safe.Sheets.Of(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &sheetOutput{Body: sheetBody{
		Patient: patientOf(&sheet.Patient), At: sheet.At.UTC(), Conditions: []string{"conditions", "allergies", "medication"},
		Latest: []sheetVitalBody{}, Limits: ownLimitsOf(sheet.Limits), Teams: []phoneBody{}, Helpers: []phoneBody{},
	}}
	for _, r := range sheet.Latest {
		d, ok := vital.Define(r.Metric)
		if !ok {
			continue
		}
		body := sheetVitalBody{Metric: d.Code, Display: d.Display, MeasuredAt: r.At, Unsure: r.Vague.Within.Seconds(), Values: []valueBody{}}
		for i, v := range r.Values[:min(len(r.Values), len(d.Components))] {
			body.Values = append(body.Values, valueBody{Code: d.Components[i].Code, Unit: d.Components[i].Canonical.UCUM(), Value: v})
		}
		out.Body.Latest = append(out.Body.Latest, body)
	}
	for _, t := range sheet.Teams {
		out.Body.Teams = append(out.Body.Teams, phoneBody(t))
	}
	for _, h := range sheet.Helpers {
		out.Body.Helpers = append(out.Body.Helpers, phoneBody{Name: h.Name, Phone: h.Phone})
	}
	return out, nil
}

func ownLimitsOf(limits []safe.OwnLimit) []ownLimitBody {
	list := []ownLimitBody{}
	for _, l := range limits {
		d, ok := vital.Define(l.Metric)
		if !ok || l.Component >= len(d.Components) {
			continue
		}
		c := d.Components[l.Component]
		list = append(list, ownLimitBody{Metric: d.Code, Display: d.Display, Component: c.Code, Unit: c.Canonical.UCUM(), Below: l.Low, AtOrAbove: l.High, Reason: l.Reason})
	}
	return list
}

func shareOf(s *safe.Share) shareBody {
	return shareBody{
		ID: s.UID, What: string(s.What), CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, OpensMost: s.OpensMost, Opened: s.Opened,
		LastOpened: setTime(s.LastOpened), EndedAt: setTime(s.EndedAt),
	}
}

func setTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Server) listShares(ctx context.Context, actor account.Actor, in *patientInput) (*sharesOutput, error) {
	_, list, err := s.Safe.Shares.List(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &sharesOutput{}
	out.Body.Shares = make([]shareBody, len(list))
	for i := range list {
		out.Body.Shares[i] = shareOf(&list[i])
	}
	return out, nil
}

func (s *Server) addShare(ctx context.Context, actor account.Actor, in *newShareInput) (*shareOutput, error) {
	share, secret, err := s.Safe.Shares.Make(ctx, actor, vital.UID(in.ID), safe.Portion(in.Body.What), time.Duration(in.Body.Minutes)*time.Minute, in.Body.Opens)
	if err != nil {
		return nil, err
	}
	out := &shareOutput{Body: shareOf(&share)}
	out.Body.Code = secret
	return out, nil
}

func (s *Server) endShare(ctx context.Context, actor account.Actor, in *correctionInput) (*struct{}, error) {
	return nil, s.Safe.Shares.End(ctx, actor, vital.UID(in.ID))
}

func correctionOf(c *safe.Correction) correctionBody {
	body := correctionBody{
		ID: c.UID, Patient: c.Patient.UID, Kind: string(c.Kind), ReadingAt: setTime(c.ReadingAt), Reading: c.ReadingID, Alert: c.Alert, Wish: c.Wish,
		AskedBy: c.AskedBy, AskedAt: c.AskedAt, State: string(c.State), DecidedBy: c.DecidedBy, DecidedAt: setTime(c.DecidedAt), Answer: c.Answer,
	}
	if c.Kind == safe.WrongReading {
		body.Metric = c.Metric.String()
	}
	return body
}

func correctionList(list []safe.Correction) *correctionsOutput {
	out := &correctionsOutput{}
	out.Body.Corrections = make([]correctionBody, len(list))
	for i := range list {
		out.Body.Corrections[i] = correctionOf(&list[i])
	}
	return out
}

func (s *Server) listCorrections(ctx context.Context, actor account.Actor, in *patientInput) (*correctionsOutput, error) {
	_, list, err := s.Safe.Corrections.Of(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return correctionList(list), nil
}

func (s *Server) waitingCorrections(ctx context.Context, actor account.Actor, _ *struct{}) (*correctionsOutput, error) {
	list, err := s.Safe.Corrections.Waiting(ctx, actor)
	if err != nil {
		return nil, err
	}
	return correctionList(list), nil
}

func (s *Server) askCorrection(ctx context.Context, actor account.Actor, in *newCorrectionInput) (*correctionOutput, error) {
	asked := safe.Correction{Kind: safe.Wrong(in.Body.Kind), ReadingAt: in.Body.ReadingAt, ReadingID: in.Body.Reading, Alert: vital.UID(in.Body.Alert), Wish: in.Body.Wish}
	if asked.Kind == safe.WrongReading {
		metric, known := vital.ParseMetric(in.Body.Metric)
		if !known {
			return nil, fault.New(fault.Invalid, "metric: there is no metric %q", in.Body.Metric)
		}
		asked.Metric = metric
	}
	c, err := s.Safe.Corrections.Ask(ctx, actor, vital.UID(in.ID), asked)
	return &correctionOutput{Body: correctionOf(&c)}, err
}

func (s *Server) withdrawCorrection(ctx context.Context, actor account.Actor, in *correctionInput) (*correctionOutput, error) {
	c, err := s.Safe.Corrections.Withdraw(ctx, actor, vital.UID(in.ID))
	return &correctionOutput{Body: correctionOf(&c)}, err
}

func (s *Server) decideCorrection(ctx context.Context, actor account.Actor, in *decideCorrectionInput) (*correctionOutput, error) {
	c, err := s.Safe.Corrections.Decide(ctx, actor, vital.UID(in.ID), safe.Decision{
		Accept: in.Body.Accept, Answer: in.Body.Answer, Name: in.Body.Name, Birth: vital.Date(in.Body.Birth),
	})
	return &correctionOutput{Body: correctionOf(&c)}, err
}
