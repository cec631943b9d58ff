package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/fault"
	"hale/vital"
)

// How long a session lives: IdleAfter without a request, LongestSession in any case. One that is bound to the device of a
// patient or a caregiver lives longer, for at home nobody is there who could make a new code (docs/adr/0018).
const (
	IdleAfter           = account.IdleAfter
	LongestSession      = 7 * 24 * time.Hour
	BoundIdleAfter      = account.BoundIdleAfter
	LongestBoundSession = 180 * 24 * time.Hour
)

const (
	atOnce          = 2    // verifications at once: each takes 19 MiB and a core
	mostVerifying   = 64   // those that wait for one of the slots, and those that have one
	longestPassword = 1024 // bytes
	tokenBytes      = 32
)

// freeFromAddress is how many wrong passwords and codes from one address cost nothing: this is what slows down somebody who
// tries one password at many logins. Who is signed in already is not concerned.
const freeFromAddress = 30

// The lock: the tenth wrong password or code of a login within a day, with no right one in between, locks it for a quarter
// of an hour, in every process. It is the same for a login that does not exist. An operator can end it sooner.
const (
	lockAfter = 10
	lockFor   = 15 * time.Minute
	lockCount = 24 * time.Hour
)

// Record is the record as signing in needs it.
type Record interface {
	account.Credentials
	Failures
	Factors
	Codes
	Devices
	KeyRing
	Farewells
}

// Failures counts wrong passwords and codes where all processes see them.
type Failures interface {
	// Locked returns until when nobody may try this login, or the zero time.
	Locked(ctx context.Context, login string, now time.Time) (time.Time, error)
	// Failed counts one more, and locks the login until the given time when it is most of them since fresh. who is the
	// zero Actor when the login is nobody's.
	Failed(ctx context.Context, login string, who account.Actor, now, fresh time.Time, most int, until time.Time) error
	Forget(ctx context.Context, login string) error
}

// Factors keeps second factors; see postgres.App for each.
type Factors interface {
	Password(ctx context.Context, actor account.Actor) (login, hash string, err error)
	Factor(ctx context.Context, actor account.Actor) (sealed []byte, state account.SecondFactor, err error)
	OfferFactor(ctx context.Context, actor account.Actor, sealed []byte) error
	// ConfirmFactor ends the actor's other sessions, which were opened without it, and returns them.
	ConfirmFactor(ctx context.Context, actor account.Actor, sealed []byte, step int64, codes [][]byte) (ended []vital.UID, err error)
	UseStep(ctx context.Context, actor account.Actor, step int64) (taken bool, err error)
	UseRecovery(ctx context.Context, actor account.Actor, code []byte) (taken bool, err error)
	RemoveFactor(ctx context.Context, actor account.Actor) error
}

// Service signs people in and knows who is signed in.
type Service struct {
	// Ended is told of sessions and keys that were ended here, so that their feeds close at once; nobody is when it is nil.
	Ended func(uids ...vital.UID)
	// Only, when it is not nil, names the logins with which people still sign in: all others do so by an identity provider, and
	// are as unknown here as one that nobody has.
	Only []string

	// Looks writes down who is about to see where a patient is signed in; nil writes nothing.
	Looks *account.Looks

	record    Record
	key       *Key
	now       func() time.Time
	attempts  *attempts
	addresses *guess.Addresses
	keys      *guess.Known
	queue     chan struct{}
	slots     chan struct{}
}

// New returns a Service over the record. Without a key nobody can set up a second factor, and whoever has one cannot sign
// in. now is the clock that sessions, waits and codes are judged by.
func New(record Record, key *Key, now func() time.Time) *Service {
	return &Service{
		record: record, key: key, now: now, attempts: newAttempts(), addresses: guess.NewAddresses(freeFromAddress), keys: guess.NewKnown(),
		queue: make(chan struct{}, mostVerifying), slots: make(chan struct{}, atOnce),
	}
}

// SignIn opens a session and returns its token, which exists nowhere else. A wrong login and a wrong password are the
// same fault.Unauthenticated after the same time; after five failures a login has to wait, after ten it is locked, and
// after thirty from one address whoever comes from there waits, one at a time (TooManyError, of kind fault.Unavailable).
// Whoever has a second factor and shows no code gets a CodeNeededError; a wrong code is a failure like a wrong password.
// The zero from is an address that nobody knows.
func (s *Service) SignIn(ctx context.Context, from netip.Addr, p account.Proof) (token string, _ account.Session, err error) {
	p.Login = strings.TrimSpace(p.Login)
	var shown ticket
	if p.Ticket != "" {
		var good bool
		if shown, good = s.key.readTicket(p.Ticket, s.now()); !good {
			return "", account.Session{}, fault.New(fault.Unauthenticated, "that took too long: sign in again")
		}
		p.Login = shown.Login
	}
	if account.CheckLogin(p.Login) != nil || len(p.Password) > longestPassword {
		return "", account.Session{}, errWrong()
	}
	if wait := s.addresses.Begin(from, s.now()); wait > 0 {
		return "", account.Session{}, guess.TooMany(wait)
	}
	defer s.addresses.Leave(from)
	actor, err := s.counted(ctx, p.Login, func() (account.Actor, error) { return s.prove(ctx, p, shown) })
	if failure(err) {
		s.addresses.Failed(from, s.now())
	}
	if err != nil {
		return "", account.Session{}, err
	}
	return s.open(ctx, actor, p.Label)
}

// failure reports whether an attempt was wrong, and not only unfinished or in vain.
func failure(err error) bool {
	var unfinished *CodeNeededError
	return fault.Is(err, fault.Unauthenticated) && !errors.As(err, &unfinished)
}

