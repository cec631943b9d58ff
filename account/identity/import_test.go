package identity_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/vital"
)

// cabinet is a record in memory for imports: people with their identifiers, and the rows that came in.
type cabinet struct {
	identity.ImportBook
	people  []*identity.Known
	systems []identity.IdentifierSystem
	taken   map[string]map[int]vital.UID // by hash and row
	staff   map[string]identity.KnownStaff
	runs    map[vital.UID]*identity.Import
	texts   map[vital.UID][]byte
	lines   map[vital.UID][]identity.ImportLine
	pairs   []string
	asked   int // questions
	batches int
	broken  int // the batch, from 1, that breaks once; 0: none
}

func newCabinet() *cabinet {
	return &cabinet{
		taken: map[string]map[int]vital.UID{}, staff: map[string]identity.KnownStaff{}, runs: map[vital.UID]*identity.Import{}, texts: map[vital.UID][]byte{}, lines: map[vital.UID][]identity.ImportLine{},
	}
}

const ownNumbers = "urn:hale:number:home"

func (d *cabinet) NumberSystem(context.Context, account.Actor) (string, error) {
	return ownNumbers, nil
}

func (d *cabinet) Systems(context.Context, account.Actor) ([]identity.IdentifierSystem, error) {
	return d.systems, nil
}

func (d *cabinet) KeepImport(_ context.Context, _ account.Actor, i identity.Import, content []byte) (identity.Import, error) {
	i.UID = vital.UID(fmt.Sprintf("import-%d", len(d.runs)+1))
	d.runs[i.UID], d.texts[i.UID] = &i, content
	return i, nil
}

func (d *cabinet) ImportOf(_ context.Context, _ account.Actor, uid vital.UID) (identity.Import, []byte, error) {
	i, ok := d.runs[uid]
	if !ok {
		return identity.Import{}, nil, fault.New(fault.NotFound, "there is no import %s", uid)
	}
	return *i, d.texts[uid], nil
}

func (d *cabinet) ImportLines(_ context.Context, _ account.Actor, uid vital.UID, o identity.Outcome, after, limit int) ([]identity.ImportLine, error) {
	var list []identity.ImportLine
	for _, l := range d.lines[uid] {
		if l.Row > after && (o == "" || l.Outcome == o) && len(list) < limit {
			list = append(list, l)
		}
	}
	return list, nil
}

