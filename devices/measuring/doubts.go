package measuring

import (
	"cmp"
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// Answer is what a person says to a doubt.
type Answer string

// The answers. Whether a weight is the patient's own is a question; a doubt about how a pressure was taken is closed with a note.
const (
	Waiting   Answer = ""
	Theirs    Answer = "theirs"        // it is the patient's
	NotTheirs Answer = "somebody_else" // it is not: the reading waits for its owner in the unassigned inbox
	Closed    Answer = "closed"
)

// Question is a doubt as it is kept, with what a person said to it.
type Question struct {
	UID        vital.UID
	Patient    account.Patient
	Sensor     string // by its name
	Metric     vital.Metric
	MeasuredAt time.Time
	Vague      vital.Vague // of MeasuredAt
	Reading    int64       // vital.Key.ID
	Values     []float64   // nil for whoever may not see readings, as is Compared
	Doubt      Doubt
	Compared   []float64
	Apart      time.Duration
	RaisedAt   time.Time
	Answer     Answer
	Note       string
	AnsweredAt time.Time
	AnsweredBy string
}

// DoubtFilter chooses doubts: those of a patient, answered ones too, or else those that wait.
type DoubtFilter struct {
	Patient vital.UID
	Before  vital.UID // page: only those that were raised before this one; empty: from the newest
	Team    bool      // of those that wait only the ones of patients of whose care team the actor is
	Limit   int       // 0 is 100
}

// Doubts is a page of doubts, the newest first, and of those that wait how many there are on all pages.
type Doubts struct {
	List    []Question
	Waiting int
}

// DoubtBook is the record as Technique needs it. Every method is bound to the actor's organisation and view. A doubt of a reading
// that is not the patient's any more is not found.
type DoubtBook interface {
	// Questions returns a page of doubts.
	Questions(ctx context.Context, actor account.Actor, f DoubtFilter) (Doubts, error)
	// Question returns one; fault.NotFound when there is none within the view.
	Question(ctx context.Context, actor account.Actor, uid vital.UID) (Question, error)
	// SettleQuestion stores an answer with its audit row; one that has an answer already is fault.Conflict.
	SettleQuestion(ctx context.Context, actor account.Actor, q Question) (Question, error)
	// TakenBy returns the patient with their readings of some metrics, measured in [from, to), in the order of time.
	TakenBy(ctx context.Context, actor account.Actor, q MarkQuery) ([]Taken, error)
}

// Technique is where people see how measurements were taken, and answer what is doubtful about them.
type Technique struct {
	Book   DoubtBook
	People devices.Patients
	Looks  *account.Looks // nil writes nothing
	Now    func() time.Time
	// Away files a reading that is somebody else's into the unassigned inbox and stores the answer and note of q, both or neither: once
	// the reading is away, nobody could answer any more.
	Away func(ctx context.Context, actor account.Actor, q Question, reason string) error
}

const (
	mostQuestions  = 500
	usualQuestions = 100
	longestNote    = 1000 // characters
)

// Waiting lists what waits for an answer, for those who may answer it: the newest that were raised before one, and how many wait in
// all. Whoever may not see readings is told of no values. limit is 1 to 500; 0 is 100.
func (t *Technique) Waiting(ctx context.Context, actor account.Actor, before vital.UID, limit int) (Doubts, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return Doubts{}, err
	}
	if limit < 0 || limit > mostQuestions {
		return Doubts{}, fault.New(fault.Invalid, "limit: from 1 to %d", mostQuestions)
	}
	page, err := t.Book.Questions(ctx, actor, DoubtFilter{Before: before, Team: actor.Role.InCare(), Limit: cmp.Or(limit, usualQuestions)})
	if err != nil {
		return Doubts{}, err
	}
	kept, whose := page.List[:0], []vital.PatientID(nil)
	for i := range page.List {
		if account.Allow(actor, account.Refile, &page.List[i].Patient) != nil {
			continue
		}
		page.List[i].blind(actor)
		kept, whose = append(kept, page.List[i]), append(whose, page.List[i].Patient.ID)
	}
	page.List = kept
	return page, t.Looks.Saw(ctx, actor, "technique", "", whose...)
}

