package credential

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"hale/account/guess"
	"hale/devices"
	"hale/fault"
)

// Phones lets in apps that send over HTTP what they measured. Such an app is a device like any other: it is enrolled, assigned to
// whoever carries it, and shows its own secret with each request.
type Phones struct {
	// Current returns the newest snapshot of the registry, and whether the registry can be reached (Cache.Current).
	Current func() (*devices.Snapshot, bool)
	// Guesses slows down whoever shows wrong secrets.
	Guesses *guess.Addresses
	Now     func() time.Time
	// Renewed, if any, is told of an app that has shown its new secret, whose hash shown is: its old one is not needed any more. It does
	// not wait.
	Renewed func(d *devices.Device, shown [sha256.Size]byte)
}

// NewPhones returns a door that lets nobody wait yet.
func NewPhones(current func() (*devices.Snapshot, bool), now func() time.Time) *Phones {
	return &Phones{Current: current, Guesses: NewGuesses(), Now: now}
}

// Knock returns the device that shows its name and secret. Whoever is none is told fault.Unauthenticated, after too many wrong
// secrets from one address guess.TooManyError; while nobody can know, fault.Unavailable.
func (p *Phones) Knock(from netip.Addr, uid string, secret []byte) (*devices.Device, error) {
	if wait := p.Guesses.Begin(from, p.Now()); wait > 0 {
		return nil, guess.TooMany(wait)
	}
	defer p.Guesses.Leave(from)
	snapshot, reachable := p.Current()
	if snapshot != nil {
		if d, shown := snapshot.Devices[uid], devices.HashSecret(secret); d != nil && d.Accepts(shown, p.Now()) {
			if p.Renewed != nil && d.Renews(shown) {
				p.Renewed(d, shown)
			}
			return d, nil
		}
	}
	if snapshot == nil || !reachable {
		return nil, fault.New(fault.Unavailable, "the registry of devices cannot be read just now; send it again")
	}
	p.Guesses.Failed(from, p.Now())
	return nil, fault.New(fault.Unauthenticated, "there is no device of this name with this secret; send both as HTTP Basic")
}
