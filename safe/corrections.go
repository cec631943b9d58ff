package safe

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Wrong says what kind of thing a patient says is wrong.
type Wrong string

// The things that can be wrong. A reading is never changed or deleted: it is shown as disputed.
const (
	WrongReading Wrong = "reading"
	WrongName    Wrong = "name"
	WrongBirth   Wrong = "birth"
	WrongNote    Wrong = "note" // of an alert
)

// CorrectionState says how far a correction has come.
type CorrectionState string

// The states. Asked is the first; each of the others is the last.
const (
	Asked     CorrectionState = "asked"
	Accepted  CorrectionState = "accepted"
	Refused   CorrectionState = "refused"
	Withdrawn CorrectionState = "withdrawn"
)

// Correction is what a patient says is wrong, and what became of it.
type Correction struct {
	UID     vital.UID
	Patient account.Patient
	Kind    Wrong
	// Of a reading: which one. ReadingID is vital.Key.ID.
	Metric    vital.Metric
	ReadingAt time.Time
	ReadingID int64
	Alert     vital.UID // of a note: the alert that it stands with
	Wish      string    // what is wrong, in the words of who asked
	AskedBy   string
	AskedRole account.Role
	Asker     account.CaregiverID // the relative who asked; 0: the patient
	AskedAt   time.Time
	State     CorrectionState
	DecidedBy string
	DecidedAt time.Time
	Answer    string // what was done, or why it was refused
}

// Disputes reports whether the correction marks its reading as disputed.
func (c *Correction) Disputes() bool {
	return c.Kind == WrongReading && (c.State == Asked || c.State == Accepted)
}

// Decision is what a person of the care team decides on a correction.
type Decision struct {
	Accept bool
	Answer string     // what was done, or why it is refused
	Name   string     // the right name, when a name is corrected
	Birth  vital.Date // the right date of birth, as far as it is known, when that is corrected
}

// CorrectionBook is the record as Corrections needs it. Every method is bound to the actor's organisation and view.
type CorrectionBook interface {
	// Corrections returns those of the patient, or for the empty UID all that are asked and within the actor's reach, newest first.
	Corrections(ctx context.Context, actor account.Actor, patient vital.UID) ([]Correction, error)
	// AskCorrection stores a new correction with the notice to the team and the audit row. The same thing that is asked
	// already is fault.Conflict; a reading that is not the patient's is fault.NotFound.
	AskCorrection(ctx context.Context, actor account.Actor, c Correction) (Correction, error)
	// SettleCorrection locks the correction, asks decide, which must not call the record, and stores what it says, with the
	// old name or birth kept, in one transaction with the audit row.
	SettleCorrection(ctx context.Context, actor account.Actor, uid vital.UID, decide func(Correction, time.Time) (Settled, error)) (Correction, error)
}

// Settled is a correction as it is to be stored, and what of the patient changes with it.
type Settled struct {
	Correction
	Name  string     // empty: as it is
	Birth vital.Date // empty: as it is
}

// Corrections is what patients do when something in their record is wrong, and what the team does about it.
type Corrections struct {
	People People
	Book   CorrectionBook
	Looks  *account.Looks
	Now    func() time.Time
}

// Of returns the patient's corrections, newest first: for whoever may ask for one or decide on it.
func (c *Corrections) Of(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, []Correction, error) {
	action := account.AskCorrection
	if account.Allow(actor, action, nil) != nil {
		action = account.DecideCorrection
	}
	p, err := reach(ctx, c.People, actor, action, patient)
	if err == nil {
		err = c.Looks.Saw(ctx, actor, "corrections", "", p.ID)
	}
	if err != nil {
		return account.Patient{}, nil, err
	}
	list, err := c.Book.Corrections(ctx, actor, patient)
	return p, list, err
}

// Waiting returns the corrections that wait for this member of the team, newest first.
func (c *Corrections) Waiting(ctx context.Context, actor account.Actor) ([]Correction, error) {
	if err := account.Allow(actor, account.DecideCorrection, nil); err != nil {
		return nil, err
	}
	all, err := c.Book.Corrections(ctx, actor, "")
	if err != nil {
		return nil, err
	}
	var mine []Correction
	var patients []vital.PatientID
	for i := range all {
		if account.Allow(actor, account.DecideCorrection, &all[i].Patient) == nil {
			mine, patients = append(mine, all[i]), append(patients, all[i].Patient.ID)
		}
	}
	if err := c.Looks.Saw(ctx, actor, "corrections", "", patients...); err != nil {
		return nil, err
	}
	return mine, nil
}

