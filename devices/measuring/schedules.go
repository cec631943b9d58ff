package measuring

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// Authored is a version of a schedule with who set it, when and why.
type Authored struct {
	Schedule
	Reason    string
	Author    string
	CreatedAt time.Time
}

// Break is a pause with who wrote it down and why. To is when it is planned to end, zero while nobody knows; EndedAt is when
// somebody ended it before, zero when nobody did.
type Break struct {
	UID       vital.UID
	Kind      PauseKind
	From, To  time.Time
	Reason    string
	Author    string
	CreatedAt time.Time
	EndedAt   time.Time
	EndedBy   string
}

// Pause returns the time in which it holds. One that was ended before it began holds at no time.
func (b *Break) Pause() Pause {
	p := Pause{Kind: b.Kind, From: b.From, To: b.To}
	if !b.EndedAt.IsZero() && (p.To.IsZero() || b.EndedAt.Before(p.To)) {
		p.To = b.EndedAt
	}
	return p
}

// Over reports whether the pause holds no more at now, and will not again.
func (b *Break) Over(now time.Time) bool {
	p := b.Pause()
	return !p.To.IsZero() && !p.To.After(now)
}

// History is what a patient is to measure, as people set it: versions and pauses by their numbers, the oldest first.
type History struct {
	Patient  account.Patient
	Versions []Authored
	Breaks   []Break
}

// Newest returns the number of the newest version, 0 when there is none.
func (m *History) Newest() int {
	if len(m.Versions) == 0 {
		return 0
	}
	return m.Versions[len(m.Versions)-1].Number
}

// Plan returns what is expected of the patient. Of one who is known under another record nothing is: the readings are there.
func (m *History) Plan() Plan {
	p := Plan{Zone: vital.ZoneOrUTC(m.Patient.Zone)}
	if m.Patient.State == account.Merged {
		return p
	}
	for i := range m.Versions {
		p.Versions = append(p.Versions, m.Versions[i].Schedule)
	}
	for i := range m.Breaks {
		p.Pauses = append(p.Pauses, m.Breaks[i].Pause())
	}
	return p
}

// ScheduleBook is the record as Schedules needs it. Every method is bound to the actor's organisation and view.
type ScheduleBook interface {
	// Measuring returns the patient with their versions and pauses; fault.NotFound when nobody within the view has this id.
	Measuring(ctx context.Context, actor account.Actor, patient vital.UID) (History, error)
	// AddSchedule appends a version with its audit row and the notice to the patient; expected is the newest version that the
	// author has seen. A newer one is fault.Conflict.
	AddSchedule(ctx context.Context, actor account.Actor, patient vital.PatientID, expected int, a Authored) (Authored, error)
	// SavePause stores a new pause, or that one has ended (EndedAt is set), likewise. One that ended before is fault.Conflict.
	SavePause(ctx context.Context, actor account.Actor, patient vital.PatientID, b Break) (Break, error)
	// Measured returns when readings were measured, by patient, as far as the view shows them.
	Measured(ctx context.Context, actor account.Actor, q MarkQuery) (map[vital.PatientID][]Mark, error)
}

// MarkQuery asks when readings of some metrics of some patients were measured in [From, To).
type MarkQuery struct {
	Patients []vital.PatientID
	Metrics  []vital.Metric
	From, To time.Time
}

// Schedules is what people do with the measurement schedule of a patient: look, set new versions, pause.
type Schedules struct {
	Book  ScheduleBook
	Looks *account.Looks // nil writes nothing
	Now   func() time.Time
	// Silent, when set, says of a patient when, since from, whatever brings their readings of a metric was not heard (see Seen).
	Silent func(ctx context.Context, actor account.Actor, patient vital.PatientID, from time.Time) (map[vital.Metric][]Away, error)
	// Clock, when set, says when something of patients arrived whose clock cannot be right (see Seen).
	Clock func(ctx context.Context, actor account.Actor, q MarkQuery) (map[vital.PatientID][]Mark, error)
}

