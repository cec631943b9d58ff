package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

type spanBody struct {
	From  string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"By the wall clock" example:"08:00"`
	To    string `json:"to" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" doc:"24:00 is the end of the day" example:"16:00"`
	Watch string `json:"watch" enum:"staffed,on call,unstaffed"`
}

type holidayBody struct {
	Date  string     `json:"date" format:"date" example:"2026-12-25"`
	Name  string     `json:"name" minLength:"1" maxLength:"80" example:"Christmas Day"`
	Spans []spanBody `json:"spans,omitempty" maxItems:"48" doc:"Instead of the weekday's; unstaffed when left out"`
}

type weekBody struct {
	Monday    []spanBody `json:"monday" maxItems:"48"`
	Tuesday   []spanBody `json:"tuesday" maxItems:"48"`
	Wednesday []spanBody `json:"wednesday" maxItems:"48"`
	Thursday  []spanBody `json:"thursday" maxItems:"48"`
	Friday    []spanBody `json:"friday" maxItems:"48"`
	Saturday  []spanBody `json:"saturday" maxItems:"48"`
	Sunday    []spanBody `json:"sunday" maxItems:"48"`
}

// days returns the week by time.Weekday.
func (w *weekBody) days() [7]*[]spanBody {
	return [7]*[]spanBody{&w.Sunday, &w.Monday, &w.Tuesday, &w.Wednesday, &w.Thursday, &w.Friday, &w.Saturday}
}

type hoursBody struct {
	Version       int           `json:"version" readOnly:"true"`
	Zone          string        `json:"zone" minLength:"1" maxLength:"64" doc:"IANA" example:"Europe/Ljubljana"`
	Weekly        weekBody      `json:"weekly" doc:"What no span covers is unstaffed"`
	Holidays      []holidayBody `json:"holidays,omitempty" maxItems:"400"`
	EffectiveFrom *time.Time    `json:"effective_from,omitempty" doc:"Now when left out"`
	Reason        string        `json:"reason" minLength:"1" maxLength:"500"`
	Author        string        `json:"author,omitempty" readOnly:"true"`
}

func spansOf(list []account.Span) []spanBody {
	bodies := make([]spanBody, len(list))
	for i, s := range list {
		bodies[i] = spanBody{From: wallClock(s.From), To: wallClock(s.To), Watch: string(s.Watch)}
	}
	return bodies
}

func wallClock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

func minutesOf(text string) (int, error) {
	var hour, minute int
	if n, err := fmt.Sscanf(text, "%2d:%2d", &hour, &minute); n != 2 || err != nil || hour < 0 || minute < 0 || minute > 59 {
		return 0, fault.New(fault.Invalid, "%q is no time such as 08:30", text)
	}
	return hour*60 + minute, nil
}

func toSpans(bodies []spanBody) ([]account.Span, error) {
	list := make([]account.Span, len(bodies))
	for i, b := range bodies {
		from, err := minutesOf(b.From)
		if err != nil {
			return nil, err
		}
		to, err := minutesOf(b.To)
		if err != nil {
			return nil, err
		}
		list[i] = account.Span{From: from, To: to, Watch: account.Watch(b.Watch)}
	}
	return list, nil
}

func hoursOf(v *account.HoursVersion) hoursBody {
	b := hoursBody{Version: v.Number, Zone: v.Hours.Zone, EffectiveFrom: timeOrNone(v.EffectiveFrom), Reason: v.Reason, Author: v.AuthorName}
	for day, spans := range b.Weekly.days() {
		*spans = spansOf(v.Hours.Weekly[day])
	}
	for _, h := range v.Hours.Holidays {
		b.Holidays = append(b.Holidays, holidayBody{Date: h.Date, Name: h.Name, Spans: spansOf(h.Spans)})
	}
	return b
}

func (b *hoursBody) hours() (account.Hours, error) {
	h := account.Hours{Zone: b.Zone}
	var err error
	for day, spans := range b.Weekly.days() {
		if h.Weekly[day], err = toSpans(*spans); err != nil {
			return h, err
		}
	}
	for _, f := range b.Holidays {
		spans, err := toSpans(f.Spans)
		if err != nil {
			return h, err
		}
		h.Holidays = append(h.Holidays, account.Holiday{Date: f.Date, Name: f.Name, Spans: spans})
	}
	return h, nil
}

type hoursListOutput struct {
	Body struct {
		Versions []hoursBody `json:"versions" doc:"The oldest first"`
	}
}

type setHoursInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The newest version that you have seen, in quotes; * when there is none yet"`
	Body    hoursBody
}

type hoursOutput struct {
	ETag string `header:"ETag"`
	Body hoursBody
}

type rosterInput struct {
	ID   string    `path:"id" format:"uuid"`
	From time.Time `query:"from" required:"true"`
	To   time.Time `query:"to" required:"true"`
}

