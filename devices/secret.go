package devices

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"
)

// secretBytes is the length of a secret. With 256 random bits a plain hash of it tells nothing, and nobody guesses it.
const secretBytes = 32

// Mosquitto's way to keep a password ($7$, mosquitto_passwd of 2.0): PBKDF2 with SHA-512. Few rounds do: there is nothing to
// guess in 256 random bits, and the broker computes them at every connect.
const (
	brokerRounds = 101 // as mosquitto_passwd does
	brokerSalt   = 12  // bytes
	brokerKey    = 64  // bytes
)

// Kept is what is kept of a secret: nothing of it leads back to the secret.
type Kept struct {
	Hash   [sha256.Size]byte // what the device edge compares
	Broker string            // the same secret as Mosquitto keeps passwords, for a site with a broker of its own
}

// NewSecret returns 256 random bits as base64url, which exist nowhere else, and what is kept of them.
func NewSecret() (secret string, kept Kept, err error) {
	random, salt := make([]byte, secretBytes), make([]byte, brokerSalt)
	_, _ = rand.Read(random) // it never fails: crypto/rand ends the process rather than return less
	_, _ = rand.Read(salt)
	secret = base64.RawURLEncoding.EncodeToString(random)
	key, err := pbkdf2.Key(sha512.New, secret, salt, brokerRounds, brokerKey)
	if err != nil {
		return "", Kept{}, fmt.Errorf("derive the broker's form of a secret: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	kept.Hash = HashSecret([]byte(secret))
	kept.Broker = fmt.Sprintf("$7$%d$%s$%s", brokerRounds, encode(salt), encode(key))
	return secret, kept, nil
}

// HashSecret returns what is compared of a secret that somebody shows.
func HashSecret(given []byte) [sha256.Size]byte { return sha256.Sum256(given) }

// Secret reports whether the given secret is the device's at a time.
func (d *Device) Secret(given []byte, now time.Time) bool { return d.Accepts(HashSecret(given), now) }

// Accepts is Secret for the hash of what was shown. While a new secret takes the place of another both are good; from OldUntil
// on only the new one is.
func (d *Device) Accepts(shown [sha256.Size]byte, now time.Time) bool {
	old := subtle.ConstantTimeCompare(shown[:], d.SecretHash[:]) == 1
	next := subtle.ConstantTimeCompare(shown[:], d.NextHash[:]) == 1
	switch {
	case d.Revoked:
		return false
	case d.OldUntil.IsZero():
		return old
	}
	return next || old && now.Before(d.OldUntil)
}

// Renews reports whether what was shown is the secret that is to take the place of the other: the device has it, and the other
// is not needed any more.
func (d *Device) Renews(shown [sha256.Size]byte) bool {
	return !d.OldUntil.IsZero() && subtle.ConstantTimeCompare(shown[:], d.NextHash[:]) == 1
}

// NextEnd returns when the next old secret ends after a time; zero when none does. Until then a snapshot says the same of every
// secret.
func (s *Snapshot) NextEnd(after time.Time) (end time.Time) {
	for _, d := range s.Devices {
		if d.OldUntil.After(after) && (end.IsZero() || d.OldUntil.Before(end)) {
			end = d.OldUntil
		}
	}
	return end
}
