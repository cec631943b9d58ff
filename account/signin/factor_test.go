package signin_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hale/account"
	"hale/account/guess"
	"hale/account/signin"
	"hale/fault"
)

func nurse() account.Actor { return account.Actor{Org: 1, Staff: 2, Name: "N", Role: account.Nurse} }

// enrolled is a house in which nurse has a second factor; phone shows the code at a distance from now.
func enrolled(t *testing.T) (s *signin.Service, b *book, c *clock, phone func(time.Duration) string, recovery []string) {
	t.Helper()
	_, b, c = service(t)
	b.fails, b.locks = map[string]int{}, map[string]time.Time{}
	key, err := signin.ParseKey(signin.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	s = signin.New(b, key, c.now)
	address, secret, err := s.OfferFactor(t.Context(), nurse(), "correct horse")
	if err != nil || !strings.HasPrefix(address, "otpauth://totp/Hale:nurse?secret="+secret) {
		t.Fatalf("offered %q, %v", address, err)
	}
	phone = func(d time.Duration) string {
		code, err := totp.GenerateCode(secret, c.now().Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if _, err := s.ConfirmFactor(t.Context(), nurse(), "000000"); !fault.Is(err, fault.Invalid) || b.on {
		t.Fatalf("a wrong code turned it on: %v", err)
	}
	if recovery, err = s.ConfirmFactor(t.Context(), nurse(), phone(0)); err != nil || len(recovery) != 10 {
		t.Fatalf("%d recovery codes, %v", len(recovery), err)
	}
	if strings.Contains(string(b.secret), secret) || len(b.codes) != 10 {
		t.Error("the record holds the secret as it is, or not ten hashes")
	}
	for hash := range b.codes {
		if strings.Contains(strings.Join(recovery, " "), hash) || len(hash) != 32 {
			t.Error("the record holds recovery codes that are not hashed")
		}
	}
	c.pass(2 * time.Minute)
	return s, b, c, phone, recovery
}

func try(t *testing.T, s *signin.Service, p account.Proof) error {
	t.Helper()
	_, _, err := s.SignIn(t.Context(), netip.Addr{}, p)
	return err
}

func TestTheSecondFactorIsAskedForAndItsCodeTakenOnce(t *testing.T) {
	t.Parallel()
	s, b, c, phone, recovery := enrolled(t)
	with := func(code string) account.Proof {
		return account.Proof{Login: "nurse", Password: "correct horse", Code: code}
	}
	refused := func(what string, err error) {
		t.Helper()
		var needed *signin.CodeNeededError
		if !fault.Is(err, fault.Unauthenticated) || errors.As(err, &needed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var needed *signin.CodeNeededError
	if err := try(t, s, with("")); !errors.As(err, &needed) || needed.Ticket() == "" {
		t.Fatalf("the password alone: %v", err)
	}
	if err := try(t, s, account.Proof{Login: "nurse", Password: "x", Code: phone(0)}); fault.MessageOf(err) != "login or password is wrong" {
		t.Errorf("a wrong password with the right code: %v", err)
	}
	code := phone(0)
	if err := try(t, s, with(code[:3]+" "+code[3:])); err != nil {
		t.Errorf("the code: %v", err)
	}
	refused("the same code again", try(t, s, with(code)))
	refused("an earlier code after a later one", try(t, s, with(phone(-30*time.Second))))
	if err := try(t, s, with(phone(30*time.Second))); err != nil {
		t.Errorf("a phone that is one step fast: %v", err)
	}
	c.pass(3 * time.Minute)
	refused("a phone that is two steps slow", try(t, s, with(phone(-60*time.Second))))
	refused("a phone that is two steps fast", try(t, s, with(phone(60*time.Second))))
	if err := try(t, s, with(phone(-30*time.Second))); err != nil {
		t.Errorf("a phone that is one step slow: %v", err)
	}
	if err := try(t, s, with(strings.ToUpper(recovery[3]))); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	refused("the same recovery code again", try(t, s, with(recovery[3])))

	c.pass(2 * time.Minute)
	if err := try(t, s, account.Proof{Ticket: needed.Ticket(), Code: phone(0)}); fault.MessageOf(err) != "that took too long: sign in again" {
		t.Fatalf("the first ticket by now: %v (%d sessions)", err, len(b.sessions))
	}
}

func TestATicketStandsForThePasswordAndForNothingElse(t *testing.T) {
	t.Parallel()
	s, b, c, phone, _ := enrolled(t)
	ticket := func() string {
		var needed *signin.CodeNeededError
		if err := try(t, s, account.Proof{Login: "nurse", Password: "correct horse"}); !errors.As(err, &needed) {
			t.Fatal(err)
		}
		return needed.Ticket()
	}
	given := ticket()
	var needed *signin.CodeNeededError
	if err := try(t, s, account.Proof{Ticket: given}); !errors.As(err, &needed) {
		t.Errorf("a ticket without a code: %v", err)
	}
	if err := try(t, s, account.Proof{Ticket: given, Code: "000000"}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a ticket with a wrong code: %v", err)
	}
	if err := try(t, s, account.Proof{Ticket: given, Code: phone(0)}); err != nil {
		t.Errorf("a ticket with the code: %v", err)
	}
	c.pass(time.Minute)
	changed := []byte(given)
	changed[len(changed)/2] ^= 1
	for what, bad := range map[string]string{"changed": string(changed), "invented": "AAAA", "no text": "%%"} {
		if err := try(t, s, account.Proof{Ticket: bad, Code: phone(0)}); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a ticket that is %s: %v", what, err)
		}
	}
	b.hash = signin.Hash("another one")
	if err := try(t, s, account.Proof{Ticket: given, Code: phone(0)}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the ticket of an old password: %v", err)
	}
}

func TestWrongCodesLeadToTheSameLockAsWrongPasswords(t *testing.T) {
	t.Parallel()
	for what, wrong := range map[string]account.Proof{
		"codes":     {Login: "nurse", Password: "correct horse", Code: "000000"},
		"passwords": {Login: "nurse", Password: "x"},
		"logins":    {Login: "nobody", Password: "x"},
	} {
		s, b, c, phone, _ := enrolled(t)
		for i := range 10 {
			if err := try(t, s, wrong); !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("wrong %s, %d: %v", what, i, err)
			}
			if what == "codes" { // the right password alone wipes no slate
				if err := try(t, s, account.Proof{Login: "nurse", Password: "correct horse"}); err == nil {
					t.Fatal("let in without a code")
				}
			}
			c.pass(time.Minute)
		}
		right := account.Proof{Login: wrong.Login, Password: "correct horse", Code: phone(0)}
		var wait *guess.TooManyError
		if err := try(t, s, right); !errors.As(err, &wait) || wait.RetryAfter() != 14*time.Minute {
			t.Errorf("wrong %s: after ten %v, want 14 minutes more", what, err)
		}
		if len(b.locked) != 1 || (b.locked[0].Staff == 2) != (wrong.Login == "nurse") {
			t.Errorf("wrong %s: locked %+v", what, b.locked)
		}
		c.pass(14 * time.Minute)
		right.Code = phone(0)
		if err := try(t, s, right); wrong.Login == "nurse" && err != nil {
			t.Errorf("wrong %s: after the lock %v", what, err)
		}
	}
}

func TestTurningItOffAsksForBothAgain(t *testing.T) {
	t.Parallel()
	s, b, _, phone, _ := enrolled(t)
	for what, p := range map[string][2]string{"password": {"x", phone(0)}, "code": {"correct horse", "000000"}, "missing code": {"correct horse", " "}} {
		if err := s.RemoveFactor(t.Context(), nurse(), p[0], p[1]); !fault.Is(err, fault.Unauthenticated) || !b.on {
			t.Errorf("with a wrong %s: %v", what, err)
		}
	}
	if b.fails["nurse"] != 3 {
		t.Errorf("%d failures are counted, want 3", b.fails["nurse"])
	}
	if err := s.RemoveFactor(t.Context(), nurse(), "correct horse", phone(0)); err != nil || b.on {
		t.Errorf("%v", err)
	}
	if _, _, err := s.OfferFactor(t.Context(), nurse(), "x"); !fault.Is(err, fault.Unauthenticated) || b.secret != nil {
		t.Errorf("set up without the password: %v", err)
	}
}

func TestWithoutTheKeyNobodyPasses(t *testing.T) {
	t.Parallel()
	_, b, c, phone, _ := enrolled(t)
	other, err := signin.ParseKey(signin.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	for what, key := range map[string]*signin.Key{"no key": nil, "another key": other} {
		if err := try(t, signin.New(b, key, c.now), account.Proof{Login: "nurse", Password: "correct horse", Code: phone(0)}); err == nil || fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, bad := range []string{"", "short", "AAAA"} {
		if _, err := signin.ParseKey(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}
