// Package credential is how a device proves who it is: pairing codes and the secrets they give, certificates and the authorities
// that sign them, claims of a maker's batch, their renewal and end, and what other brokers are told of it all. Which of them lets a
// device in at this moment the snapshot of package devices says.
package credential

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// A pairing code has the form of the codes with which people sign in: twelve signs of Crockford's base 32, of which the first four
// (20 bits) only find it, and attempts are counted under them; the other eight (40 bits) are secret. Five attempts at 40 bits are
// less than 1 in 2^37 (account/signin says with what that compares).
const (
	signsOfCode   = 12
	signsOfLookup = 4
	MostAttempts  = 5 // at one code
	triesOfSigns  = 4 // at signs that no other open code begins with
)

// PairingLasts is how long a code can be used: as long as one with which a person signs in, for the same hands type it.
const PairingLasts = 15 * time.Minute

// How long the old secret stays good beside a new one, when nobody says otherwise, and at most.
const (
	DefaultOverlap = 7 * 24 * time.Hour
	LongestOverlap = 30 * 24 * time.Hour
)

// FreeGuesses is how many wrong codes of one address cost no wait: an office may stand behind it.
const FreeGuesses = 30

// NewGuesses returns the count of wrong words by address that one door keeps.
func NewGuesses() *guess.Addresses { return guess.NewAddresses(FreeGuesses) }

// PairingPage is what the QR code of a pairing code opens in a browser; the code stands behind the #.
const PairingPage = "/pair"

// Ways are how a device reaches the edge.
type Ways struct {
	MQTTS, MQTT []string // addresses with and without TLS
	CA          string   // the certificates to trust in PEM; empty: those that everybody does
}

// PairingState is how a pairing code stands.
type PairingState string

// The states of a code.
const (
	PairingWaits   PairingState = "waiting"
	PairingDone    PairingState = "paired"
	PairingExpired PairingState = "expired"
	PairingTried   PairingState = "tried too often" // wrong codes with its first signs
	PairingEnded   PairingState = "replaced"        // a newer code took its place
)

// PairingCode is a code with which a device gets its secret.
type PairingCode struct {
	UID       vital.UID
	Code      string // as people read it; only when it is made
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero: not yet
	EndedAt   time.Time // a newer one took its place; zero: none has
	Attempts  int
}

// State says how the code stands at a time.
func (c *PairingCode) State(now time.Time) PairingState {
	switch {
	case !c.UsedAt.IsZero():
		return PairingDone
	case !c.EndedAt.IsZero():
		return PairingEnded
	case c.Attempts >= MostAttempts:
		return PairingTried
	case !now.Before(c.ExpiresAt):
		return PairingExpired
	}
	return PairingWaits
}

// Standing is what the desk sees of how a device proves who it is.
type Standing struct {
	UID      string
	Model    string
	Revoked  bool
	MadeAt   time.Time    // of the newest secret
	OldUntil time.Time    // until when an older secret is good beside it; zero: none is
	Pairing  *PairingCode // the newest; nil: none was ever made
}

// NewCode is a pairing code as the record keeps it.
type NewCode struct {
	Lookup    string
	Hash      [sha256.Size]byte
	ExpiresAt time.Time
}

// Attempt is a code that somebody has shown, with what its device is to have if it is right.
type Attempt struct {
	Lookup string
	Hash   [sha256.Size]byte
	At     time.Time
	Most   int // attempts at a code
	Gets   devices.Kept
}

// CredentialBook is the record as the desk needs it for secrets. Every method is bound to the actor's organisation; a device that is
// not there is fault.NotFound, one that was revoked fault.Conflict. What changes something writes its audit row.
type CredentialBook interface {
	// AddPairing keeps a code in place of the ones that the device has; fault.Conflict also when another device's code begins with
	// the same signs, with taken.
	AddPairing(ctx context.Context, actor account.Actor, uid string, c NewCode) (taken bool, err error)
	Standing(ctx context.Context, actor account.Actor, uid string) (Standing, error)
	// Renew gives the device a next secret; the one it has stays good until then.
	Renew(ctx context.Context, actor account.Actor, uid string, next devices.Kept, until time.Time) error
	// DropOld ends the time in which two are good; fault.Conflict when there is none to end.
	DropOld(ctx context.Context, actor account.Actor, uid string) error
}

// CredentialDoor is the record as those need it who show something: nobody is signed in, or a broker is.
type CredentialDoor interface {
	// Pair takes a code, once, and gives its device the secret; fault.Unauthenticated of every code that is not good.
	Pair(ctx context.Context, a Attempt) (uid string, err error)
	// Prove reports whether a device of the actor's organisation is the one that a secret belongs to. One that shows its next secret
	// has no other from then on.
	Prove(ctx context.Context, actor account.Actor, uid string, shown [sha256.Size]byte) (bool, error)
	// InUse reports whether the actor's organisation has such a device, which was not revoked.
	InUse(ctx context.Context, actor account.Actor, uid string) (bool, error)
}

// Credentials is where devices get their secrets, and where brokers that are not ours ask about them. Make it with NewCredentials.
type Credentials struct {
	// Changed, when set, is called after each change, as Desk.Changed.
	Changed func(ctx context.Context)

	book    CredentialBook
	door    CredentialDoor
	now     func() time.Time
	guesses *guess.Addresses // from where wrong codes come
	broker  *guess.Addresses // from where wrong passwords come to brokers that ask us
	shown   *guess.Known     // what was shown to them lately
}

