package account

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"hale/fault"
	"hale/vital"
)

// Glass is one breaking of the glass: somebody who is in no care team of a patient looked all the same, for a reason and for
// a while. The privacy officer reviews each, and the patient sees it.
type Glass struct {
	UID         vital.UID
	Patient     vital.UID
	PatientName string
	Number      string
	Staff       vital.UID
	StaffName   string
	StaffRole   Role
	Reason      string
	From, Until time.Time
	EndedAt     time.Time // zero: it ends, or has ended, by itself
	ReviewedAt  time.Time // zero: not yet
	Reviewer    string
	Finding     string
}

// InForce reports whether it opens the record at now.
func (g *Glass) InForce(now time.Time) bool {
	return g.EndedAt.IsZero() && !now.Before(g.From) && now.Before(g.Until)
}

// How long broken glass may stay open, and how much a reason must say at least, in characters. Both are ours [J].
const (
	GlassFor       = time.Hour
	GlassAtMost    = 8 * time.Hour
	shortestReason = 10
)

// GlassBook is the record as BreakTheGlass needs it.
type GlassBook interface {
	// Break finds the patient by the programme's number, or by UID, in the whole organisation, opens the record for the
	// actor until a time, owes the privacy officer a notice, and writes the audit row. What the actor has open already is
	// prolonged by a row of its own. A patient of a care team of theirs is fault.Conflict. Nobody of that number is fault.NotFound; the attempt is in the audit trail then too.
	Break(ctx context.Context, actor Actor, patient string, reason string, lasts time.Duration) (Glass, error)
	// EndGlass ends what the actor has open; what is not theirs is fault.NotFound.
	EndGlass(ctx context.Context, actor Actor, uid vital.UID) error
	// Broken returns the newest first; those of one member of staff only when staff is not 0.
	Broken(ctx context.Context, actor Actor, staff StaffID, limit int) ([]Glass, error)
	// Review writes down what the privacy officer found; one that is reviewed already is fault.Conflict.
	Review(ctx context.Context, actor Actor, uid vital.UID, finding string) error
}

// Emergency is the way to a record that is not in one's care.
type Emergency struct {
	Book  GlassBook
	Looks *Looks // at the list; nil writes nothing
}

// Break opens the record of the patient with this number (or UID) for a while; zero means GlassFor. It needs a reason that
// says something. Names find nobody: whoever breaks the glass must know whom they have before them.
func (e *Emergency) Break(ctx context.Context, actor Actor, patient, reason string, lasts time.Duration) (Glass, error) {
	if err := Allow(actor, BreakGlass, nil); err != nil {
		return Glass{}, err
	}
	patient, reason = strings.TrimSpace(patient), strings.TrimSpace(reason)
	if lasts == 0 {
		lasts = GlassFor
	}
	switch n := utf8.RuneCountInString(reason); {
	case patient == "":
		return Glass{}, fault.New(fault.Invalid, "patient: give the patient's number")
	case n < shortestReason || n > LongestReason || !utf8.ValidString(reason):
		return Glass{}, fault.New(fault.Invalid, "reason: say in %d to %d characters why you must see this record", shortestReason, LongestReason)
	case lasts < time.Minute || lasts > GlassAtMost:
		return Glass{}, fault.New(fault.Invalid, "minutes: 1 to %d", int(GlassAtMost.Minutes()))
	}
	return e.Book.Break(ctx, actor, patient, reason, lasts)
}

// End closes the record again before its time.
func (e *Emergency) End(ctx context.Context, actor Actor, uid vital.UID) error {
	if err := Allow(actor, BreakGlass, nil); err != nil {
		return err
	}
	return e.Book.EndGlass(ctx, actor, uid)
}

// List returns the newest breakings of the glass: all of the organisation for whoever reviews them, one's own otherwise.
func (e *Emergency) List(ctx context.Context, actor Actor) ([]Glass, error) {
	const most = 500
	whose := StaffID(0)
	if Allow(actor, ReviewAccess, nil) != nil {
		if err := Allow(actor, BreakGlass, nil); err != nil {
			return nil, err
		}
		whose = actor.Staff
	}
	if err := e.Looks.Listed(ctx, actor, "broken glass"); err != nil {
		return nil, err
	}
	return e.Book.Broken(ctx, actor, whose, most)
}

// Review is the privacy officer's word on one.
func (e *Emergency) Review(ctx context.Context, actor Actor, uid vital.UID, finding string) error {
	if err := Allow(actor, ReviewAccess, nil); err != nil {
		return err
	}
	finding = strings.TrimSpace(finding)
	if n := utf8.RuneCountInString(finding); n == 0 || n > LongestReason || !utf8.ValidString(finding) {
		return fault.New(fault.Invalid, "finding: say in up to %d characters what you found", LongestReason)
	}
	return e.Book.Review(ctx, actor, uid, finding)
}
