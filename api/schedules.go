package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"hale/account"
	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// windowBody is a time of the day at home.
type windowBody struct {
	From string `json:"from" pattern:"^[0-2][0-9]:[0-5][0-9]$" doc:"By the clock of the home" example:"07:00"`
	At   string `json:"at,omitempty" pattern:"^[0-2][0-9]:[0-5][0-9]$" doc:"When it is due; the beginning when left out" example:"07:00"`
	To   string `json:"to" pattern:"^[0-2][0-9]:[0-5][0-9]$" doc:"In time until then; 24:00 is the end of the day" example:"10:00"`
}

// RhythmBody is on which days, and when on them. It is exported since schemas are made of exported fields only.
type RhythmBody struct {
	Weekdays []int        `json:"weekdays,omitempty" maxItems:"7" doc:"0 is Sunday, 6 Saturday; every day when left out"`
	Every    int          `json:"every,omitempty" minimum:"0" maximum:"366" doc:"Every so many days from the first on, instead of weekdays" example:"3"`
	Times    []windowBody `json:"times" minItems:"1" maxItems:"24"`
}

type introBody struct {
	RhythmBody
	Days int `json:"days" minimum:"1" maximum:"90" doc:"It takes the place of the line's own rhythm for so many days from the first on" example:"7"`
}

type expectedLine struct {
	RhythmBody
	Metric string     `json:"metric" example:"blood_pressure"`
	First  vital.Date `json:"first" format:"date" doc:"n-th days and the intro count from it" example:"2026-11-22"`
	Last   vital.Date `json:"last,omitempty" doc:"The last day; none when left out" example:"2027-02-22"`
	Intro  *introBody `json:"intro,omitempty" doc:"A denser rhythm at first"`
}

type scheduleVersion struct {
	Number        int            `json:"number" example:"1"`
	EffectiveFrom time.Time      `json:"effective_from"`
	Lines         []expectedLine `json:"lines" doc:"What is measured again and again; none: nothing is expected"`
	Reason        string         `json:"reason"`
	Author        string         `json:"author"`
	CreatedAt     time.Time      `json:"created_at"`
}

type pauseBody struct {
	ID        vital.UID  `json:"id" format:"uuid"`
	Kind      string     `json:"kind" enum:"hospital,holiday,other"`
	From      time.Time  `json:"from"`
	To        *time.Time `json:"to,omitempty" doc:"As planned; left out while nobody knows"`
	Reason    string     `json:"reason"`
	Author    string     `json:"author"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty" doc:"By a person, before it would have"`
	EndedBy   string     `json:"ended_by,omitempty"`
}

type scheduleOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		Zone     string            `json:"zone" doc:"The clock of the home" example:"Europe/Ljubljana"`
		Version  int               `json:"version" doc:"The newest version, for If-Match; 0 when nobody has set one"`
		InForce  int               `json:"in_force" doc:"The version that holds now; 0 for none"`
		Versions []scheduleVersion `json:"versions"`
		Pauses   []pauseBody       `json:"pauses"`
	}
}

type setScheduleInput struct {
	ID      string `path:"id" format:"uuid"`
	IfMatch string `header:"If-Match" doc:"The newest version you have seen, in quotes; * when there is none" example:"\"1\""`
	Body    struct {
		Lines         []expectedLine `json:"lines" maxItems:"64" doc:"All that is to be measured from then on; none ends it"`
		EffectiveFrom *time.Time     `json:"effective_from,omitempty" doc:"Now when left out; not in the past, and at most a year ahead"`
		Reason        string         `json:"reason" minLength:"1" maxLength:"500" example:"Discharged with heart failure"`
	}
}

type setScheduleOutput struct {
	ETag string `header:"ETag"`
	Body scheduleVersion
}

type pauseInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Kind   string     `json:"kind" enum:"hospital,holiday,other"`
		From   *time.Time `json:"from,omitempty" doc:"Now when left out; at most a month back and a year ahead"`
		To     *time.Time `json:"to,omitempty" doc:"A hospital stay may be open; a holiday ends by its date, another pause after 72 hours at the latest"`
		Reason string     `json:"reason" minLength:"1" maxLength:"500" example:"At her son's"`
	}
}

type pauseOutput struct{ Body pauseBody }

type endPauseInput struct {
	ID    string `path:"id" format:"uuid"`
	Pause string `path:"pause" format:"uuid"`
}

type coverageInput struct {
	ID   string `path:"id" format:"uuid"`
	Days int    `query:"days" minimum:"1" maximum:"92" default:"14" doc:"Today and the days before it, by the clock of the home"`
}