// NewCredentials returns the credentials of a record.
func NewCredentials(book CredentialBook, door CredentialDoor, now func() time.Time) *Credentials {
	return &Credentials{book: book, door: door, now: now, guesses: NewGuesses(), broker: NewGuesses(), shown: guess.NewKnown()}
}

// GivenSecret is a secret, shown this once.
type GivenSecret struct {
	UID      string
	Secret   string
	OldUntil time.Time // until when the one before is good as well; zero: it is not
}

// MakeCode makes a code with which a device gets its secret, once. One that the device had is good no more; its secret stays until
// the code is used.
func (c *Credentials) MakeCode(ctx context.Context, actor account.Actor, uid string) (PairingCode, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return PairingCode{}, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return PairingCode{}, err
	}
	now := c.now().UTC()
	made := PairingCode{CreatedAt: now, ExpiresAt: now.Add(PairingLasts)}
	for try := 1; ; try++ {
		code := guess.NewCode(signsOfCode)
		taken, err := c.book.AddPairing(ctx, actor, uid, NewCode{Lookup: code[:signsOfLookup], Hash: devices.HashSecret([]byte(code)), ExpiresAt: made.ExpiresAt})
		if taken && try < triesOfSigns {
			continue
		}
		made.Code = guess.Spelled(code)
		return made, err
	}
}

// Standing tells how a device stands: its secrets, and the newest pairing code without what it says.
func (c *Credentials) Standing(ctx context.Context, actor account.Actor, uid string) (Standing, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return Standing{}, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return Standing{}, err
	}
	return c.book.Standing(ctx, actor, uid)
}

// Pair gives a device its secret for a code, once; whatever it had before is good no more, and a connection that it has closes.
// What is no code at all is fault.Invalid and says so; every other code that is not good is one and the same
// fault.Unauthenticated: wrong, used, too old, replaced, tried too often, of a device that was revoked. Attempts are bounded under
// the code's first signs and by address (guess.TooManyError).
func (c *Credentials) Pair(ctx context.Context, from netip.Addr, typed string) (GivenSecret, error) {
	code, ok := guess.Typed(typed, signsOfCode)
	if !ok {
		return GivenSecret{}, fault.New(fault.Invalid, "that is not a whole pairing code: it has twelve letters and digits, for example K7W2-9XQ4-M0ST")
	}
	if wait := c.guesses.Begin(from, c.now()); wait > 0 {
		return GivenSecret{}, guess.TooMany(wait)
	}
	defer c.guesses.Leave(from)
	secret, kept, err := devices.NewSecret()
	if err != nil {
		return GivenSecret{}, err
	}
	attempt := Attempt{Lookup: code[:signsOfLookup], Hash: devices.HashSecret([]byte(code)), At: c.now().UTC(), Most: MostAttempts, Gets: kept}
	uid, err := c.door.Pair(context.WithoutCancel(ctx), attempt) // the count must not be lost because the guesser has hung up
	if fault.Is(err, fault.Unauthenticated) {
		c.guesses.Failed(from, c.now())
		return GivenSecret{}, fault.New(fault.Unauthenticated,
			"this code does not pair. See whether every letter and digit is right. A code can be used only once, for a quarter of an hour: if it is right, ask the device desk for a new one")
	}
	if err != nil {
		return GivenSecret{}, err
	}
	c.changed(ctx)
	return GivenSecret{UID: uid, Secret: secret}, nil
}

// Renew makes a new secret for a device; a overlap of 0 means DefaultOverlap. Until its end both are good, so that the device can be
// given the new one while it goes on with the old. The first use of the new one ends the old, at whichever door; so does the end of
// the overlap, whatever the device does. A secret that was next and was never shown is good no more.
func (c *Credentials) Renew(ctx context.Context, actor account.Actor, uid string, overlap time.Duration) (GivenSecret, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return GivenSecret{}, err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return GivenSecret{}, err
	}
	if overlap == 0 {
		overlap = DefaultOverlap
	}
	if overlap < time.Hour || overlap > LongestOverlap {
		return GivenSecret{}, fault.New(fault.Invalid, "overlap_hours: both secrets can be good for 1 to %d hours", int(LongestOverlap.Hours()))
	}
	secret, kept, err := devices.NewSecret()
	if err != nil {
		return GivenSecret{}, err
	}
	until := c.now().Add(overlap).UTC().Truncate(time.Microsecond)
	if err := c.book.Renew(ctx, actor, uid, kept, until); err != nil {
		return GivenSecret{}, err
	}
	c.changed(ctx)
	return GivenSecret{UID: uid, Secret: secret, OldUntil: until}, nil
}

// DropOld ends the time in which two secrets of a device are good, for a device that has its new one, or whose old one has leaked.
func (c *Credentials) DropOld(ctx context.Context, actor account.Actor, uid string) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := devices.CheckUID("uid", uid); err != nil {
		return err
	}
	if err := c.book.DropOld(ctx, actor, uid); err != nil {
		return err
	}
	c.changed(ctx)
	return nil
}

func (c *Credentials) changed(ctx context.Context) {
	if c.Changed != nil {
		c.Changed(ctx)
	}
}
