package safe

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// RefileState is how far a refile is.
type RefileState string

// The states of a refile. A failed one has changed nothing, unless it had begun and the erasure of a person ended it: then some
// readings have moved.
const (
	RefileAsked   RefileState = "asked"
	RefileRunning RefileState = "running"
	RefileDone    RefileState = "done"
	RefileFailed  RefileState = "failed"
)

// Ended reports whether nothing more will happen.
func (s RefileState) Ended() bool { return s == RefileDone || s == RefileFailed }

// HalfWay reports whether it has begun and will never end: whose the rest of the readings are is not settled.
func (r *Refile) HalfWay() bool { return r.State == RefileFailed && !r.StartedAt.IsZero() }

// StandsStill reports whether it failed several times and is tried again from time to time.
func (r *Refile) StandsStill() bool { return !r.State.Ended() && r.Problem != "" }

// Wish says whose the readings of a sensor are in a span: filed under Owner, they belong to BelongsTo.
type Wish struct {
	Sensor    string    // UID of a device (its own sensor) or of a granted sensor
	From      time.Time // measured then or later
	To        time.Time // measured before; zero: until further notice
	Owner     vital.UID // under whom they are filed; empty: parked, nobody's
	BelongsTo vital.UID // whose they are; empty: it is not known, they are parked
	Reason    string
	// Claim is set for what waits in the inbox: it is the person's even where the sensor was another's by the clock (its time is
	// uncertain, its user slot was not said). Whoever cares for the patient may claim.
	Claim bool
	// Device is that of which a claim takes what it sent: another that speaks for the sensor may be somebody else's. Empty: whoever sent it.
	Device string
	// Doubt is the doubt about a measurement that is answered by it: the reading is somebody else's. The answer, with DoubtNote, is stored with
	// the command or neither is. Empty: it answers none.
	Doubt     vital.UID
	DoubtNote string
}

// Party is a patient whom a refile or a merge concerns. Who may not know of the person finds UID and Name empty.
type Party struct {
	ID   vital.PatientID // 0: of somebody who may not be known of
	UID  vital.UID
	Name string

	Number string // the programme's own; may be empty
}

// Refile is a wish on its way: the process role carries it out in bounded steps.
type Refile struct {
	UID                vital.UID
	Sensor             string
	From, To           time.Time
	Owned, Claimed     bool // there is an owner before, and after
	Owner, BelongsTo   Party
	Reason             string
	State              RefileState
	Problem            string // why it failed
	Total, Moved       int    // readings; Total is what there was to move when it began
	Alerts             int    // of the owner before, whose log told of readings that were taken away
	UndoOf, UndoneBy   vital.UID
	Merge              vital.UID // that it is a part of
	AskedBy            string
	Asker              account.StaffID // 0: the operator
	AskedAt            time.Time
	StartedAt, EndedAt time.Time
}

// MetricCount is how many readings of a metric there are.
type MetricCount struct {
	Metric   vital.Metric
	Readings int
}

// Preview tells what a refile would do now.
type Preview struct {
	Readings []MetricCount
	Alerts   []vital.UID // open alerts of the owner whose log tells of such readings
	Under    vital.UID   // a refile of the sensor that is under way and must end first
}

// Total counts the readings.
func (p *Preview) Total() int {
	n := 0
	for _, m := range p.Readings {
		n += m.Readings
	}
	return n
}

// Worn is a period in which a sensor's readings were a patient's.
type Worn struct {
	Sensor   string
	From, To time.Time // To is zero while it lasts
}

