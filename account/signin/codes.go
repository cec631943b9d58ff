package signin

import (
	"context"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hale/account"
	"hale/account/guess"
	"hale/fault"
	"hale/vital"
)

// A code is twelve signs of Crockford's base 32, shown in three groups. The first four (20 bits) only find it, and attempts are
// counted under them; the other eight (40 bits) are secret. Five attempts at 40 bits are less than 1 in 2^37 for a guesser who
// knows the first four, where RFC 4226, section 7.3, and NIST SP 800-63B-4, section 3.2.2, are content with a hundred at 20.
const (
	signsOfCode   = 12
	signsOfLookup = 4
	triesOfCode   = 5
	codesAMinute  = 600 // attempts at all codes: a programme of thousands signs in fewer people
	triesOfSigns  = 4   // at signs that no other open code begins with
)

// CodeLasts is how long a code can be used. NIST SP 800-63B-4, section 3.1.3.2, gives a secret that a person copies from one
// channel to another ten minutes; here somebody types it who sees badly and whose hands shake, with a nurse beside them.
const CodeLasts = 15 * time.Minute

// longestLabel is how much of a device's name is kept, in characters.
const longestLabel = 80

// Codes keeps the codes with which patients and caregivers sign in; see postgres.App for each.
type Codes interface {
	// Patient returns a patient as the actor is related to them; fault.NotFound out of the actor's reach.
	Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error)
	Invitees(ctx context.Context, actor account.Actor, p *account.Patient) ([]account.Invitee, error)
	Invite(ctx context.Context, actor account.Actor, p *account.Patient, caregiver vital.UID, lookup string, codeHash []byte, expires time.Time) (name string, err error)
	Redeem(ctx context.Context, c account.Redemption, s account.Session) (_ account.Session, busy bool, err error)
}

// Invite makes a code with which a patient, or a caregiver of theirs, signs in once. One that the person had is good no more.
func (s *Service) Invite(ctx context.Context, actor account.Actor, whom account.Invited) (account.Invitation, error) {
	p, err := s.invited(ctx, actor, whom.Patient)
	if err != nil {
		return account.Invitation{}, err
	}
	if err := account.Allow(actor, account.InvitePatient, &p); err != nil {
		return account.Invitation{}, err
	}
	i := account.Invitation{ExpiresAt: s.now().Add(CodeLasts).UTC()}
	for try := 1; ; try++ {
		code := guess.NewCode(signsOfCode)
		i.Name, err = s.record.Invite(ctx, actor, &p, whom.Caregiver, code[:signsOfLookup], hashOf(code), i.ExpiresAt)
		if fault.Is(err, fault.Conflict) && try < triesOfSigns {
			continue
		}
		i.Code = guess.Spelled(code)
		return i, err
	}
}

// Inviting returns the patient and the caregivers for whom the actor may make codes, and who is signed in of them.
func (s *Service) Inviting(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, []account.Invitee, []account.Session, error) {
	p, err := s.invited(ctx, actor, patient)
	if err != nil {
		return account.Patient{}, nil, nil, err
	}
	if err := s.Looks.Saw(ctx, actor, "sessions", "", p.ID); err != nil {
		return account.Patient{}, nil, nil, err
	}
	caregivers, err := s.record.Invitees(ctx, actor, &p)
	if err != nil {
		return account.Patient{}, nil, nil, err
	}
	sessions, err := s.record.PatientSessions(ctx, actor, &p)
	return p, caregivers, s.awake(sessions, BoundIdleAfter), err
}

// invited loads the patient whose signing in the actor may look after, whatever the state of the record: a lost phone's session
// is ended also when care has.
func (s *Service) invited(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, error) {
	if err := account.Allow(actor, account.InvitePatient, nil); err != nil {
		return account.Patient{}, err
	}
	p, err := s.record.Patient(ctx, actor, patient)
	if err != nil {
		return account.Patient{}, err
	}
	if err := account.Allow(actor, account.InvitePatient, &p); err != nil && !fault.Is(err, fault.Conflict) {
		return account.Patient{}, err
	}
	return p, nil
}

// Redeem opens a session for a code, once, bound to the device that gets its secret. What is no code at all is fault.Invalid
// and says so; every other code that is not good is one and the same fault.Unauthenticated, after the same work: wrong,
// used, too old, tried too often, replaced by a newer one. Attempts are bounded under the code's first signs, by address, and,
// for codes that are not good, over all of them (TooManyError). token and device exist nowhere else; SessionOf wants both.
func (s *Service) Redeem(ctx context.Context, from netip.Addr, typed, label string) (token, device string, _ account.Session, err error) {
	code, ok := guess.Typed(typed, signsOfCode)
	if !ok {
		return "", "", account.Session{}, fault.New(fault.Invalid, "that is not a whole code: it has twelve letters and digits, for example K7W2-9XQ4-M0ST")
	}
	if wait := s.addresses.Begin(from, s.now()); wait > 0 {
		return "", "", account.Session{}, guess.TooMany(wait)
	}
	defer s.addresses.Leave(from)
	token, hash, session := fresh(s.now(), s.now().Add(LongestBoundSession))
	device, session.Label = random(tokenBytes), labelOf(label)
	attempt := account.Redemption{
		Lookup: code[:signsOfLookup], CodeHash: hashOf(code), TokenHash: hash, DeviceHash: hashOf(device), Most: triesOfCode, MostAMinute: codesAMinute,
	}
	// The count must not be lost because the guesser has hung up.
	session, busy, err := s.record.Redeem(context.WithoutCancel(ctx), attempt, session)
	switch {
	case busy:
		s.addresses.Failed(from, s.now())
		return "", "", account.Session{}, guess.TooMany(time.Minute)
	case fault.Is(err, fault.Unauthenticated):
		s.addresses.Failed(from, s.now())
		return "", "", account.Session{}, errCodeNotGood()
	case err != nil:
		return "", "", account.Session{}, err
	}
	return token, device, session, nil
}

func errCodeNotGood() error {
	return fault.New(fault.Unauthenticated, "this code does not open. See whether every letter and digit is right. A code can be used only once, for a quarter of an hour: if it is right, ask for a new one")
}

// labelOf returns the name of a device as it is kept: printable, and not too long.
func labelOf(label string) string {
	label = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, strings.TrimSpace(label))
	if utf8.RuneCountInString(label) > longestLabel {
		label = string([]rune(label)[:longestLabel])
	}
	return label
}
