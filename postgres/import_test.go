package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/text/unicode/norm"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/vital"
)

func (r *record) imports() *identity.Imports {
	return &identity.Imports{
		Book: r.app, NFC: norm.NFC.String, Now: time.Now,
		Invite: func() (string, []byte) { return "code", []byte(strings.Repeat("h", 32)) },
	}
}

// bring takes a file of patients in, and returns the import and what became of its rows.
func (r *record) bring(t *testing.T, o identity.ImportOptions, text string) (identity.Import, []identity.ImportLine) {
	t.Helper()
	m := r.imports()
	i, foreseen, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, o, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	i, lines, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range lines {
		if lines[n].Outcome != foreseen[n].Outcome || lines[n].Problem != foreseen[n].Problem {
			t.Errorf("foreseen %+v, came to %+v", foreseen[n], lines[n])
		}
	}
	return i, lines
}

func outcomes(lines []identity.ImportLine) string {
	var list []string
	for _, l := range lines {
		list = append(list, string(l.Outcome))
	}
	return strings.Join(list, " ")
}

const columns = "name,birth_date,sex,zone,number,as_new,identifier:urn:a\n"

func TestAFileOfPatientsComesIn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	zone := identity.ImportOptions{Zone: "Europe/Ljubljana"}
	i, lines := r.bring(t, zone, columns+"Ana Novak,1941-03-02,female,,A-1,,7\nJan Kovač,,,,,,8\nJan Kovač,,,,,,9\n")
	if outcomes(lines) != "new new double" || i.State != identity.ImportDone || i.Counts != (identity.ImportCounts{New: 2, Double: 1}) {
		t.Fatalf("%s %+v", outcomes(lines), i)
	}
	p, err := r.app.Patient(t.Context(), r.nurse, lines[0].Patient)
	if err != nil || p.Name != "Ana Novak" || p.BirthDate != "1941-03-02" || p.BirthYear != 1941 || p.Number != "A-1" || !p.Relation.Team {
		t.Errorf("%+v %v", p, err)
	}
	// New people are as those who are added one by one: the limits, the care team, the audit row.
	for _, query := range []string{
		`SELECT count(*) FROM rule WHERE patient_id = $1`, `SELECT count(*) FROM rule_version v JOIN rule r ON r.id = v.rule_id WHERE r.patient_id = $1`,
		`SELECT count(*) FROM team_patient WHERE patient_id = $1`, `SELECT count(*) FROM audit WHERE patient_id = $1 AND action = 'add patient'`,
	} {
		if one, other := r.count(t, query, p.ID), r.count(t, query, r.patient.ID); one != other || one == 0 {
			t.Errorf("%s: %d, and of somebody who was added alone %d", query, one, other)
		}
	}
	_, lines = r.bring(t, identity.ImportOptions{}, columns+"Ana Kovač,1941-03-02,,,,,7\nAna Kovač,,male,,A-1,,17\n")
	if outcomes(lines) != "changed changed" {
		t.Fatalf("%+v", lines)
	}
	ids := &identity.Identities{Book: r.app, NFC: norm.NFC.String, Now: time.Now}
	changes, err := ids.Changes(t.Context(), r.nurse, p.UID)
	var told []string
	for _, c := range changes {
		told = append(told, c.By+" "+c.Field+" "+c.Before+">"+c.After)
	}
	if diff := cmp.Diff([]string{"Nurse ana sex female>male", "Nurse ana name Ana Novak>Ana Kovač"}, told); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE detail || object LIKE '%Kovač%' OR action <> 'check import' AND detail LIKE '%17%'`); n != 0 {
		t.Errorf("%d audit rows hold a name or an identifier", n)
	}
	for token, want := range map[string]int{"urn:a|7": 1, "urn:a|17": 1, " urn:a | 7 ": 1, "urn:a|70": 0, "urn:b|7": 0} {
		if found, err := ids.Find(t.Context(), r.nurse, token); err != nil || len(found) != want {
			t.Errorf("%s: %d patients, %v", token, len(found), err)
		}
	}
	if found, err := ids.Find(t.Context(), r.staff(t, "Elsewhere", "eva"), "urn:a|7"); err != nil || len(found) != 0 {
		t.Errorf("another organisation finds %v, %v", found, err)
	}
}

func TestTheSameFileAtOnceMakesOneSetOfPeople(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	var text strings.Builder
	text.WriteString(columns)
	const people = 700
	for n := range people {
		fmt.Fprintf(&text, "Ana %d,1940,,,,yes,%d\n", n%350, n) // names twice, and half of them without a number
	}
	for range 3 {
		text.WriteString("Nobody,,,,,yes,\n")
	}
	m := r.imports()
	var wait sync.WaitGroup
	for range 2 {
		i, _, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // and each of the imports is pushed by two
			wait.Go(func() {
				if _, _, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wait.Wait()
	if n := r.count(t, `SELECT count(*) FROM patient WHERE name LIKE 'Ana %' OR name = 'Nobody'`); n != people+3 {
		t.Errorf("%d people, want %d", n, people+3)
	}
	if n := r.count(t, `SELECT count(*) FROM import_line`); n != 2*(people+3) {
		t.Errorf("%d rows were told of", n)
	}
	if n := r.count(t, `SELECT count(*) FROM possible_double`); n != people/2+3 {
		t.Errorf("%d possible doubles, want %d", n, people/2+3)
	}
}

// breaking is a record that goes away in the middle of the second batch, after the people were stored and before the commit.
type breaking struct {
	identity.ImportBook
	batches int
}

func (b *breaking) AdvanceImport(ctx context.Context, actor account.Actor, uid vital.UID, ask func(identity.Import) identity.ImportQuestion, decide func(identity.ImportFacts) []identity.Decided) (identity.Import, []identity.ImportLine, error) {
	b.batches++
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return b.ImportBook.AdvanceImport(ctx, actor, uid, ask, func(f identity.ImportFacts) []identity.Decided {
		list := decide(f)
		if b.batches == 2 {
			cancel()
		}
		return list
	})
}

func TestACrashHalfWayAndThenAgainCompletes(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	var text strings.Builder
	text.WriteString(columns)
	for n := range 1100 {
		fmt.Fprintf(&text, "Person of %d,1940,,,,,%d\n", n, n)
	}
	m := r.imports()
	m.Book = &breaking{ImportBook: r.app}
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil); err == nil {
		t.Fatal("it did not break")
	}
	if n := r.count(t, `SELECT count(*) FROM patient_identifier`); n != 500 {
		t.Fatalf("%d came in before the break", n)
	}
	if i, _, err = m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil); err != nil || i.State != identity.ImportDone || i.Counts.New != 1100 {
		t.Fatalf("%+v %v", i, err)
	}
	if n := r.count(t, `SELECT count(*) FROM patient_identifier`); n != 1100 {
		t.Errorf("%d identifiers", n)
	}
	if _, again := r.bring(t, identity.ImportOptions{Zone: "UTC"}, text.String()); strings.Contains(outcomes(again), "new") {
		t.Error("the same file brought people in again")
	}
}

// TestTenThousandRowsCostTenTimesAThousand counts batches and the rows of patient that were read: what is planned while there
// are few people must not read all of them for each when there are many.
func TestTenThousandRowsCostTenTimesAThousand(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	const people = 10_000
	var text strings.Builder
	text.WriteString(columns)
	for n := range people {
		fmt.Fprintf(&text, "Person of %d,1940,,,,,%d\n", n, n)
	}
	m := r.imports()
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if i, _, err = m.Advance(t.Context(), r.nurse, i.UID, time.Hour, nil); err != nil || i.Counts.New != people {
		t.Fatalf("%+v %v", i, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'import people'`); n != people/identity.ImportBatch {
		t.Errorf("%d batches", n)
	}
	r.app.Close() // what its connections have counted is known when they have ended
	stored := func() int {
		return r.count(t, `SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relname = 'patient'`)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.Tick(20 * time.Millisecond); stored() < people; {
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatalf("the statistics tell of %d people and not of %d", stored(), people)
		}
	}
	// Each is read by the checks of the references to them (about fifteen) and when asked about; the references of the first
	// batch may have been checked by reading all of that batch.
	const first = 20 * identity.ImportBatch * identity.ImportBatch
	if read := r.count(t, `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'patient'`); read < people || read > first+60*people {
		t.Errorf("%d rows of patient were read for %d people", read, people)
	}
}