// RefileBook is the record as Refiles needs it. Every method is bound to the actor's organisation and view.
type RefileBook interface {
	// PreviewRefile counts what would move; an unknown sensor is fault.NotFound.
	PreviewRefile(ctx context.Context, actor account.Actor, w Wish) (Preview, error)
	// AskRefile writes the command and the audit rows of both patients. One of the same sensor that is under way, and a wish
	// that would move nothing, are fault.Conflict.
	AskRefile(ctx context.Context, actor account.Actor, w Wish) (Refile, error)
	// UndoRefile asks for the refile back, of the periods that changed hands. One that has not ended well, was undone or is
	// a part of a merge is fault.Conflict.
	UndoRefile(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (Refile, error)
	// Refile returns one; fault.NotFound when it concerns nobody whom the actor reaches.
	Refile(ctx context.Context, actor account.Actor, uid vital.UID) (Refile, error)
	// RefilesOf returns those that took readings from the patient or brought them, newest first.
	RefilesOf(ctx context.Context, actor account.Actor, patient vital.PatientID, limit int) ([]Refile, error)
	// WornBy returns which sensors the patient has and had, the newest first.
	WornBy(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Worn, error)
}

// Refiles is where a wrong pairing is undone, and where parked readings are given to whom they belong.
type Refiles struct {
	People People
	Book   RefileBook
	Now    func() time.Time
	Looks  *account.Looks // nil writes nothing
}

// usualUndo is the reason of an undo that was asked for with one click.
const usualUndo = "undone"

// mostRefiles is how many refiles of one patient are listed.
const mostRefiles = 50

// Preview tells what the wish would do, and changes nothing. Errors are those of Ask; a reason is not needed yet.
func (r *Refiles) Preview(ctx context.Context, actor account.Actor, w Wish) (Preview, error) {
	if w.Reason == "" {
		w.Reason = "preview"
	}
	if err := r.check(ctx, actor, &w); err != nil {
		return Preview{}, err
	}
	return r.Book.PreviewRefile(ctx, actor, w)
}

// Ask asks for the wish to be carried out. Errors: fault.Invalid with what to mend; fault.NotFound for a sensor or a patient
// out of the actor's reach; fault.Conflict while another refile of the sensor is under way, or when there is nothing to move.
func (r *Refiles) Ask(ctx context.Context, actor account.Actor, w Wish) (Refile, error) {
	if err := r.check(ctx, actor, &w); err != nil {
		return Refile{}, err
	}
	return r.Book.AskRefile(ctx, actor, w)
}

func (r *Refiles) check(ctx context.Context, actor account.Actor, w *Wish) error {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	if w.Claim && w.Owner != "" {
		return fault.New(fault.Invalid, "owner: what waits has none")
	}
	if w.Owner == "" && !w.Claim {
		// What is nobody's is the device desk's: who cares for patients does not see it.
		if err := account.Allow(actor, account.AssignDevice, nil); err != nil {
			return err
		}
	}
	if w.ends(r.Now()) && account.Allow(actor, account.AssignDevice, nil) != nil {
		return fault.New(fault.Invalid, "to: say until when they were nobody's, now at the latest: what the device sends from now on would be shown to nobody, and only the device desk takes a device away")
	}
	return r.possible(ctx, actor, w)
}

// ends reports whether the wish takes readings that are still to come from a patient, and gives them to nobody.
func (w *Wish) ends(now time.Time) bool {
	return w.Owner != "" && w.BelongsTo == "" && (w.To.IsZero() || w.To.After(now))
}

// possible checks a wish of somebody who may have it.
func (r *Refiles) possible(ctx context.Context, actor account.Actor, w *Wish) error {
	for _, uid := range []vital.UID{w.Owner, w.BelongsTo} {
		if uid == "" {
			continue
		}
		p, err := reach(ctx, r.People, actor, account.Refile, uid)
		if err != nil {
			return err
		}
		if err := w.Concerns(&p, uid == w.BelongsTo); err != nil {
			return err
		}
	}
	return w.check(r.Now())
}

// Concerns refuses a patient, the one to whom the readings belong or the other, with whom it cannot be done as their record
// stands now: fault.Conflict.
func (w *Wish) Concerns(p *account.Patient, belongs bool) error {
	if p.State == account.Merged {
		return fault.New(fault.Conflict, "one of the patients is known under another record by now: refile there, or undo the merge first")
	}
	if belongs && p.State == account.Locked {
		return fault.New(fault.Conflict, "care of this patient has ended and the record is locked: nothing can be added to it")
	}
	return nil
}

// WhileErased refuses a patient of whose open erasure this is the state, once two people have decided and confirmed it: what stands
// in the record by then is what is erased, and what leaves it would stay. fault.Conflict.
func (w *Wish) WhileErased(s ErasureState) error {
	if s == ErasureConfirmed || s == ErasureErasing || s == ErasureKept {
		return fault.New(fault.Conflict, "the erasure of the data of one of the patients is confirmed: if readings of somebody else stand there, have the request withdrawn first")
	}
	return nil
}

func (w *Wish) check(now time.Time) error {
	w.From = w.From.UTC().Truncate(time.Microsecond)
	if !w.To.IsZero() {
		w.To = w.To.UTC().Truncate(time.Microsecond)
	}
	switch {
	case w.Sensor == "":
		return fault.New(fault.Invalid, "sensor: say whose readings these are by the name of the device or sensor that sent them")
	case w.Owner == w.BelongsTo && w.Owner == "":
		return fault.New(fault.Invalid, "owner, belongs_to: say under whom the readings are filed, or to whom they belong")
	case w.Owner == w.BelongsTo:
		return fault.New(fault.Invalid, "belongs_to: the readings are filed under this patient already")
	case w.From.IsZero():
		return fault.New(fault.Invalid, "from: say from when on the readings are the other's, for example 2026-11-21T07:25:00Z")
	case w.From.After(now):
		return fault.New(fault.Invalid, "from: lies in the future; assign the device from then on instead")
	case !w.To.IsZero() && !w.To.After(w.From):
		return fault.New(fault.Invalid, "to: must lie after from, or be left out until further notice")
	}
	var err error
	w.Reason, err = text("reason", w.Reason)
	return err
}

// Undo files back what a refile has moved. The reason may be empty.
func (r *Refiles) Undo(ctx context.Context, actor account.Actor, uid vital.UID, reason string) (Refile, error) {
	was, err := r.Get(ctx, actor, uid)
	if err != nil {
		return Refile{}, err
	}
	if reason == "" {
		reason = usualUndo
	}
	w := Wish{Sensor: was.Sensor, From: was.From, To: was.To, Owner: was.BelongsTo.UID, BelongsTo: was.Owner.UID, Reason: reason}
	if err := was.mayUndo(actor); err != nil {
		return Refile{}, err
	}
	if err := r.possible(ctx, actor, &w); err != nil {
		return Refile{}, err
	}
	return r.Book.UndoRefile(ctx, actor, uid, w.Reason)
}

// mayUndo refuses an actor who is not to undo it, whether or not it stands as it can be: what waits as nobody's is given back by the
// device desk, and by whoever parked it; what the device sends from now on is given to nobody by the device desk only.
func (r *Refile) mayUndo(actor account.Actor) error {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	if r.Owned && r.Owner.UID == "" || r.Claimed && r.BelongsTo.UID == "" {
		return fault.New(fault.NotFound, "one of the patients is not within your reach: ask the device desk to undo it")
	}
	own := r.Asker != 0 && r.Asker == actor.Staff
	if own || r.Owned && r.Claimed {
		return nil
	}
	return account.Allow(actor, account.AssignDevice, nil)
}

// MayUndo reports whether the actor may ask for it to be undone, now or once it has ended.
func (r *Refile) MayUndo(actor account.Actor) bool {
	return r.Merge == "" && r.UndoneBy == "" && r.State != RefileFailed && r.mayUndo(actor) == nil
}

// Get returns one refile, for who may ask for refiles.
func (r *Refiles) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Refile, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return Refile{}, err
	}
	f, err := r.Book.Refile(ctx, actor, uid)
	if err != nil {
		return Refile{}, err
	}
	return f, sawParties(ctx, r.Looks, actor, "refiles", f.Owner, f.BelongsTo)
}