// Ask says that something is wrong. Of w it takes Kind, what it is about, and Wish.
func (c *Corrections) Ask(ctx context.Context, actor account.Actor, patient vital.UID, w Correction) (Correction, error) {
	p, err := reach(ctx, c.People, actor, account.AskCorrection, patient)
	if err != nil {
		return Correction{}, err
	}
	wish, err := text("what is wrong", w.Wish)
	if err != nil {
		return Correction{}, err
	}
	asked := Correction{Patient: p, Kind: w.Kind, Wish: wish, AskedBy: actor.Name, AskedRole: actor.Role, Asker: actor.Caregiver, AskedAt: c.Now().UTC(), State: Asked}
	switch w.Kind {
	case WrongReading:
		if _, known := vital.Define(w.Metric); !known || w.ReadingAt.IsZero() || w.ReadingID == 0 {
			return Correction{}, fault.New(fault.Invalid, "reading: say which measurement is wrong")
		}
		asked.Metric, asked.ReadingAt, asked.ReadingID = w.Metric, w.ReadingAt.UTC(), w.ReadingID
	case WrongNote:
		if w.Alert == "" {
			return Correction{}, fault.New(fault.Invalid, "alert: say with which alert the note stands")
		}
		asked.Alert = w.Alert
	case WrongName, WrongBirth:
	default:
		return Correction{}, fault.New(fault.Invalid, "kind: say what is wrong: reading, name, birth or note")
	}
	return c.Book.AskCorrection(ctx, actor, asked)
}

// Withdraw takes back what was asked: the patient any of it, a guardian what they asked themselves. What is decided stays
// (fault.Conflict).
func (c *Corrections) Withdraw(ctx context.Context, actor account.Actor, uid vital.UID) (Correction, error) {
	if err := account.Allow(actor, account.AskCorrection, nil); err != nil {
		return Correction{}, err
	}
	return c.Book.SettleCorrection(ctx, actor, uid, func(was Correction, now time.Time) (Settled, error) {
		if err := account.AllowThing(actor, account.AskCorrection, &was.Patient, "correction "+string(uid)); err != nil {
			return Settled{}, err
		}
		if err := Own(actor, was.Asker); err != nil {
			return Settled{}, err
		}
		if was.State == Withdrawn {
			return Settled{Correction: was}, nil
		}
		if err := was.open(); err != nil {
			return Settled{}, err
		}
		was.State, was.DecidedAt = Withdrawn, now
		return Settled{Correction: was}, nil
	})
}

// Decide accepts or refuses what was asked. It needs words for the patient either way; a name or birth that is accepted needs
// the right one. What is decided already is fault.Conflict.
func (c *Corrections) Decide(ctx context.Context, actor account.Actor, uid vital.UID, d Decision) (Correction, error) {
	if err := account.Allow(actor, account.DecideCorrection, nil); err != nil {
		return Correction{}, err
	}
	answer, err := text("answer", d.Answer)
	if err != nil {
		return Correction{}, err
	}
	d.Answer = answer
	return c.Book.SettleCorrection(ctx, actor, uid, func(was Correction, now time.Time) (Settled, error) {
		if err := account.AllowThing(actor, account.DecideCorrection, &was.Patient, "correction "+string(uid)); err != nil {
			return Settled{}, err
		}
		if err := was.open(); err != nil {
			return Settled{}, err
		}
		return was.decide(d, actor, now)
	})
}

func (c *Correction) open() error {
	switch c.State {
	case Asked:
		return nil
	case Withdrawn:
		return fault.New(fault.Conflict, "this was withdrawn %s", c.DecidedAt.UTC().Format(time.RFC3339))
	case Accepted, Refused:
	}
	return fault.New(fault.Conflict, "%s has decided on this already (%s): look at it again", c.DecidedBy, c.State)
}

func (c *Correction) decide(d Decision, actor account.Actor, now time.Time) (Settled, error) {
	s := Settled{Correction: *c}
	s.DecidedBy, s.DecidedAt, s.Answer, s.State = actor.Name, now, d.Answer, Refused
	if !d.Accept {
		return s, nil
	}
	s.State = Accepted
	switch c.Kind {
	case WrongName:
		if s.Name = d.Name; d.Name == "" || !account.Printable(d.Name, account.LongestName) {
			return Settled{}, fault.New(fault.Invalid, "name: write the right name, 1 to %d printable characters", account.LongestName)
		}
	case WrongBirth:
		if s.Birth = d.Birth; !account.Born(d.Birth, now) {
			return Settled{}, fault.New(fault.Invalid, "birth: give the right date from %d on, such as 1941-05-17, or 1941 when only the year is known", account.FirstBirth)
		}
	case WrongReading, WrongNote: // marked, and told in words; nothing that was measured or written is changed
	}
	return s, nil
}
