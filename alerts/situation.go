package alerts

import (
	"context"
	"time"

	"hale/push"
	"hale/vital"
)

// Mark is a place in the order in which readings are judged: measured time, then the reading's id.
type Mark struct {
	At time.Time
	ID int64
}

// Before reports whether m comes first.
func (m Mark) Before(o Mark) bool { return m.At.Before(o.At) || m.At.Equal(o.At) && m.ID < o.ID }

// IsZero reports whether m is no mark at all, which comes before all others.
func (m Mark) IsZero() bool { return m.At.IsZero() && m.ID == 0 }

// Point is a stored reading as rules see it.
type Point struct {
	Mark
	Metric     vital.Metric
	Values     []float64 // canonical units, in the order of the metric's components
	ReceivedAt time.Time
	Findings   vital.Finding
	Sensor     vital.SensorID // trends of weights compare those of one scale
	Unsure     time.Duration  // At lies within so much of when it was measured, either way; 0 also where that is a few minutes and changes nothing
}

// Vague returns how well the time of the reading is known.
func (p Point) Vague() vital.Vague { return vital.VagueWithin(p.Unsure, p.ReceivedAt) }

// latest returns the latest moment at which the reading can have been measured; At where that is known but for a few minutes.
func (p Point) latest() time.Time {
	_, last := p.Vague().Span(p.At)
	return last
}

// Historic reports whether the reading tells of so long before a time (more than vital.HistoricAfter, however late it can have been
// measured) that nobody is to be paged: before it arrived, or before now.
func (p Point) Historic(at time.Time) bool {
	return at.Sub(vital.Latest(p.At, p.Unsure, p.ReceivedAt)) > vital.HistoricAfter
}

// Interval is a time in which a rule's condition held, from the reading that began it to the one that ended it.
type Interval struct {
	From  Mark
	To    Mark // zero while it holds
	Peak  Level
	Count int  // readings in it that were themselves beyond a limit
	Last  Mark // the latest of those
}

// Open reports whether the condition still holds.
func (i Interval) Open() bool { return i.To.IsZero() }

// TailLength is how many readings per metric a loaded Situation carries, and TrendTail how many of a metric that has a
// trend rule, or a limit with a duration: a week of the home blood pressure schedule (four a day) and its spare. A rule that needs more asks for it.
const (
	TailLength = 16
	TrendTail  = 64
)

// TailOf returns how many readings of the metric the Situation of a patient with these rules carries.
func TailOf(rules []Rule, metric vital.Metric) int {
	for i := range rules {
		if rules[i].Metric == metric && rules[i].reach() > 0 {
			return TrendTail
		}
	}
	return TailLength
}

// Situation is what a patient's readings are judged against: the rules, the last interval of each rule's stored
// track, and the open episodes. It can always be loaded again from what is stored.
type Situation struct {
	Org      vital.OrgID
	Patient  vital.PatientID
	Rules    []Rule
	Last     map[RuleID]Interval      // the newest stored interval; missing when the track is empty
	Episodes map[RuleID]Episode       // the open ones
	Newest   map[vital.Metric]Mark    // the newest stored reading, before the batch in hand
	Tail     map[vital.Metric][]Point // per ruled metric the newest readings (at most TailOf) before the batch in hand, in order
}

// Fresh is a reading that the record took for the first time in this batch.
type Fresh struct {
	Org     vital.OrgID
	Patient vital.PatientID
	Point   Point
}

// Change is one row of the partition's situation_change: what a judgement of this patient depends on has changed.
type Change struct {
	Patient vital.PatientID
	Rejudge bool      // judge the stored readings anew
	From    time.Time // from here on, when Rejudge
	Late    bool      // because readings came in by another partition, not because a person changed a rule
	Moved   bool      // because a person said whose readings are: with Late they were brought to this patient, else taken away

	Withdrawn bool // because readings were taken back
}

// Told is a reading that the log of an episode tells of.
type Told struct {
	Mark
	Episode EpisodeID
	Acked   bool // the episode is acknowledged, and told of it before it was: whoever has it was shown the reading
}

// Facts reads what is stored, inside the transaction of the batch that is being decided.
type Facts interface {
	// Situations loads one Situation per patient, in any order.
	Situations(ctx context.Context, patients []vital.PatientID) ([]Situation, error)
	// Points returns the patient's readings of the metric after the mark (not including it), in order.
	Points(ctx context.Context, patient vital.PatientID, metric vital.Metric, after Mark) ([]Point, error)
	// PointsBefore returns at most n readings before the mark and after the floor, in order.
	PointsBefore(ctx context.Context, patient vital.PatientID, metric vital.Metric, before, floor Mark, n int) ([]Point, error)
	// PointsSince returns the patient's readings of the metric from a time on (it included) and before the mark, in order.
	PointsSince(ctx context.Context, patient vital.PatientID, metric vital.Metric, from time.Time, before Mark) ([]Point, error)
	// Intervals returns the stored intervals of the rule whose From is at or after the mark, and the one before it.
	Intervals(ctx context.Context, patient vital.PatientID, rule RuleID, from Mark) ([]Interval, error)
	// Logged returns the readings from the mark on (it included) that have an opened, occurred, worsened or annotated
	// entry in the log of any of the rule's episodes, closed ones too; in order, one for each episode. It is asked only
	// when the past is judged anew.
	Logged(ctx context.Context, patient vital.PatientID, rule RuleID, from Mark) ([]Told, error)
	// Resolved returns the rule's episodes that a person resolved after the given time, oldest first. It is asked only
	// when the past is judged anew, or when a reading goes on with a condition that no open episode tells of.
	Resolved(ctx context.Context, patient vital.PatientID, rule RuleID, after time.Time) ([]Episode, error)
}

// TrackChange replaces the stored intervals of a rule from a place on.
type TrackChange struct {
	Org       vital.OrgID
	Patient   vital.PatientID
	Rule      RuleID
	DropFrom  Mark       // stored intervals whose From is at or after it are removed ...
	Intervals []Interval // ... and these stand in their place
}

// EpisodeChange is an episode as it is after the batch, with the log entries that made it so. An Episode whose ID is
// zero is new; the record fills ID and UID in place.
type EpisodeChange struct {
	Episode *Episode
	Entries []Entry
}

// Outcome is what was decided about a batch; it is committed with the readings or not at all.
type Outcome struct {
	Tracks   []TrackChange
	Episodes []EpisodeChange
	Notices  []push.Notice
}

// Event tells the live feed that an episode, or an unverified red, changed. It carries ids and a version only.
type Event struct {
	ID      int64 // of the timeline entry; grows
	Org     vital.OrgID
	Patient vital.UID
	Alert   vital.UID
	Version int
	// Unverified says that Alert is an unverified red, which has no patient: whoever handles alerts hears of it.
	Unverified bool `json:",omitempty"`
}