// sawParties writes down that the actor is about to see who these are; whom they may not know of is not shown.
func sawParties(ctx context.Context, looks *account.Looks, actor account.Actor, object string, parties ...Party) error {
	var known []vital.PatientID
	for _, p := range parties {
		if p.ID != 0 {
			known = append(known, p.ID)
		}
	}
	return looks.Saw(ctx, actor, object, "", known...)
}

// WornBy returns which sensors the patient has and had, for who may ask for refiles.
func (r *Refiles) WornBy(ctx context.Context, actor account.Actor, uid vital.UID) ([]Worn, error) {
	p, err := reach(ctx, r.People, actor, account.Refile, uid)
	if err != nil {
		return nil, err
	}
	if err := r.Looks.Saw(ctx, actor, "refiles", "", p.ID); err != nil {
		return nil, err
	}
	return r.Book.WornBy(ctx, actor, p.ID)
}

// Of returns the refiles of a patient, newest first: they are a part of the record, for everybody who sees the patient.
func (r *Refiles) Of(ctx context.Context, actor account.Actor, uid vital.UID) ([]Refile, error) {
	p, err := reach(ctx, r.People, actor, account.SeePatients, uid)
	if err != nil {
		return nil, err
	}
	if err := r.Looks.Saw(ctx, actor, "refiles", "", p.ID); err != nil {
		return nil, err
	}
	return r.Book.RefilesOf(ctx, actor, p.ID, mostRefiles)
}
