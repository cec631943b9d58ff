package devices_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"hale/account/guess"
	"hale/devices"
	"hale/fault"
)

func TestWhoGuessesTheSecretOfAPhoneWaits(t *testing.T) {
	t.Parallel()
	now, reachable := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), true
	snapshot := &devices.Snapshot{Devices: map[string]*devices.Device{
		"phone-1": {UID: "phone-1", SecretHash: devices.HashSecret([]byte("open"))},
		"phone-2": {UID: "phone-2", SecretHash: devices.HashSecret([]byte("open")), Revoked: true},
	}}
	door := devices.NewPhones(func() (*devices.Snapshot, bool) { return snapshot, reachable }, func() time.Time { return now })
	guesser, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if d, err := door.Knock(guesser, "phone-1", []byte("open")); err != nil || d.UID != "phone-1" {
		t.Fatalf("its own secret: %v, %v", d, err)
	}
	reachable = false
	if _, err := door.Knock(guesser, "phone-1", []byte("new")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a secret that may be newer than what we know: %v", err)
	}
	reachable = true
	for range devices.FreeGuesses {
		if _, err := door.Knock(guesser, "phone-2", []byte("open")); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("the secret of one that was revoked: %v", err)
		}
	}
	var wait *guess.TooManyError
	if _, err := door.Knock(guesser, "phone-1", []byte("open")); !errors.As(err, &wait) {
		t.Errorf("after %d mistakes: %v", devices.FreeGuesses, err)
	}
	if _, err := door.Knock(other, "phone-1", []byte("open")); err != nil {
		t.Errorf("from another address: %v", err)
	}
	now = now.Add(guess.ForgetAfter + time.Second)
	if _, err := door.Knock(guesser, "phone-1", []byte("open")); err != nil {
		t.Errorf("much later: %v", err)
	}
}
