package account

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"hale/fault"
	"hale/vital"
)

// Duty is what somebody does in a shift.
type Duty string

// The duties, in the order in which an alert that nobody answers climbs.
const (
	OnDuty     Duty = "duty"
	Backup     Duty = "backup"
	Supervisor Duty = "supervisor"
)

// Shift is a time for which a member of a care team has a duty.
type Shift struct {
	UID      vital.UID
	Staff    vital.UID
	Name     string
	Duty     Duty
	From, To time.Time
}

// HoursVersion is a care team's hours from a time on, as somebody set them.
type HoursVersion struct {
	Number        int
	Hours         Hours
	EffectiveFrom time.Time
	AuthorName    string
	Reason        string
	CreatedAt     time.Time
}

// RosterBook is the record as Rosters needs it. Every method is bound to the actor's organisation; every change writes its audit
// row. A team or shift that is not there is fault.NotFound.
type RosterBook interface {
	// Hours returns every version of a team's hours, the oldest first; none means that nobody has said when somebody watches.
	Hours(ctx context.Context, actor Actor, team vital.UID) ([]HoursVersion, error)
	// SetHours appends a version; expected is the newest number that the author has seen (fault.Conflict when there is a newer).
	SetHours(ctx context.Context, actor Actor, team vital.UID, expected int, v HoursVersion) (HoursVersion, error)
	// Shifts returns those that touch [from, to), by their beginning.
	Shifts(ctx context.Context, actor Actor, team vital.UID, from, to time.Time) ([]Shift, error)
	// AddShift is fault.Conflict when the person is not in the team for the whole of it, or has the same duty in it already.
	AddShift(ctx context.Context, actor Actor, team vital.UID, s Shift) (Shift, error)
	CancelShift(ctx context.Context, actor Actor, shift vital.UID) error
}

// Rosters is when care teams watch, and who of them.
type Rosters struct {
	Book RosterBook
	Now  func() time.Time
}

// Roster is a care team's watch over a time.
type Roster struct {
	From, To time.Time
	Chosen   bool     // somebody has said when the team watches
	Periods  []Period // how it watches, without a gap
	Shifts   []Shift
	Gaps     []Period // where it says that somebody watches, and nobody has the duty
}

const (
	rosterAtMost = 62 * 24 * time.Hour
	shiftAtMost  = 48 * time.Hour
	shiftAhead   = 400 * 24 * time.Hour
)

// Hours returns every version of a team's hours, the oldest first.
func (r *Rosters) Hours(ctx context.Context, actor Actor, team vital.UID) ([]HoursVersion, error) {
	if err := Allow(actor, SeeTeams, nil); err != nil {
		return nil, err
	}
	return r.Book.Hours(ctx, actor, team)
}

// SetHours says when a team watches, from a time on (zero: now). It needs a reason; expected is as in RosterBook.
func (r *Rosters) SetHours(ctx context.Context, actor Actor, team vital.UID, expected int, v HoursVersion) (HoursVersion, error) {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return HoursVersion{}, err
	}
	if err := v.Hours.Check(); err != nil {
		return HoursVersion{}, err
	}
	now := r.Now().UTC()
	v.Reason = strings.TrimSpace(v.Reason)
	switch n := utf8.RuneCountInString(v.Reason); {
	case n == 0 || n > LongestReason || !utf8.ValidString(v.Reason):
		return HoursVersion{}, fault.New(fault.Invalid, "reason: say in up to %d characters why", LongestReason)
	case v.EffectiveFrom.IsZero():
		v.EffectiveFrom = now
	case v.EffectiveFrom.Before(now.Add(-time.Minute)):
		return HoursVersion{}, fault.New(fault.Invalid, "effective_from: who watched in the past is past; leave it out for now")
	case v.EffectiveFrom.After(now.Add(shiftAhead)):
		return HoursVersion{}, fault.New(fault.Invalid, "effective_from: at most 400 days ahead")
	}
	return r.Book.SetHours(ctx, actor, team, expected, v)
}

