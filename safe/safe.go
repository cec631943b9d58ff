// Package safe keeps the patient's data safe, as the patient sees it: who looked and when, a copy of everything to take along,
// a link for a doctor that ends by itself, the emergency sheet, and what the patient says is wrong. Readings are filed anew
// and records are erased here too.
package safe

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// People finds a patient as the actor is related to them (account.People).
type People interface {
	Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error)
}

// reach asks for the function first, and then, with the patient as the actor finds them, for this patient.
func reach(ctx context.Context, people People, actor account.Actor, action account.Action, uid vital.UID) (account.Patient, error) {
	if err := account.Allow(actor, action, nil); err != nil {
		return account.Patient{}, err
	}
	p, err := people.Patient(ctx, actor, uid)
	if err != nil {
		return account.Patient{}, err
	}
	return p, account.Allow(actor, action, &p)
}

// Own refuses a relative what somebody else made: they take nothing back that the patient, or another relative, asked for.
func Own(actor account.Actor, maker account.CaregiverID) error {
	if actor.Role == account.CaregiverRole && maker != actor.Caregiver {
		return fault.New(fault.Forbidden, "this is the patient's own: what you want changed, ask of the care team")
	}
	return nil
}

// longestText is the longest text that a person writes here, in characters.
const longestText = 2000

// text returns what a person wrote, without the space around it; fault.Invalid when there is nothing or too much of it.
func text(field, s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > longestText {
		return "", fault.New(fault.Invalid, "%s: write 1 to %d characters", field, longestText)
	}
	// Line ends are a person's; other control characters are not.
	if strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && r != '\r' && r != '\t' && unicode.IsControl(r) }) {
		return "", fault.New(fault.Invalid, "%s: write plain text, without control characters", field)
	}
	return s, nil
}
