package account_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// shelf is a record of a few people in memory. Like the real one it hands out rows of any organisation when it is
// asked by uid, so that the Directory's own check is what is tested.
type shelf struct {
	people  []account.Patient
	audit   []account.Audit
	broken  error // what Record answers
	queries []string
}

func (s *shelf) Patients(_ context.Context, _ account.Actor, query string, limit int) ([]account.Patient, error) {
	s.queries = append(s.queries, query)
	return s.people[:min(limit, len(s.people))], nil
}

func (s *shelf) Patient(_ context.Context, _ account.Actor, uid vital.UID) (account.Patient, error) {
	for _, p := range s.people {
		if p.UID == uid {
			return p, nil
		}
	}
	return account.Patient{}, fault.New(fault.NotFound, "there is no patient %s", uid)
}

func (s *shelf) AddPatient(_ context.Context, _ account.Actor, p account.Patient) (account.Patient, error) {
	p.ID, p.UID = 99, "new"
	s.people = append(s.people, p)
	return p, nil
}

func (s *shelf) Record(_ context.Context, a account.Audit) error {
	if s.broken == nil {
		s.audit = append(s.audit, a)
	}
	return s.broken
}

func directory() (*account.Directory, *shelf) {
	s := &shelf{people: []account.Patient{{ID: 1, UID: "ana", Org: 1, Name: "Ana", Relation: account.Relation{Team: true}}, {ID: 2, UID: "bor", Org: 2, Name: "Bor"}}}
	return &account.Directory{People: s, Now: func() time.Time { return noon() }}, s
}

func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func nurse() account.Actor { return account.Actor{Org: 1, Staff: 3, Role: account.Nurse} }
func desk() account.Actor  { return account.Actor{Org: 1, Staff: 4, Role: account.DeviceDesk} }

func TestALookIsWrittenDown(t *testing.T) {
	t.Parallel()
	d, s := directory()
	if _, err := d.Patient(t.Context(), nurse(), "ana"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Readings(t.Context(), nurse(), "ana", "heart_rate"); err != nil {
		t.Fatal(err)
	}
	want := []account.Audit{
		{Org: 1, At: noon(), Actor: nurse(), Action: "look", Patient: 1, Object: "patient ana"},
		{Org: 1, At: noon(), Actor: nurse(), Action: "look", Patient: 1, Object: "patient ana", Detail: "heart_rate"},
	}
	if diff := cmp.Diff(want, s.audit); diff != "" {
		t.Error(diff)
	}
}

func TestALookThatCannotBeWrittenDownShowsNothing(t *testing.T) {
	t.Parallel()
	d, s := directory()
	s.broken = errors.New("disk full")
	p, err := d.Patient(t.Context(), nurse(), "ana")
	if err == nil || p.UID != "" {
		t.Errorf("showed %+v, %v", p, err)
	}
}

func TestAnotherOrganisationsPatientLooksAbsent(t *testing.T) {
	t.Parallel()
	d, s := directory()
	_, foreign := d.Patient(t.Context(), nurse(), "bor")
	_, absent := d.Patient(t.Context(), nurse(), "nobody")
	if !fault.Is(foreign, fault.NotFound) || fault.MessageOf(foreign) != strings.ReplaceAll(fault.MessageOf(absent), "nobody", "bor") {
		t.Errorf("foreign: %v; absent: %v", foreign, absent)
	}
	if len(s.audit) != 0 {
		t.Errorf("audit of a look that showed nothing: %+v", s.audit)
	}
}

func TestOnlyTheRightRolesLook(t *testing.T) {
	t.Parallel()
	d, s := directory()
	if _, err := d.Readings(t.Context(), desk(), "ana", "heart_rate"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the device desk saw readings: %v", err)
	}
	if _, err := d.Patients(t.Context(), account.Actor{}, "", 0); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("nobody listed patients: %v", err)
	}
	if len(s.queries) != 0 {
		t.Error("the record was asked for somebody who may not")
	}
}

