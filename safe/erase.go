package safe

import (
	"slices"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Class is a kind of data about a person that is kept, or erased, as one.
type Class string

// The classes.
const (
	ClassReadings Class = "readings" // what was measured, refused or parked
	ClassAlerts   Class = "alerts"   // limits, alerts, what was done about them, notices, who cared
	ClassPairing  Class = "pairing"  // which devices were theirs
	ClassConsents Class = "consents" // what they agreed to, how care ended, what they kept private
	ClassExports  Class = "exports"  // links they gave away, corrections they asked for
	ClassLooks    Class = "looks"    // the audit trail, broken glass
	ClassIdentity Class = "identity" // name, numbers, birth, sessions, people close to them
)

// Classes returns every class, in the order in which they are decided and shown.
func Classes() []Class {
	return []Class{ClassReadings, ClassAlerts, ClassPairing, ClassConsents, ClassExports, ClassLooks, ClassIdentity}
}

// Event is what the years of keeping are counted from.
type Event string

// The events. While somebody is in care, care ends with the decision.
const (
	EndOfCare  Event = "end of care"
	AtDecision Event = "decision"
)

// Retention says how long an organisation keeps a class, and by which law.
type Retention struct {
	Class  Class
	Years  int // 0: it is not kept
	From   Event
	Linked bool   // kept together with who the person is; otherwise under a number that is nobody's
	Ground string // in words, for the patient
}

// DefaultRetention is the table of an organisation that has made none. [J] All of it: what a class must be kept for, and how
// long, is for the site's lawyer to confirm. Regulation (EU) 2016/679, article 17(3), lets what a law obliges to keep, what
// public health needs, and what legal claims need, stay; the years are those of many national laws on health records (ten
// after treatment) and on claims (three).
func DefaultRetention() []Retention {
	const (
		record = "records of treatment must be kept (GDPR article 17(3)(b) and (c), with the national law on health records)"
		proof  = "proof of what was agreed and of who saw it is kept until claims lapse (GDPR articles 7(1), 5(2) and 17(3)(e))"
	)
	return []Retention{
		{ClassReadings, 10, EndOfCare, true, record},
		{ClassAlerts, 10, EndOfCare, true, record},
		{ClassPairing, 10, EndOfCare, true, record},
		{ClassConsents, 3, AtDecision, false, proof},
		{ClassExports, 0, AtDecision, false, ""},
		{ClassLooks, 3, AtDecision, false, proof},
		{ClassIdentity, 0, AtDecision, false, ""},
	}
}

// Policy is an organisation's way of erasing.
type Policy struct {
	Retention   []Retention // one for each class, in their order
	CoolingDays int         // between the confirmation and the execution, in which the request can be withdrawn
	BackupDays  int         // after which the last backup that holds what was erased is gone
}

// The defaults of a policy. [J] A week to think it over; backups of five weeks.
const (
	defaultCooling = 7
	defaultBackup  = 35
)

// DefaultPolicy is that of an organisation that has made none.
func DefaultPolicy() Policy {
	return Policy{Retention: DefaultRetention(), CoolingDays: defaultCooling, BackupDays: defaultBackup}
}

// Check refuses a policy that cannot be meant.
func (p Policy) Check() error {
	if p.CoolingDays < 0 || p.CoolingDays > 90 {
		return fault.New(fault.Invalid, "cooling_days: say 0 to 90")
	}
	if p.BackupDays < 0 || p.BackupDays > 3660 {
		return fault.New(fault.Invalid, "backup_days: say 0 to 3660")
	}
	for i, c := range Classes() {
		if i >= len(p.Retention) || p.Retention[i].Class != c || len(p.Retention) != len(Classes()) {
			return fault.New(fault.Invalid, "retention: say each class once, in this order: %v", Classes())
		}
		r := p.Retention[i]
		switch {
		case r.Years < 0 || r.Years > 100:
			return fault.New(fault.Invalid, "%s: keep for 0 to 100 years", c)
		case r.From != EndOfCare && r.From != AtDecision:
			return fault.New(fault.Invalid, "%s: count from %q or %q", c, EndOfCare, AtDecision)
		case r.Years > 0 && r.Ground == "":
			return fault.New(fault.Invalid, "%s: what is kept needs a ground, in words that the patient can read", c)
		}
	}
	return nil
}

// ErasureState is where a request stands.
type ErasureState string

// The states. Decided waits for a second person; confirmed for the end of the cooling-off; kept for the day on which what may
// not go yet goes by itself.
const (
	ErasureAsked     ErasureState = "asked"
	ErasureRefused   ErasureState = "refused"
	ErasureWithdrawn ErasureState = "withdrawn"
	ErasureDecided   ErasureState = "decided"
	ErasureConfirmed ErasureState = "confirmed"
	ErasureErasing   ErasureState = "erasing"
	ErasureKept      ErasureState = "kept"
	ErasureDone      ErasureState = "done"
)

// ErasureItem is what was decided of one class.
type ErasureItem struct {
	Class  Class     `json:"class"`
	Until  time.Time `json:"until,omitzero"` // kept until then; zero: erased at once
	Linked bool      `json:"linked,omitempty"`
	Ground string    `json:"ground,omitempty"`
	DoneAt time.Time `json:"done_at,omitzero"`
}

// Erasure is a person's request to be forgotten, and what becomes of it.
type Erasure struct {
	ID          int64
	UID         vital.UID
	Org         vital.OrgID
	Number      int             // of the request in its organisation: what the patient is told, and a person types to confirm
	Patient     vital.PatientID // 0 when nothing is left of the person
	PatientUID  vital.UID       // "" when they are nobody any more
	Name        string          // of the patient, while they have one
	State       ErasureState
	OnPaper     bool // it came on paper, and the officer wrote it down
	Wish        string
	AskedRole   account.Role // empty: an operator carried it out again after a restore
	AskedName   string       // of the relative who asked; empty when it was nobody close to the patient
	AskedAt     time.Time
	Answer      string // why it was refused, or a word with the decision
	DecidedBy   account.StaffID
	DecidedAt   time.Time
	ConfirmedBy account.StaffID
	ConfirmedAt time.Time
	DueAt       time.Time // when Hale acts next; zero: not
	CutAt       time.Time
	ExecutedAt  time.Time
	CareEnded   time.Time // zero: they are in care
	Watched     bool      // they are under care, by the state of their record, and nobody has ended it
	OpenRed     int       // alerts at red or worse that nobody has closed
	Told        string    // how they were told that nobody watches any more; said by who confirmed while they were under care
	Receipt     []byte    // signed JSON; nil: nothing was carried out yet
	Items       []ErasureItem
	Version     int
}

// Withdrawable reports whether the request can still be taken back.
func (e *Erasure) Withdrawable() bool {
	return slices.Contains([]ErasureState{ErasureAsked, ErasureDecided, ErasureConfirmed}, e.State)
}

// WithdrawableBy reports whether this actor is one who may take the request back while it can be.
func (e *Erasure) WithdrawableBy(actor account.Actor) bool {
	return actor.Role != account.CaregiverRole || e.AskedRole == account.CaregiverRole
}

// Asker says who asked and as what: "the patient", "guardian Saul Son".
func (e *Erasure) Asker() string {
	switch {
	case e.OnPaper:
		return "the person on paper, written down by a privacy officer"
	case e.AskedRole == account.SelfRole:
		return "the patient"
	case e.AskedRole == account.CaregiverRole && e.AskedName != "":
		return "guardian " + e.AskedName
	case e.AskedRole == account.CaregiverRole:
		return "a guardian"
	}
	return "an operator, after a backup was put back"
}

// Unsettled reports whether the request waits for somebody, or is being carried out.
func (e *Erasure) Unsettled() bool { return e.State != ErasureRefused && e.State != ErasureWithdrawn }

// Propose returns what the policy says of each class for a decision at now: erased at once, or kept until a day. Who the
// person is stays as long as what is kept together with it.
func (p Policy) Propose(careEnded, now time.Time) []ErasureItem {
	if careEnded.IsZero() {
		careEnded = now
	}
	items := make([]ErasureItem, 0, len(p.Retention))
	for _, r := range p.Retention {
		item := ErasureItem{Class: r.Class}
		from := now
		if r.From == EndOfCare {
			from = careEnded
		}
		if until := from.UTC().AddDate(r.Years, 0, 0); r.Years > 0 && until.After(now) {
			item.Until, item.Linked, item.Ground = until, r.Linked, r.Ground
		}
		items = append(items, item)
	}
	return bindIdentity(items)
}

// bindIdentity keeps who the person is for as long as what is linked to it.
func bindIdentity(items []ErasureItem) []ErasureItem {
	own := slices.IndexFunc(items, func(i ErasureItem) bool { return i.Class == ClassIdentity })
	for _, i := range items {
		if own >= 0 && i.Linked && i.Until.After(items[own].Until) {
			items[own].Until, items[own].Ground = i.Until, i.Ground
		}
	}
	return items
}

// ErasureDecision is what the privacy officer says to a request: a refusal with its reason, or which of the classes that the
// policy keeps are erased at once all the same, with the reason for that.
type ErasureDecision struct {
	Refuse bool
	Answer string
	Erase  []Class
}

// decided applies a decision to a request.
func (e Erasure) decided(d ErasureDecision, p Policy, by account.Actor, now time.Time) (Erasure, error) {
	if e.State != ErasureAsked {
		return e, fault.New(fault.Conflict, "request %d is %s already", e.Number, e.State)
	}
	e.DecidedBy, e.DecidedAt, e.Answer = by.Staff, now, d.Answer
	if d.Refuse {
		if d.Answer == "" {
			return e, fault.New(fault.Invalid, "answer: a refusal needs its reason, which the patient reads")
		}
		e.State = ErasureRefused
		return e, nil
	}
	items := p.Propose(e.CareEnded, now)
	for _, c := range d.Erase {
		i := slices.IndexFunc(items, func(i ErasureItem) bool { return i.Class == c })
		if i < 0 {
			return e, fault.New(fault.Invalid, "erase: there is no class %q; the classes are %v", string(c), Classes())
		}
		if !items[i].Until.IsZero() && d.Answer == "" && c != ClassIdentity {
			return e, fault.New(fault.Invalid, "answer: %s must be kept by your organisation's table; say why it is erased all the same", c)
		}
		items[i] = ErasureItem{Class: c}
	}
	e.Items, e.State = bindIdentity(items), ErasureDecided
	return e, nil
}

// confirmed lets a second person set the execution going, by typing the number of the request. An erasure ends care: as at the
// end of care somebody has closed what is red, and told the patient.
func (e Erasure) confirmed(typed int, told string, p Policy, by account.Actor, now time.Time) (Erasure, error) {
	switch {
	case e.State != ErasureDecided:
		return e, fault.New(fault.Conflict, "request %d is %s; only one that was decided can be confirmed", e.Number, e.State)
	case by.Staff == 0 || by.Staff == e.DecidedBy:
		return e, fault.New(fault.Forbidden, "somebody else than who decided must confirm")
	case typed != e.Number:
		return e, fault.New(fault.Invalid, "number: type the number of the request, %d", e.Number)
	case e.Watched && e.OpenRed > 0:
		return e, fault.New(fault.Conflict, "%d red alerts of this person are open, and afterwards nobody watches: their care team closes them first", e.OpenRed)
	case e.Watched && told == "":
		return e, fault.New(fault.Conflict, "this person is under care: say in told who told them that nobody watches any more once it is erased, when and how; or let their care team end the care first")
	}
	if e.Watched {
		e.Told = told
	}
	e.ConfirmedBy, e.ConfirmedAt, e.State = by.Staff, now, ErasureConfirmed
	e.DueAt = now.AddDate(0, 0, p.CoolingDays)
	return e, nil
}

// withdrawn takes a request back before anything was erased.
func (e Erasure) withdrawn() (Erasure, error) {
	if !e.Withdrawable() {
		return e, fault.New(fault.Conflict, "request %d is %s and cannot be withdrawn", e.Number, e.State)
	}
	e.State, e.DueAt = ErasureWithdrawn, time.Time{}
	return e, nil
}

// Due returns the classes that are to be erased at now, in their order: who the person is comes last.
func (e *Erasure) Due(now time.Time) []Class {
	var due []Class
	for _, c := range Classes() {
		for _, i := range e.Items {
			if i.Class == c && i.DoneAt.IsZero() && !i.Until.After(now) {
				due = append(due, c)
			}
		}
	}
	return due
}

// Next returns the day on which the next class goes; zero when nothing is left to go.
func (e *Erasure) Next() time.Time {
	var next time.Time
	for _, i := range e.Items {
		if i.DoneAt.IsZero() && (next.IsZero() || i.Until.Before(next)) {
			next = i.Until
		}
	}
	return next
}

// Open returns how many classes are not erased yet.
func (e *Erasure) Open() int {
	n := 0
	for _, i := range e.Items {
		if i.DoneAt.IsZero() {
			n++
		}
	}
	return n
}
