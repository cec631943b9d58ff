package safe_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/guess"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// shelf is a record of one patient and the shares that open.
type shelf struct {
	secret []byte // of the one that opens
	asked  int
}

func (shelf) Patient(_ context.Context, actor account.Actor, uid vital.UID) (account.Patient, error) {
	if uid != "ana" {
		return account.Patient{}, fault.New(fault.NotFound, "there is no such patient")
	}
	return account.Patient{ID: 1, UID: "ana", Org: actor.Org, Name: "Ana", State: account.Active}, nil
}

func (shelf) Shares(context.Context, account.Actor, vital.PatientID) ([]safe.Share, error) {
	return nil, nil
}

func (s *shelf) AddShare(_ context.Context, _ account.Actor, _ account.Patient, one safe.Share, hash []byte) (safe.Share, error) {
	s.secret = hash
	return one, nil
}

func (shelf) EndShare(context.Context, account.Actor, vital.UID, func(*account.Patient, account.CaregiverID) error) error {
	return nil
}

func (s *shelf) OpenShare(_ context.Context, hash []byte, _ string) (safe.Opened, error) {
	s.asked++
	if string(hash) == string(s.secret) {
		return safe.Opened{Patient: "ana", Actor: ana()}, nil
	}
	return safe.Opened{}, fault.New(fault.NotFound, "no")
}

func sharing() (*safe.Shares, *shelf, *time.Time) {
	now := at(0)
	s := &shelf{}
	return safe.NewShares(s, s, func() time.Time { return now }), s, &now
}

func ana() account.Actor { return account.Actor{Org: 1, Self: 1, Role: account.SelfRole, Name: "Ana"} }

func TestAShareHasBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		what  safe.Portion
		lasts time.Duration
		opens int
		kind  fault.Kind
	}{
		"a quarter of an hour, once":           {safe.ShareSheet, 15 * time.Minute, 1, ""},
		"seven days, a hundred times":          {safe.ShareEverything, 7 * 24 * time.Hour, 100, ""},
		"less than a quarter of an hour":       {safe.ShareSheet, 15*time.Minute - 1, 1, fault.Invalid},
		"more than seven days":                 {safe.ShareSheet, 7*24*time.Hour + 1, 1, fault.Invalid},
		"never":                                {safe.ShareSheet, time.Hour, 0, fault.Invalid},
		"more often than anybody needs":        {safe.ShareSheet, time.Hour, 101, fault.Invalid},
		"something that is no portion of data": {"limits", time.Hour, 1, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, _ := sharing()
			_, _, err := s.Make(t.Context(), ana(), "ana", c.what, c.lasts, c.opens)
			if (c.kind == "") != (err == nil) || err != nil && !fault.Is(err, c.kind) {
				t.Errorf("it said %v", err)
			}
		})
	}
}

func TestASecretIsTypedInAnyWayAndNoTwoAreTheSame(t *testing.T) {
	t.Parallel()
	s, _, _ := sharing()
	_, first, err := s.Make(t.Context(), ana(), "ana", safe.ShareSheet, time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := s.Make(t.Context(), ana(), "ana", safe.ShareSheet, time.Hour, 1)
	if err != nil || first == secret || len(secret) != 20 || strings.ContainsAny(secret, "ilou") {
		t.Fatalf("%q, %q, %v", first, secret, err)
	}
	for _, typed := range []string{secret, strings.ToUpper(secret), guess.Spelled(secret), " " + strings.ReplaceAll(guess.Spelled(secret), "-", " ") + "\n"} {
		if _, _, err := s.Open(t.Context(), typed, netip.Addr{}); err != nil {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestWhoGuessesCodesHasToWait(t *testing.T) {
	t.Parallel()
	s, book, now := sharing()
	_, secret, err := s.Make(t.Context(), ana(), "ana", safe.ShareSheet, time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	guesser, neighbour := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:0:1::1")
	for range 10 {
		if _, _, err := s.Open(t.Context(), strings.Repeat("B", 20), guesser); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
	}
	asked := book.asked
	_, _, err = s.Open(t.Context(), secret, netip.MustParseAddr("2001:db8::ffff")) // the same household
	var many *guess.TooManyError
	if !errors.As(err, &many) || many.RetryAfter() != guess.FirstWait || book.asked != asked {
		t.Errorf("after ten mistakes: %v, and the record was asked %d times more", err, book.asked-asked)
	}
	if _, _, err := s.Open(t.Context(), secret, neighbour); err != nil {
		t.Errorf("a neighbour has to wait too: %v", err)
	}
	*now = now.Add(guess.ForgetAfter + time.Second)
	if _, _, err := s.Open(t.Context(), secret, guesser); err != nil {
		t.Errorf("a quarter of an hour later: %v", err)
	}
}

func TestOnlyPatientsAndGuardiansShare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		actor account.Actor
		kind  fault.Kind
	}{
		"the patient":                           {ana(), ""},
		"another patient":                       {account.Actor{Org: 1, Self: 2, Role: account.SelfRole}, fault.NotFound},
		"a nurse":                               {account.Actor{Org: 1, Staff: 1, Role: account.Nurse}, fault.Forbidden},
		"a caregiver to whom nothing is shared": {account.Actor{Org: 1, Caregiver: 1, Role: account.CaregiverRole}, fault.NotFound},
		"a program":                             {account.Actor{Org: 1, Key: 1, Role: account.SystemRole}, fault.Forbidden},
		"nobody":                                {account.Actor{}, fault.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, _ := sharing()
			_, _, err := s.Make(t.Context(), c.actor, "ana", safe.ShareSheet, time.Hour, 1)
			if (c.kind == "") != (err == nil) || err != nil && !fault.Is(err, c.kind) {
				t.Errorf("it said %v", err)
			}
		})
	}
}
