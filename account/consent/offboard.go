package consent

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// EndingKind is a kind of step on the way out of care.
type EndingKind string

// The steps. Told ends the watch: before it everything goes on as always, extremes included, however long it takes.
const (
	StepStarted    EndingKind = "started"  // consent to care was withdrawn
	StepTold       EndingKind = "told"     // a person has told the patient that nobody watches any more, and the devices end
	StepFinished   EndingKind = "finished" // nothing is open; the record is locked
	StepUndone     EndingKind = "undone"   // care was consented to again in time
	StepReadmitted EndingKind = "readmitted"
)

// EndingStep is one entry of the log of how care ended.
type EndingStep struct {
	UID       vital.UID
	Kind      EndingKind
	At        time.Time
	ActorName string
	ActorRole string
	How       string // of told: "phone", "visit" or "letter"
	Note      string
}

// EndingStage is where off-boarding stands.
type EndingStage string

// The stages. Stopping: the patient has not been told, and the watch goes on. Stopped: told, and what is open is to be closed.
const (
	StageNone     EndingStage = "none"
	StageStopping EndingStage = "stopping"
	StageStopped  EndingStage = "stopped"
	StageLocked   EndingStage = "locked"
)

// StageOf folds the log.
func StageOf(steps []EndingStep) EndingStage {
	stage := StageNone
	for _, s := range steps {
		switch s.Kind {
		case StepStarted:
			stage = StageStopping
		case StepTold:
			stage = StageStopped
		case StepFinished:
			stage = StageLocked
		case StepUndone, StepReadmitted:
			stage = StageNone
		}
	}
	return stage
}

// StateOf is the state of a patient whose log stands at a stage.
func StateOf(stage EndingStage) account.State {
	switch stage {
	case StageNone:
		return account.Active
	case StageStopping, StageStopped:
		return account.Ending
	case StageLocked:
		return account.Locked
	}
	return account.Active
}

// endingAfter is what a decision about care means for a patient in a state. A refusal by somebody who never agreed ends care
// as a withdrawal does: nobody is watched against their will.
func endingAfter(before account.State, care *Standing) (EndingKind, account.State) {
	switch {
	case before == account.Active && (care.State == StateWithdrawn || care.State == StateRefused):
		return StepStarted, account.Ending
	case before == account.Ending && care.Stands():
		return StepUndone, account.Active
	case before == account.Locked && care.Stands():
		return StepReadmitted, account.Active
	}
	return "", ""
}

// LongestUntold is how long an off-boarding may wait for a person before the due list shows it as late [J]. Nothing stops by
// itself then: that nobody watches is known to the patient first.
const LongestUntold = 24 * time.Hour

// EndingAct is what a person does about an off-boarding.
type EndingAct struct {
	Kind EndingKind // StepTold or StepFinished
	How  string     // of told
	Note string
}

const longestEndingNote = 500

// DecideEnding decides whether a step can be taken. open is how many alerts of the patient are not closed.
func DecideEnding(steps []EndingStep, open int, act EndingAct) error {
	stage := StageOf(steps)
	if stage == StageLocked {
		return errEnded()
	}
	if !account.Printable(act.Note, longestEndingNote) {
		return fault.New(fault.Invalid, "note: give at most %d printable characters", longestEndingNote)
	}
	switch act.Kind {
	case StepTold:
		if stage != StageStopping {
			return fault.New(fault.Conflict, "the patient can be told once, after consent to care was withdrawn")
		}
		if act.How != "phone" && act.How != "visit" && act.How != "letter" {
			return fault.New(fault.Invalid, "how: say how the patient was told: phone, visit or letter")
		}
		return nil
	case StepFinished:
		if stage == StageNone {
			return fault.New(fault.Conflict, "care of this patient is not ending: it begins to when the consent to care is withdrawn")
		}
		if stage != StageStopped {
			return fault.New(fault.Conflict, "tell the patient first that nobody watches any more")
		}
		if open > 0 {
			return fault.New(fault.Conflict, "%d alerts are open: a person closes each of them first", open)
		}
		return nil
	case StepStarted, StepUndone, StepReadmitted:
	}
	return fault.New(fault.Invalid, "step: give told or finished")
}

func errEnded() error {
	return fault.New(fault.Conflict, "care of this patient has ended already, and the record is locked")
}

// EndingStore is the record as Offboarding needs it: one transaction that loads, asks decide, and saves with what follows.
type EndingStore interface {
	Ending(ctx context.Context, actor account.Actor, uid vital.UID) (p account.Patient, steps []EndingStep, open int, err error)
	TakeEndingStep(ctx context.Context, actor account.Actor, uid vital.UID, act EndingAct, decide func(p *account.Patient, steps []EndingStep, open int) error) error
}

// Offboarding is how the team ends care when a patient does not want it any more.
type Offboarding struct {
	Store EndingStore
	// Looks writes down who is about to see it; nil writes nothing.
	Looks *account.Looks
}

// Get returns a patient's log and how many alerts are still open.
func (o *Offboarding) Get(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, []EndingStep, int, error) {
	if err := account.Allow(actor, account.SeeConsents, nil); err != nil {
		return account.Patient{}, nil, 0, err
	}
	p, steps, open, err := o.Store.Ending(ctx, actor, uid)
	if err != nil {
		return account.Patient{}, nil, 0, err
	}
	if err := account.Allow(actor, account.SeeConsents, &p); err != nil {
		return account.Patient{}, nil, 0, err
	}
	return p, steps, open, o.Looks.Saw(ctx, actor, "end of care", "", p.ID)
}

// Take takes a step: the patient has been told, or everything is done.
func (o *Offboarding) Take(ctx context.Context, actor account.Actor, uid vital.UID, act EndingAct) error {
	if err := account.Allow(actor, account.EndCare, nil); err != nil {
		return err
	}
	return o.Store.TakeEndingStep(ctx, actor, uid, act, func(p *account.Patient, steps []EndingStep, open int) error {
		if err := account.Allow(actor, account.EndCare, p); err != nil {
			return err
		}
		if p.State == account.Locked { // the steps may not have been read yet
			return errEnded()
		}
		return DecideEnding(steps, open, act)
	})
}