type periodBody struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Watch string    `json:"watch" enum:"staffed,on call,unstaffed"`
}

func periodsOf(list []account.Period) []periodBody {
	bodies := make([]periodBody, len(list))
	for i, p := range list {
		bodies[i] = periodBody{From: p.From, To: p.To, Watch: string(p.Watch)}
	}
	return bodies
}

type shiftBody struct {
	ID    vital.UID `json:"id" format:"uuid"`
	Staff vital.UID `json:"staff" format:"uuid"`
	Name  string    `json:"name"`
	Duty  string    `json:"duty" enum:"duty,backup,supervisor"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
}

func shiftOf(s account.Shift) shiftBody {
	return shiftBody{ID: s.UID, Staff: s.Staff, Name: s.Name, Duty: string(s.Duty), From: s.From, To: s.To}
}

type rosterOutput struct {
	Body struct {
		Chosen  bool         `json:"chosen" doc:"Somebody has said when the team watches"`
		Periods []periodBody `json:"periods"`
		Shifts  []shiftBody  `json:"shifts"`
		Gaps    []periodBody `json:"gaps" doc:"Somebody should be on duty, and nobody is"`
	}
}

type newShiftInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Staff string    `json:"staff" format:"uuid"`
		Duty  string    `json:"duty" enum:"duty,backup,supervisor"`
		From  time.Time `json:"from"`
		To    time.Time `json:"to"`
	}
}

type shiftOutput struct{ Body shiftBody }

type shiftInput struct {
	ID string `path:"id" format:"uuid"`
}

func (s *Server) addRosters() {
	add(s, op(http.MethodGet, "/v1/teams/{id}/hours", "list-hours", tagTeams, "When a care team watches, in versions", http.StatusNotFound), s.listHours)
	add(s, op(http.MethodPut, "/v1/teams/{id}/hours", "set-hours", tagTeams, "Say when a care team watches", http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusPreconditionRequired), s.setHours)
	add(s, op(http.MethodGet, "/v1/teams/{id}/roster", "get-roster", tagTeams, "Who watches when, and where nobody does", http.StatusNotFound), s.getRoster)
	add(s, created(op(http.MethodPost, "/v1/teams/{id}/shifts", "add-shift", tagTeams, "Give somebody a duty for a time", http.StatusNotFound, http.StatusConflict)), s.addShift)
	add(s, op(http.MethodDelete, "/v1/shifts/{id}", "cancel-shift", tagTeams, "Take a shift off the roster", http.StatusNotFound), s.cancelShift)
}

func (s *Server) listHours(ctx context.Context, actor account.Actor, in *teamInput) (*hoursListOutput, error) {
	list, err := s.Rosters.Hours(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &hoursListOutput{}
	out.Body.Versions = make([]hoursBody, len(list))
	for i := range list {
		out.Body.Versions[i] = hoursOf(&list[i])
	}
	return out, nil
}

func (s *Server) setHours(ctx context.Context, actor account.Actor, in *setHoursInput) (*hoursOutput, error) {
	expected, err := ifMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	hours, err := in.Body.hours()
	if err != nil {
		return nil, err
	}
	v, err := s.Rosters.SetHours(ctx, actor, vital.UID(in.ID), expected, account.HoursVersion{
		Hours: hours, EffectiveFrom: timeOrZero(in.Body.EffectiveFrom).UTC(), Reason: in.Body.Reason,
	})
	if err != nil {
		return nil, stale(err)
	}
	return &hoursOutput{ETag: etag(v.Number), Body: hoursOf(&v)}, nil
}

func (s *Server) getRoster(ctx context.Context, actor account.Actor, in *rosterInput) (*rosterOutput, error) {
	r, err := s.Rosters.Roster(ctx, actor, vital.UID(in.ID), in.From, in.To)
	if err != nil {
		return nil, err
	}
	out := &rosterOutput{}
	out.Body.Chosen, out.Body.Periods, out.Body.Gaps = r.Chosen, periodsOf(r.Periods), periodsOf(r.Gaps)
	out.Body.Shifts = make([]shiftBody, len(r.Shifts))
	for i, shift := range r.Shifts {
		out.Body.Shifts[i] = shiftOf(shift)
	}
	return out, nil
}

func (s *Server) addShift(ctx context.Context, actor account.Actor, in *newShiftInput) (*shiftOutput, error) {
	made, err := s.Rosters.AddShift(ctx, actor, vital.UID(in.ID), account.Shift{
		Staff: vital.UID(in.Body.Staff), Duty: account.Duty(in.Body.Duty), From: in.Body.From, To: in.Body.To,
	})
	if err != nil {
		return nil, err
	}
	return &shiftOutput{Body: shiftOf(made)}, nil
}

func (s *Server) cancelShift(ctx context.Context, actor account.Actor, in *shiftInput) (*struct{}, error) {
	return nil, s.Rosters.CancelShift(ctx, actor, vital.UID(in.ID))
}
