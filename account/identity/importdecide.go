package identity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/vital"
)

// IdentifierKey is what two identifiers that are the same have in common.
type IdentifierKey struct{ System, Key string }

// ImportQuestion is what rows have to be held against.
type ImportQuestion struct {
	Kind    ImportKind
	Hash    string // of the file
	Rows    []int
	Keys    []IdentifierKey
	Numbers []string
	Names   []string
	Logins  []string
}

// ImportFacts is what the record knows about it.
type ImportFacts struct {
	Now     time.Time
	Teams   map[string]vital.UID // care teams by name
	Usual   string               // the name of the one that takes in who is sent to no other
	Alone   map[vital.UID]bool   // care teams in which nobody can answer alerts
	Taken   map[int]vital.UID    // rows of the same text that came in before, and as whom
	People  []Known              // everybody who is named below
	Owners  map[IdentifierKey]vital.PatientID
	Numbers map[string]vital.PatientID
	Keys    map[string]string            // of names that are asked about, and of People's: what two names that may be one person's have in common
	Named   map[string][]vital.PatientID // by such a key, which is not empty
	Staff   map[string]KnownStaff        // by login
	// What somebody has whom the actor cannot reach: it can be given to nobody, and nobody is told whose it is.
	SpentNumbers map[string]bool
	SpentKeys    map[IdentifierKey]bool
}

// Known is somebody of the record, with the identifiers in force.
type Known struct {
	account.Patient
	Keys []IdentifierKey
	line int // of the file that makes them; 0: they are there
}

// KnownStaff is a member of staff of the record.
type KnownStaff struct {
	Name string
	Role account.Role
}

// Decided is what becomes of a row, and what has to be stored for it. A person whom an earlier row of the same batch makes has
// the negative of that row's number for an ID.
type Decided struct {
	Line    ImportLine
	Patient vital.PatientID  // whom Line.Outcome is about; 0: nobody
	Add     *account.Patient // somebody new
	Give    []Identifier
	Update  *account.Patient  // with the fields that Line.Changes names
	Doubles []vital.PatientID // who may be the same person as the new one
	Staff   *NewStaff
}

// NewStaff is a member of staff whom a file brings.
type NewStaff struct {
	Login, Name string
	Role        account.Role
	Teams       []vital.UID // none: the usual one
	CodeHash    []byte      // of the invitation
}

func questionOf(i Import, rows []ImportRow) ImportQuestion {
	q := ImportQuestion{Kind: i.Kind, Hash: i.Hash}
	for r := range rows {
		row := &rows[r]
		q.Rows = append(q.Rows, row.Row)
		for n := range row.Identifiers {
			q.Keys = append(q.Keys, row.Identifiers[n].pair())
		}
		if row.Number != "" {
			q.Numbers = append(q.Numbers, row.Number)
		}
		if row.Name != "" {
			q.Names = append(q.Names, row.Name)
		}
		if row.Login != "" {
			q.Logins = append(q.Logins, row.Login)
		}
	}
	return q
}

func (i *Identifier) pair() IdentifierKey { return IdentifierKey{i.System, i.Key} }

// BornAlike reports whether two people of one name may be one person: as far as both say, they were born in the same year.
func BornAlike(a, b vital.Date) bool { return a == "" || b == "" || a.Year() == b.Year() }

// decider says what becomes of rows, one after the other: each is held against the record and against the rows before it.
type decider struct {
	run     Import
	facts   ImportFacts
	people  map[vital.PatientID]*Known
	arrived map[string]int // logins of the file, with their line
}

func newDecider(i Import) *decider {
	return &decider{run: i, people: map[vital.PatientID]*Known{}, arrived: map[string]int{}, facts: ImportFacts{
		Taken: map[int]vital.UID{}, Owners: map[IdentifierKey]vital.PatientID{}, Numbers: map[string]vital.PatientID{},
		Keys: map[string]string{}, Named: map[string][]vital.PatientID{}, Staff: map[string]KnownStaff{},
		SpentNumbers: map[string]bool{}, SpentKeys: map[IdentifierKey]bool{},
	}}
}

