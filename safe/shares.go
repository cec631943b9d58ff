package safe

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Portion is how much of the record a share shows.
type Portion string

// The portions.
const (
	ShareSheet      Portion = "sheet"      // the emergency sheet
	ShareMonth      Portion = "month"      // the sheet, and what was measured in the last 30 days
	ShareEverything Portion = "everything" // the sheet, and everything that was ever measured
)

// monthBack is how far ShareMonth reaches back.
const monthBack = 30 * 24 * time.Hour

// The bounds of a share.
const (
	ShortestShare = 15 * time.Minute
	LongestShare  = 7 * 24 * time.Hour
	MostOpens     = 100
)

// ShareName stands in the audit trail for whoever opened a share: nobody knows who it was.
const ShareName = "share link"

// Share is a link that a patient made for a doctor.
type Share struct {
	UID        vital.UID
	Patient    vital.PatientID
	What       Portion
	MadeBy     string
	MadeRole   account.Role
	CreatedAt  time.Time
	ExpiresAt  time.Time
	OpensMost  int
	Opened     int
	LastOpened time.Time
	EndedAt    time.Time
}

// Open reports whether the link opens at now.
func (s *Share) Open(now time.Time) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && s.Opened < s.OpensMost
}

// Opened is what somebody with a link gets: whose data it is, how much of it, and an actor that reaches just that patient.
type Opened struct {
	Share
	Patient vital.UID
	Actor   account.Actor
}

// Since returns from when on readings are shown; ok is false when none are.
func (o *Opened) Since(now time.Time) (from time.Time, ok bool) {
	switch o.What {
	case ShareMonth:
		return now.Add(-monthBack), true
	case ShareEverything:
		return time.Time{}, true
	case ShareSheet:
	}
	return time.Time{}, false
}

// ShareBook is the record as Shares needs it.
type ShareBook interface {
	Shares(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Share, error)
	AddShare(ctx context.Context, actor account.Actor, patient account.Patient, s Share, secretHash []byte) (Share, error)
	// EndShare ends a share of a patient whom allow accepts; ending one twice is a success.
	EndShare(ctx context.Context, actor account.Actor, uid vital.UID, allow func(*account.Patient) error) error
	// OpenShare counts one opening and writes down from where, in one transaction; fault.NotFound when no share that opens
	// has this secret.
	OpenShare(ctx context.Context, secretHash []byte, from string) (Opened, error)
}

// Shares is the links that patients make for a doctor. Of the secret only the hash is kept, so a link is shown once.
type Shares struct {
	People People
	Book   ShareBook
	Now    func() time.Time

	mu    sync.Mutex
	wrong map[netip.Prefix]*mistakes
}

// secretBytes is the length of a link's secret: 100 bits cannot be guessed in a week, and 20 characters can still be typed.
const secretBytes = 13

// secretLength is the length of the secret as it is written.
const secretLength = 20

// Make makes a link and returns its secret, which is shown now and never again. lasts is from ShortestShare to LongestShare,
// opens from 1 to MostOpens.
func (s *Shares) Make(ctx context.Context, actor account.Actor, patient vital.UID, what Portion, lasts time.Duration, opens int) (Share, string, error) {
	p, err := reach(ctx, s.People, actor, account.ShareRecord, patient)
	if err != nil {
		return Share{}, "", err
	}
	switch what {
	case ShareSheet, ShareMonth, ShareEverything:
	default:
		return Share{}, "", fault.New(fault.Invalid, "what: say sheet, month or everything")
	}
	if lasts < ShortestShare || lasts > LongestShare {
		return Share{}, "", fault.New(fault.Invalid, "a link lasts from 15 minutes to 7 days")
	}
	if opens < 1 || opens > MostOpens {
		return Share{}, "", fault.New(fault.Invalid, "opens: a link can be opened 1 to %d times", MostOpens)
	}
	secret := newSecret()
	now := s.Now().UTC()
	made, err := s.Book.AddShare(ctx, actor, p, Share{
		Patient: p.ID, What: what, MadeBy: actor.Name, MadeRole: actor.Role, CreatedAt: now, ExpiresAt: now.Add(lasts), OpensMost: opens,
	}, hashOf(secret))
	if err != nil {
		return Share{}, "", err
	}
	return made, secret, nil
}

