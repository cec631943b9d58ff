package safe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// ErasureBook is the record as Erasures needs it. Every method is bound to the actor's organisation and view.
type ErasureBook interface {
	// AskErasure stores a new request with the next number, and its audit row; fault.Conflict when one is open.
	AskErasure(ctx context.Context, actor account.Actor, e Erasure) (Erasure, error)
	// ErasureList returns the requests that the actor may see, the newest first; of one patient when patient is not 0.
	ErasureList(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Erasure, error)
	// OneErasure returns a request; fault.NotFound when the actor may see none of this id.
	OneErasure(ctx context.Context, actor account.Actor, uid vital.UID) (Erasure, error)
	// AmendErasure hands a locked request to decide and stores what it returns, with an audit row of the action.
	AmendErasure(ctx context.Context, actor account.Actor, uid vital.UID, action string, decide func(Erasure, Policy, time.Time) (Erasure, error)) (Erasure, error)
	ErasurePolicy(ctx context.Context, actor account.Actor) (Policy, error)
	SetErasurePolicy(ctx context.Context, actor account.Actor, p Policy) error
}

// Erasures is how a person asks to be forgotten, and how the organisation answers.
type Erasures struct {
	Book   ErasureBook
	People People
	Looks  *account.Looks // nil writes nothing
}

// Ask writes down a request: the patient's own, or one that came to the officer on paper.
func (s *Erasures) Ask(ctx context.Context, actor account.Actor, patient vital.UID, wish string) (Erasure, error) {
	p, err := reach(ctx, s.People, actor, account.AskErasure, patient)
	if err != nil {
		return Erasure{}, err
	}
	if p.State == account.Merged {
		return Erasure{}, ErrMerged()
	}
	if wish, err = optional("wish", wish); err != nil {
		return Erasure{}, err
	}
	return s.Book.AskErasure(ctx, actor, Erasure{Org: actor.Org, Patient: p.ID, State: ErasureAsked, Wish: wish, AskedRole: actor.Role, OnPaper: actor.Role == account.PrivacyOfficer})
}

// ErrMerged is the answer to a request about a record that was merged into another.
func ErrMerged() error {
	return fault.New(fault.Conflict, "this record was merged into another: ask for the other, and both are erased")
}

// optional is a text that may be missing.
func optional(field, s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", nil
	}
	return text(field, s)
}

// Of returns a patient's requests, the newest first.
func (s *Erasures) Of(ctx context.Context, actor account.Actor, patient vital.UID) ([]Erasure, error) {
	p, err := reach(ctx, s.People, actor, account.AskErasure, patient)
	if err != nil {
		return nil, err
	}
	if err := s.Looks.Saw(ctx, actor, "erasures", "", p.ID); err != nil {
		return nil, err
	}
	return s.Book.ErasureList(ctx, actor, p.ID)
}

// List returns the organisation's requests, for those who decide.
func (s *Erasures) List(ctx context.Context, actor account.Actor) ([]Erasure, error) {
	if err := account.Allow(actor, account.DecideErasure, nil); err != nil {
		return nil, err
	}
	if err := s.Looks.Listed(ctx, actor, "erasures"); err != nil {
		return nil, err
	}
	return s.Book.ErasureList(ctx, actor, 0)
}

// Get returns one request: to those who decide, and to the patient whose it is.
func (s *Erasures) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Erasure, error) {
	if err := account.Allow(actor, account.AskErasure, nil); err != nil {
		return Erasure{}, err
	}
	e, err := s.Book.OneErasure(ctx, actor, uid)
	if err != nil {
		return Erasure{}, err
	}
	if err := s.reached(ctx, actor, e); err != nil {
		return Erasure{}, err
	}
	if e.Patient == 0 {
		return e, nil // nobody's any more
	}
	return e, s.Looks.Saw(ctx, actor, "erasures", "", e.Patient)
}

