package safe_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// book keeps one request in memory.
type book struct {
	e      safe.Erasure
	policy safe.Policy
	now    time.Time
}

func (b *book) Patient(_ context.Context, _ account.Actor, uid vital.UID) (account.Patient, error) {
	if uid != "p" {
		return account.Patient{}, fault.New(fault.NotFound, "nobody")
	}
	return account.Patient{ID: 7, UID: "p", Org: 1, Relation: account.Relation{Shared: account.ScopesOf(account.AskErasure), Guardian: true}}, nil
}

func (b *book) AskErasure(_ context.Context, _ account.Actor, e safe.Erasure) (safe.Erasure, error) {
	e.Number, e.UID, e.PatientUID, e.AskedAt = 3, "e", "p", b.now
	b.e = e
	return e, nil
}

func (b *book) ErasureList(context.Context, account.Actor, vital.PatientID) ([]safe.Erasure, error) {
	return []safe.Erasure{b.e}, nil
}

func (b *book) OneErasure(context.Context, account.Actor, vital.UID) (safe.Erasure, error) {
	return b.e, nil
}

func (b *book) AmendErasure(_ context.Context, _ account.Actor, _ vital.UID, _ string, decide func(safe.Erasure, safe.Policy, time.Time) (safe.Erasure, error)) (safe.Erasure, error) {
	e, err := decide(b.e, b.policy, b.now)
	if err == nil {
		b.e = e
	}
	return b.e, err
}

func (b *book) ErasurePolicy(context.Context, account.Actor) (safe.Policy, error) {
	return b.policy, nil
}

func (b *book) SetErasurePolicy(_ context.Context, _ account.Actor, p safe.Policy) error {
	b.policy = p
	return nil
}

func decideOn() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }

func desk(t *testing.T) (*book, *safe.Erasures, account.Actor, account.Actor, account.Actor) {
	t.Helper()
	b := &book{policy: safe.DefaultPolicy(), now: decideOn()}
	self := account.Actor{Org: 1, Self: 7, Role: account.SelfRole}
	one, two := account.Actor{Org: 1, Staff: 1, Role: account.PrivacyOfficer}, account.Actor{Org: 1, Staff: 2, Role: account.PrivacyOfficer}
	return b, &safe.Erasures{Book: b, People: b}, self, one, two
}

func item(items []safe.ErasureItem, c safe.Class) safe.ErasureItem {
	for _, i := range items {
		if i.Class == c {
			return i
		}
	}
	return safe.ErasureItem{}
}

func TestWhatALawKeepsWithTheNameKeepsTheName(t *testing.T) {
	t.Parallel()
	p := safe.DefaultPolicy()
	items := p.Propose(time.Time{}, decideOn())
	if want := decideOn().AddDate(10, 0, 0); !item(items, safe.ClassReadings).Until.Equal(want) || !item(items, safe.ClassIdentity).Until.Equal(want) {
		t.Errorf("in care: %+v", items)
	}
	items = p.Propose(decideOn().AddDate(-11, 0, 0), decideOn())
	if i := item(items, safe.ClassReadings); !i.Until.IsZero() || i.Ground != "" {
		t.Errorf("eleven years after care readings are %+v", i)
	}
	// Who looked is kept without the name.
	if i := item(items, safe.ClassIdentity); !i.Until.IsZero() || item(items, safe.ClassLooks).Until.IsZero() {
		t.Errorf("who they are is %+v", i)
	}
}