func TestPatientsBoundsTheLimit(t *testing.T) {
	t.Parallel()
	d, s := directory()
	for limit, good := range map[int]bool{-1: false, 0: true, 1: true, account.MostPatients: true, account.MostPatients + 1: false} {
		_, err := d.Patients(t.Context(), nurse(), "  an ", limit)
		if good != (err == nil) || !good && !fault.Is(err, fault.Invalid) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if s.queries[0] != "an" {
		t.Errorf("the record was asked for %q", s.queries[0])
	}
}

func TestAddPatient(t *testing.T) {
	t.Parallel()
	good := account.Patient{Name: "Ana Novak", Number: "P-1", BirthYear: 1941, Sex: "female", Zone: "Europe/Ljubljana"}
	with := func(change func(*account.Patient)) account.Patient {
		p := good
		change(&p)
		return p
	}
	cases := map[string]struct {
		p    account.Patient
		mend string // the field that the message names; empty: taken
	}{
		"a complete person is taken":              {good, ""},
		"an unknown year of birth is taken":       {with(func(p *account.Patient) { p.BirthYear = 0 }), ""},
		"a missing sex is unknown":                {with(func(p *account.Patient) { p.Sex = "" }), ""},
		"a missing number is taken":               {with(func(p *account.Patient) { p.Number = "" }), ""},
		"a name with accents is taken":            {with(func(p *account.Patient) { p.Name = "Žiga Čop-O'Neill" }), ""},
		"a name is needed":                        {with(func(p *account.Patient) { p.Name = "  " }), "name"},
		"a name has no line breaks":               {with(func(p *account.Patient) { p.Name = "Ana\nNovak" }), "name"},
		"a name is valid text":                    {with(func(p *account.Patient) { p.Name = "Ana\xff" }), "name"},
		"a name has an end":                       {with(func(p *account.Patient) { p.Name = strings.Repeat("é", 201) }), "name"},
		"a number has an end":                     {with(func(p *account.Patient) { p.Number = strings.Repeat("1", 65) }), "number"},
		"nobody was born before 1900":             {with(func(p *account.Patient) { p.BirthYear = 1899 }), "birth_year"},
		"nobody was born next year":               {with(func(p *account.Patient) { p.BirthYear = 2027 }), "birth_year"},
		"a sex is one of four":                    {with(func(p *account.Patient) { p.Sex = "F" }), "sex"},
		"a zone is needed":                        {with(func(p *account.Patient) { p.Zone = "" }), "zone"},
		"the server's own zone is not a home":     {with(func(p *account.Patient) { p.Zone = "Local" }), "zone"},
		"a zone that does not exist is refused":   {with(func(p *account.Patient) { p.Zone = "Europe/Atlantis" }), "zone"},
		"a path is no zone":                       {with(func(p *account.Patient) { p.Zone = "../../etc/passwd" }), "zone"},
		"an identity from outside is not adopted": {with(func(p *account.Patient) { p.Org, p.UID, p.ID = 2, "mine", 5 }), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _ := directory()
			got, err := d.AddPatient(t.Context(), desk(), c.p)
			if c.mend != "" {
				if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(fault.MessageOf(err), c.mend+":") {
					t.Errorf("got %v, want a message about %s", err, c.mend)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Org != 1 || got.UID != "new" || got.ID != 99 || !got.CreatedAt.Equal(noon()) || got.Sex == "" {
				t.Errorf("stored %+v", got)
			}
		})
	}
}

func TestANurseDoesNotAddPatients(t *testing.T) {
	t.Parallel()
	d, s := directory()
	_, err := d.AddPatient(t.Context(), nurse(), account.Patient{Name: "X", Zone: "UTC"})
	if !fault.Is(err, fault.Forbidden) || len(s.people) != 2 {
		t.Errorf("%v, %d people", err, len(s.people))
	}
}
