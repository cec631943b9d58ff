package consent

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Store is the record as Consents needs it. Each method is one transaction; patients are loaded for the actor.
type Store interface {
	ConsentTexts(ctx context.Context, actor account.Actor) ([]Text, error)
	// AddConsentText stores the next version that decide makes of those there are.
	AddConsentText(ctx context.Context, actor account.Actor, decide func(texts []Text, now time.Time) (Text, error)) (Text, error)
	// File returns what is known of one patient; the patient themselves when uid is empty.
	ConsentFile(ctx context.Context, actor account.Actor, uid vital.UID) (File, time.Time, error)
	// Decide stores what decide makes of the file, with all that follows from it. For a guardian, who decides nothing
	// alone, it stores a request instead.
	DecideConsent(ctx context.Context, actor account.Actor, uid vital.UID, decide func(f *File, now time.Time) (Effect, error)) error
	// SettleRequest lets the team answer what a guardian asked for; decide is given the request.
	SettleRequest(ctx context.Context, actor account.Actor, uid, request vital.UID, accept bool, decide func(f *File, r GuardianRequest, now time.Time) (Effect, error)) error
	// ConsentFiles returns the files of the patients whom the actor reaches and whose care has not ended, with names and logs.
	ConsentFiles(ctx context.Context, actor account.Actor) ([]File, time.Time, error)
}

// Consents is what patients agree to.
type Consents struct {
	Store Store
	// Looks writes down who is about to see it; nil writes nothing.
	Looks *account.Looks
}

// Texts returns the organisation's texts, all versions.
func (c *Consents) Texts(ctx context.Context, actor account.Actor) ([]Text, error) {
	if err := account.Allow(actor, account.SeeConsents, nil); err != nil {
		return nil, err
	}
	return c.Store.ConsentTexts(ctx, actor)
}

// longestText is the longest text that somebody can be asked to agree to, in characters [J].
const longestText = 20_000

// AddText adds a text. A version of 0 is the next version; the number of the newest one adds a translation of it.
func (c *Consents) AddText(ctx context.Context, actor account.Actor, t Text) (Text, error) {
	if err := account.Allow(actor, account.WriteConsent, nil); err != nil {
		return Text{}, err
	}
	return c.Store.AddConsentText(ctx, actor, func(texts []Text, now time.Time) (Text, error) {
		return nextText(texts, actor, t, now)
	})
}

func nextText(texts []Text, actor account.Actor, t Text, now time.Time) (Text, error) {
	t.Body, t.Language = strings.TrimSpace(t.Body), strings.TrimSpace(t.Language)
	newest, from, known := 0, time.Time{}, false
	for _, one := range texts {
		if one.Purpose == t.Purpose && one.Version >= newest {
			newest, from = one.Version, one.EffectiveFrom
		}
		known = known || one.Purpose == t.Purpose && one.Version == t.Version && one.Language == t.Language
	}
	if t.EffectiveFrom.IsZero() {
		t.EffectiveFrom = now
	}
	translates := t.Version != 0
	if translates {
		t.EffectiveFrom = from
	} else {
		t.Version = newest + 1
	}
	switch {
	case t.Purpose != ForCare && t.Purpose != ForSharing && t.Purpose != ForResearch:
		return t, fault.New(fault.Invalid, "purpose: give care, caregiver_sharing or research")
	case t.Body == "" || utf8.RuneCountInString(t.Body) > longestText || !utf8.ValidString(t.Body):
		return t, fault.New(fault.Invalid, "text: give 1 to %d characters", longestText)
	case t.Language == "" || len(t.Language) > 35 || !account.Printable(t.Language, 35):
		return t, fault.New(fault.Invalid, `language: give a tag such as "en" or "sl"`)
	case translates && (t.Version != newest || known):
		return t, fault.New(fault.Conflict, "a text is never changed: leave version out for the next one, or translate version %d into another language", newest)
	case !translates && t.EffectiveFrom.Before(now):
		return t, fault.New(fault.Invalid, "effective_from: a new text cannot have been in force before it was there")
	case !translates && t.EffectiveFrom.Before(from):
		return t, fault.New(fault.Invalid, "effective_from: version %d comes into force at %s only", newest, from.UTC().Format(time.RFC3339))
	}
	t.AuthorName, t.CreatedAt = actor.Name, now
	return t, nil
}

