package account

import (
	"context"
	"strings"
	"time"

	"hale/fault"
	"hale/vital"
)

// Team is a care team: the people who look after some patients together.
type Team struct {
	UID       vital.UID
	Name      string
	Phone     string // by which patients and their people reach it; empty when nobody has said
	Usual     bool   // takes in who is sent to no other
	CreatedAt time.Time
	Patients  int // in its care just now
	Bedside   int // those in it just now who may answer its alerts and can sign in (Role.AtBedside): with none, nobody does
	Members   []Membership

	AttendedUntil time.Time // until when somebody is at the bedside if nobody joins; zero: no end is set (Attend)
}

// Unattended reports whether the team has patients whose alerts none of its people may answer.
func (t *Team) Unattended() bool { return t.Patients > 0 && t.Bedside == 0 }

// Membership is a time that a member of staff belongs to a team. To is zero while no end is set.
type Membership struct {
	Staff    vital.UID
	Name     string
	Role     Role
	From, To time.Time

	AtBedside bool // they may answer alerts, and can sign in (Role.AtBedside)
}

// Colleague is a member of staff as others choose them from a list.
type Colleague struct {
	UID  vital.UID
	Name string
	Role Role
}

// TeamBook is the record as Teams needs it. Every method is bound to the actor's organisation; every change writes its audit
// row. A team, person or patient that is not there is fault.NotFound.
type TeamBook interface {
	Patient(ctx context.Context, actor Actor, uid vital.UID) (Patient, error) // see People
	Teams(ctx context.Context, actor Actor) ([]Team, error)                   // without those that have ended
	Colleagues(ctx context.Context, actor Actor) ([]Colleague, error)
	AddTeam(ctx context.Context, actor Actor, name string) (Team, error)
	// SetTeam changes what is not nil.
	SetTeam(ctx context.Context, actor Actor, team vital.UID, name, phone *string) error
	// EndTeam is fault.Conflict for the usual team, and while there are patients who are in no other.
	EndTeam(ctx context.Context, actor Actor, team vital.UID) error
	// Join begins a membership; one that overlaps another of the same person in the team is fault.Conflict.
	Join(ctx context.Context, actor Actor, team, staff vital.UID, from, to time.Time) error
	// Leave ends the membership now; fault.Conflict when it would leave the team's patients without nurse and physician, now or sooner
	// than without it (Team.AloneSooner).
	Leave(ctx context.Context, actor Actor, team, staff vital.UID) error
	// TakeIn begins the care of a patient, and HandOn ends it; fault.Conflict when it would leave them in no team.
	TakeIn(ctx context.Context, actor Actor, team, patient vital.UID) error
	HandOn(ctx context.Context, actor Actor, team, patient vital.UID) error
	// TeamPatients returns who is in the team's care just now, by name.
	TeamPatients(ctx context.Context, actor Actor, team vital.UID) ([]Patient, error)
}

// Teams is what people do with care teams.
type Teams struct {
	Book  TeamBook
	Now   func() time.Time
	Looks *Looks // of lists of patients; nil writes nothing
}

// List returns the care teams with their people, the usual one first.
func (t *Teams) List(ctx context.Context, actor Actor) ([]Team, error) {
	if err := Allow(actor, SeeTeams, nil); err != nil {
		return nil, err
	}
	return t.Book.Teams(ctx, actor)
}

// Get returns one care team.
func (t *Teams) Get(ctx context.Context, actor Actor, team vital.UID) (Team, error) {
	list, err := t.List(ctx, actor)
	if err != nil {
		return Team{}, err
	}
	for i := range list {
		if list[i].UID == team {
			return list[i], nil
		}
	}
	return Team{}, fault.New(fault.NotFound, "there is no such care team")
}

// Colleagues returns the organisation's staff by name.
func (t *Teams) Colleagues(ctx context.Context, actor Actor) ([]Colleague, error) {
	if err := Allow(actor, SeeTeams, nil); err != nil {
		return nil, err
	}
	return t.Book.Colleagues(ctx, actor)
}