// counted runs one attempt at a login when its turn has come, and counts how it ended.
func (s *Service) counted(ctx context.Context, login string, attempt func() (account.Actor, error)) (account.Actor, error) {
	turn, err := s.attempts.begin(ctx, login, s.now)
	if err != nil {
		return account.Actor{}, err
	}
	learned := unknown
	defer func() { s.attempts.end(login, turn, learned, s.now()) }()
	now := s.now()
	until, err := s.record.Locked(ctx, login, now)
	if err != nil {
		return account.Actor{}, err
	}
	if until.After(now) {
		return account.Actor{}, guess.TooMany(until.Sub(now))
	}
	actor, err := attempt()
	switch {
	case failure(err):
		learned = wrong
		now = s.now()
		// The count must not be lost because the guesser has hung up.
		if err := s.record.Failed(context.WithoutCancel(ctx), login, actor, now, now.Add(-lockCount), lockAfter, now.Add(lockFor)); err != nil {
			return account.Actor{}, err
		}
	case err == nil:
		learned = right
		if err := s.record.Forget(ctx, login); err != nil {
			return account.Actor{}, err
		}
	}
	return actor, err
}

// prove returns who this is, when everything shown is right. With an error it returns whose login it is, or nobody.
func (s *Service) prove(ctx context.Context, p account.Proof, shown ticket) (account.Actor, error) {
	actor, hash, err := s.record.Login(ctx, p.Login)
	known := err == nil && (s.Only == nil || slices.Contains(s.Only, p.Login)) // nobody learns from the answer which logins are left
	if err != nil && !fault.Is(err, fault.NotFound) {
		return account.Actor{}, err
	}
	if !known {
		hash = nobodysHash()
	}
	if p.Ticket == "" {
		same, err := s.verify(ctx, p.Password, hash)
		if err != nil {
			return account.Actor{}, err
		}
		if !known || !same {
			return actor, errWrong()
		}
	} else if !known || subtle.ConstantTimeCompare(shown.Hash, hashOf(hash)) != 1 {
		return actor, errWrong()
	}
	return actor, s.secondFactor(ctx, actor, p.Code, func() error {
		t, err := s.key.ticket(ticket{Login: p.Login, Hash: hashOf(hash), Until: s.now().Add(ticketFor)})
		if err != nil {
			return err
		}
		return codeNeeded(t)
	})
}

func (s *Service) verify(ctx context.Context, password, hash string) (bool, error) {
	select {
	case s.queue <- struct{}{}:
		defer func() { <-s.queue }()
	default:
		return false, fault.New(fault.Unavailable, "too many people are signing in at once; try again")
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return false, fault.Wrap(fault.Unavailable, ctx.Err(), "signing in took too long; try again")
	}
	same, err := Verify(password, hash)
	return same, fault.Wrap(fault.Internal, err, "verify password")
}

func (s *Service) open(ctx context.Context, actor account.Actor, label string) (string, account.Session, error) {
	token, hash, session := Opened(actor, label, s.now(), time.Time{})
	if err := s.record.OpenSession(ctx, hash, session); err != nil {
		return "", account.Session{}, err
	}
	return token, session, nil
}

// SessionOf returns the session that a request shows, while it lasts; fault.Unauthenticated otherwise. What is shown is the
// token; of a session that is bound to a device the token, a point, and the device's secret; or an API key. It counts as a
// sign of life of the person.
func (s *Service) SessionOf(ctx context.Context, shown string) (account.Session, error) {
	if isKey(shown) {
		return s.keySession(ctx, shown)
	}
	token, device, ok := hashesOf(shown)
	if !ok {
		return account.Session{}, errEnded()
	}
	now := s.now()
	session, err := s.record.Session(ctx, token, device, now)
	if err != nil {
		return account.Session{}, err
	}
	if now.Sub(session.SeenAt) > idleAfter(session.Actor.Role) || !now.Before(session.ExpiresAt) {
		if err := s.end(ctx, token, device, now); err != nil {
			return account.Session{}, err
		}
		return account.Session{}, errEnded()
	}
	return session, nil
}

func idleAfter(role account.Role) time.Duration {
	if role == account.SelfRole || role == account.CaregiverRole {
		return BoundIdleAfter
	}
	return IdleAfter
}

// SignOut ends the session that is shown as for SessionOf. Without a session one is signed out already; a key is revoked, not
// signed out.
func (s *Service) SignOut(ctx context.Context, shown string) error {
	token, device, ok := hashesOf(shown)
	if !ok {
		return nil
	}
	err := s.end(ctx, token, device, s.now())
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated) {
		return nil
	}
	return err
}

func (s *Service) end(ctx context.Context, token, device []byte, now time.Time) error {
	uid, err := s.record.EndSession(ctx, token, device, now)
	if err == nil && uid != "" {
		s.ended(uid)
	}
	return err
}

func (s *Service) ended(uids ...vital.UID) {
	if s.Ended != nil && len(uids) > 0 {
		s.Ended(uids...)
	}
}

// hashesOf returns the hashes of the token and of the device's secret; the latter is nil when there is none in good form.
func hashesOf(shown string) (token, device []byte, ok bool) {
	t, d, _ := strings.Cut(shown, ".")
	if !wellFormed(t) {
		return nil, nil, false
	}
	if wellFormed(d) {
		device = hashOf(d)
	}
	return hashOf(t), device, true
}

func errWrong() error { return fault.New(fault.Unauthenticated, "login or password is wrong") }
func errEnded() error {
	return fault.New(fault.Unauthenticated, "the session has ended; sign in again")
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func wellFormed(token string) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	return err == nil && len(b) == tokenBytes
}

// random returns n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// newUID returns a UUID version 7 (RFC 9562, section 5.7).
func newUID(now time.Time) vital.UID {
	var b [16]byte
	rand.Read(b[6:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return vital.UID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}