// learn adds what the record knows. What an earlier row has changed meanwhile stands.
func (d *decider) learn(f ImportFacts) {
	d.facts.Now, d.facts.Teams, d.facts.Usual, d.facts.Alone = f.Now, f.Teams, f.Usual, f.Alone
	maps.Copy(d.facts.Taken, f.Taken)
	maps.Copy(d.facts.Keys, f.Keys)
	maps.Copy(d.facts.Staff, f.Staff)
	maps.Copy(d.facts.SpentNumbers, f.SpentNumbers)
	maps.Copy(d.facts.SpentKeys, f.SpentKeys)
	for i := range f.People {
		if _, there := d.people[f.People[i].ID]; !there {
			d.people[f.People[i].ID] = &f.People[i]
		}
	}
	for key, id := range f.Owners {
		if _, there := d.facts.Owners[key]; !there {
			d.facts.Owners[key] = id
		}
	}
	for number, id := range f.Numbers {
		if _, there := d.facts.Numbers[number]; !there {
			d.facts.Numbers[number] = id
		}
	}
	for name, ids := range f.Named {
		for _, id := range ids {
			d.name(name, id)
		}
	}
}

func (d *decider) name(key string, id vital.PatientID) {
	if key != "" && !slices.Contains(d.facts.Named[key], id) {
		d.facts.Named[key] = append(d.facts.Named[key], id)
	}
}

func (d *decider) decide(row *ImportRow) Decided {
	o := Decided{Line: ImportLine{Row: row.Row, Line: row.Line, Entry: row.Entry}}
	switch {
	case row.Problem != "":
		o.refuse(row.Field, "%s", row.Problem)
	case d.run.Kind == ImportStaff:
		d.staff(row, &o)
	case d.facts.Taken[row.Row] != "":
		o.Line.Outcome, o.Line.Patient, o.Line.ByWhat = OutcomeSame, d.facts.Taken[row.Row], "this file"
	case !d.spent(row, &o):
		d.patient(row, &o)
	}
	return o
}

// spent refuses a row with a number or an identifier of somebody who is out of reach, as the record of an erased person is of which
// a law keeps something. It says neither whose it is nor why.
func (d *decider) spent(row *ImportRow, o *Decided) bool {
	if d.facts.SpentNumbers[row.Number] {
		o.refuse(columnNumber, "this number was given already and cannot be given again")
		return true
	}
	for i := range row.Identifiers {
		if one := &row.Identifiers[i]; one.InForce(d.facts.Now) && d.facts.SpentKeys[one.pair()] {
			o.refuse(IdentifierColumn(one.System), "this identifier was given already and cannot be given again")
			return true
		}
	}
	return false
}

func (o *Decided) refuse(field, format string, args ...any) {
	o.Line.Outcome, o.Line.Field, o.Line.Problem = OutcomeRefused, field, fmt.Sprintf(format, args...)
}

// patient decides by identifiers who the row is about: nobody yet, one person, or several, which is refused.
func (d *decider) patient(row *ImportRow, o *Decided) {
	var who []vital.PatientID
	point := func(id vital.PatientID, field, byWhat string) {
		if id == 0 || slices.Contains(who, id) {
			return
		}
		who = append(who, id)
		o.Line.Others = append(o.Line.Others, d.candidate(id, byWhat))
		o.Line.Field, o.Line.ByWhat = field, byWhat
	}
	point(d.facts.Numbers[row.Number], columnNumber, columnNumber)
	for i := range row.Identifiers {
		if one := &row.Identifiers[i]; one.InForce(d.facts.Now) {
			point(d.facts.Owners[one.pair()], IdentifierColumn(one.System), one.System)
		}
	}
	switch {
	case len(who) == 0:
		d.stranger(row, o)
	case len(who) > 1:
		o.refuse(o.Line.Field, "the identifiers of this row point to different people: mend the row, or see whether both are one person")
	default:
		o.Line.Others = nil
		d.known(row, o, d.people[who[0]])
	}
}

func (d *decider) candidate(id vital.PatientID, byWhat string) Candidate {
	p := d.people[id]
	return Candidate{ID: id, Patient: p.UID, Name: p.Name, Number: p.Number, Line: p.line, ByWhat: byWhat}
}

// known holds a row against the person whom its identifiers point to.
func (d *decider) known(row *ImportRow, o *Decided, p *Known) {
	o.Patient, o.Line.Patient = p.ID, p.UID
	field := o.Line.Field
	switch {
	case p.State == account.Merged:
		o.refuse(field, "this person is known under another record by now: use an identifier of that one")
	case row.Number != "" && p.Number != "" && row.Number != p.Number:
		o.refuse(columnNumber, "the person whom the identifier points to has another number of the programme")
	default:
		d.compare(row, o, p)
	}
	if o.Line.Outcome == OutcomeRefused {
		o.Patient, o.Give, o.Line.Changes = 0, nil, nil
		return
	}
	o.Line.Field = ""
}

