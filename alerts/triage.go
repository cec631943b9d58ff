package alerts

import (
	"context"
	"time"

	"hale/account"
	"hale/vital"
)

// Alert is an episode as a person reads it: with the patient's name and number.
type Alert struct {
	Episode
	PatientUID    vital.UID
	PatientName   string
	PatientNumber string
	PatientState  account.State
	PatientZone   string
	Relation      account.Relation // of whoever asked for it to the patient
	RuleUID       vital.UID
	RuleKind      Kind
	RuleForm      Form // of a trend rule
	Newer         bool // of one that asked for contact: a newer reading of the vital than the one it asked for is known
}

// allow asks account.Allow about the alert's patient. An alert of somebody out of reach is one that there is not.
func (a *Alert) allow(actor account.Actor, action account.Action) error {
	owner := account.Patient{ID: a.Patient, UID: a.PatientUID, Org: a.Org, State: a.PatientState, Relation: a.Relation}
	return account.AllowThing(actor, action, &owner, "alert "+string(a.UID))
}

// RuleKey returns which of the patient's rules raised it.
func (a *Alert) RuleKey() RuleKey {
	return RuleKey{Kind: a.RuleKind, Metric: a.Metric, Form: a.RuleForm}
}

// ContactNow reports whether somebody is to get in touch because of what the alert's last reading says: it came too late
// to call anybody, stands, and nothing newer of that vital is known. The episode's Contact stays when something newer comes.
func (a *Alert) ContactNow() bool {
	return a.Contact && !a.Newer && a.State != Closed && a.Last.Compare(a.ContactAbout) == 0 && a.Retraction(a.Last) == nil
}

// Because says in one plain sentence why the alert's latest reading counts; empty for a limit, whose reading says it.
func (a *Alert) Because() string {
	return a.LastGrounds.words(a.Metric)
}

// WorstBecause says the same of the alert's worst reading.
func (a *Alert) WorstBecause() string { return a.WorstGrounds.words(a.Metric) }

// Eased reports whether the alert's last reading is known to lie less far beyond the limits than its worst.
func (a *Alert) Eased() bool { return !a.Worst.IsZero() && a.Worst.Compare(a.Last) != 0 }

// words are the Words of grounds that may be missing.
func (g *Grounds) words(m vital.Metric) string {
	if g == nil {
		return ""
	}
	return g.Words(m)
}

// Filter chooses alerts. The zero Filter is every alert of the organisation, newest first.
type Filter struct {
	Patient vital.UID // empty: all patients
	States  []State   // empty: all; an expired acknowledgement counts as open
	Before  vital.UID // page: only alerts that opened before this one; empty: from the newest
	Limit   int       // 1 to 500; 0 means 100
}

// Amendment is what a person does to an alert: the entries to append, decided against the alert as it stands.
type Amendment func(a Alert, now time.Time) ([]Entry, error)

// Cases is the record as Triage needs it. Every method is bound to the actor's organisation, and fills in what the actor is
// to the patient.
type Cases interface {
	Alerts(ctx context.Context, actor account.Actor, f Filter) ([]Alert, error)
	// Worklist returns every episode that is not closed, of every patient, unsorted.
	Worklist(ctx context.Context, actor account.Actor) ([]Alert, error)
	Alert(ctx context.Context, actor account.Actor, uid vital.UID) (Alert, error)
	Log(ctx context.Context, actor account.Actor, uid vital.UID) ([]Entry, error)
	// Amend locks the episode, asks decide, appends its entries, folds them in and writes the audit row, in one
	// transaction. It returns the alert as it is afterwards and the events to announce.
	Amend(ctx context.Context, actor account.Actor, uid vital.UID, decide Amendment) (Alert, []Event, error)
	// EventsSince returns the events after the one with this id, oldest first, for a feed that resumes. It may
	// return some again that were seen before; it never leaves one out.
	EventsSince(ctx context.Context, org vital.OrgID, id int64, limit int) ([]Event, error)
}

// RuleBook is the record as Limits needs it. Every method is bound to the actor's organisation.
type RuleBook interface {
	Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error) // see account.People
	Rules(ctx context.Context, actor account.Actor, patient vital.UID) ([]Rule, error)
	// AddVersion appends a version to the rule of that key, making the rule when there is none, and asks for the
	// patient to be judged anew from v.EffectiveFrom on; expected is the number of the newest version the author has
	// seen (fault.Conflict when there is a newer one). A trend gets the patient's zone.
	AddVersion(ctx context.Context, actor account.Actor, patient vital.UID, key RuleKey, expected int, v Version) (Rule, error)
}

// Bucket is a point of a chart: what was measured within one bucket of time.
type Bucket struct {
	Start         time.Time
	Min, Max, Avg []float64 // one per component, canonical units
	N             int
	Findings      vital.Finding // of any reading in it
	Facts         []vital.Fact  // that stand beside it; of a single reading only
	SentAt        time.Time     // of a single reading: its time as sent, and how Start was arrived at
	Clock         vital.Clock
	ReceivedAt    time.Time // likewise
}

// SeriesQuery asks for a chart of one metric. Width 0 asks for single readings (at most 20,000).
type SeriesQuery struct {
	Patient  vital.UID
	Metric   vital.Metric
	From, To time.Time
	Width    time.Duration
}

// Charts is the record as the patient page needs it.
type Charts interface {
	Series(ctx context.Context, actor account.Actor, q SeriesQuery) ([]Bucket, error)
	Latest(ctx context.Context, actor account.Actor, patient vital.UID) ([]Point, error) // newest reading per metric
}
