package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// ImportKind says who comes in by a file.
type ImportKind string

// The kinds of import.
const (
	ImportPatients ImportKind = "patients"
	ImportStaff    ImportKind = "staff"
)

// ImportState says how far an import is.
type ImportState string

// The states of an import. Checked: nothing is stored yet but the file. Running: some of its rows are.
const (
	ImportChecked ImportState = "checked"
	ImportRunning ImportState = "running"
	ImportDone    ImportState = "done"
)

// ImportOptions are what the file itself does not say.
type ImportOptions struct {
	Zone  string `json:"zone,omitempty"`   // IANA time zone of new patients whose row has none
	Team  string `json:"team,omitempty"`   // name of the care team of those whose row has none; "" is the usual one
	AsNew bool   `json:"as_new,omitempty"` // possible doubles come in as new people, for the merge desk to look at
}

// Import is a file of people that somebody sent, and how far it is.
type Import struct {
	UID        vital.UID
	Kind       ImportKind
	Hash       string // SHA-256 of the file, hexadecimal: what is taken in is what was checked
	Options    ImportOptions
	Rows       int
	Done       int // rows, from the first one on, whose outcome is final
	State      ImportState
	By         string
	CreatedAt  time.Time
	FinishedAt time.Time // zero: not done
	Kept       bool      // the text is still there
	Counts     ImportCounts
}

// ImportCounts is how many rows came, or would come, to what.
type ImportCounts struct{ New, Same, Changed, Double, Refused int }

func (c *ImportCounts) add(o Outcome) {
	switch o {
	case OutcomeNew:
		c.New++
	case OutcomeSame:
		c.Same++
	case OutcomeChanged:
		c.Changed++
	case OutcomeDouble:
		c.Double++
	case OutcomeRefused:
		c.Refused++
	}
}

// Outcome is what becomes of a row.
type Outcome string

// The outcomes. Double: nobody came in; the row names no identifier of a person whom it may be, and somebody has to say.
const (
	OutcomeNew     Outcome = "new"
	OutcomeSame    Outcome = "same"
	OutcomeChanged Outcome = "changed"
	OutcomeDouble  Outcome = "double"
	OutcomeRefused Outcome = "refused"
)

// Outcomes returns every outcome.
func Outcomes() []Outcome {
	return []Outcome{OutcomeNew, OutcomeSame, OutcomeChanged, OutcomeDouble, OutcomeRefused}
}

// ImportLine is what becomes of one row, and why.
type ImportLine struct {
	Row     int // from 1
	Line    int // of the file, from 1
	Entry   int // of a FHIR Bundle that begins on the line, from 1; 0: it is none
	Outcome Outcome
	Patient vital.UID      // who it is, or was made; empty when nobody yet
	ByWhat  string         // by which system's identifier the person was known
	Changes []ImportChange // of OutcomeChanged
	Others  []Candidate    // of a double or a conflict: whom it may be
	Field   string         // column that has to be mended, of what was refused
	Problem string         // what is wrong and what to mend; names nobody, for it is kept
	Code    string         // of a new member of staff: the invitation, which exists nowhere else
}

// ImportChange is a field of a person that a row changes.
type ImportChange struct{ Field, Before, After string }

// Candidate is somebody whom a row may be about: a patient, or a new person of an earlier line.
type Candidate struct {
	ID           vital.PatientID // as Decided has it
	Patient      vital.UID
	Name, Number string // as the record has them now; empty for who may not see patients
	Line         int
	ByWhat       string // the system whose identifier points to them; empty for a name
}

// Words names the candidate for somebody who reads.
func (c Candidate) Words() string {
	text := c.Name
	switch {
	case text == "" && c.Line > 0:
		text = "the person of line " + strconv.Itoa(c.Line)
	case text == "":
		text = "patient " + string(c.Patient)
	case c.Number != "":
		text += ", number " + c.Number
	}
	if c.Name != "" && c.Line > 0 {
		text += " (line " + strconv.Itoa(c.Line) + ")"
	}
	if c.ByWhat != "" {
		text += ", by " + c.ByWhat
	}
	return text
}