// reached asks whether the actor may do something about the request's patient; one that is about nobody any more is for those
// who decide.
func (s *Erasures) reached(ctx context.Context, actor account.Actor, e Erasure) error {
	if account.Allow(actor, account.DecideErasure, nil) == nil {
		return nil
	}
	err := fault.New(fault.NotFound, "there is no such request")
	if e.PatientUID == "" {
		return err
	}
	_, out := reach(ctx, s.People, actor, account.AskErasure, e.PatientUID)
	if fault.Is(out, fault.NotFound) {
		return err // word for word as of one that is not there
	}
	return out
}

// Proposal returns what the organisation's table says of a request that is not decided yet.
func (s *Erasures) Proposal(ctx context.Context, actor account.Actor, e Erasure, now time.Time) ([]ErasureItem, error) {
	p, err := s.Book.ErasurePolicy(ctx, actor)
	if err != nil {
		return nil, err
	}
	return p.Propose(e.CareEnded, now), nil
}

// Decide answers a request. fault.Conflict when it was answered already.
func (s *Erasures) Decide(ctx context.Context, actor account.Actor, uid vital.UID, d ErasureDecision) (Erasure, error) {
	if err := account.Allow(actor, account.DecideErasure, nil); err != nil {
		return Erasure{}, err
	}
	var err error
	if d.Answer, err = optional("answer", d.Answer); err != nil {
		return Erasure{}, err
	}
	return s.Book.AmendErasure(ctx, actor, uid, string(account.DecideErasure), func(e Erasure, p Policy, now time.Time) (Erasure, error) {
		return e.decided(d, p, actor, now)
	})
}

// Confirm is the second pair of eyes: somebody else than who decided types the number of the request. What is due is then
// erased when the cooling-off is over. Of somebody who is under care told says how they were told that the watch ends; with red
// alerts open, or without it, it is fault.Conflict.
func (s *Erasures) Confirm(ctx context.Context, actor account.Actor, uid vital.UID, typed int, told string) (Erasure, error) {
	if err := account.Allow(actor, account.DecideErasure, nil); err != nil {
		return Erasure{}, err
	}
	var err error
	if told, err = optional("told", told); err != nil {
		return Erasure{}, err
	}
	return s.Book.AmendErasure(ctx, actor, uid, "confirm erasure", func(e Erasure, p Policy, now time.Time) (Erasure, error) {
		return e.confirmed(typed, told, p, actor, now)
	})
}

// Withdraw takes a request back, which the patient and the officer may until it is carried out, and somebody close to them what
// such a one has asked: what the patient wants is not theirs to undo.
func (s *Erasures) Withdraw(ctx context.Context, actor account.Actor, uid vital.UID) (Erasure, error) {
	e, err := s.Get(ctx, actor, uid)
	if err != nil {
		return Erasure{}, err
	}
	if !e.WithdrawableBy(actor) {
		return Erasure{}, fault.New(fault.Forbidden, "only who asked may take a request back: the patient, or the privacy officer")
	}
	return s.Book.AmendErasure(ctx, actor, uid, "withdraw erasure", func(e Erasure, _ Policy, _ time.Time) (Erasure, error) { return e.withdrawn() })
}

// Policy returns how the organisation keeps and erases.
func (s *Erasures) Policy(ctx context.Context, actor account.Actor) (Policy, error) {
	if err := account.Allow(actor, account.DecideErasure, nil); err != nil {
		return Policy{}, err
	}
	return s.Book.ErasurePolicy(ctx, actor)
}

// SetPolicy changes it, for decisions from now on.
func (s *Erasures) SetPolicy(ctx context.Context, actor account.Actor, p Policy) error {
	if err := account.Allow(actor, account.DecideErasure, nil); err != nil {
		return err
	}
	for i := range p.Retention {
		var err error
		if p.Retention[i].Ground, err = optional(fmt.Sprintf("%s: ground", p.Retention[i].Class), p.Retention[i].Ground); err != nil {
			return err
		}
	}
	if err := p.Check(); err != nil {
		return err
	}
	return s.Book.SetErasurePolicy(ctx, actor, p)
}