// List returns the patient's links, newest first, with how often each was opened.
func (s *Shares) List(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, []Share, error) {
	p, err := reach(ctx, s.People, actor, account.ShareRecord, patient)
	if err != nil {
		return account.Patient{}, nil, err
	}
	list, err := s.Book.Shares(ctx, actor, p.ID)
	return p, list, err
}

// End ends a link at once.
func (s *Shares) End(ctx context.Context, actor account.Actor, uid vital.UID) error {
	if err := account.Allow(actor, account.ShareRecord, nil); err != nil {
		return err
	}
	return s.Book.EndShare(ctx, actor, uid, func(p *account.Patient) error {
		return account.AllowThing(actor, account.ShareRecord, p, "share "+string(uid))
	})
}

// Open opens a link by its secret, as it was typed or scanned, for somebody at this address, and counts it. A wrong, spent,
// ended or expired one is fault.NotFound in the same words; too many of those from one address are a TooManyError.
func (s *Shares) Open(ctx context.Context, secret string, from netip.Addr) (Opened, error) {
	now := s.Now()
	if wait := s.waits(from, now); wait > 0 {
		return Opened{}, &TooManyError{Wait: wait}
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '-' || unicode.IsSpace(r):
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, secret)
	if len(clean) != secretLength {
		s.mistaken(from, now)
		return Opened{}, errNoShare()
	}
	where := "an unknown address"
	if from.IsValid() {
		where = from.Unmap().WithZone("").String()
	}
	o, err := s.Book.OpenShare(ctx, hashOf(clean), where)
	if fault.Is(err, fault.NotFound) {
		s.mistaken(from, now)
		return Opened{}, errNoShare()
	}
	return o, err
}

func errNoShare() error {
	return fault.New(fault.NotFound, "this code opens nothing: it is wrong, or it has run out or was ended; ask the patient for a new one")
}

// secretLetters are 32 that are not mistaken for each other when they are typed: neither I nor O, neither 0 nor 1.
const secretLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

func newSecret() string {
	var b [secretBytes]byte
	rand.Read(b[:])
	return base32.NewEncoding(secretLetters).WithPadding(base32.NoPadding).EncodeToString(b[:])[:secretLength]
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte("hale share 1 " + secret))
	return sum[:]
}

// Spelled writes a secret in groups of four, for people who type it.
func Spelled(secret string) string {
	var b strings.Builder
	for i, r := range secret {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Wrong codes from one address: the first ten cost nothing, then it has to wait until a quarter of an hour has passed since
// the last [J]. The codes cannot be guessed; this keeps the record from being asked without end. As at signing in, this
// machine's own address is not counted: behind it is a proxy that nobody told us to believe, and so perhaps everybody.
const (
	freeMistakes = 10
	forgiveAfter = 15 * time.Minute
	mostMistaken = 10_000
	homePrefix   = 64 // bits of an IPv6 address that one household or office has to itself
)

type mistakes struct {
	n    int
	last time.Time
}

// TooManyError says how long an address has to wait.
type TooManyError struct{ Wait time.Duration }

// Error says it to the person.
func (e *TooManyError) Error() string {
	return "too many wrong codes came from here: wait a quarter of an hour"
}

// RetryAfter is for the edge that answers.
func (e *TooManyError) RetryAfter() time.Duration { return e.Wait }

// Unwrap gives it a kind.
func (e *TooManyError) Unwrap() error { return fault.New(fault.Forbidden, "%s", e.Error()) }

func networkOf(addr netip.Addr) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = homePrefix
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}

func (s *Shares) waits(from netip.Addr, now time.Time) time.Duration {
	p, counted := networkOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.wrong[p]
	if !counted || m == nil || m.n < freeMistakes {
		return 0
	}
	return max(0, m.last.Add(forgiveAfter).Sub(now))
}

func (s *Shares) mistaken(from netip.Addr, now time.Time) {
	p, counted := networkOf(from)
	if !counted {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil {
		s.wrong = map[netip.Prefix]*mistakes{}
	}
	for p, m := range s.wrong {
		if len(s.wrong) < mostMistaken/2 {
			break
		}
		if now.Sub(m.last) >= forgiveAfter || len(s.wrong) >= mostMistaken {
			delete(s.wrong, p)
		}
	}
	m := s.wrong[p]
	if m == nil || now.Sub(m.last) >= forgiveAfter {
		m = &mistakes{}
		s.wrong[p] = m
	}
	m.n, m.last = m.n+1, now
}
