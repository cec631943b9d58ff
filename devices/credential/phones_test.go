package credential_test

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"testing"
	"time"

	"hale/account/guess"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
)

func TestWhoGuessesTheSecretOfAPhoneWaits(t *testing.T) {
	t.Parallel()
	now, reachable := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), true
	snapshot := &devices.Snapshot{Devices: map[string]*devices.Device{
		"phone-1": {UID: "phone-1", SecretHash: devices.HashSecret([]byte("open"))},
		"phone-2": {UID: "phone-2", SecretHash: devices.HashSecret([]byte("open")), Revoked: true},
	}}
	door := credential.NewPhones(func() (*devices.Snapshot, bool) { return snapshot, reachable }, func() time.Time { return now })
	guesser, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if d, err := door.Knock(guesser, "phone-1", []byte("open")); err != nil || d.UID != "phone-1" {
		t.Fatalf("its own secret: %v, %v", d, err)
	}
	reachable = false
	if _, err := door.Knock(guesser, "phone-1", []byte("new")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a secret that may be newer than what we know: %v", err)
	}
	reachable = true
	for range credential.FreeGuesses {
		if _, err := door.Knock(guesser, "phone-2", []byte("open")); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("the secret of one that was revoked: %v", err)
		}
	}
	var wait *guess.TooManyError
	if _, err := door.Knock(guesser, "phone-1", []byte("open")); !errors.As(err, &wait) {
		t.Errorf("after %d mistakes: %v", credential.FreeGuesses, err)
	}
	if _, err := door.Knock(other, "phone-1", []byte("open")); err != nil {
		t.Errorf("from another address: %v", err)
	}
	now = now.Add(guess.ForgetAfter + time.Second)
	if _, err := door.Knock(guesser, "phone-1", []byte("open")); err != nil {
		t.Errorf("much later: %v", err)
	}
}

// TestTheNewSecretOfAPhoneEndsTheOld as that of a device at the edge does.
func TestTheNewSecretOfAPhoneEndsTheOld(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	phone := &devices.Device{UID: "phone-1", SecretHash: devices.HashSecret([]byte("old")), NextHash: devices.HashSecret([]byte("new")), OldUntil: now.Add(time.Hour)}
	snapshot := &devices.Snapshot{Devices: map[string]*devices.Device{"phone-1": phone}}
	door := credential.NewPhones(func() (*devices.Snapshot, bool) { return snapshot, true }, func() time.Time { return now })
	var ended []string
	door.Renewed = func(d *devices.Device, shown [sha256.Size]byte) {
		if shown == d.NextHash {
			ended = append(ended, d.UID)
		}
	}
	from := netip.MustParseAddr("192.0.2.1")
	for secret, want := range map[string]int{"old": 0, "new": 1} {
		ended = nil
		if _, err := door.Knock(from, "phone-1", []byte(secret)); err != nil || len(ended) != want {
			t.Errorf("the %s secret: told of %v, %v", secret, ended, err)
		}
	}
}