// Bounds of what people say of a schedule.
const (
	longestWhy     = 500                 // characters of a reason
	furthestBack   = 31 * 24 * time.Hour // how far in the past a pause may begin
	longestOther   = 72 * time.Hour      // of a pause that is neither hospital nor holiday (clinical/alarms.md)
	longestHoliday = 92 * 24 * time.Hour // [J]
	mostBreaks     = 200                 // pauses of one patient that are looked at
	mostVersions   = 500                 // of one patient's schedule
	oneDay         = 24 * time.Hour      // of a clock that never changes
)

// Get returns what the patient is to measure, with every version and pause.
func (s *Schedules) Get(ctx context.Context, actor account.Actor, patient vital.UID) (History, error) {
	m, err := s.find(ctx, actor, account.SeeReadings, patient)
	if err != nil {
		return History{}, err
	}
	return m, s.Looks.Saw(ctx, actor, "schedule", "", m.Patient.ID)
}

// find asks for the function first, and then, with the patient as the actor finds them, for this patient. Relatives are not shown
// the schedule: what they are not to see of the readings would show as missing.
func (s *Schedules) find(ctx context.Context, actor account.Actor, action account.Action, patient vital.UID) (History, error) {
	if err := account.Allow(actor, action, nil); err != nil {
		return History{}, err
	}
	if actor.Role == account.CaregiverRole {
		return History{}, fault.New(fault.Forbidden, "the measurement schedule is for the patient and the care team")
	}
	m, err := s.Book.Measuring(ctx, actor, patient)
	if err != nil {
		return History{}, err
	}
	return m, account.Allow(actor, action, &m.Patient)
}

// Set appends a version; expected is the newest one that the author has seen, 0 when there was none. Of a it takes Lines,
// EffectiveFrom (zero: from now on; never in the past, since what was expected stays as it was) and Reason. No lines: nothing is
// expected from then on. It returns fault.Invalid with what to mend, and fault.Conflict when somebody has set a newer one.
func (s *Schedules) Set(ctx context.Context, actor account.Actor, patient vital.UID, expected int, a Authored) (Authored, error) {
	m, err := s.find(ctx, actor, account.SetSchedule, patient)
	if err != nil {
		return Authored{}, err
	}
	now := s.Now().UTC()
	if a.EffectiveFrom.IsZero() {
		a.EffectiveFrom = now
	}
	a.EffectiveFrom = a.EffectiveFrom.UTC().Truncate(time.Microsecond)
	if a.Reason, err = why(a.Reason); err != nil {
		return Authored{}, err
	}
	switch {
	case a.EffectiveFrom.Before(now.Truncate(time.Microsecond)):
		return Authored{}, fault.New(fault.Invalid, "effective_from: a schedule begins now or later: what was expected before stays as it was")
	case a.EffectiveFrom.After(now.Add(devices.FurthestAhead)):
		return Authored{}, fault.New(fault.Invalid, "effective_from: a schedule may begin at most a year ahead, not in %d", a.EffectiveFrom.Year())
	case len(m.Versions) >= mostVersions:
		return Authored{}, fault.New(fault.Invalid, "a patient's schedule has at most %d versions", mostVersions)
	}
	if err := a.Check(); err != nil {
		return Authored{}, err
	}
	return s.Book.AddSchedule(ctx, actor, m.Patient.ID, expected, a)
}

func why(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" || utf8.RuneCountInString(reason) > longestWhy {
		return "", fault.New(fault.Invalid, "reason: say why, in 1 to %d characters", longestWhy)
	}
	return reason, nil
}

// Pause writes down that nothing is expected of the patient for a while. Of b it takes Kind, From (zero: from now on), To and
// Reason. A hospital stay may be open; a holiday ends by its date, and any other pause after 72 hours at the latest
// (clinical/alarms.md). Red readings alert all the same.
func (s *Schedules) Pause(ctx context.Context, actor account.Actor, patient vital.UID, b Break) (Break, error) {
	m, err := s.find(ctx, actor, account.SetSchedule, patient)
	if err != nil {
		return Break{}, err
	}
	now := s.Now().UTC()
	if b.From.IsZero() {
		b.From = now
	}
	b.From, b.To = b.From.UTC().Truncate(time.Microsecond), b.To.UTC().Truncate(time.Microsecond)
	if b.Reason, err = why(b.Reason); err != nil {
		return Break{}, err
	}
	if len(m.Breaks) >= mostBreaks {
		return Break{}, fault.New(fault.Invalid, "a patient has at most %d pauses", mostBreaks)
	}
	if err := b.check(now); err != nil {
		return Break{}, err
	}
	return s.Book.SavePause(ctx, actor, m.Patient.ID, Break{Kind: b.Kind, From: b.From, To: b.To, Reason: b.Reason})
}