func TestARequestGoesThroughTwoPeople(t *testing.T) {
	t.Parallel()
	b, s, self, one, two := desk(t)
	ctx := t.Context()
	if _, err := s.Ask(ctx, account.Actor{Org: 1, Staff: 5, Role: account.Nurse}, "p", ""); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse asked: %v", err)
	}
	if _, err := s.Ask(ctx, account.Actor{Org: 1, Self: 8, Role: account.SelfRole}, "p", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("another patient asked: %v", err)
	}
	if _, err := s.Ask(ctx, self, "p", "please"); err != nil || b.e.OnPaper {
		t.Fatal(err)
	}
	for what, act := range map[string]func(account.Actor) error{
		"decide":  func(a account.Actor) error { _, err := s.Decide(ctx, a, "e", safe.ErasureDecision{}); return err },
		"confirm": func(a account.Actor) error { _, err := s.Confirm(ctx, a, "e", 3, ""); return err },
		"list":    func(a account.Actor) error { _, err := s.List(ctx, a); return err },
		"policy":  func(a account.Actor) error { return s.SetPolicy(ctx, a, safe.DefaultPolicy()) },
	} {
		for _, a := range []account.Actor{self, {Org: 1, Staff: 5, Role: account.Administrator}, {Org: 1, Staff: 6, Role: account.Physician}} {
			if err := act(a); !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s by %s: %v", what, a.Role, err)
			}
		}
	}
	if _, err := s.Confirm(ctx, two, "e", 3, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("confirmed before it was decided: %v", err)
	}
	refuse := safe.ErasureDecision{Refuse: true}
	if _, err := s.Decide(ctx, one, "e", refuse); !fault.Is(err, fault.Invalid) {
		t.Errorf("refused without a reason: %v", err)
	}
	against := safe.ErasureDecision{Erase: []safe.Class{safe.ClassReadings}}
	if _, err := s.Decide(ctx, one, "e", against); !fault.Is(err, fault.Invalid) {
		t.Errorf("erased against the table without a reason: %v", err)
	}
	if _, err := s.Decide(ctx, one, "e", safe.ErasureDecision{Erase: []safe.Class{"everything"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a class that is none: %v", err)
	}
	against.Answer = "no treatment took place"
	if _, err := s.Decide(ctx, one, "e", against); err != nil || !item(b.e.Items, safe.ClassReadings).Until.IsZero() {
		t.Fatal(err, b.e.Items)
	}
	if _, err := s.Confirm(ctx, one, "e", 3, ""); !fault.Is(err, fault.Forbidden) {
		t.Errorf("who decided confirmed: %v", err)
	}
	if _, err := s.Confirm(ctx, two, "e", 4, ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("confirmed by another number: %v", err)
	}
	if _, err := s.Confirm(ctx, two, "e", 3, ""); err != nil || !b.e.DueAt.Equal(decideOn().AddDate(0, 0, 7)) {
		t.Fatal(err, b.e.DueAt)
	}
	if _, err := s.Withdraw(ctx, self, "e"); err != nil || b.e.State != safe.ErasureWithdrawn || !b.e.DueAt.IsZero() {
		t.Errorf("%+v, %v", b.e, err)
	}
	b.e.State = safe.ErasureErasing
	if _, err := s.Withdraw(ctx, self, "e"); !fault.Is(err, fault.Conflict) {
		t.Errorf("withdrawn while it is carried out: %v", err)
	}
}

// TestCoolingOffBeginsWithTheConfirmation lets the second officer come back from holiday: there is as much time to think it over.
func TestCoolingOffBeginsWithTheConfirmation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ waited, days int }{
		"confirmed at once":                         {0, 7},
		"confirmed after the days have gone by":     {9, 7},
		"an organisation that has no days for it":   {9, 0},
		"confirmed in the middle of the days, long": {20, 30},
	} {
		b, s, self, one, two := desk(t)
		b.policy.CoolingDays = c.days
		ctx := t.Context()
		if _, err := s.Ask(ctx, self, "p", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Decide(ctx, one, "e", safe.ErasureDecision{}); err != nil {
			t.Fatal(err)
		}
		b.now = decideOn().AddDate(0, 0, c.waited)
		e, err := s.Confirm(ctx, two, "e", 3, "")
		if want := decideOn().AddDate(0, 0, c.waited+c.days); err != nil || !e.DueAt.Equal(want) {
			t.Errorf("%s: due at %v, want %v, %v", name, e.DueAt, want, err)
		}
	}
}

