package alerts

import (
	"context"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Claim is whose a value was said to be.
type Claim struct {
	Owner  account.Patient // the zero one: nobody's, or of somebody whom the reader does not reach
	Refile vital.UID       // that filed it and can be undone; empty: none did
}

// UnclaimedNote is the note of an unverified red that is closed, of a value that is not whose it was said to be.
func UnclaimedNote(by, reason string) string { return "not theirs, as " + by + " said: " + reason }

// Unclaim takes back whose a value was said to be, by its UnverifiedValue.ID: it is nobody's again, and is opened anew in a moment, for
// whoever knows better. It is for whoever may claim it for that patient, and of what no claim has filed: what was filed is fault.Conflict, and is
// undone where it was filed anew. A value that is nobody's is fault.Conflict too; one that is not there, or is said to be of somebody whom the
// actor does not reach, fault.NotFound.
func (w *Watchlist) Unclaim(ctx context.Context, actor account.Actor, uid vital.UID, value int64, reason string) (Unverified, error) {
	notThere := fault.New(fault.NotFound, "there is no value %d of an unverified red %s that is said to be somebody's within your reach", value, uid)
	_, err := w.Get(ctx, actor, uid) // whose it was said to be is shown, and stands in their trail
	if fault.Is(err, fault.NotFound) {
		return Unverified{}, notThere
	}
	if err != nil {
		return Unverified{}, err
	}
	return w.amend(ctx, actor, uid, func(u Unverified, _ time.Time) (UnverifiedAct, error) {
		i := slices.IndexFunc(u.All, func(v UnverifiedValue) bool { return v.ID == value })
		if i < 0 {
			return UnverifiedAct{}, notThere
		}
		v := &u.All[i]
		if v.Became != ClosedAsClaimed || v.EndedAt.IsZero() {
			return UnverifiedAct{}, fault.New(fault.Conflict, "nobody has said whose this value is, or it was taken back already: look at it again")
		}
		if v.Claim.Owner.ID == 0 || account.Allow(actor, account.HandleAlert, &v.Claim.Owner) != nil {
			return UnverifiedAct{}, notThere
		}
		return v.unclaim(strings.TrimSpace(reason))
	})
}

func (v *UnverifiedValue) unclaim(reason string) (UnverifiedAct, error) {
	switch {
	case v.Place == InInbox && v.Claim.Refile != "":
		return UnverifiedAct{}, fault.New(fault.Conflict, "it was filed among the readings of a patient: undo that filing (refile %s) instead", v.Claim.Refile)
	case v.Place == InInbox:
		return UnverifiedAct{}, fault.New(fault.Conflict, "it was filed among the readings of a patient: undo that filing instead")
	case reason == "" || !account.Printable(reason, longestReason):
		return UnverifiedAct{}, fault.New(fault.Invalid, "reason: say why it is not theirs, in at most %d characters", longestReason)
	}
	return UnverifiedAct{Unclaimed: v.ID, Claimed: v.Claim.Owner.ID, Note: reason}, nil
}
