package signin_test

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/signin"
	"hale/fault"
)

// invitations is a record of one code.
type invitations struct {
	hash     []byte
	who      account.Newcomer
	password string
}

func (b *invitations) Invitation(_ context.Context, hash []byte, _ time.Time) (account.Newcomer, error) {
	if string(hash) != string(b.hash) {
		return account.Newcomer{}, fault.New(fault.NotFound, "there is no such invitation")
	}
	return b.who, nil
}

func (b *invitations) AcceptInvitation(_ context.Context, _ []byte, _ account.Newcomer, hash string, _ time.Time) error {
	b.password, b.hash = hash, nil
	return nil
}

func TestSomebodyNewChoosesAPassword(t *testing.T) {
	t.Parallel()
	code, hash := signin.NewInvitation()
	if want := sha256.Sum256([]byte(code)); string(hash) != string(want[:]) || len(code) != len("k7w2-9xq4-m0st-83bd") {
		t.Fatalf("code %q", code)
	}
	book := &invitations{hash: hash, who: account.Newcomer{Login: "nina", Organisation: "Home", Actor: account.Actor{Org: 1, Staff: 2, Name: "Nina Kos"}}}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	door := &signin.Invitations{Book: book, Door: signin.New(nil, nil, func() time.Time { return now })}
	from := netip.MustParseAddr("192.0.2.1")
	const good = "violet-otter-sings-loudly"
	for _, c := range []struct {
		code, password string
		want           fault.Kind
	}{
		{"", good, fault.NotFound}, {"k7w2-9xq4-m0st-83bd", good, fault.NotFound}, {code, "nina", fault.Invalid}, {code, "ninakos ninakos", fault.Invalid},
		{code, strings.Repeat("violet otter ", 100), fault.Invalid}, {" " + strings.ToUpper(code) + "\n", good, ""}, {code, good, fault.NotFound},
	} {
		login, err := door.Accept(t.Context(), from, c.code, c.password)
		if c.want != "" && !fault.Is(err, c.want) || c.want == "" && (err != nil || login != "nina") {
			t.Errorf("%q, %q: %q %v", c.code, c.password, login, err)
		}
	}
	if ok, err := signin.Verify(good, book.password); err != nil || !ok {
		t.Errorf("the password was not set: %v", err)
	}
	// Who guesses codes has to wait like who guesses passwords.
	var err error
	for range 40 {
		_, err = door.Accept(t.Context(), from, "guess", good)
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("the fortieth guess: %v", err)
	}
}
