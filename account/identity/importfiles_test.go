package identity_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
)

func TestWhatDidNotComeInCanBeMendedAndSentAgain(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	o := identity.ImportOptions{Zone: "UTC"}
	d.take(t, identity.ImportPatients, o, header+"Ana Novak,1941,,,,,,1,\n")
	m := d.imports()
	text := "\ufeffname;birth_date;identifier:urn:a\r\nAna Novak;1941;2\r\n\"=SUM(A1)\";soon;'-5\r\n\"Jan \"\"J\"\" Kovač\";1950;\"3;4\"\r\n"
	i, _, err := m.Check(t.Context(), admin(), identity.ImportPatients, o, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Left(t.Context(), admin(), i.UID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Advance(t.Context(), admin(), i.UID, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	left, err := m.Left(t.Context(), admin(), i.UID)
	if err != nil || string(left) != string(before) {
		t.Fatalf("%q\n%q\n%v", before, left, err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(left), "\ufeff"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows[1:] {
		rows[i+1][1] = rows[i+1][1][:20]
	}
	want := [][]string{
		{"line", "problem", "name", "birth_date", "identifier:urn:a"},
		{"2", "this may be somebody", "Ana Novak", "1941", "2"}, {"3", "birth_date: give a d", "'=SUM(A1)", "soon", "'-5"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	mended := strings.Replace(strings.Replace(string(left), "soon", "1960", 1), "Ana Novak,1941,2", "Ana Novak,1941,1", 1)
	if diff := cmp.Diff([]string{"2 same", "3 new"}, d.take(t, identity.ImportPatients, o, mended)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("=SUM(A1)", d.people[len(d.people)-1].Name); diff != "" {
		t.Error(diff)
	}
}

func TestFilesThatAreNotUnderstoodAreRefusedWhole(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                       "the file is empty",
		"\ufeff":                                 "the file is empty",
		"name,zone\n":                            "the file has a header and no rows",
		"zone\nUTC\n":                            "line 1: the column name is missing",
		"name,surname\nAna,Novak\n":              `line 1: column 2 ("surname") is not known`,
		"name,name\nAna,Novak\n":                 "line 1: column 2: there are two columns name",
		"name,identifier:card\nAna,1\n":          "line 1: column 2: after identifier: must stand the URI",
		"name,zone\nAna,UTC\nJan,\"UTC\nEva,UTC": "line 4, column ",
		"name,zone\nA\"na,UTC\n":                 "line 2, column ",
		"name\nAna\nJ\xe4n\n":                    "line 3: this is not UTF-8",
		"\xff\xfen\x00a\x00m\x00e\x00":           "line 1: this is not UTF-8",
		"name\nAna\n\x00\n":                      "line 3: this is not UTF-8",
		"{":                                      "this is FHIR",
	} {
		d := newCabinet()
		_, _, err := d.imports().Check(t.Context(), admin(), identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text))
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(fault.MessageOf(err), want) {
			t.Errorf("%q: %v", text, err)
		}
		if len(d.runs) > 0 {
			t.Errorf("%q was kept", text)
		}
	}
}

func TestWhoMayBringPeopleIn(t *testing.T) {
	t.Parallel()
	for role, want := range map[account.Role][2]fault.Kind{
		account.Administrator: {"", ""}, account.Manager: {"", fault.Forbidden}, account.DeviceDesk: {"", fault.Forbidden},
		account.Nurse: {fault.Forbidden, fault.Forbidden}, account.SelfRole: {fault.Forbidden, fault.Forbidden}, account.SystemRole: {"", fault.Forbidden},
	} {
		for i, kind := range []identity.ImportKind{identity.ImportPatients, identity.ImportStaff} {
			d := newCabinet()
			actor := account.Actor{Org: 1, Staff: 1, Role: role, Scopes: account.ScopesOf(account.ImportPeople)}
			file := map[identity.ImportKind]string{identity.ImportPatients: "name\nAna\n", identity.ImportStaff: "login,name,role\nana,Ana,nurse\n"}[kind]
			_, _, err := d.imports().Check(t.Context(), actor, kind, identity.ImportOptions{Zone: "UTC"}, []byte(file))
			if got := fault.KindOf(err); err != nil && got != want[i] || err == nil && want[i] != "" {
				t.Errorf("%s, %s: %v, want %q", role, kind, err, want[i])
			}
			if want[0] != "" {
				continue
			}
			run, _, err := d.imports().Check(t.Context(), admin(), kind, identity.ImportOptions{Zone: "UTC"}, []byte(file))
			if err != nil {
				t.Fatal(err)
			}
			hidden := want[i]
			if hidden != "" {
				hidden = fault.NotFound
			}
			if _, err := d.imports().Get(t.Context(), actor, run.UID); err != nil && fault.KindOf(err) != hidden || err == nil && hidden != "" {
				t.Errorf("%s finds an import of %s: %v", role, kind, err)
			}
		}
	}
}

// TestAProgramLearnsNothingThatItMayNotSee: a key that may only bring people in is not told what was there.
func TestAProgramLearnsNothingThatItMayNotSee(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	d.take(t, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, header+"Ana Novak,1941-03-02,,,,,,1,\n")
	for _, see := range []bool{false, true} {
		scopes := []account.Action{account.ImportPeople}
		want := "2 changed name[>Ana Kovač]"
		if see {
			scopes, want = append(scopes, account.SeePatients), "2 changed name[Ana Novak>Ana Kovač]"
		}
		key := account.Actor{Org: 1, Key: 1, Role: account.SystemRole, Scopes: account.ScopesOf(scopes...)}
		_, lines, err := d.imports().Check(t.Context(), key, identity.ImportPatients, identity.ImportOptions{}, []byte(header+"Ana Kovač,1941-03-02,,,,,,1,\n"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, words(lines)); diff != "" {
			t.Error(diff)
		}
	}
}

// FuzzImport looks for a file that breaks the reader, and for one whose left rows are not read again as what they were.
func FuzzImport(f *testing.F) {
	f.Add([]byte(header + "Ana,1941,female,UTC,P-1,Night,yes,1,2\n"))
	f.Add([]byte("\ufeffname;zone\r\n\"A;n\"\"a\";'=1\r\n'@x;\n"))
	f.Add([]byte("name\n''-1\n'\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d := newCabinet()
		m := d.imports()
		// Without a zone nobody comes in: every row is left.
		i, lines, err := m.Check(t.Context(), admin(), identity.ImportPatients, identity.ImportOptions{}, text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if len(lines) != i.Rows {
			t.Fatalf("%d lines for %d rows", len(lines), i.Rows)
		}
		left, err := m.Left(t.Context(), admin(), i.UID)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := m.Check(t.Context(), admin(), identity.ImportPatients, identity.ImportOptions{}, left)
		if i.Counts.New == 0 && (err != nil || again.Counts != i.Counts) {
			t.Fatalf("%q was left as %q: %+v, %+v, %v", text, left, i.Counts, again.Counts, err)
		}
	})
}