type slotBody struct {
	Metric  string     `json:"metric" example:"blood_pressure"`
	Date    vital.Date `json:"date" doc:"By the clock of the home" example:"2026-11-22"`
	Ordinal int        `json:"ordinal" doc:"Which of the metric's slots of that day, from 0"`
	Opens   time.Time  `json:"opens"`
	Due     time.Time  `json:"due"`
	Closes  time.Time  `json:"closes"`
	Cover   string     `json:"cover" enum:"measured,other_time,ahead,due,missed,not_arrived,clock_wrong,paused,hospital" doc:"other_time: measured on that day outside of every window; ahead: not yet open; due: open; not_arrived: what would have brought it has not been heard since, or it opened and closed within an outage of a gateway or the platform"`
	At      *time.Time `json:"at,omitempty" doc:"When it was measured, to the minute"`
}

type coverageOutput struct {
	Body struct {
		Zone  string     `json:"zone" example:"Europe/Ljubljana"`
		From  time.Time  `json:"from"`
		To    time.Time  `json:"to"`
		Slots []slotBody `json:"slots"`
	}
}

func (s *Server) addSchedules() {
	get := op(http.MethodGet, "/v1/patients/{id}/schedule", "get-schedule", tagPatients, "What the patient is to measure, and when, in versions, with the pauses", http.StatusNotFound)
	add(s, get, s.getSchedule)
	set := op(http.MethodPut, "/v1/patients/{id}/schedule", "set-schedule", tagPatients, "Set a new version of the measurement schedule", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired)
	set.Description = "Versions are never changed: what was expected before stays as it was. The patient is told."
	add(s, set, s.setSchedule)
	add(s, created(op(http.MethodPost, "/v1/patients/{id}/schedule/pauses", "pause-schedule", tagPatients, "Expect nothing for a while: hospital, holiday", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)), s.pauseSchedule)
	add(s, op(http.MethodPost, "/v1/patients/{id}/schedule/pauses/{pause}/end", "end-pause", tagPatients, "End a pause now", http.StatusNotFound, http.StatusConflict), s.endPause)
	coverage := op(http.MethodGet, "/v1/patients/{id}/coverage", "get-coverage", tagPatients, "What was expected in the last days, and what became of each", http.StatusNotFound)
	coverage.Description = "Missing is not normal, and why it is missing matters: every slot of the schedule has its own answer."
	add(s, coverage, s.getCoverage)
}

func (s *Server) getSchedule(ctx context.Context, actor account.Actor, in *patientInput) (*scheduleOutput, error) {
	m, err := s.Schedules.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &scheduleOutput{ETag: etag(m.Newest())}
	out.Body.Zone, out.Body.Version = m.Patient.Zone, m.Newest()
	plan := m.Plan()
	if v, ok := plan.InForce(s.Now()); ok {
		out.Body.InForce = v.Number
	}
	out.Body.Versions, out.Body.Pauses = []scheduleVersion{}, []pauseBody{}
	for i := range m.Versions {
		out.Body.Versions = append(out.Body.Versions, versionOf(&m.Versions[i]))
	}
	for i := range m.Breaks {
		out.Body.Pauses = append(out.Body.Pauses, pauseOf(&m.Breaks[i]))
	}
	return out, nil
}

func (s *Server) setSchedule(ctx context.Context, actor account.Actor, in *setScheduleInput) (*setScheduleOutput, error) {
	if err := account.Allow(actor, account.SetSchedule, nil); err != nil {
		return nil, err
	}
	expected, err := ifMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	a := measuring.Authored{Reason: in.Body.Reason}
	if in.Body.EffectiveFrom != nil {
		a.EffectiveFrom = *in.Body.EffectiveFrom
	}
	for i := range in.Body.Lines {
		l, err := in.Body.Lines[i].line()
		if err != nil {
			return nil, err
		}
		a.Lines = append(a.Lines, l)
	}
	made, err := s.Schedules.Set(ctx, actor, vital.UID(in.ID), expected, a)
	if err != nil {
		return nil, stale(err)
	}
	return &setScheduleOutput{ETag: etag(made.Number), Body: versionOf(&made)}, nil
}

func (s *Server) pauseSchedule(ctx context.Context, actor account.Actor, in *pauseInput) (*pauseOutput, error) {
	b := measuring.Break{Kind: measuring.PauseKind(in.Body.Kind), Reason: in.Body.Reason}
	if in.Body.From != nil {
		b.From = *in.Body.From
	}
	if in.Body.To != nil {
		b.To = *in.Body.To
	}
	made, err := s.Schedules.Pause(ctx, actor, vital.UID(in.ID), b)
	if err != nil {
		return nil, err
	}
	return &pauseOutput{Body: pauseOf(&made)}, nil
}

