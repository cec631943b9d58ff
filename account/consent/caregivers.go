package consent

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// CaregiverStore is the record as Caregivers needs it. Each method is one transaction that loads, asks decide, and saves.
type CaregiverStore interface {
	ConsentFile(ctx context.Context, actor account.Actor, uid vital.UID) (File, time.Time, error)
	LetIn(ctx context.Context, actor account.Actor, uid vital.UID, decide func(f *File, now time.Time) (Grant, []Grant, error)) (Grant, error)
	// AmendGrants changes grants of one caregiver: decide returns those that change, with their new To, ConfirmedAt or SuspendedAt.
	AmendGrants(ctx context.Context, actor account.Actor, uid, caregiver vital.UID, action account.Action, what string, decide func(f *File, grants []Grant, now time.Time) ([]Grant, error)) error
	PrivateItems(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, []PrivateItem, error)
	MarkPrivate(ctx context.Context, actor account.Actor, uid vital.UID, item PrivateItem, allow func(*account.Patient) error) (PrivateItem, error)
	UnmarkPrivate(ctx context.Context, actor account.Actor, uid, item vital.UID, allow func(*account.Patient) error) error
}

// Caregivers is whom a patient lets in, and what is kept from them. An empty patient uid is the patient who acts.
type Caregivers struct {
	Store CaregiverStore
	// Looks writes down who is about to see it; nil writes nothing.
	Looks *account.Looks
}

// List returns the grants of a patient, ended ones too. A caregiver learns nothing of it.
func (c *Caregivers) List(ctx context.Context, actor account.Actor, uid vital.UID) ([]Grant, time.Time, error) {
	if err := mayManage(actor); err != nil {
		return nil, time.Time{}, err
	}
	f, now, err := c.Store.ConsentFile(ctx, actor, uid)
	if err != nil {
		return nil, now, err
	}
	if err := account.Allow(actor, account.ManageCaregiver, &f.Patient); err != nil {
		return nil, now, err
	}
	if err := c.Looks.Saw(ctx, actor, "caregivers", "", f.Patient.ID); err != nil {
		return nil, now, err
	}
	return f.Grants, now, nil
}

// mayManage refuses every relative alike: a guardian lets nobody in through Hale, but asks the team.
func mayManage(actor account.Actor) error {
	if err := account.Allow(actor, account.ManageCaregiver, nil); err != nil {
		return err
	}
	if actor.Role == account.CaregiverRole {
		return fault.New(fault.Forbidden, "ask the care team: they see to it with the patient")
	}
	return nil
}

// LetIn lets somebody in, or changes what they see and for how long. A guardian has force once a second person has confirmed.
func (c *Caregivers) LetIn(ctx context.Context, actor account.Actor, uid vital.UID, l LetIn) (Grant, error) {
	if err := mayManage(actor); err != nil {
		return Grant{}, err
	}
	if l.Guardian && actor.Staff == 0 {
		return Grant{}, errOwnGuardian() // nobody makes themselves one, whoever the patient is
	}
	return c.Store.LetIn(ctx, actor, uid, func(f *File, now time.Time) (Grant, []Grant, error) {
		if err := account.Allow(actor, account.ManageCaregiver, &f.Patient); err != nil {
			return Grant{}, nil, err
		}
		return DecideLetIn(f, actor, l, now)
	})
}

// End ends every grant of a caregiver, at once and openly: they find nothing any more. Ending what has ended is a success.
// Only staff end a guardian's.
func (c *Caregivers) End(ctx context.Context, actor account.Actor, uid, caregiver vital.UID) error {
	if err := mayManage(actor); err != nil {
		return err
	}
	return c.amend(ctx, actor, uid, caregiver, account.ManageCaregiver, "ended", func(grants []Grant, now time.Time) ([]Grant, error) {
		var ended []Grant
		for _, g := range grants {
			if g.Ended(now) {
				continue
			}
			if g.Guardian && actor.Staff == 0 {
				return nil, fault.New(fault.Forbidden, "the care team ends a guardianship, when they have seen that it is over")
			}
			g.To = now
			if g.To.Before(g.From) {
				g.To = g.From // it lasts for no moment
			}
			ended = append(ended, g)
		}
		return ended, nil
	})
}