// Roster tells how a team watches in [from, to), who has the duty, and where nobody has.
func (r *Rosters) Roster(ctx context.Context, actor Actor, team vital.UID, from, to time.Time) (Roster, error) {
	if err := Allow(actor, SeeTeams, nil); err != nil {
		return Roster{}, err
	}
	if !from.Before(to) || to.Sub(from) > rosterAtMost {
		return Roster{}, fault.New(fault.Invalid, "from and to: the end comes after the beginning, at most 62 days")
	}
	versions, err := r.Book.Hours(ctx, actor, team)
	if err != nil {
		return Roster{}, err
	}
	shifts, err := r.Book.Shifts(ctx, actor, team, from, to)
	if err != nil {
		return Roster{}, err
	}
	periods := WatchBetween(versions, from, to)
	return Roster{From: from.UTC(), To: to.UTC(), Chosen: len(versions) > 0, Periods: periods, Shifts: shifts, Gaps: Gaps(periods, shifts)}, nil
}

// WatchBetween returns how a team with these versions of its hours (the oldest first) watches in [from, to), without a gap.
// Before the first version it is unstaffed; of versions that begin at one time the last counts.
func WatchBetween(versions []HoursVersion, from, to time.Time) []Period {
	edges := []time.Time{from, to}
	for i := range versions {
		if at := versions[i].EffectiveFrom; at.After(from) && at.Before(to) {
			edges = append(edges, at)
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	var list []Period
	for i := range len(edges) - 1 {
		if !edges[i].Before(edges[i+1]) {
			continue
		}
		part := []Period{{From: edges[i].UTC(), To: edges[i+1].UTC(), Watch: Unstaffed}}
		if v := inForce(versions, edges[i]); v != nil {
			part = v.Hours.Between(edges[i], edges[i+1])
		}
		for _, p := range part {
			if n := len(list); n > 0 && list[n-1].Watch == p.Watch {
				list[n-1].To = p.To
				continue
			}
			list = append(list, p)
		}
	}
	return list
}

// inForce returns the version that holds at a moment, or nil. A later version takes back an earlier one that was to begin later.
func inForce(versions []HoursVersion, at time.Time) *HoursVersion {
	for i := len(versions) - 1; i >= 0; i-- {
		if !versions[i].EffectiveFrom.After(at) {
			return &versions[i]
		}
	}
	return nil
}

// Gaps returns the times for which the periods say that somebody watches, and no shift has anybody on duty.
func Gaps(periods []Period, shifts []Shift) []Period {
	var gaps []Period
	for _, p := range periods {
		if p.Watch == Unstaffed {
			continue
		}
		at := p.From
		for at.Before(p.To) {
			until := coveredUntil(shifts, at)
			if until.After(at) {
				at = until
				continue
			}
			end := p.To
			for _, s := range shifts {
				if s.Duty == OnDuty && s.From.After(at) && s.From.Before(end) {
					end = s.From
				}
			}
			gaps = append(gaps, Period{From: at, To: end, Watch: p.Watch})
			at = end
		}
	}
	return gaps
}

// coveredUntil returns until when somebody is on duty who is so at a moment, or that moment when nobody is.
func coveredUntil(shifts []Shift, at time.Time) time.Time {
	until := at
	for _, s := range shifts {
		if s.Duty == OnDuty && !s.From.After(at) && s.To.After(until) {
			until = s.To
		}
	}
	return until
}

// AddShift gives a member of the team a duty for a time.
func (r *Rosters) AddShift(ctx context.Context, actor Actor, team vital.UID, s Shift) (Shift, error) {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return Shift{}, err
	}
	now := r.Now()
	switch s.Duty {
	case OnDuty, Backup, Supervisor:
	default:
		return Shift{}, fault.New(fault.Invalid, "duty: give %s, %s or %s", OnDuty, Backup, Supervisor)
	}
	switch {
	case !s.To.After(s.From) || s.To.Sub(s.From) > shiftAtMost:
		return Shift{}, fault.New(fault.Invalid, "from and to: a shift ends after it begins, and lasts 48 hours at most")
	case !s.To.After(now):
		return Shift{}, fault.New(fault.Invalid, "to: this shift is over already")
	case s.From.After(now.Add(shiftAhead)):
		return Shift{}, fault.New(fault.Invalid, "from: at most 400 days ahead")
	}
	s.From, s.To = s.From.UTC(), s.To.UTC()
	return r.Book.AddShift(ctx, actor, team, s)
}

// CancelShift takes a shift off the roster.
func (r *Rosters) CancelShift(ctx context.Context, actor Actor, shift vital.UID) error {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return err
	}
	return r.Book.CancelShift(ctx, actor, shift)
}