func TestAGuardianTakesBackOnlyWhatAGuardianAsked(t *testing.T) {
	t.Parallel()
	b, s, self, one, _ := desk(t)
	ctx := t.Context()
	guardian := account.Actor{Org: 1, Caregiver: 4, Role: account.CaregiverRole}
	for _, asks := range []account.Actor{self, one} {
		if _, err := s.Ask(ctx, asks, "p", "please"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Withdraw(ctx, guardian, "e"); !fault.Is(err, fault.Forbidden) || b.e.State != safe.ErasureAsked {
			t.Errorf("a guardian took back what %s asked: %v", asks.Role, err)
		}
	}
	if _, err := s.Ask(ctx, guardian, "p", "please"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Withdraw(ctx, guardian, "e"); err != nil {
		t.Errorf("a guardian's own: %v", err)
	}
}

func TestATableThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*safe.Policy){
		"kept without a ground":   func(p *safe.Policy) { p.Retention[0].Ground = " " },
		"for 200 years":           func(p *safe.Policy) { p.Retention[0].Years = 200 },
		"a class left out":        func(p *safe.Policy) { p.Retention = p.Retention[1:] },
		"a class twice":           func(p *safe.Policy) { p.Retention[1] = p.Retention[0] },
		"from another event":      func(p *safe.Policy) { p.Retention[0].From = "birth" },
		"a year to think it over": func(p *safe.Policy) { p.CoolingDays = 365 },
	} {
		_, s, _, one, _ := desk(t)
		p := safe.DefaultPolicy()
		spoil(&p)
		if err := s.SetPolicy(t.Context(), one, p); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAReceiptIsCheckedByItsFileAlone(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, _ := key.Public().(ed25519.PublicKey)
	e := &safe.Erasure{Number: 3, Name: "Ana Novak", PatientUID: "0192", AskedAt: decideOn(), CutAt: decideOn(), Items: []safe.ErasureItem{
		{Class: safe.ClassReadings, DoneAt: decideOn()}, {Class: safe.ClassLooks, Until: decideOn().AddDate(3, 0, 0), Ground: "claims"},
	}}
	text, err := safe.NewReceipt("Home", e, safe.DefaultPolicy(), decideOn()).Sign(key)
	if err != nil || strings.Contains(string(text), "Ana") || strings.Contains(string(text), "0192") {
		t.Fatal(string(text), err)
	}
	r, by, err := safe.ReadReceipt(text, public)
	if err != nil || !bytes.Equal(by, public) || len(r.Erased) != 1 || len(r.Kept) != 1 || !r.BackupsUntil.Equal(decideOn().AddDate(0, 0, 35)) {
		t.Errorf("%+v, %v", r, err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	stranger, _ := other.Public().(ed25519.PublicKey)
	unsigned, err := safe.NewReceipt("Home", e, safe.DefaultPolicy(), decideOn()).Sign(nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		text []byte
		key  ed25519.PublicKey
		kind fault.Kind
	}{
		{"another number", bytes.Replace(text, []byte(`"request":3`), []byte(`"request":4`), 1), nil, fault.Conflict},
		{"another key is expected", text, stranger, fault.Conflict},
		{"not signed", unsigned, nil, fault.Conflict},
		{"no receipt", []byte(`{"a":1}`), nil, fault.Invalid},
	}
	for _, c := range cases {
		if _, _, err := safe.ReadReceipt(c.text, c.key); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestNobodyUnderCareIsErasedBeforeTheyWereTold confirms while care stands: red alerts are closed first, and somebody tells them.
func TestNobodyUnderCareIsErasedBeforeTheyWereTold(t *testing.T) {
	t.Parallel()
	b, s, self, one, two := desk(t)
	ctx := t.Context()
	if _, err := s.Ask(ctx, self, "p", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(ctx, one, "e", safe.ErasureDecision{}); err != nil {
		t.Fatal(err)
	}
	b.e.Watched, b.e.OpenRed = true, 1
	if _, err := s.Confirm(ctx, two, "e", 3, "at home"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "1 red alerts") {
		t.Errorf("with a red alert open: %v", err)
	}
	b.e.OpenRed = 0
	if _, err := s.Confirm(ctx, two, "e", 3, "  "); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "told") {
		t.Errorf("nobody has told them: %v", err)
	}
	if e, err := s.Confirm(ctx, two, "e", 3, "at home"); err != nil || e.Told != "at home" {
		t.Errorf("told: %+v, %v", e, err)
	}
	b.e.State, b.e.Watched, b.e.OpenRed = safe.ErasureDecided, false, 2
	if _, err := s.Confirm(ctx, two, "e", 3, ""); err != nil {
		t.Errorf("care has ended: %v", err)
	}
}