func (b *Break) check(now time.Time) error {
	switch {
	case b.From.Before(now.Add(-furthestBack)) || b.From.After(now.Add(devices.FurthestAhead)):
		return fault.New(fault.Invalid, "from: a pause begins between a month ago and a year ahead")
	case !b.To.IsZero() && !b.To.After(b.From):
		return fault.New(fault.Invalid, "to: must lie after from")
	}
	switch b.Kind {
	case InHospital:
		return nil
	case OnHoliday:
		if b.To.IsZero() || b.To.Sub(b.From) > longestHoliday {
			return fault.New(fault.Invalid, "to: say on which day the holiday ends, at most %d days after it begins", longestHoliday/oneDay)
		}
		return nil
	case OtherPause:
		if b.To.IsZero() || b.To.Sub(b.From) > longestOther {
			return fault.New(fault.Invalid, "to: say when the pause ends; it lasts %d hours at most, unless it is a hospital stay or a holiday", longestOther/time.Hour)
		}
		return nil
	}
	return fault.New(fault.Invalid, "kind: a pause is hospital, holiday or other")
}

// EndPause ends a pause now, also one that has not begun. One that is over is fault.Conflict.
func (s *Schedules) EndPause(ctx context.Context, actor account.Actor, patient, pause vital.UID) (Break, error) {
	m, err := s.find(ctx, actor, account.SetSchedule, patient)
	if err != nil {
		return Break{}, err
	}
	now := s.Now().UTC().Truncate(time.Microsecond)
	for _, b := range m.Breaks {
		if b.UID != pause {
			continue
		}
		if b.Over(now) {
			return Break{}, fault.New(fault.Conflict, "this pause is over already")
		}
		b.EndedAt, b.EndedBy = now, actor.Name
		return s.Book.SavePause(ctx, actor, m.Patient.ID, b)
	}
	return Break{}, fault.New(fault.NotFound, "there is no pause %s", pause)
}

// Strip is what became of what was expected of a patient in a number of days, by the clock of their home.
type Strip struct {
	History
	From, To time.Time
	Slots    []Covered
}

// Strip returns what was expected in the last days, today included, and what became of each. Days of 0 are 14; more than 92 are
// fault.Invalid.
func (s *Schedules) Strip(ctx context.Context, actor account.Actor, patient vital.UID, days int) (Strip, error) {
	days, err := devices.DaysBack(days)
	if err != nil {
		return Strip{}, err
	}
	m, err := s.find(ctx, actor, account.SeeReadings, patient)
	if err != nil {
		return Strip{}, err
	}
	if err := s.Looks.Saw(ctx, actor, "schedule", "", m.Patient.ID); err != nil {
		return Strip{}, err
	}
	plan, now := m.Plan(), s.Now()
	_, to := plan.Around(now, now)
	first := to.In(plan.Zone).AddDate(0, 0, -days)
	strip := Strip{History: m, From: first.UTC(), To: to}
	if len(plan.Versions) == 0 {
		return strip, nil
	}
	var seen Seen
	q := MarkQuery{Patients: []vital.PatientID{m.Patient.ID}, Metrics: plan.Metrics(), From: strip.From, To: strip.To}
	marks, err := s.Book.Measured(ctx, actor, q)
	if err != nil {
		return Strip{}, err
	}
	seen.Measured = marks[m.Patient.ID]
	if s.Clock != nil {
		clocks, err := s.Clock(ctx, actor, q)
		if err != nil {
			return Strip{}, err
		}
		seen.Clock = clocks[m.Patient.ID]
	}
	if s.Silent != nil {
		if seen.Silent, err = s.Silent(ctx, actor, m.Patient.ID, strip.From); err != nil {
			return Strip{}, err
		}
	}
	strip.Slots = plan.Expected(seen, strip.From, strip.To, now)
	return strip, nil
}