// Place says where the row stands: its line, and the entry of a Bundle, whose entries may all be on one line.
func (l *ImportLine) Place() string {
	if l.Entry > 0 {
		return strconv.Itoa(l.Line) + ", entry " + strconv.Itoa(l.Entry)
	}
	return strconv.Itoa(l.Line)
}

// Told is the problem with whom it is about, for somebody who reads.
func (l *ImportLine) Told() string {
	if l.Problem == "" || len(l.Others) == 0 {
		return l.Problem
	}
	names := make([]string, len(l.Others))
	for i, c := range l.Others {
		names[i] = c.Words()
	}
	return l.Problem + " (" + strings.Join(names, "; ") + ")"
}

// The bounds of a file.
const (
	MostImportBytes = 64 << 20
	MostImportRows  = 200_000
	ImportBatch     = 500                // rows of one transaction
	KeepImports     = 7 * 24 * time.Hour // how long a file's text is kept
)

// ImportBook is the record as Imports needs it. Every method is bound to the actor's organisation.
type ImportBook interface {
	NumberSystem(ctx context.Context, actor account.Actor) (string, error)
	Systems(ctx context.Context, actor account.Actor) ([]IdentifierSystem, error)
	// KeepImport stores a file that was checked, with the audit row, and forgets the text of files older than KeepImports.
	KeepImport(ctx context.Context, actor account.Actor, i Import, content []byte) (Import, error)
	// ImportOf returns an import with its text, which is nil when it is not kept any more.
	ImportOf(ctx context.Context, actor account.Actor, uid vital.UID) (Import, []byte, error)
	ImportsOf(ctx context.Context, actor account.Actor, kinds []ImportKind, limit int) ([]Import, error)
	// ImportLines returns what became of the rows that are done, from a row on; an empty outcome is all.
	ImportLines(ctx context.Context, actor account.Actor, uid vital.UID, o Outcome, after, limit int) ([]ImportLine, error)
	// Situate returns what the record knows about the rows that are asked about.
	Situate(ctx context.Context, actor account.Actor, q ImportQuestion) (ImportFacts, error)
	// AdvanceImport takes in the next rows of an import in one transaction: it asks from which row on, loads what the
	// question names, lets decide say what becomes of them, and stores that with the audit rows.
	AdvanceImport(ctx context.Context, actor account.Actor, uid vital.UID, ask func(Import) ImportQuestion, decide func(ImportFacts) []Decided) (Import, []ImportLine, error)
}

// Imports takes people in by files: a file is checked, then exactly that text is taken in.
type Imports struct {
	Book ImportBook
	NFC  func(string) string // brings text to Unicode's composed form
	// FHIR reads Patients of FHIR R4 as rows; number is the URI of the programme's own numbers.
	FHIR func(content []byte, number string) (ImportTable, error)
	// Invite makes a code and the hash that the record keeps.
	Invite func() (code string, hash []byte)
	Now    func() time.Time
}

// allowed asks for the function. Accounts of staff carry rights, so that only who manages staff may make them.
func allowed(actor account.Actor, kind ImportKind) error {
	if err := account.Allow(actor, account.ImportPeople, nil); err != nil {
		return err
	}
	switch kind {
	case ImportPatients:
		return nil
	case ImportStaff:
		return account.Allow(actor, account.ManageStaff, nil)
	}
	return fault.New(fault.Invalid, "kind: give patients or staff")
}

// Check reads a file, keeps it, and says of each row what would become of it. Nobody comes in. An error of kind
// fault.Invalid is about the file as a whole; what is wrong with single rows is in their lines.
func (m *Imports) Check(ctx context.Context, actor account.Actor, kind ImportKind, o ImportOptions, content []byte) (Import, []ImportLine, error) {
	if err := allowed(actor, kind); err != nil {
		return Import{}, nil, err
	}
	if len(content) > MostImportBytes {
		return Import{}, nil, fault.New(fault.Invalid, "the file is larger than %d MiB: split it", MostImportBytes>>20)
	}
	if o.Zone != "" {
		if err := account.CheckZone(o.Zone); err != nil {
			return Import{}, nil, err
		}
	}
	sum := sha256.Sum256(content)
	i := Import{Kind: kind, Hash: hex.EncodeToString(sum[:]), Options: o, State: ImportChecked, By: actor.Name}
	rows, err := m.rows(ctx, actor, i, content)
	if err != nil {
		return Import{}, nil, err
	}
	i.Rows = len(rows)
	lines, err := m.foresee(ctx, actor, i, rows)
	if err != nil {
		return Import{}, nil, err
	}
	if i, err = m.Book.KeepImport(ctx, actor, i, content); err != nil {
		return Import{}, nil, err
	}
	i.Counts = countOf(lines)
	return i, hidden(actor, lines), nil
}

func countOf(lines []ImportLine) ImportCounts {
	var c ImportCounts
	for i := range lines {
		c.add(lines[i].Outcome)
	}
	return c
}

// hidden leaves out of the lines what somebody must not learn who may bring people in but not see those who are there.
func hidden(actor account.Actor, lines []ImportLine) []ImportLine {
	if account.Allow(actor, account.SeePatients, nil) == nil {
		return lines
	}
	for i := range lines {
		for c := range lines[i].Changes {
			lines[i].Changes[c].Before = ""
		}
		for c := range lines[i].Others {
			lines[i].Others[c].Name, lines[i].Others[c].Number = "", ""
		}
	}
	return lines
}

// foresee decides about all rows without storing anything.
func (m *Imports) foresee(ctx context.Context, actor account.Actor, i Import, rows []ImportRow) ([]ImportLine, error) {
	d := newDecider(i)
	var lines []ImportLine
	for part := range slices.Chunk(rows, ImportBatch) {
		f, err := m.Book.Situate(ctx, actor, questionOf(i, part))
		if err != nil {
			return nil, err
		}
		d.learn(f)
		for r := range part {
			lines = append(lines, d.decide(&part[r]).Line)
		}
	}
	return lines, nil
}

// Advance takes in the rows of an import that was checked, batch by batch, until all are done or budget is used up; call it
// again until the import is done. What was taken in before stays: an import that broke off goes on where it was. The lines
// are those of this call. progress, which may be nil, hears of each batch.
func (m *Imports) Advance(ctx context.Context, actor account.Actor, uid vital.UID, budget time.Duration, progress func(Import)) (Import, []ImportLine, error) {
	i, content, err := m.find(ctx, actor, uid)
	if err != nil || i.State == ImportDone {
		return i, nil, err
	}
	if content == nil {
		return i, nil, fault.New(fault.Gone, "the file was sent more than %d days ago and is not kept any more: send it again", int(KeepImports.Hours()/24))
	}
	rows, err := m.rows(ctx, actor, i, content)
	if err != nil {
		return i, nil, err
	}
	var all []ImportLine
	for end := m.Now().Add(budget); i.State != ImportDone; {
		lines, err := m.step(ctx, actor, &i, rows)
		if err != nil {
			return i, all, err
		}
		all = append(all, lines...)
		if progress != nil {
			progress(i)
		}
		if !m.Now().Before(end) {
			break
		}
	}
	return i, hidden(actor, all), nil
}