// Confirm is the second look at a guardian's document.
func (c *Caregivers) Confirm(ctx context.Context, actor account.Actor, uid, caregiver vital.UID) error {
	if err := mayManage(actor); err != nil {
		return err
	}
	if actor.Staff == 0 {
		return fault.New(fault.Forbidden, "the care team looks at a guardian's document")
	}
	return c.amend(ctx, actor, uid, caregiver, account.ManageCaregiver, "guardian confirmed", func(grants []Grant, now time.Time) ([]Grant, error) {
		for _, g := range grants {
			if g.Guardian && !g.Ended(now) && g.ConfirmedAt.IsZero() {
				if err := DecideConfirm(&g, actor, now); err != nil {
					return nil, err
				}
				g.ConfirmedAt = now
				return []Grant{g}, nil
			}
		}
		return nil, fault.New(fault.Conflict, "there is no guardianship to confirm")
	})
}

// Suspend freezes what a caregiver or guardian sees, from now on and without a sign, or lets it go on. What is already so is a
// success.
func (c *Caregivers) Suspend(ctx context.Context, actor account.Actor, uid, caregiver vital.UID, frozen bool) error {
	if err := account.Allow(actor, account.Protect, nil); err != nil {
		return err
	}
	what := "a view goes on"
	if frozen {
		what = "a view is frozen"
	}
	return c.amend(ctx, actor, uid, caregiver, account.Protect, what, func(grants []Grant, now time.Time) ([]Grant, error) {
		var changed []Grant
		for _, g := range grants {
			if g.Ended(now) || frozen == !g.SuspendedAt.IsZero() {
				continue
			}
			g.SuspendedAt = time.Time{}
			if frozen {
				g.SuspendedAt = now
			}
			changed = append(changed, g)
		}
		return changed, nil
	})
}

func (c *Caregivers) amend(ctx context.Context, actor account.Actor, uid, caregiver vital.UID, action account.Action, what string, change func([]Grant, time.Time) ([]Grant, error)) error {
	return c.Store.AmendGrants(ctx, actor, uid, caregiver, action, what, func(f *File, grants []Grant, now time.Time) ([]Grant, error) {
		if err := account.Allow(actor, action, &f.Patient); err != nil {
			return nil, err
		}
		return change(grants, now)
	})
}

// Private returns what is kept from caregivers and guardians.
func (c *Caregivers) Private(ctx context.Context, actor account.Actor, uid vital.UID) ([]PrivateItem, error) {
	if err := account.Allow(actor, account.Protect, nil); err != nil {
		return nil, err
	}
	p, items, err := c.Store.PrivateItems(ctx, actor, uid)
	if err != nil {
		return nil, err
	}
	if err := account.Allow(actor, account.Protect, &p); err != nil {
		return nil, err
	}
	return items, c.Looks.Saw(ctx, actor, "private items", "", p.ID)
}

// MarkPrivate keeps something from caregivers and guardians.
func (c *Caregivers) MarkPrivate(ctx context.Context, actor account.Actor, uid vital.UID, item PrivateItem) (PrivateItem, error) {
	if err := account.Allow(actor, account.Protect, nil); err != nil {
		return PrivateItem{}, err
	}
	if err := item.check(); err != nil {
		return PrivateItem{}, err
	}
	return c.Store.MarkPrivate(ctx, actor, uid, item, func(p *account.Patient) error { return account.Allow(actor, account.Protect, p) })
}

// UnmarkPrivate shows it again.
func (c *Caregivers) UnmarkPrivate(ctx context.Context, actor account.Actor, uid, item vital.UID) error {
	if err := account.Allow(actor, account.Protect, nil); err != nil {
		return err
	}
	return c.Store.UnmarkPrivate(ctx, actor, uid, item, func(p *account.Patient) error { return account.Allow(actor, account.Protect, p) })
}
