package signin

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/fault"
	"hale/vital"
)

// An API key is its prefix, 256 random bits and a CRC-32 of all before it, both in Crockford's base 32: a program that looks for
// secrets in code finds it by the prefix and is sure by the checksum.
const (
	keyPrefix   = "hale_key_"
	keyBits     = 52 // signs of the random part
	keyChecksum = 7  // signs of the checksum
)

// How long a key is good: DefaultKeyLasts when nobody says otherwise, LongestKey at most.
const (
	DefaultKeyLasts = 365 * 24 * time.Hour
	LongestKey      = 2 * DefaultKeyLasts
	longestKeyName  = 100 // characters
)

// KeyRing keeps API keys under the hashes of their tokens; see postgres.App for each.
type KeyRing interface {
	AddKey(ctx context.Context, actor account.Actor, k account.Key, tokenHash []byte) (account.Key, error)
	Keys(ctx context.Context, actor account.Actor) ([]account.Key, error)
	RevokeKey(ctx context.Context, actor account.Actor, uid vital.UID) error
	KeySession(ctx context.Context, tokenHash []byte, now time.Time) (account.Session, error)
}

// NewAPIKey returns a new key and the hash under which it is kept.
func NewAPIKey() (token string, hash []byte) {
	b := make([]byte, tokenBytes)
	rand.Read(b)
	token = keyPrefix + guess.Readable(b)
	token += checksum(token)
	return token, hashOf(token)
}

func checksum(of string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(of)))
	return guess.Readable(sum)
}

func isKey(shown string) bool { return strings.HasPrefix(shown, keyPrefix) }

// wellFormedKey reports whether the key can be one of ours.
func wellFormedKey(token string) bool {
	body := len(keyPrefix) + keyBits
	return len(token) == body+keyChecksum && isKey(token) && token[body:] == checksum(token[:body])
}

// CheckKey says what is wrong with a key that somebody wants to make: fault.Invalid. An end that is not given is in
// DefaultKeyLasts.
func CheckKey(k account.Key, now time.Time) (account.Key, error) {
	k.Name = strings.TrimSpace(k.Name)
	if k.Name == "" || !account.Printable(k.Name, longestKeyName) {
		return k, fault.New(fault.Invalid, "name: say in 1 to %d printable characters which program the key is for", longestKeyName)
	}
	actions := k.Scopes.Actions()
	for _, a := range actions {
		if !slices.Contains(account.ForSystems(), a) {
			return k, fault.New(fault.Invalid, "scopes: no key can be given %q", a)
		}
	}
	if len(actions) == 0 {
		return k, fault.New(fault.Invalid, "scopes: name at least one thing that the key may do")
	}
	k.Scopes = account.ScopesOf(actions...)
	if k.ExpiresAt.IsZero() {
		k.ExpiresAt = now.Add(DefaultKeyLasts)
	}
	if !k.ExpiresAt.After(now) || k.ExpiresAt.After(now.Add(LongestKey)) {
		return k, fault.New(fault.Invalid, "expires_at: a key ends in the future, within %d days", int(LongestKey.Hours()/24))
	}
	return k, nil
}

// MakeKey makes an API key and returns its token, which exists nowhere else.
func (s *Service) MakeKey(ctx context.Context, actor account.Actor, k account.Key) (token string, _ account.Key, err error) {
	if err := account.Allow(actor, account.ManageKeys, nil); err != nil {
		return "", account.Key{}, err
	}
	if k, err = CheckKey(k, s.now()); err != nil {
		return "", account.Key{}, err
	}
	token, hash := NewAPIKey()
	k, err = s.record.AddKey(ctx, actor, k, hash)
	if err != nil {
		return "", account.Key{}, err
	}
	return token, k, nil
}

// Keys lists the organisation's API keys, those that were revoked last.
func (s *Service) Keys(ctx context.Context, actor account.Actor) ([]account.Key, error) {
	if err := account.Allow(actor, account.ManageKeys, nil); err != nil {
		return nil, err
	}
	return s.record.Keys(ctx, actor)
}

// RevokeKey ends an API key, and the feeds that were opened with it.
func (s *Service) RevokeKey(ctx context.Context, actor account.Actor, uid vital.UID) error {
	if err := account.Allow(actor, account.ManageKeys, nil); err != nil {
		return err
	}
	if err := s.record.RevokeKey(ctx, actor, uid); err != nil {
		return err
	}
	s.ended(uid)
	return nil
}

// keySession returns who a key acts as.
func (s *Service) keySession(ctx context.Context, token string) (account.Session, error) {
	if !wellFormedKey(token) {
		return account.Session{}, errKey()
	}
	session, err := s.record.KeySession(ctx, hashOf(token), s.now())
	if fault.Is(err, fault.Unauthenticated) {
		return account.Session{}, errKey()
	}
	return session, err
}

func errKey() error {
	return fault.New(fault.Unauthenticated, "there is no such API key, or it was revoked or has run out")
}

// KeySession is SessionOf for a key, with the address that shows it: from the thirtieth wrong one there is a wait for whoever
// comes from there, as for passwords, but not for keys that were right a moment ago. A key cannot be guessed; a program that
// goes on with an old one must not keep the record busy.
func (s *Service) KeySession(ctx context.Context, from netip.Addr, token string) (account.Session, error) {
	now, hash := s.now(), string(hashOf(token))
	if s.keys.Lately(hash, now) {
		session, err := s.keySession(ctx, token)
		if err != nil {
			s.keys.Forget(hash)
		}
		return session, err
	}
	if wait := s.addresses.Begin(from, now); wait > 0 {
		return account.Session{}, guess.TooMany(wait)
	}
	defer s.addresses.Leave(from)
	session, err := s.keySession(ctx, token)
	switch {
	case fault.Is(err, fault.Unauthenticated):
		s.addresses.Failed(from, s.now())
	case err == nil:
		s.keys.Note(hash, now)
	}
	return session, err
}