// step takes in one batch. Somebody else may do the same at the same time: which rows are next is known inside the
// transaction only.
func (m *Imports) step(ctx context.Context, actor account.Actor, i *Import, rows []ImportRow) ([]ImportLine, error) {
	var part []ImportRow
	ask := func(now Import) ImportQuestion {
		part = rows[now.Done:min(now.Done+ImportBatch, len(rows))]
		return questionOf(*i, part)
	}
	decide := func(f ImportFacts) []Decided {
		d := newDecider(*i)
		d.learn(f)
		var list []Decided
		for r := range part {
			one := d.decide(&part[r])
			if one.Line.Outcome == OutcomeNew && one.Staff != nil {
				one.Line.Code, one.Staff.CodeHash = m.Invite()
			}
			list = append(list, one)
		}
		return list
	}
	after, lines, err := m.Book.AdvanceImport(ctx, actor, i.UID, ask, decide)
	if err != nil {
		return nil, err
	}
	*i = after
	return lines, nil
}

// find returns an import that the actor may see.
func (m *Imports) find(ctx context.Context, actor account.Actor, uid vital.UID) (Import, []byte, error) {
	if err := account.Allow(actor, account.ImportPeople, nil); err != nil {
		return Import{}, nil, err
	}
	i, content, err := m.Book.ImportOf(ctx, actor, uid)
	if err == nil && allowed(actor, i.Kind) != nil {
		return Import{}, nil, fault.New(fault.NotFound, "there is no import %s", uid)
	}
	return i, content, err
}

// Get returns an import and how far it is.
func (m *Imports) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Import, error) {
	i, _, err := m.find(ctx, actor, uid)
	return i, err
}

// List returns the newest imports.
func (m *Imports) List(ctx context.Context, actor account.Actor, limit int) ([]Import, error) {
	if err := account.Allow(actor, account.ImportPeople, nil); err != nil {
		return nil, err
	}
	kinds := []ImportKind{ImportPatients}
	if allowed(actor, ImportStaff) == nil {
		kinds = append(kinds, ImportStaff)
	}
	return m.Book.ImportsOf(ctx, actor, kinds, min(max(limit, 1), account.MostPatients))
}

// Lines returns what became of the rows that are done, or for an import that has only been checked what would become of
// them now. after is a row; an empty outcome is all of them.
func (m *Imports) Lines(ctx context.Context, actor account.Actor, uid vital.UID, o Outcome, after, limit int) (Import, []ImportLine, error) {
	i, content, err := m.find(ctx, actor, uid)
	if err != nil {
		return i, nil, err
	}
	if o != "" && !slices.Contains(Outcomes(), o) {
		return i, nil, fault.New(fault.Invalid, "outcome: give new, same, changed, double or refused, or leave it out")
	}
	limit = min(max(limit, 1), MostImportRows)
	if i.State != ImportChecked || content == nil {
		lines, err := m.Book.ImportLines(ctx, actor, uid, o, after, limit)
		return i, hidden(actor, lines), err
	}
	rows, err := m.rows(ctx, actor, i, content)
	if err != nil {
		return i, nil, err
	}
	lines, err := m.foresee(ctx, actor, i, rows)
	if err != nil {
		return i, nil, err
	}
	i.Counts = countOf(lines)
	lines = slices.DeleteFunc(lines, func(l ImportLine) bool { return l.Row <= after || o != "" && l.Outcome != o })
	return i, hidden(actor, lines[:min(limit, len(lines))]), nil
}

// Left returns what did not come in, as a CSV file that can be mended and sent again: the rows that were refused and the
// possible doubles, as they were sent, each with its line and what is wrong.
func (m *Imports) Left(ctx context.Context, actor account.Actor, uid vital.UID) ([]byte, error) {
	i, lines, err := m.Lines(ctx, actor, uid, "", 0, MostImportRows)
	if err != nil {
		return nil, err
	}
	_, content, err := m.find(ctx, actor, uid)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, fault.New(fault.Gone, "the file was sent more than %d days ago and is not kept any more", int(KeepImports.Hours()/24))
	}
	table, err := m.table(ctx, actor, i.Kind, content)
	if err != nil {
		return nil, err
	}
	left := map[int]ImportLine{}
	for _, l := range lines {
		if l.Outcome == OutcomeDouble || l.Outcome == OutcomeRefused {
			left[l.Row] = l
		}
	}
	return table.left(left), nil
}
