package signin

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/fault"
)

// InvitationBook is the record as invitations need it.
type InvitationBook interface {
	// Invitation returns whose code this is; fault.NotFound when it is nobody's, used up or over.
	Invitation(ctx context.Context, codeHash []byte, now time.Time) (account.Newcomer, error)
	// AcceptInvitation sets the first password and uses the code up, with the audit row; fault.NotFound when somebody has.
	AcceptInvitation(ctx context.Context, codeHash []byte, who account.Newcomer, passwordHash string, now time.Time) error
}

// Invitations lets somebody new choose their first password with the code that they were given.
type Invitations struct {
	Book InvitationBook
	Door *Service // whose waits for guessing addresses hold here too
}

// NewInvitation returns a code of 80 bits and the hash that the record keeps of it.
func NewInvitation() (code string, hash []byte) {
	code = NewPassword()
	return code, hashOf(code)
}

// Accept sets the first password of whoever has the code, and returns the login to sign in with. A code that is nobody's, used
// up or over is the same fault.NotFound, and counts as a wrong guess of the address; a weak password is fault.Invalid and uses
// nothing up.
func (v *Invitations) Accept(ctx context.Context, from netip.Addr, code, password string) (login string, err error) {
	s := v.Door
	if wait := s.addresses.Begin(from, s.now()); wait > 0 {
		return "", guess.TooMany(wait)
	}
	defer s.addresses.Leave(from)
	hash := hashOf(strings.ToLower(strings.TrimSpace(code)))
	who, err := v.Book.Invitation(ctx, hash, s.now())
	if fault.Is(err, fault.NotFound) {
		s.addresses.Failed(from, s.now())
		return "", errNoInvitation()
	}
	if err != nil {
		return "", err
	}
	if len(password) > longestPassword {
		return "", fault.New(fault.Invalid, "password: give at most %d bytes", longestPassword)
	}
	if err := Weak(password, who.Login, who.Name, who.Organisation); err != nil {
		return "", err
	}
	err = v.Book.AcceptInvitation(ctx, hash, who, Hash(password), s.now())
	if fault.Is(err, fault.NotFound) {
		return "", errNoInvitation()
	}
	return who.Login, err
}

func errNoInvitation() error {
	return fault.New(fault.NotFound, "this code is wrong, used up or over: ask whoever invited you for a new one")
}