func (q *Question) blind(actor account.Actor) {
	if account.Allow(actor, account.SeeReadings, &q.Patient) != nil {
		q.Values, q.Compared = nil, nil
	}
}

// Sat is how a patient's measurements were taken lately.
type Sat struct {
	Patient   account.Patient
	Sittings  []Sitting  // of blood pressure, the oldest first
	Questions []Question // the newest first, answered ones too
}

// Of returns how the patient's measurements of the last days were taken; days of 0 are 14, and more than 92 are fault.Invalid.
func (t *Technique) Of(ctx context.Context, actor account.Actor, patient vital.UID, days int) (Sat, error) {
	days, err := devices.DaysBack(days)
	if err != nil {
		return Sat{}, err
	}
	if err := account.Allow(actor, account.SeeReadings, nil); err != nil {
		return Sat{}, err
	}
	p, err := t.People.Patient(ctx, actor, patient)
	if err != nil {
		return Sat{}, err
	}
	if err := account.Allow(actor, account.SeeReadings, &p); err != nil {
		return Sat{}, err
	}
	if err := t.Looks.Saw(ctx, actor, "technique", "", p.ID); err != nil {
		return Sat{}, err
	}
	now := t.Now()
	q := MarkQuery{Patients: []vital.PatientID{p.ID}, Metrics: []vital.Metric{vital.BloodPressure}, From: now.Add(-time.Duration(days) * oneDay), To: now.Add(oneDay)}
	taken, err := t.Book.TakenBy(ctx, actor, q)
	if err != nil {
		return Sat{}, err
	}
	page, err := t.Book.Questions(ctx, actor, DoubtFilter{Patient: p.UID, Limit: mostQuestions})
	return Sat{Patient: p, Sittings: Sittings(taken), Questions: page.List}, err
}

// Settle answers a doubt: whether a weight is the patient's, or that a doubtful sitting was seen to, with a note. A weight of
// somebody else leaves the record for the unassigned inbox, with whatever the same sensor measured in the same moment.
func (t *Technique) Settle(ctx context.Context, actor account.Actor, uid vital.UID, answer Answer, note string) (Question, error) {
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return Question{}, err
	}
	q, err := t.Book.Question(ctx, actor, uid)
	if err != nil {
		return Question{}, err
	}
	if err := account.AllowThing(actor, account.Refile, &q.Patient, "doubt "+string(uid)); err != nil {
		return Question{}, err
	}
	note = strings.TrimSpace(note)
	switch weight := q.Doubt == OtherPerson; {
	case q.Answer != Waiting:
		return Question{}, fault.New(fault.Conflict, "%s has answered this already", q.AnsweredBy)
	case weight && answer != Theirs && answer != NotTheirs:
		return Question{}, fault.New(fault.Invalid, "answer: say whether it is the patient's (theirs) or not (somebody_else)")
	case !weight && answer != Closed:
		return Question{}, fault.New(fault.Invalid, "answer: this is closed with a note (closed)")
	case !weight && note == "", utf8.RuneCountInString(note) > longestNote:
		return Question{}, fault.New(fault.Invalid, "note: say what was done, in 1 to %d characters", longestNote)
	}
	if answer == NotTheirs {
		reason := "the weight is somebody else's"
		if note != "" {
			reason += ": " + note
		}
		q.Answer, q.Note, q.AnsweredAt, q.AnsweredBy = answer, note, t.Now(), actor.Name
		err := t.Away(ctx, actor, q, reason)
		q.blind(actor)
		return q, err
	}
	q.Answer, q.Note = answer, note
	settled, err := t.Book.SettleQuestion(ctx, actor, q)
	settled.blind(actor)
	return settled, err
}