// sameDay reports whether both dates of birth are known to the day, and are the same.
func sameDay(a, b vital.Date) bool { return len(a) == len(time.DateOnly) && a == b }

// doubt tells why the row may be about somebody else than the person whom its identifier points to, as it is after one wrong
// digit; empty when there is no reason, or a person has said that it is the same one. The identifier alone is never enough to
// change anything: the name or the day of birth must say the same, another name wants the day of birth, and another date of
// birth wants a person to look.
func (d *decider) doubt(row *ImportRow, p *Known) string {
	named := row.Name != "" && d.facts.Keys[row.Name] == d.facts.Keys[p.Name]
	born := sameDay(row.Birth, p.BirthDate)
	switch {
	case row.Same:
		return ""
	case row.Birth != "" && p.BirthDate != "" && !row.Birth.Agrees(p.BirthDate):
		return "the person whom this identifier points to has another date of birth: see whose identifier it is, or write yes under same_person when it is theirs"
	case row.Name != "" && !named && !born:
		return "the person whom this identifier points to has another name, and no day of birth says that it is the same person: " +
			"see whose identifier it is, or write yes under same_person when it is theirs"
	case row.Name != "" && !named && contradict(row.Sex, p.Sex):
		return "the person whom this identifier points to has another name and another sex: see whose identifier it is, or write yes under same_person when it is theirs"
	case !named && !born:
		return "an identifier alone changes nothing of a person: give the name or the day of birth too, as the record has it, or write yes under same_person"
	}
	return ""
}

func contradict(a, b string) bool {
	return a != b && a != "" && b != "" && a != "unknown" && b != "unknown"
}

// compare finds what the row changes of a person: what it does not say stays, and so do the zone and the care teams, which
// are decided by people. Another spelling of the same name is taken from a row that gives the day of birth too.
func (d *decider) compare(row *ImportRow, o *Decided, p *Known) {
	to := p.Patient
	name, field := row.Name, o.Line.Field
	if d.facts.Keys[name] == d.facts.Keys[p.Name] && !row.Same && !sameDay(row.Birth, p.BirthDate) {
		name = p.Name
	}
	change := func(field string, at *string, after string) {
		if after != "" && after != *at {
			o.Line.Changes = append(o.Line.Changes, ImportChange{field, *at, after})
			*at = after
		}
	}
	change(columnName, &to.Name, name)
	if birth := string(to.BirthDate); !strings.HasPrefix(birth, string(row.Birth)) { // a date that says less changes nothing
		change(columnBirth, &birth, string(row.Birth))
		to.BirthDate, to.BirthYear = vital.Date(birth), vital.Date(birth).Year()
	}
	if row.Sex != "unknown" {
		change(columnSex, &to.Sex, row.Sex)
	}
	change(columnNumber, &to.Number, row.Number)
	updates := len(o.Line.Changes) > 0
	for i := range row.Identifiers {
		one := row.Identifiers[i]
		if d.facts.Owners[one.pair()] != p.ID && one.InForce(d.facts.Now) {
			o.Give = append(o.Give, one)
			o.Line.Changes = append(o.Line.Changes, ImportChange{Field: IdentifierColumn(one.System), After: one.Value})
		}
	}
	if len(o.Line.Changes) == 0 {
		o.Line.Outcome = OutcomeSame
		return
	}
	if p.State == account.Locked {
		o.refuse("", "care of this patient has ended and the record is locked: nothing of it can be changed")
		return
	}
	if why := d.doubt(row, p); why != "" {
		o.refuse(field, "%s", why)
		return
	}
	o.Line.Outcome = OutcomeChanged
	if updates {
		o.Update = &to
	}
	p.Patient = to
	d.owns(p, o.Give)
}

// owns notes whose the identifiers, the number and the name are from now on.
func (d *decider) owns(p *Known, list []Identifier) {
	for i := range list {
		if list[i].InForce(d.facts.Now) {
			d.facts.Owners[list[i].pair()] = p.ID
			p.Keys = append(p.Keys, list[i].pair())
		}
	}
	if p.Number != "" {
		d.facts.Numbers[p.Number] = p.ID
	}
	d.name(d.facts.Keys[p.Name], p.ID)
}

