package signin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
)

// KeyBytes is the length of the installation's key for second factors: AES-256.
const KeyBytes = 32

// Key keeps the secrets of second factors unreadable in the record, its backups and replicas: AES-256-GCM, bound to whose
// secret it is. The nil Key can neither seal nor open.
type Key struct{ aead cipher.AEAD }

// NewKey returns the text of a new key, as ParseKey reads it: 32 random bytes in base64, like `openssl rand -base64 32`.
func NewKey() string {
	b := make([]byte, KeyBytes)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b) + "\n"
}

// ParseKey reads a key; fault.Invalid when the text is not 32 bytes in base64.
func ParseKey(text string) (*Key, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != KeyBytes {
		return nil, fault.New(fault.Invalid, "the key of second factors must be %d bytes in base64, as `openssl rand -base64 %d` makes them", KeyBytes, KeyBytes)
	}
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, fmt.Errorf("read the key of second factors: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("read the key of second factors: %w", err)
	}
	return &Key{aead}, nil
}

// seal encrypts; what it is for must be said again to open it.
func (k *Key) seal(plain []byte, purpose string) []byte {
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce)
	return k.aead.Seal(nonce, nonce, plain, []byte(purpose))
}

func (k *Key) open(sealed []byte, purpose string) ([]byte, error) {
	n := k.aead.NonceSize()
	if len(sealed) < n {
		return nil, fault.New(fault.Internal, "a sealed text is too short")
	}
	plain, err := k.aead.Open(nil, sealed[:n], sealed[n:], []byte(purpose))
	return plain, fault.Wrap(fault.Internal, err, "a sealed text is not of this key, or was changed")
}

// purposeOf binds a secret to its person: moved to somebody else's row it does not open.
func purposeOf(who account.Actor) string {
	return fmt.Sprintf("second factor %d/%d", who.Org, who.Staff)
}

// ticketFor is how long the code may take after the password.
const ticketFor = 5 * time.Minute

const ticketPurpose = "sign-in ticket"

// longestTicket is more than one with the longest login (account.CheckLogin) needs, in bytes.
const longestTicket = 4096

// ticket says that a login was shown with the right password. It names the hash of that password, so that a new one ends it.
type ticket struct {
	Login string    `json:"l"`
	Hash  []byte    `json:"h"`
	Until time.Time `json:"u"`
}

func (k *Key) ticket(t ticket) (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("write a sign-in ticket: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(k.seal(b, ticketPurpose)), nil
}

// readTicket returns the ticket, when it is one of ours and still good.
func (k *Key) readTicket(text string, now time.Time) (t ticket, ok bool) {
	if k == nil || len(text) > longestTicket {
		return ticket{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return ticket{}, false
	}
	plain, err := k.open(b, ticketPurpose)
	if err != nil || json.Unmarshal(plain, &t) != nil {
		return ticket{}, false
	}
	return t, now.Before(t.Until)
}
