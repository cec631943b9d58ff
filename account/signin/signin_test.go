package signin_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/account/signin"
	"hale/fault"
	"hale/vital"
)

// book keeps credentials and sessions in memory, by the hash it is given.
type book struct {
	signin.Codes // what a test does not use is not there
	signin.Devices
	signin.KeyRing

	mu       sync.Mutex
	hash     string // of nurse's password
	away     error  // what Login answers when set
	sessions map[string]account.Session
	logins   int

	codes  map[string]bool // hash of a recovery code -> it was used
	secret []byte          // sealed
	on     bool
	step   int64
	fails  map[string]int
	locks  map[string]time.Time
	locked []account.Actor // whose login was locked, in order
}

func (b *book) Locked(_ context.Context, login string, now time.Time) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := b.locks[login]; until.After(now) {
		return until, nil
	}
	return time.Time{}, nil
}

// Failed locks only when the test keeps count; postgres has its own test of when a count begins anew.
func (b *book) Failed(_ context.Context, login string, who account.Actor, _, _ time.Time, most int, until time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails == nil {
		return nil
	}
	if b.fails[login]++; b.fails[login] >= most {
		b.locks[login], b.fails[login] = until, 0
		b.locked = append(b.locked, who)
	}
	return nil
}

func (b *book) Forget(_ context.Context, login string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.fails, login)
	return nil
}

func (b *book) Password(context.Context, account.Actor) (login, hash string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return "nurse", b.hash, nil
}

func (b *book) Factor(context.Context, account.Actor) ([]byte, account.SecondFactor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.secret, account.SecondFactor{On: b.on}, nil
}

func (b *book) OfferFactor(_ context.Context, _ account.Actor, sealed []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secret = sealed
	return nil
}

func (b *book) ConfirmFactor(_ context.Context, _ account.Actor, _ []byte, step int64, codes [][]byte) ([]vital.UID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on, b.step, b.codes = true, step, map[string]bool{}
	for _, c := range codes {
		b.codes[string(c)] = false
	}
	return []vital.UID{"opened without it"}, nil
}

func (b *book) UseStep(_ context.Context, _ account.Actor, step int64) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := step > b.step
	b.step = max(b.step, step)
	return taken, nil
}

func (b *book) UseRecovery(_ context.Context, _ account.Actor, code []byte) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	used, known := b.codes[string(code)]
	if known {
		b.codes[string(code)] = true
	}
	return known && !used, nil
}

func (b *book) RemoveFactor(context.Context, account.Actor) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secret, b.on, b.codes = nil, false, nil
	return nil
}

func (b *book) Login(_ context.Context, login string) (account.Actor, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins++
	if b.away != nil {
		return account.Actor{}, "", b.away
	}
	if login != "nurse" {
		return account.Actor{}, "", fault.New(fault.NotFound, "nobody")
	}
	return account.Actor{Org: 1, Staff: 2, Name: "N", Role: account.Nurse}, b.hash, nil
}

func (b *book) OpenSession(_ context.Context, tokenHash []byte, s account.Session) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[string(tokenHash)] = s
	return nil
}

func (b *book) Session(_ context.Context, tokenHash, _ []byte, now time.Time) (account.Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sessions[string(tokenHash)]
	if !ok {
		return s, fault.New(fault.Unauthenticated, "no session")
	}
	looked := s
	looked.SeenAt = now
	b.sessions[string(tokenHash)] = looked
	return s, nil
}

func (b *book) EndSession(_ context.Context, tokenHash, _ []byte, _ time.Time) (vital.UID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	uid := b.sessions[string(tokenHash)].UID
	delete(b.sessions, string(tokenHash))
	return uid, nil
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func service(t *testing.T) (*signin.Service, *book, *clock) {
	t.Helper()
	b := &book{hash: signin.Hash("correct horse"), sessions: map[string]account.Session{}}
	c := &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	return signin.New(b, nil, c.now), b, c
}

func TestHashAndVerify(t *testing.T) {
	t.Parallel()
	hash := signin.Hash("pässword")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash is %s", hash)
	}
	if hash == signin.Hash("pässword") {
		t.Error("two hashes of one password are the same: no salt")
	}
	for password, want := range map[string]bool{"pässword": true, "passwort": false, "": false, "pässword ": false} {
		got, err := signin.Verify(password, hash)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
}

// TestVerifyReadsAForeignHash pins the algorithm to the reference implementation: argon2 -id -t 2 -m 16 -p 1 of
// "password" with the salt "somesalt" (the test vector of its repository, in PHC form).
func TestVerifyReadsAForeignHash(t *testing.T) {
	t.Parallel()
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := signin.Verify("password", vector); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestVerifyRefusesWhatIsNoHash(t *testing.T) {
	t.Parallel()
	good := signin.Hash("x")
	for name, hash := range map[string]string{
		"an empty text":           "",
		"a plain password":        "x",
		"another algorithm":       strings.Replace(good, "argon2id", "argon2i", 1),
		"another version":         strings.Replace(good, "v=19", "v=16", 1),
		"a cost of nothing":       strings.Replace(good, "t=2", "t=0", 1),
		"a cost nobody can pay":   strings.Replace(good, "m=19456", "m=99999999", 1),
		"a truncated key":         good[:len(good)-30],
		"a salt that is not text": strings.Replace(good, "p=1$", "p=1$!", 1),
	} {
		if ok, err := signin.Verify("x", hash); ok || !errors.Is(err, signin.ErrHash) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

func TestNewPasswordIsReadableAndNew(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){3}$`)
	seen := map[string]bool{}
	for range 200 {
		p := signin.NewPassword()
		if !form.MatchString(p) || seen[p] {
			t.Fatalf("password %q (seen before: %v)", p, seen[p])
		}
		seen[p] = true
	}
}

func TestASessionFromSignInToSignOut(t *testing.T) {
	t.Parallel()
	s, b, _ := service(t)
	token, opened, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: " nurse ", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token))
	if _, ok := b.sessions[string(sum[:])]; !ok || len(b.sessions) != 1 {
		t.Error("the session is not kept under the SHA-256 of its token")
	}
	uuid7 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if !uuid7.MatchString(string(opened.UID)) || opened.Actor.Session != opened.UID || len(opened.CSRF) < 40 || opened.CSRF == token {
		t.Errorf("opened %+v", opened)
	}
	found, err := s.SessionOf(t.Context(), token)
	if err != nil || found.Actor.Role != account.Nurse {
		t.Errorf("found %+v, %v", found, err)
	}
	for range 2 {
		if err := s.SignOut(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.SessionOf(t.Context(), token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after signing out: %v", err)
	}
	for _, junk := range []string{"", "x", strings.Repeat("A", 42), strings.Repeat("é", 43)} {
		if _, err := s.SessionOf(t.Context(), junk); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("token %q: %v", junk, err)
		}
	}
}

func TestASessionRunsOut(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		every time.Duration // a look each time this has passed
		looks int
		want  bool
	}{
		"11 hours of rest are fine":                   {11 * time.Hour, 1, true},
		"13 hours of rest end it":                     {13 * time.Hour, 1, false},
		"whoever keeps working stays for six days":    {8 * time.Hour, 18, true},
		"after seven days even a busy session is out": {8 * time.Hour, 21, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b, clock := service(t)
			token, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "correct horse"})
			if err != nil {
				t.Fatal(err)
			}
			for range c.looks {
				clock.pass(c.every)
				_, err = s.SessionOf(t.Context(), token)
			}
			if c.want != (err == nil) || !c.want && !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("last look: %v", err)
			}
			if !c.want && len(b.sessions) != 0 {
				t.Error("a session that ran out was not ended")
			}
		})
	}
}

func TestAWrongLoginAndAWrongPasswordAreOne(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	_, _, wrongPassword := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "x"})
	_, _, wrongLogin := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nobody", Password: "correct horse"})
	_, _, empty := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "", Password: ""})
	for _, err := range []error{wrongPassword, wrongLogin, empty} {
		if !fault.Is(err, fault.Unauthenticated) || fault.MessageOf(err) != "login or password is wrong" {
			t.Errorf("got %v", err)
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"nurse", "nobody"} {
		s, b, clock := service(t)
		for i := range 5 {
			if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: login, Password: "x"}); !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("guess %d: %v", i, err)
			}
		}
		asked := b.logins
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			want *= time.Second
			_, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: login, Password: "correct horse"})
			var wait *guess.TooManyError
			if !errors.As(err, &wait) || wait.RetryAfter() != want || !fault.Is(err, fault.Unavailable) {
				t.Fatalf("%s: got %v, want a wait of %s", login, err, want)
			}
			clock.pass(want)
			if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: login, Password: "x"}); !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("after the wait: %v", err)
			}
		}
		if b.logins != asked+8 {
			t.Errorf("the record was asked %d times while the login had to wait", b.logins-asked-8)
		}
		if login != "nurse" {
			continue
		}
		clock.pass(time.Minute)
		if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: login, Password: "correct horse"}); err != nil {
			t.Errorf("the right password after the wait: %v", err)
		}
		if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: login, Password: "x"}); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("the right password did not wipe the slate: %v", err)
		}
	}
}

func TestYesterdaysMistakesAreForgotten(t *testing.T) {
	t.Parallel()
	s, _, clock := service(t)
	for range 2 {
		for i := range 5 {
			if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "x"}); !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("mistake %d: %v", i, err)
			}
		}
		clock.pass(16 * time.Minute)
	}
}

func TestOneGuesserDoesNotKeepOutOthers(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	for range 6 {
		s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nobody", Password: "x"}) //nolint:errcheck // the failures are what is wanted here
	}
	if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "correct horse"}); err != nil {
		t.Error(err)
	}
}

func TestGuessesAllAtOnceAreCountedOneByOne(t *testing.T) {
	t.Parallel()
	s, b, _ := service(t)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "x"}); err == nil {
				t.Error("a guess was right")
			}
		})
	}
	all.Wait()
	if b.logins > 5 {
		t.Errorf("%d guesses were verified without a wait", b.logins)
	}
}

func TestPeopleOfOneLoginSignInTogether(t *testing.T) {
	t.Parallel()
	s, b, _ := service(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "correct horse"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(b.sessions) != 8 {
		t.Errorf("%d sessions", len(b.sessions))
	}
}

func TestARecordThatIsAwayIsNobodysFailure(t *testing.T) {
	t.Parallel()
	s, b, _ := service(t)
	b.away = fault.New(fault.Unavailable, "the record is away")
	for range 20 {
		if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "correct horse"}); err == nil || fault.MessageOf(err) != "the record is away" {
			t.Fatalf("got %v", err)
		}
	}
	b.away = nil
	if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "correct horse"}); err != nil {
		t.Error(err)
	}
}

func TestOnePasswordAtManyLoginsIsSlowedDownByTheAddress(t *testing.T) {
	t.Parallel()
	s, b, clock := service(t)
	guesser, other := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8")
	for i := range 30 {
		if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: fmt.Sprintf("login-%d", i), Password: "Spring2026"}); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	var wait *guess.TooManyError
	if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: "nurse", Password: "correct horse"}); !errors.As(err, &wait) || wait.RetryAfter() != time.Second {
		t.Errorf("guess 31 was answered with %v", err)
	}
	if _, _, err := s.SignIn(t.Context(), other, account.Proof{Login: "nurse", Password: "correct horse"}); err != nil {
		t.Errorf("somebody elsewhere: %v", err)
	}
	clock.pass(time.Second)
	if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: "nurse", Password: "correct horse"}); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: "login-31", Password: "Spring2026"}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after the wait: %v", err)
	}
	if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: "nurse", Password: "correct horse"}); !errors.As(err, &wait) || wait.RetryAfter() != 2*time.Second {
		t.Errorf("a right password forgave the wrong ones: %v", err)
	}
	for round, pass := range []time.Duration{2 * time.Second, 4 * time.Second} {
		clock.pass(pass)
		asked := b.logins
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: fmt.Sprintf("volley-%d-%d", round, i), Password: "Spring2026"}); err == nil {
					t.Error("a guess was right")
				}
			})
		}
		all.Wait()
		if n := b.logins - asked; n != 1 {
			t.Errorf("after a wait of %s %d guesses sent at once were verified, want one", pass, n)
		}
	}
}

// TestALoginThatIsTurnedOffIsGuessedLikeAnyOther: with an identity provider only the logins for emergencies are left. The others are
// answered as unknown ones are, right password or not, and each answer counts, for the login and for the address.
func TestALoginThatIsTurnedOffIsGuessedLikeAnyOther(t *testing.T) {
	t.Parallel()
	for name, only := range map[string][]string{"another is left": {"chief"}, "none is left": {}} {
		s, _, _ := service(t)
		s.Only = only
		guesser := netip.MustParseAddr("192.0.2.7")
		for i := range 30 {
			login := fmt.Sprintf("login-%d", i/5)
			if i < 5 {
				login = "nurse"
			}
			_, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: login, Password: "correct horse"})
			if !fault.Is(err, fault.Unauthenticated) || fault.MessageOf(err) != "login or password is wrong" {
				t.Fatalf("%s: %s, attempt %d: %v", name, login, i, err)
			}
		}
		var wait *guess.TooManyError
		if _, _, err := s.SignIn(t.Context(), netip.MustParseAddr("192.0.2.8"), account.Proof{Login: "nurse", Password: "correct horse"}); !errors.As(err, &wait) {
			t.Errorf("%s: the login does not count: %v", name, err)
		}
		if _, _, err := s.SignIn(t.Context(), guesser, account.Proof{Login: "chief", Password: "x"}); !errors.As(err, &wait) {
			t.Errorf("%s: the address does not count: %v", name, err)
		}
	}
	s, _, _ := service(t)
	s.Only = []string{"nurse"}
	if _, _, err := s.SignIn(t.Context(), netip.Addr{}, account.Proof{Login: "nurse", Password: "correct horse"}); err != nil {
		t.Errorf("the login that is left: %v", err)
	}
}
