package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// How long a session lives: IdleAfter without a request, LongestSession in any case.
const (
	IdleAfter      = 12 * time.Hour
	LongestSession = 7 * 24 * time.Hour
)

const (
	atOnce          = 2    // verifications at once: each takes 19 MiB and a core
	mostVerifying   = 64   // those that wait for one of the slots, and those that have one
	longestPassword = 1024 // bytes
	longestLogin    = 200  // bytes
	tokenBytes      = 32
)

// Service signs people in and knows who is signed in.
type Service struct {
	credentials account.Credentials
	now         func() time.Time
	attempts    *attempts
	addresses   *addresses
	queue       chan struct{}
	slots       chan struct{}
}

// New returns a Service over the record. now is the clock that sessions and waits are judged by.
func New(credentials account.Credentials, now func() time.Time) *Service {
	return &Service{
		credentials: credentials, now: now, attempts: newAttempts(), addresses: newAddresses(),
		queue: make(chan struct{}, mostVerifying), slots: make(chan struct{}, atOnce),
	}
}

// SignIn opens a session and returns its token, which exists nowhere else. A wrong login and a wrong password are the
// same fault.Unauthenticated after the same time; after five failures a login has to wait, and after thirty from one
// address whoever comes from there, one at a time (TooManyError, of kind fault.Unavailable). The zero from is an address that nobody
// knows.
func (s *Service) SignIn(ctx context.Context, from netip.Addr, login, password string) (token string, _ account.Session, err error) {
	login = strings.TrimSpace(login)
	if login == "" || len(login) > longestLogin || len(password) > longestPassword {
		return "", account.Session{}, errWrong()
	}
	if wait := s.addresses.begin(from, s.now()); wait > 0 {
		return "", account.Session{}, tooMany(wait)
	}
	defer s.addresses.leave(from)
	turn, err := s.attempts.begin(ctx, login, s.now)
	if err != nil {
		return "", account.Session{}, err
	}
	learned := unknown
	defer func() { s.attempts.end(login, turn, learned, s.now()) }()

	actor, err := s.identify(ctx, login, password)
	if fault.Is(err, fault.Unauthenticated) {
		learned = wrong
		s.addresses.failed(from, s.now())
	}
	if err != nil {
		return "", account.Session{}, err
	}
	learned = right
	return s.open(ctx, actor)
}

// identify returns whose login and password these are.
func (s *Service) identify(ctx context.Context, login, password string) (account.Actor, error) {
	actor, hash, err := s.credentials.Login(ctx, login)
	known := err == nil
	if err != nil && !fault.Is(err, fault.NotFound) {
		return account.Actor{}, err
	}
	if !known {
		hash = nobodysHash()
	}
	same, err := s.verify(ctx, password, hash)
	if err != nil {
		return account.Actor{}, err
	}
	if !known || !same {
		return account.Actor{}, errWrong()
	}
	return actor, nil
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

func (s *Service) open(ctx context.Context, actor account.Actor) (string, account.Session, error) {
	now := s.now().UTC()
	token := random(tokenBytes)
	session := account.Session{
		UID: newUID(now), Actor: actor, CSRF: random(tokenBytes),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LongestSession),
	}
	session.Actor.Session = session.UID
	if err := s.credentials.OpenSession(ctx, hashOf(token), session); err != nil {
		return "", account.Session{}, err
	}
	return token, session, nil
}

// SessionOf returns the session that a token belongs to, while it lasts; fault.Unauthenticated otherwise. It counts as
// a sign of life of the person.
func (s *Service) SessionOf(ctx context.Context, token string) (account.Session, error) {
	if !wellFormed(token) {
		return account.Session{}, errEnded()
	}
	now := s.now()
	session, err := s.credentials.Session(ctx, hashOf(token), now)
	if err != nil {
		return account.Session{}, err
	}
	if now.Sub(session.SeenAt) > IdleAfter || !now.Before(session.ExpiresAt) {
		if err := s.credentials.EndSession(ctx, hashOf(token), now); err != nil {
			return account.Session{}, err
		}
		return account.Session{}, errEnded()
	}
	return session, nil
}

// SignOut ends the session of a token. A token without a session is signed out already.
func (s *Service) SignOut(ctx context.Context, token string) error {
	if !wellFormed(token) {
		return nil
	}
	err := s.credentials.EndSession(ctx, hashOf(token), s.now())
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated) {
		return nil
	}
	return err
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
