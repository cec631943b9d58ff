// Package signin turns a login and a password into a session: it hashes and verifies passwords (argon2id), slows down
// whoever guesses, and opens, finds and ends sessions. It keeps no password and stores only a hash of a token.
package signin

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"hale/account/guess"
)

// The cost of a hash: argon2id with 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet, minimum for argon2id).
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
	saltBytes = 16
	keyBytes  = 32
)

// The highest cost that Verify pays. A stored hash that asks for more is not ours.
const (
	mostMemoryKiB = 256 * 1024
	mostPasses    = 10
	mostLanes     = 8
)

// ErrHash is returned for text that is no PHC string of argon2id within the costs that Verify pays.
var ErrHash = errors.New("not a password hash of the form $argon2id$v=19$m=...,t=...,p=...$salt$key")

// Hash returns the argon2id hash of a password as a PHC string, with a new salt.
func Hash(password string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, passes, memoryKiB, lanes, keyBytes)
	return phc(salt, key)
}

func phc(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, memoryKiB, passes, lanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// Verify reports whether the password is the one that was hashed. It costs time and 19 MiB of memory on purpose;
// Service bounds how many run at once. The error is ErrHash.
func Verify(password, hash string) (bool, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, ErrHash
	}
	var memory, time uint32
	var threads uint8
	n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads)
	if err != nil || n != 3 || memory == 0 || memory > mostMemoryKiB || time == 0 || time > mostPasses || threads == 0 || threads > mostLanes {
		return false, ErrHash
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return false, ErrHash
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false, ErrHash
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// nobodysHash belongs to no password. Verifying against it costs the same as against a real one, so that the time of
// the answer does not tell which logins exist.
func nobodysHash() string { return phc(make([]byte, saltBytes), make([]byte, keyBytes)) }

// NewPassword returns a random password of 80 bits in four groups, for example "k7w2-9xq4-m0st-83bd".
func NewPassword() string {
	b := make([]byte, 10)
	rand.Read(b)
	s := guess.Readable(b)
	return s[0:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:16]
}