func (s *Server) endPause(ctx context.Context, actor account.Actor, in *endPauseInput) (*pauseOutput, error) {
	ended, err := s.Schedules.EndPause(ctx, actor, vital.UID(in.ID), vital.UID(in.Pause))
	if err != nil {
		return nil, err
	}
	return &pauseOutput{Body: pauseOf(&ended)}, nil
}

func (s *Server) getCoverage(ctx context.Context, actor account.Actor, in *coverageInput) (*coverageOutput, error) {
	strip, err := s.Schedules.Strip(ctx, actor, vital.UID(in.ID), in.Days)
	if err != nil {
		return nil, err
	}
	out := &coverageOutput{}
	out.Body.Zone, out.Body.From, out.Body.To, out.Body.Slots = strip.Patient.Zone, strip.From, strip.To, []slotBody{}
	for _, c := range strip.Slots {
		out.Body.Slots = append(out.Body.Slots, slotBody{
			Metric: c.Metric.String(), Date: c.Date, Ordinal: c.Ordinal, Opens: c.Opens, Due: c.Due, Closes: c.Closes, Cover: string(c.Cover), At: at(c.At),
		})
	}
	return out, nil
}

func versionOf(a *measuring.Authored) scheduleVersion {
	v := scheduleVersion{Number: a.Number, EffectiveFrom: a.EffectiveFrom.UTC(), Lines: []expectedLine{}, Reason: a.Reason, Author: a.Author, CreatedAt: a.CreatedAt.UTC()}
	for _, l := range a.Lines {
		b := expectedLine{RhythmBody: rhythmOf(l.Days, l.Times), Metric: l.Metric.String(), First: l.First, Last: l.Last}
		if l.Intro != nil {
			b.Intro = &introBody{RhythmBody: rhythmOf(l.Intro.Days, l.Intro.Times), Days: l.Intro.For}
		}
		v.Lines = append(v.Lines, b)
	}
	return v
}

func rhythmOf(days measuring.Days, times []measuring.Window) RhythmBody {
	b := RhythmBody{Every: days.Every}
	for _, d := range days.Weekdays {
		b.Weekdays = append(b.Weekdays, int(d))
	}
	for _, w := range times {
		b.Times = append(b.Times, windowBody{From: wallOf(w.From), At: wallOf(w.At), To: wallOf(w.To)})
	}
	return b
}

func pauseOf(b *measuring.Break) pauseBody {
	return pauseBody{
		ID: b.UID, Kind: string(b.Kind), From: b.From.UTC(), To: at(b.To), Reason: b.Reason, Author: b.Author, CreatedAt: b.CreatedAt.UTC(), EndedAt: at(b.EndedAt), EndedBy: b.EndedBy,
	}
}

func (b *expectedLine) line() (measuring.Line, error) {
	m, ok := vital.ParseMetric(b.Metric)
	if !ok {
		return measuring.Line{}, fault.New(fault.Invalid, "metric: there is no metric %q", b.Metric)
	}
	l := measuring.Line{Metric: m, First: b.First, Last: b.Last}
	var err error
	if l.Days, l.Times, err = b.rhythm(); err != nil || b.Intro == nil {
		return l, err
	}
	l.Intro = &measuring.Intro{For: b.Intro.Days}
	l.Intro.Days, l.Intro.Times, err = b.Intro.rhythm()
	return l, err
}

func (b *RhythmBody) rhythm() (measuring.Days, []measuring.Window, error) {
	days := measuring.Days{Every: b.Every}
	for _, d := range b.Weekdays {
		days.Weekdays = append(days.Weekdays, time.Weekday(d))
	}
	var times []measuring.Window
	for _, t := range b.Times {
		if t.At == "" {
			t.At = t.From
		}
		var w measuring.Window
		for i, text := range []string{t.From, t.At, t.To} {
			minute, ok := minuteOf(text)
			if !ok {
				return days, nil, fault.New(fault.Invalid, "times: %q is no time of the day, write for example 07:30", text)
			}
			*[]*int{&w.From, &w.At, &w.To}[i] = minute
		}
		times = append(times, w)
	}
	return days, times, nil
}

// minuteOf reads a time of the clock as minutes after midnight; 24:00 is the end of the day.
func minuteOf(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil
}

func wallOf(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }
