package signin

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"net/url"
	"strings"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"hale/account"
	"hale/fault"
)

// The codes: RFC 6238 with what every authenticator understands (SHA-1, six digits, 30 s), a secret of 160 bits (RFC 4226,
// section 4, R6), and one step of drift to either side (RFC 6238, section 5.2).
const (
	stepSeconds   = 30
	drift         = 1
	secretBytes   = 20
	recoveryCodes = 10
	longestCode   = 64 // bytes of what is taken for a code
	issuer        = "Hale"
)

// CodeNeededError says that login and password are right, and that the code of the second factor is wanted with them. It
// is the cause of a fault.Unauthenticated and no failure.
type CodeNeededError struct{ ticket string }

// Error says what is needed.
func (e *CodeNeededError) Error() string { return "a code of your second factor is needed to sign in" }

// Ticket returns what may be shown with the code instead of login and password, for five minutes.
func (e *CodeNeededError) Ticket() string { return e.ticket }

func codeNeeded(ticket string) error {
	e := &CodeNeededError{ticket: ticket}
	return &fault.Error{Kind: fault.Unauthenticated, Message: e.Error(), Err: e}
}

func errCode() error {
	return fault.New(fault.Unauthenticated, "the code is wrong, or was used before: wait for the next one")
}

func errNoKey() error {
	return fault.New(fault.Unavailable, "second factors cannot be checked here: this installation has no key for them")
}

// SecondFactor returns how the second factor of somebody who is signed in stands.
func (s *Service) SecondFactor(ctx context.Context, actor account.Actor) (account.SecondFactor, error) {
	_, state, err := s.record.Factor(ctx, actor)
	if err != nil {
		return state, err
	}
	_, hash, err := s.record.Password(ctx, actor)
	state.Elsewhere = hash == ""
	state.Possible = s.key != nil && !state.Elsewhere
	return state, err
}

// OfferFactor makes a secret for the authenticator of somebody who is signed in and shows the password once more: as text
// to type and as the otpauth:// address that its QR code holds. It is not asked for before ConfirmFactor. A wrong password
// is fault.Unauthenticated and counts as one at signing in; a factor that is on already is fault.Conflict.
func (s *Service) OfferFactor(ctx context.Context, actor account.Actor, password string) (address, secret string, err error) {
	if s.key == nil {
		return "", "", errNoKey()
	}
	login, err := s.again(ctx, actor, password, nil)
	if err != nil {
		return "", "", err
	}
	raw := make([]byte, secretBytes)
	rand.Read(raw)
	if err := s.record.OfferFactor(ctx, actor, s.key.seal(raw, purposeOf(actor))); err != nil {
		return "", "", err
	}
	secret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	return addressOf(login, secret), secret, nil
}

// OfferedFactor returns the address and the secret that were offered and are not confirmed yet; fault.NotFound when there
// is no such thing.
func (s *Service) OfferedFactor(ctx context.Context, actor account.Actor) (address, secret string, err error) {
	sealed, raw, err := s.offered(ctx, actor)
	if err != nil || sealed == nil {
		return "", "", err
	}
	login, _, err := s.record.Password(ctx, actor)
	if err != nil {
		return "", "", err
	}
	secret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	return addressOf(login, secret), secret, nil
}

// addressOf is what the QR code holds (the Key URI Format of authenticators).
func addressOf(login, secret string) string {
	q := "secret=" + secret + "&issuer=" + issuer + "&algorithm=SHA1&digits=6&period=30"
	return "otpauth://totp/" + issuer + ":" + url.PathEscape(login) + "?" + q
}

func (s *Service) offered(ctx context.Context, actor account.Actor) (sealed, raw []byte, err error) {
	if err := hasPassword(actor); err != nil {
		return nil, nil, err
	}
	if s.key == nil {
		return nil, nil, errNoKey()
	}
	sealed, state, err := s.record.Factor(ctx, actor)
	switch {
	case err != nil:
		return nil, nil, err
	case sealed == nil || state.On:
		return nil, nil, fault.New(fault.NotFound, "no second factor waits to be confirmed; begin again")
	}
	raw, err = s.key.open(sealed, purposeOf(actor))
	return sealed, raw, err
}

// ConfirmFactor turns the offered second factor on when the code is its own, and returns the recovery codes, which exist
// nowhere else. A wrong code is fault.Invalid.
func (s *Service) ConfirmFactor(ctx context.Context, actor account.Actor, code string) (recovery []string, err error) {
	sealed, raw, err := s.offered(ctx, actor)
	if err != nil {
		return nil, err
	}
	step, ok := s.stepOf(raw, tidy(code))
	if !ok {
		return nil, fault.New(fault.Invalid, "the code is wrong: type the six digits that the authenticator shows now, and see that the phone's clock is right")
	}
	hashes := make([][]byte, 0, recoveryCodes)
	for range recoveryCodes {
		one := NewPassword()
		recovery = append(recovery, one)
		hashes = append(hashes, hashOf(tidy(one)))
	}
	ended, err := s.record.ConfirmFactor(ctx, actor, sealed, step, hashes)
	s.ended(ended...)
	return recovery, err
}

// RemoveFactor turns the second factor off for somebody who shows password and code once more. What is wrong is
// fault.Unauthenticated and counts as at signing in.
func (s *Service) RemoveFactor(ctx context.Context, actor account.Actor, password, code string) error {
	_, err := s.again(ctx, actor, password, func() error {
		if tidy(code) == "" {
			return errCode()
		}
		return s.secondFactor(ctx, actor, code, nil)
	})
	if err != nil {
		return err
	}
	return s.record.RemoveFactor(ctx, actor)
}

// again asks somebody who is signed in for the password once more, under the limits of signing in: whoever finds a screen
// unlocked can guess no better than at the door. It returns the login.
func (s *Service) again(ctx context.Context, actor account.Actor, password string, further func() error) (login string, err error) {
	if err := hasPassword(actor); err != nil {
		return "", err
	}
	login, hash, err := s.record.Password(ctx, actor)
	if err != nil {
		return "", err
	}
	if hash == "" {
		return "", fault.New(fault.Forbidden, "you sign in by the identity provider and have no password here")
	}
	if len(password) > longestPassword {
		return "", errPassword()
	}
	_, err = s.counted(ctx, login, func() (account.Actor, error) {
		same, err := s.verify(ctx, password, hash)
		if err != nil {
			return actor, err
		}
		if !same {
			return actor, errPassword()
		}
		if further != nil {
			return actor, further()
		}
		return actor, nil
	})
	return login, err
}

func errPassword() error { return fault.New(fault.Unauthenticated, "the password is wrong") }

// secondFactor asks for what somebody with a second factor must show besides the password. ask makes the error for a code
// that is missing.
func (s *Service) secondFactor(ctx context.Context, who account.Actor, code string, ask func() error) error {
	sealed, state, err := s.record.Factor(ctx, who)
	if err != nil || !state.On {
		return err
	}
	if s.key == nil {
		return errNoKey()
	}
	if code = tidy(code); code == "" {
		return ask()
	}
	if len(code) > longestCode {
		return errCode()
	}
	if len(code) != int(otp.DigitsSix) {
		taken, err := s.record.UseRecovery(ctx, who, hashOf(code))
		return wrongUnless(taken, err)
	}
	raw, err := s.key.open(sealed, purposeOf(who))
	if err != nil {
		return err
	}
	step, ok := s.stepOf(raw, code)
	if !ok {
		return errCode()
	}
	taken, err := s.record.UseStep(ctx, who, step)
	return wrongUnless(taken, err)
}

func wrongUnless(taken bool, err error) error {
	if err == nil && !taken {
		return errCode()
	}
	return err
}

// stepOf returns the time step whose code this is, of now and the steps around it.
func (s *Service) stepOf(secret []byte, code string) (step int64, ok bool) {
	now := s.now().Unix() / stepSeconds
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	for at := now - drift; at <= now+drift; at++ {
		same, err := hotp.ValidateCustom(code, uint64(at), text, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && same {
			step, ok = at, true
		}
	}
	return step, ok
}

// tidy takes away what people and phones put into codes to make them readable.
func tidy(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.TrimSpace(code)))
}