// folded is what two names have in common, as far as these tests need it; the record's own is tried in postgres.
func folded(name string) string {
	words := strings.Fields(strings.ToLower(name))
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (d *cabinet) Situate(_ context.Context, _ account.Actor, q identity.ImportQuestion) (identity.ImportFacts, error) {
	d.asked++
	f := identity.ImportFacts{
		Now: mayDay(), Teams: map[string]vital.UID{"Home care": "team-1", "Night": "team-2"}, Taken: d.taken[q.Hash], Staff: d.staff,
		Owners: map[identity.IdentifierKey]vital.PatientID{}, Numbers: map[string]vital.PatientID{}, Named: map[string][]vital.PatientID{}, Keys: map[string]string{},
	}
	for _, name := range q.Names {
		f.Keys[name] = folded(name)
	}
	for _, p := range d.people {
		known := *p
		f.People = append(f.People, known)
		for _, k := range p.Keys {
			f.Owners[k] = p.ID
		}
		if p.Number != "" {
			f.Numbers[p.Number] = p.ID
		}
		f.Keys[p.Name] = folded(p.Name)
		f.Named[folded(p.Name)] = append(f.Named[folded(p.Name)], p.ID)
	}
	return f, nil
}

func (d *cabinet) AdvanceImport(ctx context.Context, actor account.Actor, uid vital.UID, ask func(identity.Import) identity.ImportQuestion, decide func(identity.ImportFacts) []identity.Decided) (identity.Import, []identity.ImportLine, error) {
	i := d.runs[uid]
	if d.batches++; d.batches == d.broken {
		return *i, nil, fault.New(fault.Unavailable, "the record is not reachable just now")
	}
	f, err := d.Situate(ctx, actor, ask(*i))
	if err != nil {
		return *i, nil, err
	}
	var lines []identity.ImportLine
	made := map[vital.PatientID]*identity.Known{}
	for _, one := range decide(f) {
		if one.Add != nil {
			p := &identity.Known{Patient: *one.Add}
			p.ID = vital.PatientID(len(d.people) + 1)
			p.UID = vital.UID(fmt.Sprintf("p%d", p.ID))
			made[one.Patient] = p
			d.people = append(d.people, p)
		}
		p := made[one.Patient]
		if one.Patient > 0 {
			p = d.people[one.Patient-1]
		}
		if p != nil {
			if one.Update != nil {
				id, uid := p.ID, p.UID
				p.Patient = *one.Update
				p.ID, p.UID = id, uid
			}
			for _, g := range one.Give {
				if g.InForce(mayDay()) {
					p.Keys = append(p.Keys, identity.IdentifierKey{System: g.System, Key: g.Key})
				}
			}
			one.Line.Patient = p.UID
		}
		for _, other := range one.Doubles {
			if m := made[other]; m != nil {
				other = m.ID
			}
			d.pairs = append(d.pairs, fmt.Sprintf("p%d p%d", other, p.ID))
		}
		if one.Staff != nil {
			d.staff[one.Staff.Login] = identity.KnownStaff{Name: one.Staff.Name, Role: one.Staff.Role}
		}
		if one.Line.Patient != "" && one.Line.Outcome != identity.OutcomeRefused {
			if d.taken[i.Hash] == nil {
				d.taken[i.Hash] = map[int]vital.UID{}
			}
			d.taken[i.Hash][one.Line.Row] = one.Line.Patient
		}
		lines = append(lines, one.Line)
	}
	d.lines[uid] = append(d.lines[uid], lines...)
	if i.Done += len(lines); i.Done == i.Rows {
		i.State = identity.ImportDone
	} else {
		i.State = identity.ImportRunning
	}
	return *i, lines, nil
}

func mayDay() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func (d *cabinet) imports() *identity.Imports {
	return &identity.Imports{
		Book: d, NFC: norm.NFC.String, Now: mayDay,
		Invite: func() (string, []byte) { return "code", make([]byte, 32) },
		FHIR: func([]byte, string) (identity.ImportTable, error) {
			return identity.ImportTable{}, fault.New(fault.Invalid, "this is FHIR")
		},
	}
}

func admin() account.Actor {
	return account.Actor{Org: 1, Staff: 7, Name: "Ada", Role: account.Administrator}
}

// take checks a file and takes it in, and returns what became of each row: its line, outcome and field, and the problem.
func (d *cabinet) take(t *testing.T, kind identity.ImportKind, o identity.ImportOptions, text string) []string {
	t.Helper()
	m := d.imports()
	i, foreseen, err := m.Check(t.Context(), admin(), kind, o, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	before := len(d.people)
	_, came, err := m.Advance(t.Context(), admin(), i.UID, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := words(came), words(foreseen); !slices.Equal(got, want) {
		t.Errorf("foreseen\n%s\nand came to\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	if before == len(d.people) && i.Counts.New > 0 && kind == identity.ImportPatients {
		t.Error("new people were foreseen, and nobody came")
	}
	return words(came)
}

func words(lines []identity.ImportLine) []string {
	var list []string
	for _, l := range lines {
		text := fmt.Sprintf("%d %s", l.Line, l.Outcome)
		for _, c := range l.Changes {
			text += fmt.Sprintf(" %s[%s>%s]", c.Field, c.Before, c.After)
		}
		if l.Field != "" {
			text += " " + l.Field
		}
		if l.Problem != "" {
			text += ": " + l.Problem[:min(len(l.Problem), 48)]
		}
		list = append(list, text)
	}
	return list
}

func (d *cabinet) who() []string {
	var list []string
	for _, p := range d.people {
		var keys []string
		for _, k := range p.Keys {
			keys = append(keys, k.System+"|"+k.Key)
		}
		list = append(list, fmt.Sprintf("%s %s %s %s %v", p.UID, p.Name, p.BirthDate, p.Number, keys))
	}
	return list
}

// What the refusals begin with, as words cuts them.
const (
	otherName  = "the person whom this identifier points to has an"
	aloneWords = "an identifier alone changes nothing of a person:"
)

const header = "name,birth_date,sex,zone,number,team,as_new,identifier:urn:a,identifier:urn:b\n"

func TestWhoIsWhoFollowsFromIdentifiersAlone(t *testing.T) {
	t.Parallel()
	zone := identity.ImportOptions{Zone: "Europe/Ljubljana"}
	for name, c := range map[string]struct {
		before, file string
		options      identity.ImportOptions
		want, who    []string
	}{
		"new people": {
			"", "Ana Novak,1941-03-02,female,,P-1,,,1,\nJan Kovač,1950,,Europe/Madrid,,Night,,,x\n", zone,
			[]string{"2 new", "3 new"}, []string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1]", "p2 Jan Kovač 1950  [urn:b|x]"},
		},
		"the same person says more": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "Ana Novak,1941-03-02,unknown,,,,,1,7\nAna Novak,1941,,,P-1,,,,\n", zone,
			[]string{"2 changed birth_date[1941>1941-03-02] identifier:urn:b[>7]", "3 same"}, []string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1 urn:b|7]"},
		},
		"a changed name of the same day of birth is a change": {
			"Ana Novak,1941-03-02,female,,P-1,,,1,\n", "Ana Kovač,1941-03-02,,,,,,1,\n", zone,
			[]string{"2 changed name[Ana Novak>Ana Kovač]"}, []string{"p1 Ana Kovač 1941-03-02 P-1 [urn:a|1]"},
		},
		"another name is not taken for an identifier or a number alone": {
			"Ana Novak,1941-03-02,female,,P-1,,,1,\n", "F F,,,,,,,1,\nF F,,,,P-1,,,,\n", zone, []string{"2 refused identifier:urn:a: " + otherName, "3 refused number: " + otherName},
			[]string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1]"},
		},
		"another name is not taken when the record has no date of birth": {
			"Ana Novak,,,,P-1,,,1,\n", "F F,1941-03-02,,,,,,1,\n", zone, []string{"2 refused identifier:urn:a: " + otherName}, []string{"p1 Ana Novak  P-1 [urn:a|1]"},
		},
		"another name is not taken for the year of birth": {
			"Ana Novak,1941,,,P-1,,,1,\n", "F F,1941,,,,,,1,\nF F,1941-03-02,,,,,,1,\n", zone, []string{"2 refused identifier:urn:a: " + otherName, "3 refused identifier:urn:a: " + otherName},
			[]string{"p1 Ana Novak 1941 P-1 [urn:a|1]"},
		},
		"another name is not taken of the other sex, as of a twin": {
			"Ana Novak,1941-03-02,female,,P-1,,,1,\n", "Jan Novak,1941-03-02,male,,,,,1,\n", zone, []string{"2 refused identifier:urn:a: " + otherName},
			[]string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1]"},
		},
		"another date of birth of the same name is somebody else, as a son": {
			"Jan Novak,1941,,,P-1,,,1,\n", "Jan Novak,1971-05-06,,,,,,1,\n", zone, []string{"2 refused identifier:urn:a: " + otherName}, []string{"p1 Jan Novak 1941 P-1 [urn:a|1]"},
		},
		"an identifier alone gives nothing and changes nothing": {
			"Ana Novak,1941-03-02,female,,P-1,,,1,\n", ",,male,,,,,1,\n,,,,,,,1,5\n,1941,,,,,,1,5\n,,,,,,,1,\n", zone,
			[]string{"2 refused identifier:urn:a: " + aloneWords, "3 refused identifier:urn:a: " + aloneWords, "4 refused identifier:urn:a: " + aloneWords, "5 same"},
			[]string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1]"},
		},
		"the day of birth says who it is as the name does": {
			"Ana Novak,1941-03-02,,,P-1,,,1,\n", ",1941-03-02,female,,,,,1,5\n", zone, []string{"2 changed sex[unknown>female] identifier:urn:b[>5]"},
			[]string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1 urn:b|5]"},
		},
		"another spelling is no change unless the day of birth is there": {
			"Ana Novak,1941-03-02,,,P-1,,,1,\n", "NOVAK ANA,,,,,,,1,\nNovak Ana,1941-03-02,,,,,,1,\n", zone, []string{"2 same", "3 changed name[Ana Novak>Novak Ana]"},
			[]string{"p1 Novak Ana 1941-03-02 P-1 [urn:a|1]"},
		},
		"the words in another order may be somebody who is there": {
			"Ana Novak,1941-03-02,,,P-1,,,1,\n", "NOVAK ANA,1941,,,,,,2,\n", zone, []string{"2 double: this may be somebody who is there, by name and b"}, []string{"p1 Ana Novak 1941-03-02 P-1 [urn:a|1]"},
		},
		"another name and another birth is somebody else's identifier": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "Jan Kovač,1950,,,,,,1,\n", zone,
			[]string{"2 refused identifier:urn:a: " + otherName}, []string{"p1 Ana Novak 1941 P-1 [urn:a|1]"},
		},
		"two identifiers of two people": {
			"Ana Novak,1941,female,,P-1,,,1,\nJan Kovač,1950,,,,,,,x\n", "Ana Novak,1941,,,,,,1,x\n", zone,
			[]string{"2 refused identifier:urn:b: the identifiers of this row point to different p"},
			[]string{"p1 Ana Novak 1941 P-1 [urn:a|1]", "p2 Jan Kovač 1950  [urn:b|x]"},
		},
		"the number of one and the identifier of another": {
			"Ana Novak,1941,female,,P-1,,,1,\nJan Kovač,1950,,,P-2,,,,x\n", "Ana Novak,1941,,,P-1,,,,x\n", zone,
			[]string{"2 refused identifier:urn:b: the identifiers of this row point to different p"},
			[]string{"p1 Ana Novak 1941 P-1 [urn:a|1]", "p2 Jan Kovač 1950 P-2 [urn:b|x]"},
		},
		"another number of the programme": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "Ana Novak,1941,,,P-9,,,1,\n", zone,
			[]string{"2 refused number: the person whom the identifier points to has ano"}, []string{"p1 Ana Novak 1941 P-1 [urn:a|1]"},
		},
		"a name alone is nobody": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "ana  NOVAK,1941-07,,,,,,2,\n", zone,
			[]string{"2 double: this may be somebody who is there, by name and b"}, []string{"p1 Ana Novak 1941 P-1 [urn:a|1]"},
		},
		"a name without a birth may be anybody of that name": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "Ana Novak,,,,,,,2,\n", zone,
			[]string{"2 double: this may be somebody who is there, by name and b"}, []string{"p1 Ana Novak 1941 P-1 [urn:a|1]"},
		},
		"the same name and another year is somebody else": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "Ana Novak,1950,,,,,,2,\n", zone,
			[]string{"2 new"}, []string{"p1 Ana Novak 1941 P-1 [urn:a|1]", "p2 Ana Novak 1950  [urn:a|2]"},
		},
		"a double comes in when a person says so": {
			"Ana Novak,1941,female,,P-1,,,1,\n", "Ana Novak,1941,,,,,yes,2,\n", zone,
			[]string{"2 new"}, []string{"p1 Ana Novak 1941 P-1 [urn:a|1]", "p2 Ana Novak 1941  [urn:a|2]"},
		},
		"one file names one person twice": {
			"", "Ana Novak,1941,,,,,,1,\nAna Novak,1941-03,,,P-1,,,1,5\nAna Novak,1941,,,,,,,5\nAna Novak,1941,,,,,,,6\n", zone,
			[]string{"2 new", "3 changed birth_date[1941>1941-03] number[>P-1] identifier:urn:b[>5]", "4 same", "5 double: this may be somebody who is there, by name and b"},
			[]string{"p1 Ana Novak 1941-03 P-1 [urn:a|1 urn:b|5]"},
		},
		"what a row lacks": {
			"", ",1941,,,,,,1,\nAna Novak,,,,,,,2,\nJan Kovač,,,UTC,,Nobody,,3,\n", identity.ImportOptions{},
			[]string{"2 refused name: nobody has these identifiers, and a new person n", "3 refused zone: a new person needs the time zone of their home, ", "4 refused team: there is no care team \"Nobody\"; several are sepa"}, nil,
		},
		"what a row has wrong": {
			"", "Ana,2.3.1941,,,,,,,\nAna,2031,,,,,,,\nAna,,F,,,,,,\nAna,,,Ljubljana,,,,,\nAna,,,,,,maybe,,\nAna,1941\n\"A\tna\u0007\",,,,,,,,\n,,,,,,,,\n", zone,
			[]string{
				"2 refused birth_date: give a date as YYYY-MM-DD, or YYYY-MM or YYYY wh", "3 refused birth_date: give a date as YYYY-MM-DD, or YYYY-MM or YYYY wh",
				"4 refused sex: give female, male, other or unknown", "5 refused zone: zone: give a time zone of the IANA data base, fo",
				"6 refused as_new: give yes or no", "7 refused: the row has 2 fields and the header 9: a field t", "8 refused name: give 1 to 200 printable characters",
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newCabinet()
			if c.before != "" {
				d.take(t, identity.ImportPatients, zone, header+c.before)
			}
			if diff := cmp.Diff(c.want, d.take(t, identity.ImportPatients, c.options, header+c.file)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.who, d.who()); diff != "" {
				t.Errorf("people (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPersonMaySayThatTheIdentifierIsRight(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	o := identity.ImportOptions{Zone: "UTC"}
	d.take(t, identity.ImportPatients, o, header+"Ana Novak,1941,female,,P-1,,,1,\n")
	got := d.take(t, identity.ImportPatients, o, "name,birth_date,sex,same_person,identifier:urn:a\nEva Kos,1950,male,no,1\nEva Kos,1950,male,yes,1\nEva Kos,,,maybe,1\n")
	want := []string{"2 refused identifier:urn:a: " + otherName, "3 changed name[Ana Novak>Eva Kos] birth_date[1941>1950] sex[female>male]", "4 refused same_person: give yes or no"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestARowTellsWhomItMayBe: names are for the reader, and are never kept with the row.
func TestARowTellsWhomItMayBe(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	o := identity.ImportOptions{Zone: "UTC"}
	d.take(t, identity.ImportPatients, o, header+"Ana Novak,1941,,,P-1,,,1,\nJan Kos,,,,P-2,,,,2\n")
	m := d.imports()
	for _, see := range []bool{true, false} {
		scopes, want := []account.Action{account.ImportPeople}, []string{"patient p1", "patient p1, by urn:a; patient p2, by urn:b"}
		if see {
			scopes, want = append(scopes, account.SeePatients), []string{"Ana Novak, number P-1", "Ana Novak, number P-1, by urn:a; Jan Kos, number P-2, by urn:b"}
		}
		key := account.Actor{Org: 1, Key: 1, Role: account.SystemRole, Scopes: account.ScopesOf(scopes...)}
		_, lines, err := m.Check(t.Context(), key, identity.ImportPatients, o, []byte(header+"Ana Novak,1941,,,,,,,\nAna Novak,,,,,,,1,2\n"))
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range lines {
			if !strings.HasSuffix(l.Told(), " ("+want[i]+")") || strings.Contains(l.Problem, "Ana") {
				t.Errorf("%q, want it to end with (%s)", l.Told(), want[i])
			}
		}
	}
}

func TestPossibleDoublesThatComeInAreListed(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	d.take(t, identity.ImportPatients, identity.ImportOptions{Zone: "UTC", AsNew: true}, header+"Ana,1941,,,,,,1,\nAna,1941,,,,,,2,\nAna,1950,,,,,,3,\n")
	if diff := cmp.Diff([]string{"p1 p2"}, d.pairs); diff != "" {
		t.Error(diff)
	}
}

func TestTheSameFileTwiceAddsNothing(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	o := identity.ImportOptions{Zone: "UTC", AsNew: true} // even so, and without identifiers
	text := header + "Ana,1941,,,,,,1,\nJan,,,,,,,,\nJan,,,,,,,,\n"
	d.take(t, identity.ImportPatients, o, text)
	who := d.who()
	if diff := cmp.Diff([]string{"2 same", "3 same", "4 same"}, d.take(t, identity.ImportPatients, o, text)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(who, d.who()); diff != "" {
		t.Error(diff)
	}
}

func TestASystemSaysWhetherLargeLettersCount(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	d.systems = []identity.IdentifierSystem{{URI: "urn:a", Title: "Card", Folds: true}}
	o := identity.ImportOptions{Zone: "UTC"}
	// The second name and identifier are the first ones in decomposed letters.
	d.take(t, identity.ImportPatients, o, header+"Zoë,1941,,,,,,KÉ-7,KÉ-7\n")
	got := d.take(t, identity.ImportPatients, o, header+norm.NFD.String("Zoë,1941,,,,,,ké-7,\nZoë,1941,,,,,,,KÉ-7\nZoë,1941,,,,,,,ké-7\n"))
	if diff := cmp.Diff([]string{"2 same", "3 same", "4 double: this may be somebody who is there, by name and b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnImportThatBreaksOffGoesOn(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("name;identifier:urn:a\n")
	const people = 1200
	for n := range people {
		fmt.Fprintf(&text, "Person %d;%d\n", n, n)
	}
	d := newCabinet()
	d.broken = 3
	m := d.imports()
	i, _, err := m.Check(t.Context(), admin(), identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text.String()))
	if err != nil || i.Rows != people || i.Counts.New != people {
		t.Fatalf("%+v %v", i, err)
	}
	if _, _, err := m.Advance(t.Context(), admin(), i.UID, time.Hour, nil); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("the break was not told: %v", err)
	}
	if n := len(d.people); n != 1000 {
		t.Fatalf("%d people before the break", n)
	}
	var heard []int
	i, _, err = m.Advance(t.Context(), admin(), i.UID, time.Hour, func(i identity.Import) { heard = append(heard, i.Done) })
	if err != nil || i.State != identity.ImportDone || len(d.people) != people || !slices.Equal(heard, []int{people}) {
		t.Errorf("%+v, %d people, heard %v, %v", i, len(d.people), heard, err)
	}
}

func TestAnImportIsLinear(t *testing.T) {
	t.Parallel()
	questions := map[int]int{}
	for _, rows := range []int{1000, 10_000} {
		d := newCabinet()
		d.people = nil
		var text strings.Builder
		text.WriteString("name,identifier:urn:a\n")
		for n := range rows {
			fmt.Fprintf(&text, "Person %d,%d\n", n, n)
		}
		m := d.imports()
		i, _, err := m.Check(t.Context(), admin(), identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Advance(t.Context(), admin(), i.UID, time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		questions[rows] = d.asked
	}
	if diff := cmp.Diff(map[int]int{1000: 4, 10_000: 40}, questions); diff != "" {
		t.Error(diff)
	}
}

func TestStaffComeInWithAnInvitation(t *testing.T) {
	t.Parallel()
	d := newCabinet()
	d.staff["eva"] = identity.KnownStaff{Name: "Eva", Role: account.Nurse}
	file := "login,name,role,team\neva,Eva,nurse,\nnina,Nina,Nurse,Home care|Night\nNINA,Nina,nurse,\nnina,Nina,nurse,\neva,Eva,administrator,\nmax,Max,boss,\n,Max,nurse,\n"
	want := []string{
		"2 same", "3 new", "4 new", "5 refused login: line 3 has the same login", "6 refused login: this login is of somebody with another name or r",
		"7 refused role: give nurse, pharmacist, physician, device_desk, ", "8 refused login: a member of staff needs a login, a name and a ro",
	}
	if diff := cmp.Diff(want, d.take(t, identity.ImportStaff, identity.ImportOptions{}, file)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"NINA", "eva", "nina"}, slices.Sorted(maps.Keys(d.staff))); diff != "" {
		t.Error(diff)
	}
}