// stranger takes in somebody to whom no identifier points, unless it may be somebody who is there.
func (d *decider) stranger(row *ImportRow, o *Decided) {
	o.Line.Field, o.Line.ByWhat = "", ""
	p := account.Patient{
		ID: vital.PatientID(-row.Row), Name: row.Name, BirthDate: row.Birth, BirthYear: row.Birth.Year(), Sex: row.Sex, Zone: row.Zone, Number: row.Number, State: account.Active,
	}
	if p.Sex == "" {
		p.Sex = "unknown"
	}
	if p.Zone == "" {
		p.Zone = d.run.Options.Zone
	}
	switch {
	case p.Name == "":
		o.refuse(columnName, "nobody has these identifiers, and a new person needs a name")
		return
	case p.Zone == "":
		o.refuse(columnZone, "a new person needs the time zone of their home, for example Europe/Ljubljana; it can be given for the whole file")
		return
	}
	var ok bool
	if p.Teams, ok = d.teams(row, o); !ok || !d.lookedAfter(p.Teams, o) {
		return
	}
	alike := d.alike(row)
	if len(alike) > 0 && !row.AsNew && !d.run.Options.AsNew {
		for _, id := range alike {
			o.Line.Others = append(o.Line.Others, d.candidate(id, ""))
		}
		o.Line.Outcome = OutcomeDouble
		o.Line.Problem = "this may be somebody who is there, by name and birth, but no identifier says so: give an identifier that both have, or write yes under as_new when they are two people"
		return
	}
	o.Line.Outcome, o.Patient, o.Add, o.Give, o.Doubles = OutcomeNew, p.ID, &p, row.Identifiers, alike
	for _, id := range alike {
		o.Line.Others = append(o.Line.Others, d.candidate(id, ""))
	}
	d.people[p.ID] = &Known{Patient: p, line: row.Line}
	d.owns(d.people[p.ID], row.Identifiers)
}

// alike returns who has the same name and was, as far as both say, born in the same year.
func (d *decider) alike(row *ImportRow) []vital.PatientID {
	var found []vital.PatientID
	key := d.facts.Keys[row.Name]
	for _, id := range d.facts.Named[key] {
		p := d.people[id]
		if p.State != account.Merged && d.facts.Keys[p.Name] == key && BornAlike(p.BirthDate, row.Birth) {
			found = append(found, id)
		}
	}
	return found
}

// teams finds the care teams of a row by their names; false when there is none of a name, and the row is refused.
func (d *decider) teams(row *ImportRow, o *Decided) ([]vital.UID, bool) {
	names := row.Teams
	if len(names) == 0 && d.run.Options.Team != "" {
		names = []string{d.run.Options.Team}
	}
	var list []vital.UID
	for _, name := range names {
		uid, ok := d.facts.Teams[name]
		if !ok {
			o.refuse(columnTeam, "there is no care team %q; several are separated by %s", name, teamSeparator)
			return nil, false
		}
		if !slices.Contains(list, uid) {
			list = append(list, uid)
		}
	}
	return list, true
}

// lookedAfter refuses somebody new whose alerts nobody would see, because none of their care teams has anybody at the bedside.
func (d *decider) lookedAfter(teams []vital.UID, o *Decided) bool {
	if len(teams) == 0 {
		teams = []vital.UID{d.facts.Teams[d.facts.Usual]}
	}
	if slices.ContainsFunc(teams, func(t vital.UID) bool { return !d.facts.Alone[t] }) {
		return true
	}
	o.refuse(columnTeam, "nobody in the care team can answer alerts for the week to come: let a nurse or a physician join who can sign in, or name another team")
	return false
}

// staff decides about a row of staff. Who has the login already is left as they are: rights do not change by a file.
func (d *decider) staff(row *ImportRow, o *Decided) {
	for _, needed := range []struct{ name, text string }{{columnLogin, row.Login}, {columnName, row.Name}, {columnRole, string(row.Role)}} {
		if needed.text == "" {
			o.refuse(needed.name, "a member of staff needs a login, a name and a role")
			return
		}
	}
	have, there := d.facts.Staff[row.Login]
	switch line := d.arrived[row.Login]; {
	case line > 0:
		o.refuse(columnLogin, "line %d has the same login", line)
		return
	case there && (have.Name != row.Name || have.Role != row.Role):
		o.refuse(columnLogin, "this login is of somebody with another name or role: a file does not change those")
		return
	case there:
		o.Line.Outcome, o.Line.ByWhat = OutcomeSame, columnLogin
		return
	}
	teams, ok := d.teams(row, o)
	if !ok {
		return
	}
	d.arrived[row.Login] = row.Line
	o.Line.Outcome = OutcomeNew
	o.Staff = &NewStaff{Login: row.Login, Name: row.Name, Role: row.Role, Teams: teams}
}