func TestIdentifiersAreSomebodysUntilTheyEnd(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	other := r.addPatient(t, r.nurse, "2")
	ids := &identity.Identities{Book: r.app, NFC: norm.NFC.String, Now: time.Now}
	add := func(p account.Patient, i identity.Identifier) (identity.Identifier, error) {
		return ids.Add(ctx, r.nurse, p.UID, i)
	}
	if _, err := ids.SetSystem(ctx, r.nurse, identity.IdentifierSystem{URI: "urn:card", Title: "Card", Folds: true}); err != nil {
		t.Fatal(err)
	}
	one, err := add(r.patient, identity.Identifier{System: "urn:card", Value: " K-7 ", Use: "official", From: "2001"})
	if err != nil || one.Value != "K-7" || one.Key != "k-7" {
		t.Fatalf("%+v %v", one, err)
	}
	if _, err := add(other, identity.Identifier{System: "urn:card", Value: "k-7"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("two people have one identifier: %v", err)
	}
	if _, err := ids.SetSystem(ctx, r.nurse, identity.IdentifierSystem{URI: "urn:card", Title: "Card"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("how identifiers compare was changed under them: %v", err)
	}
	if _, err := ids.SetSystem(ctx, r.nurse, identity.IdentifierSystem{URI: "urn:card", Title: "Health card", Folds: true}); err != nil {
		t.Error(err)
	}
	_, number, err := ids.Systems(ctx, r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	for what, i := range map[string]identity.Identifier{
		"the programme's own number": {System: number, Value: "9"}, "no system": {System: "card", Value: "9"}, "no value": {System: "urn:card", Value: " "},
		"a control character": {System: "urn:card", Value: "a\x00"}, "one that is over": {System: "urn:card", Value: "9", To: "2001"}, "an odd use": {System: "urn:card", Value: "9", Use: "main"},
		"an odd date": {System: "urn:card", Value: "9", From: "soon"},
	} {
		if _, err := add(other, i); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if found, err := ids.Find(ctx, r.nurse, number+"|2"); err != nil || len(found) != 1 || found[0].UID != other.UID {
		t.Errorf("by the number: %v %v", found, err)
	}
	if err := ids.End(ctx, r.nurse, r.patient.UID, one.UID, ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("ended without a reason: %v", err)
	}
	if err := ids.End(ctx, r.nurse, other.UID, one.UID, "not hers"); !fault.Is(err, fault.NotFound) {
		t.Errorf("ended under another patient: %v", err)
	}
	if err := ids.End(ctx, r.nurse, r.patient.UID, one.UID, "the card was another's"); err != nil {
		t.Fatal(err)
	}
	if err := ids.End(ctx, r.nurse, r.patient.UID, one.UID, "again"); !fault.Is(err, fault.NotFound) {
		t.Errorf("ended twice: %v", err)
	}
	// What has run out by its own period is free again, though nobody has ended it.
	if _, err := add(other, identity.Identifier{System: "urn:card", Value: "K-7", To: time.Now().Add(24 * time.Hour).Format(time.RFC3339)}); err != nil {
		t.Fatal(err)
	}
	r.exec(t, `UPDATE patient_identifier SET until_at = clock_timestamp() - interval '1 s' WHERE ended_at IS NULL`)
	if found, err := ids.Find(ctx, r.nurse, "urn:card|K-7"); err != nil || len(found) != 0 {
		t.Errorf("an identifier that is over finds %v %v", found, err)
	}
	if _, err := add(r.patient, identity.Identifier{System: "urn:card", Value: "K-7"}); err != nil {
		t.Error(err)
	}
	_, list, err := ids.Of(ctx, r.nurse, r.patient.UID)
	if err != nil || len(list) != 2 || !list[0].InForce(time.Now()) || list[1].Reason != "the card was another's" {
		t.Errorf("%+v %v", list, err)
	}
}

func TestDoublesAreDecidedOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	_, lines := r.bring(t, identity.ImportOptions{Zone: "UTC", AsNew: true}, columns+"Ana,1941-03-02,,,,,1\nAna,1941,,,,,2\n")
	desk := &identity.Doubles{Book: r.app, Now: time.Now}
	open, err := desk.List(t.Context(), r.nurse, identity.DoubleOpen, 10)
	if err != nil || len(open) != 1 || open[0].One.UID != lines[0].Patient || open[0].Other.UID != lines[1].Patient {
		t.Fatalf("%+v %v", open, err)
	}
	_, parts, err := desk.Get(t.Context(), r.nurse, open[0].UID)
	want := []identity.DoublePart{
		{Field: "name", One: "Ana", Other: "Ana", Agree: true}, {Field: "birth_date", One: "1941-03-02", Other: "1941"}, {Field: "sex"},
		{Field: "zone", One: "UTC", Other: "UTC", Agree: true}, {Field: "number"}, {Field: "urn:a", One: "1", Other: "2"},
	}
	if diff := cmp.Diff(want, parts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, _, err := desk.Get(t.Context(), r.staff(t, "Elsewhere", "eva"), open[0].UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organisation sees it: %v", err)
	}
	if _, err := desk.TwoPeople(t.Context(), r.nurse, open[0].UID, "mother and daughter"); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.TwoPeople(t.Context(), r.nurse, open[0].UID, "again"); !fault.Is(err, fault.Conflict) {
		t.Errorf("decided twice: %v", err)
	}
	// Nobody is asked again: not by a list, and not when the pair turns up once more.
	r.exec(t, `INSERT INTO possible_double (org_id, uid, patient_id, other_id, found_at) SELECT org_id, gen_random_uuid(), patient_id, other_id, found_at FROM possible_double
		ON CONFLICT (org_id, patient_id, other_id) DO NOTHING`)
	if open, err := desk.List(t.Context(), r.nurse, identity.DoubleOpen, 10); err != nil || len(open) != 0 {
		t.Errorf("%v %v", open, err)
	}
}

func TestBirthDateAndYearStayInStep(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for _, c := range []struct{ set, want string }{
		{"birth_year = 1941", "1941 1941"}, {"birth_date = '1942-03'", "1942-03 1942"}, {"birth_year = 1942", "1942-03 1942"},
		{"birth_year = 1950", "1950 1950"}, {"birth_date = '1960-01-02', birth_year = 1960", "1960-01-02 1960"}, {"birth_year = 0", " 0"}, {"birth_date = '', birth_year = 0", " 0"},
	} {
		r.exec(t, `UPDATE patient SET `+c.set)
		if n := r.count(t, `SELECT count(*) FROM patient WHERE birth_date || ' ' || birth_year = $1`, c.want); n != 1 {
			t.Errorf("after %s it is not %q", c.set, c.want)
		}
	}
}

func TestStaffComeInWithCodesOfWhichTheRecordKeepsTheHash(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.staff(t, "Elsewhere", "eva")
	m := r.imports()
	n := byte(0)
	m.Invite = func() (string, []byte) {
		n++
		return fmt.Sprintf("code-%d", n), []byte(strings.Repeat(string(rune('a'+n)), 32))
	}
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportStaff, identity.ImportOptions{}, []byte("login,name,role\nnina,Nina,nurse\neva,Eva,nurse\nana,Nurse ana,administrator\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, lines, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil)
	if err != nil || outcomes(lines) != "new refused same" || lines[0].Code != "code-1" || lines[1].Code != "" {
		t.Fatalf("%+v %v", lines, err)
	}
	if n := r.count(t, `SELECT count(*) FROM team_member m JOIN staff s ON s.id = m.staff_id WHERE s.login = 'nina'`); n != 1 {
		t.Error("a new nurse is in no care team")
	}
	if n := r.count(t, `SELECT count(*) FROM staff_invitation`); n != 1 {
		t.Errorf("%d invitations", n)
	}
}

func TestAnInvitationIsUsedOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	code := []byte(strings.Repeat("h", 32))
	m := r.imports()
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportStaff, identity.ImportOptions{}, []byte("login,name,role\nnina,Nina,nurse\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	who, err := r.app.Invitation(t.Context(), code, now)
	if err != nil || who.Login != "nina" || who.Organisation != "Home" || who.Org != r.nurse.Org {
		t.Fatalf("%+v %v", who, err)
	}
	if _, err := r.app.Invitation(t.Context(), code, now.Add(account.InvitationLasts+time.Minute)); !fault.Is(err, fault.NotFound) {
		t.Errorf("a code that is over: %v", err)
	}
	if _, err := r.app.Invitation(t.Context(), []byte(strings.Repeat("x", 32)), now); !fault.Is(err, fault.NotFound) {
		t.Errorf("a code that is nobody's: %v", err)
	}
	if _, hash, err := r.app.Login(t.Context(), "nina"); !fault.Is(err, fault.NotFound) {
		t.Errorf("before: %q %v", hash, err)
	}
	if err := r.app.AcceptInvitation(t.Context(), code, who, "hash", now); err != nil {
		t.Fatal(err)
	}
	if err := r.app.AcceptInvitation(t.Context(), code, who, "other", now); !fault.Is(err, fault.NotFound) {
		t.Errorf("used twice: %v", err)
	}
	if _, hash, err := r.app.Login(t.Context(), "nina"); err != nil || hash != "hash" {
		t.Errorf("after: %q %v", hash, err)
	}
}

// TestNamesHaveTheirWordsInCommon: what makes two names candidates, and never more than that.
func TestNamesHaveTheirWordsInCommon(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"Marija Novak", "NOVAK MARIJA", true}, {"Marija Novak", "Novak, Marija", true}, {"Marija Novak", " márija\u00a0 NOVÁK ", true}, {"Joža Šuštar", "SUSTAR JOZA", true},
		{"Đorđe Łoś", "dorde los", true}, {"Jürgen Groß", "JURGEN GROSS", true}, {"Zoë Ødegård", norm.NFD.String("zoe odegård"), true}, {"O'Brien Máire", "Maire OBrien", true},
		{"Ana Novak-Kovač", "ana kovac novak", true}, {"Γιώργος Σεφέρης", "ΣΕΦΕΡΗΣ ΓΙΩΡΓΟΣ", true}, {"Мария Новак", "НОВАК МАРИЯ", true},
		{"Marija Novak", "Marija Novakova", false}, {"Marija Novak", "Marija", false}, {"Marija Novak", "Marija Novak Novak", false}, {"Ana 1", "Ana 2", false}, {"-", "...", true},
	} {
		if same := r.count(t, `SELECT (name_key($1) = name_key($2))::int`, c.one, c.other) == 1; same != c.same {
			t.Errorf("%q and %q: %v", c.one, c.other, same)
		}
	}
}

func TestSomebodyAddedByHandMayBeSomebodyWhoIsThere(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	dora := r.member(t, "dora", account.DeviceDesk)
	add := func(name string, birth vital.Date) account.Patient {
		t.Helper()
		d := &account.Directory{People: r.app, Now: time.Now}
		p, err := d.AddPatient(t.Context(), dora, account.Patient{Name: name, BirthDate: birth, Zone: "Europe/Ljubljana"})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first, other := add("Marija Novak", "1941-03-02"), add("Marija Novak", "1950")
	second := add("NOVAK, Márija", "1941")
	third := add("Novak Marija", "")
	if diff := cmp.Diff([][]vital.UID{nil, nil, {first.UID}, {first.UID, other.UID, second.UID}}, [][]vital.UID{first.Alike, other.Alike, second.Alike, third.Alike}); diff != "" {
		t.Error(diff)
	}
	desk := &identity.Doubles{Book: r.app, Now: time.Now}
	open, err := desk.List(t.Context(), dora, identity.DoubleOpen, 10)
	if err != nil || len(open) != 4 || open[0].One.UID != first.UID || open[0].Other.UID != second.UID || !open[0].SameName {
		t.Errorf("%+v %v", open, err)
	}
	if diff := cmp.Diff([]vital.UID{}, add("Nova Marija", "1941").Alike, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// TestAFileThatWasForgottenIsNotTakenIn: erasing somebody forgets the files that may name them, also in the middle.
func TestAFileThatWasForgottenIsNotTakenIn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	var text strings.Builder
	text.WriteString(columns)
	for n := range identity.ImportBatch + 1 {
		fmt.Fprintf(&text, "Person of %d,1940,,,,,%d\n", n, n)
	}
	m := r.imports()
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	forget := func(identity.Import) { r.exec(t, `UPDATE import SET content = NULL`) }
	if _, _, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, forget); !fault.Is(err, fault.Gone) {
		t.Errorf("it went on: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM patient_identifier`); n != identity.ImportBatch {
		t.Errorf("%d came in", n)
	}
}

// TestRowsThatAreDoneTellWhomTheyMayBe: the row keeps the record and not the name, which is the one of today.
func TestRowsThatAreDoneTellWhomTheyMayBe(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	i, lines := r.bring(t, identity.ImportOptions{Zone: "UTC"}, columns+"Ana Novak,1941-03-02,,,A-1,,7\nNovak Ana,1941,,,,,8\n")
	if outcomes(lines) != "new double" {
		t.Fatalf("%+v", lines)
	}
	r.exec(t, `UPDATE patient SET name = 'Ana Kos' WHERE number = 'A-1'`)
	_, kept, err := r.imports().Lines(t.Context(), r.nurse, i.UID, identity.OutcomeDouble, 0, 10)
	if err != nil || len(kept) != 1 || !strings.HasSuffix(kept[0].Told(), " (Ana Kos, number A-1)") {
		t.Errorf("%+v %v", kept, err)
	}
	if n := r.count(t, `SELECT count(*) FROM import_line l WHERE l::text LIKE '%Ana%' OR l::text LIKE '%A-1%'`); n != 0 {
		t.Errorf("%d rows keep a name", n)
	}
}

// TestOnlyAKeyThatBringsPeopleInNamesASystem: what a system is called and how its identifiers compare is said by those who bring
// people in, and by a program only when its key says so.
func TestOnlyAKeyThatBringsPeopleInNamesASystem(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ids := &identity.Identities{Book: r.app, NFC: norm.NFC.String, Now: time.Now}
	set := func(scopes ...account.Action) error {
		who := account.Actor{Org: r.nurse.Org, Key: 1, UID: r.nurse.UID, Name: "HIS", Role: account.SystemRole, Scopes: account.ScopesOf(scopes...)}
		_, err := ids.SetSystem(t.Context(), who, identity.IdentifierSystem{URI: "urn:oid:1.2.36.9", Title: "Insurance number"})
		return err
	}
	for _, one := range account.ForSystems() {
		if err := set(one); (err == nil) != (one == account.ImportPeople) || err != nil && !fault.Is(err, fault.Forbidden) {
			t.Errorf("a key that may %s: %v", one, err)
		}
	}
}
