package safe

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"time"

	"hale/account"
	"hale/account/guess"
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
	Maker      account.CaregiverID // the guardian who made it; 0: the patient
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
	// EndShare ends a share of a patient, made by somebody, when allow accepts both; ending one twice is a success.
	EndShare(ctx context.Context, actor account.Actor, uid vital.UID, allow func(p *account.Patient, maker account.CaregiverID) error) error
	// OpenShare counts one opening and writes down from where, in one transaction; fault.NotFound when no share that opens
	// has this secret.
	OpenShare(ctx context.Context, secretHash []byte, from string) (Opened, error)
}

// Shares is the links that patients make for a doctor. Of the secret only the hash is kept, so a link is shown once. Make it with
// NewShares.
type Shares struct {
	Looks *account.Looks // of the list; nil writes nothing

	people    People
	book      ShareBook
	now       func() time.Time
	addresses *guess.Addresses
}

// NewShares returns the links over a record.
func NewShares(people People, book ShareBook, now func() time.Time) *Shares {
	return &Shares{people: people, book: book, now: now, addresses: guess.NewAddresses(freeMistakes)}
}

// signsOfShare is the length of a link's secret: 100 bits cannot be guessed in a week, and 20 signs can still be typed.
const signsOfShare = 20

// freeMistakes is how many wrong codes from one address cost nothing [J]. The codes cannot be guessed; the waits keep the record
// from being asked without end.
const freeMistakes = 10

// Make makes a link and returns its secret, which is shown now and never again. lasts is from ShortestShare to LongestShare,
// opens from 1 to MostOpens.
func (s *Shares) Make(ctx context.Context, actor account.Actor, patient vital.UID, what Portion, lasts time.Duration, opens int) (Share, string, error) {
	p, err := reach(ctx, s.people, actor, account.ShareRecord, patient)
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
	secret := guess.NewCode(signsOfShare)
	now := s.now().UTC()
	made, err := s.book.AddShare(ctx, actor, p, Share{
		Patient: p.ID, What: what, MadeBy: actor.Name, MadeRole: actor.Role, Maker: actor.Caregiver, CreatedAt: now, ExpiresAt: now.Add(lasts), OpensMost: opens,
	}, hashOf(secret))
	if err != nil {
		return Share{}, "", err
	}
	return made, secret, nil
}

// List returns the patient's links, newest first, with how often each was opened.
func (s *Shares) List(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, []Share, error) {
	p, err := reach(ctx, s.people, actor, account.ShareRecord, patient)
	if err != nil {
		return account.Patient{}, nil, err
	}
	if err := s.Looks.Saw(ctx, actor, "shares", "", p.ID); err != nil {
		return account.Patient{}, nil, err
	}
	list, err := s.book.Shares(ctx, actor, p.ID)
	return p, list, err
}

// End ends a link at once: the patient any, a guardian one that they made.
func (s *Shares) End(ctx context.Context, actor account.Actor, uid vital.UID) error {
	if err := account.Allow(actor, account.ShareRecord, nil); err != nil {
		return err
	}
	return s.book.EndShare(ctx, actor, uid, func(p *account.Patient, maker account.CaregiverID) error {
		if err := account.AllowThing(actor, account.ShareRecord, p, "share "+string(uid)); err != nil {
			return err
		}
		return Own(actor, maker)
	})
}

// Open opens a link by its secret, as it was typed or scanned, for somebody at this address, counts it, and returns whose record it is. A wrong, spent,
// ended or expired one is fault.NotFound in the same words; too many of those from one address are a guess.TooManyError.
func (s *Shares) Open(ctx context.Context, secret string, from netip.Addr) (Opened, account.Patient, error) {
	if wait := s.addresses.Begin(from, s.now()); wait > 0 {
		return Opened{}, account.Patient{}, guess.TooMany(wait)
	}
	defer s.addresses.Leave(from)
	clean, ok := guess.Typed(secret, signsOfShare)
	if !ok {
		s.addresses.Failed(from, s.now())
		return Opened{}, account.Patient{}, errNoShare()
	}
	where := "an unknown address"
	if from.IsValid() {
		where = from.Unmap().WithZone("").String()
	}
	o, err := s.book.OpenShare(ctx, hashOf(clean), where)
	if fault.Is(err, fault.NotFound) {
		s.addresses.Failed(from, s.now())
		return Opened{}, account.Patient{}, errNoShare()
	}
	if err != nil {
		return Opened{}, account.Patient{}, err
	}
	p, err := s.people.Patient(ctx, o.Actor, o.Patient)
	return o, p, err
}

func errNoShare() error {
	return fault.New(fault.NotFound, "this code opens nothing: it is wrong, or it has run out or was ended; ask the patient for a new one")
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte("hale share 1 " + secret))
	return sum[:]
}