// Patients returns who is in a team's care, as far as the actor may know them.
func (t *Teams) Patients(ctx context.Context, actor Actor, team vital.UID) ([]Patient, error) {
	for _, action := range []Action{SeeTeams, SeePatients} {
		if err := Allow(actor, action, nil); err != nil {
			return nil, err
		}
	}
	if err := t.Looks.Listed(ctx, actor, "team "+string(team)); err != nil {
		return nil, err
	}
	list, err := t.Book.TeamPatients(ctx, actor, team)
	return reachable(actor, list), err
}

const longestTeamName = 80

// Add makes a care team of a new name.
func (t *Teams) Add(ctx context.Context, actor Actor, name string) (Team, error) {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return Team{}, err
	}
	name = strings.TrimSpace(name)
	if err := checkTeamName(name); err != nil {
		return Team{}, err
	}
	return t.Book.AddTeam(ctx, actor, name)
}

// Set gives a care team another name, and the phone by which patients reach it (it stands on their emergency sheets; empty takes
// it away). What is nil stays as it is.
func (t *Teams) Set(ctx context.Context, actor Actor, team vital.UID, name, phone *string) error {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return err
	}
	name, phone = trimmed(name), trimmed(phone)
	if name != nil {
		if err := checkTeamName(*name); err != nil {
			return err
		}
	}
	if phone != nil {
		if err := CheckPhone(*phone); err != nil {
			return err
		}
	}
	return t.Book.SetTeam(ctx, actor, team, name, phone)
}

func trimmed(text *string) *string {
	if text == nil {
		return nil
	}
	short := strings.TrimSpace(*text)
	return &short
}

func checkTeamName(name string) error {
	if name == "" || !Printable(name, longestTeamName) {
		return fault.New(fault.Invalid, "name: give the care team a name of 1 to %d printable characters", longestTeamName)
	}
	return nil
}

// End ends a care team. Its patients must be in another by then.
func (t *Teams) End(ctx context.Context, actor Actor, team vital.UID) error {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return err
	}
	return t.Book.EndTeam(ctx, actor, team)
}

// A membership begins at most a year ahead, and at once when no time is given.
const membershipAhead = 366 * 24 * time.Hour

// Join makes somebody a member of a team from a time (zero: now) to another (zero: until further notice).
func (t *Teams) Join(ctx context.Context, actor Actor, team, staff vital.UID, from, to time.Time) error {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return err
	}
	now := t.Now().UTC()
	switch {
	case !from.IsZero() && from.Before(now.Add(-time.Minute)):
		return fault.New(fault.Invalid, "from: nobody becomes a member in the past; leave it out for now")
	case from.After(now.Add(membershipAhead)):
		return fault.New(fault.Invalid, "from: at most a year ahead")
	case !to.IsZero() && (!to.After(now) || !to.After(from)):
		return fault.New(fault.Invalid, "to: the end comes after the beginning")
	}
	if from.IsZero() {
		from = now
	}
	return t.Book.Join(ctx, actor, team, staff, from.UTC(), to.UTC())
}

// Leave ends somebody's membership of a team now. What they could see through it is out of their sight at once.
func (t *Teams) Leave(ctx context.Context, actor Actor, team, staff vital.UID) error {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return err
	}
	return t.Book.Leave(ctx, actor, team, staff)
}

// TakeIn puts a patient into a team's care, besides the teams they are in already.
func (t *Teams) TakeIn(ctx context.Context, actor Actor, team, patient vital.UID) error {
	if err := t.allow(ctx, actor, patient); err != nil {
		return err
	}
	return t.Book.TakeIn(ctx, actor, team, patient)
}

// HandOn ends a team's care of a patient, who must be in another.
func (t *Teams) HandOn(ctx context.Context, actor Actor, team, patient vital.UID) error {
	if err := t.allow(ctx, actor, patient); err != nil {
		return err
	}
	return t.Book.HandOn(ctx, actor, team, patient)
}

func (t *Teams) allow(ctx context.Context, actor Actor, patient vital.UID) error {
	if err := Allow(actor, ManageTeams, nil); err != nil {
		return err
	}
	p, err := t.Book.Patient(ctx, actor, patient)
	if err != nil {
		return err
	}
	return Allow(actor, ManageTeams, &p)
}