// File returns what a patient agreed to, whom they have let in, and how care ends if it does; the patient's own with an
// empty uid. now is the moment for which it holds.
func (c *Consents) File(ctx context.Context, actor account.Actor, uid vital.UID) (f File, now time.Time, err error) {
	if err := account.Allow(actor, account.SeeConsents, nil); err != nil {
		return f, now, err
	}
	if f, now, err = c.Store.ConsentFile(ctx, actor, uid); err != nil {
		return f, now, err
	}
	if err := account.Allow(actor, account.SeeConsents, &f.Patient); err != nil {
		return File{}, now, err
	}
	if err := c.Looks.Saw(ctx, actor, "consents", "", f.Patient.ID); err != nil {
		return File{}, now, err
	}
	f.forReader(actor)
	return f, now, nil
}

// forReader takes out what a caregiver must not learn: grants at all, and of requests how the team answered since the view
// was frozen.
func (f *File) forReader(actor account.Actor) {
	if actor.Role != account.CaregiverRole {
		return
	}
	f.Grants = nil
	for i := range f.Requests {
		r := &f.Requests[i]
		if frozen := f.Patient.Relation.Frozen; !frozen.IsZero() && !r.SettledAt.Before(frozen) {
			r.SettledAt, r.Accepted = time.Time{}, false
		}
	}
}

// Decide takes a decision down: the patient's own, one that staff write down, or what a guardian asks for, which the team
// settles (see DecideRequest).
func (c *Consents) Decide(ctx context.Context, actor account.Actor, uid vital.UID, act Act) error {
	if err := account.Allow(actor, account.RecordConsent, nil); err != nil {
		return err
	}
	return c.Store.DecideConsent(ctx, actor, uid, func(f *File, now time.Time) (Effect, error) {
		if err := account.Allow(actor, account.RecordConsent, &f.Patient); err != nil {
			return Effect{}, err
		}
		return Decide(f, actor, act, now)
	})
}

// Settle answers a guardian's request. What is accepted becomes the guardian's decision, with the document of the grant.
func (c *Consents) Settle(ctx context.Context, actor account.Actor, uid, request vital.UID, accept bool) error {
	if err := account.Allow(actor, account.RecordConsent, nil); err != nil {
		return err
	}
	if actor.Staff == 0 {
		return fault.New(fault.Forbidden, "the care team answers what a guardian asks for")
	}
	return c.Store.SettleRequest(ctx, actor, uid, request, accept, func(f *File, r GuardianRequest, now time.Time) (Effect, error) {
		if err := account.Allow(actor, account.RecordConsent, &f.Patient); err != nil {
			return Effect{}, err
		}
		if !accept {
			return Effect{}, nil
		}
		g, ok := guardianOf(f.Grants, r.Guardian, now)
		if !ok {
			return Effect{}, fault.New(fault.Conflict, "this person is no guardian of the patient any more: refuse it")
		}
		return Decide(f, actor, Act{
			Purpose: r.Purpose, Version: r.Version, Choice: r.Choice, Through: ThroughInPerson, Guardian: r.Guardian, Document: g.Document,
		}, now)
	})
}

// DueAct is a consent to ask for.
type DueAct struct {
	Patient  vital.UID
	Name     string
	Number   string
	Standing Standing
}

// DueList returns whom the actor's team is to ask, and the off-boardings that wait for a person.
func (c *Consents) DueList(ctx context.Context, actor account.Actor) (due []DueAct, endings []account.Patient, err error) {
	if err := account.Allow(actor, account.SeeConsents, nil); err != nil {
		return nil, nil, err
	}
	if actor.Staff == 0 {
		return nil, nil, fault.New(fault.Forbidden, "this list is for the care team")
	}
	if err := c.Looks.Listed(ctx, actor, "consents due"); err != nil {
		return nil, nil, err
	}
	files, now, err := c.Store.ConsentFiles(ctx, actor)
	if err != nil {
		return nil, nil, err
	}
	for i := range files {
		f := &files[i]
		if account.Allow(actor, account.SeeConsents, &f.Patient) != nil {
			continue
		}
		if f.Patient.State == account.Ending {
			endings = append(endings, f.Patient)
			continue
		}
		for _, s := range f.Standings(now) {
			if s.Due != DueNot {
				due = append(due, DueAct{Patient: f.Patient.UID, Name: f.Patient.Name, Number: f.Patient.Number, Standing: s})
			}
		}
	}
	return due, endings, nil
}
