package signin

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Devices keeps the sessions as the people they are of see them; see postgres.App for each.
type Devices interface {
	OwnSessions(ctx context.Context, actor account.Actor) ([]account.Session, error)
	EndOwnSession(ctx context.Context, actor account.Actor, uid vital.UID) error
	PatientSessions(ctx context.Context, actor account.Actor, p *account.Patient) ([]account.Session, error)
	EndPatientSession(ctx context.Context, actor account.Actor, p *account.Patient, uid vital.UID) error
	SetPassword(ctx context.Context, actor account.Actor, oldHash, newHash string) (ended []vital.UID, err error)
	Organisation(ctx context.Context, actor account.Actor) (string, error)
}

// Sessions lists where the actor is signed in, the session last seen first. Those that have been idle for too long are not
// among them.
func (s *Service) Sessions(ctx context.Context, actor account.Actor) ([]account.Session, error) {
	if err := aPerson(actor); err != nil {
		return nil, err
	}
	list, err := s.record.OwnSessions(ctx, actor)
	return s.awake(list, idleAfter(actor.Role)), err
}

// EndSession ends one of the actor's sessions; fault.NotFound when it is none of them.
func (s *Service) EndSession(ctx context.Context, actor account.Actor, uid vital.UID) error {
	if err := aPerson(actor); err != nil {
		return err
	}
	if err := s.record.EndOwnSession(ctx, actor, uid); err != nil {
		return err
	}
	s.ended(uid)
	return nil
}

// EndPatientSession ends a session of a patient, or of a caregiver of theirs, for whom the actor makes codes: the phone is lost.
func (s *Service) EndPatientSession(ctx context.Context, actor account.Actor, patient, uid vital.UID) error {
	p, err := s.invited(ctx, actor, patient)
	if err != nil {
		return err
	}
	if err := s.record.EndPatientSession(ctx, actor, &p, uid); err != nil {
		return err
	}
	s.ended(uid)
	return nil
}

// awake leaves out sessions that the next request would end.
func (s *Service) awake(list []account.Session, idle time.Duration) []account.Session {
	var open []account.Session
	for _, one := range list {
		if s.now().Sub(one.SeenAt) <= idle {
			open = append(open, one)
		}
	}
	return open
}

// aPerson refuses programs: a key is listed and revoked elsewhere.
func aPerson(actor account.Actor) error {
	if actor.Nobody() {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	if actor.Staff == 0 && actor.Self == 0 && actor.Caregiver == 0 {
		return fault.New(fault.Forbidden, "only a person who is signed in has sessions")
	}
	return nil
}

// hasPassword refuses everybody who signs in otherwise: passwords and second factors are of staff.
func hasPassword(actor account.Actor) error {
	if err := aPerson(actor); err != nil {
		return err
	}
	if actor.Staff == 0 {
		return fault.New(fault.Forbidden, "you sign in with a code and have neither a password nor a second factor")
	}
	return nil
}

// ChangePassword gives a member of staff another password, for the one they have and, when their second factor is on, its code;
// what is wrong of these is fault.Unauthenticated and counts as at signing in. A weak password is fault.Invalid. Their other
// sessions end.
func (s *Service) ChangePassword(ctx context.Context, actor account.Actor, current, code, chosen string) error {
	if err := hasPassword(actor); err != nil {
		return err
	}
	login, hash, err := s.record.Password(ctx, actor)
	if err != nil {
		return err
	}
	if hash == "" {
		return fault.New(fault.Forbidden, "you sign in by your organisation's identity provider: the password is changed there")
	}
	organisation, err := s.record.Organisation(ctx, actor)
	if err != nil {
		return err
	}
	if err := Weak(chosen, login, actor.Name, organisation); err != nil {
		return err
	}
	if chosen == current {
		return fault.New(fault.Invalid, "the new password is the one that you have: choose another")
	}
	_, err = s.again(ctx, actor, current, func() error { return s.secondFactor(ctx, actor, code, errCode) })
	if err != nil {
		return err
	}
	ended, err := s.record.SetPassword(ctx, actor, hash, Hash(chosen))
	s.ended(ended...)
	return err
}
