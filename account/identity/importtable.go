package identity

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// ImportTable is a file of people as text in columns, whatever its form was.
type ImportTable struct {
	Header  []string // names of columns as ImportColumns has them, and identifierColumn with the URI of a system
	Records []ImportRecord
}

// ImportRecord is one row of an ImportTable.
type ImportRecord struct {
	Line           int      // of the file, from 1
	Entry          int      // of a FHIR Bundle that begins on the line, from 1; 0: it is none
	Fields         []string // one for each column
	Field, Problem string   // of what could not be read: what has to be mended
	Identifiers    []Identifier
	// Identifiers are those that say more than a column can: a use, a period. Each stands instead of the column's.
}

// The columns of a file. line and problem are what Hale writes beside rows that have to be mended; they are not read.
const (
	columnName   = "name"
	columnBirth  = "birth_date"
	columnSex    = "sex"
	columnZone   = "zone"
	columnNumber = "number"
	columnTeam   = "team"
	columnAsNew  = "as_new"
	columnSame   = "same_person"
	columnLogin  = "login"
	columnRole   = "role"
	columnLine   = "line"
	columnWhy    = "problem"

	identifierColumn = "identifier:" // followed by the URI of the system
	teamSeparator    = "|"
)

// ImportColumns returns the names of the columns of a kind, those that must be there first; how many those are is needed.
func ImportColumns(kind ImportKind) (names []string, needed int) {
	if kind == ImportStaff {
		return []string{columnLogin, columnName, columnRole, columnTeam}, 3
	}
	return []string{columnName, columnBirth, columnSex, columnZone, columnNumber, columnTeam, columnAsNew, columnSame}, 1
}

// IdentifierColumn returns the name of the column of a system.
func IdentifierColumn(system string) string { return identifierColumn + system }

// table reads a file of either form.
func (m *Imports) table(ctx context.Context, actor account.Actor, kind ImportKind, content []byte) (ImportTable, error) {
	text := bytes.TrimPrefix(content, []byte("\ufeff"))
	if first := bytes.TrimLeft(text, " \t\r\n"); kind == ImportPatients && len(first) > 0 && first[0] == '{' {
		number, err := m.Book.NumberSystem(ctx, actor)
		if err != nil {
			return ImportTable{}, err
		}
		return m.FHIR(content, number)
	}
	return readCSV(kind, text)
}

// readCSV reads comma- or semicolon-separated values (RFC 4180) in UTF-8. A file whose quotes do not close, or whose header is
// not understood, is fault.Invalid as a whole: it is not known what the rest would have meant.
func readCSV(kind ImportKind, text []byte) (ImportTable, error) {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return ImportTable{}, fault.New(fault.Invalid, "line %d: this is not UTF-8 text: save the file as CSV in UTF-8", badLine(text))
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord = separator(text), -1
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return ImportTable{}, fault.New(fault.Invalid, "the file is empty")
	}
	if err != nil {
		return ImportTable{}, csvFault(err)
	}
	t := ImportTable{}
	if t.Header, err = readHeader(kind, header); err != nil {
		return t, err
	}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, csvFault(err)
		}
		if !slices.ContainsFunc(fields, func(f string) bool { return strings.TrimSpace(f) != "" }) {
			continue // spreadsheets write rows of nothing
		}
		line, _ := r.FieldPos(0)
		one := ImportRecord{Line: line, Fields: fields}
		if len(fields) != len(t.Header) {
			one.Problem = "the row has " + strconv.Itoa(len(fields)) + " fields and the header " + strconv.Itoa(len(t.Header)) + ": a field that holds a separator must stand in quotes"
		}
		for i := range fields {
			fields[i] = unguarded(fields[i])
		}
		if t.Records = append(t.Records, one); len(t.Records) > MostImportRows {
			return t, fault.New(fault.Invalid, "the file has more than %d rows: split it", MostImportRows)
		}
	}
}

func badLine(text []byte) int {
	at := bytes.IndexByte(text, 0)
	for i := 0; i < len(text) && (at < 0 || i < at); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			at = i
			break
		}
		i += n
	}
	return 1 + bytes.Count(text[:max(at, 0)], []byte("\n"))
}

// separator returns what stands between the fields of the header.
func separator(text []byte) rune {
	quoted := false
	for _, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';' || c == ',':
			return rune(c)
		case c == '\n':
			return ','
		}
	}
	return ','
}

func csvFault(err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return fault.New(fault.Invalid, "the file cannot be read as CSV")
	}
	return fault.New(fault.Invalid, "line %d, column %d: a quote stands alone or is not closed; a quote within a quoted field is written twice", p.Line, p.Column)
}

// readHeader returns the names of the columns as the rest of the house has them.
func readHeader(kind ImportKind, header []string) ([]string, error) {
	known, needed := ImportColumns(kind)
	names := make([]string, len(header))
	for i, given := range header {
		name := strings.TrimSpace(given)
		lower := strings.ToLower(name)
		switch {
		case kind == ImportPatients && strings.HasPrefix(lower, identifierColumn):
			system, err := checkSystem(name[len(identifierColumn):])
			if err != nil {
				return nil, fault.New(fault.Invalid, "line 1: column %d: after identifier: must stand the URI of a system, for example identifier:urn:oid:1.2.36.146", i+1)
			}
			names[i] = IdentifierColumn(system)
			continue
		case !slices.Contains(append(known, columnLine, columnWhy), lower):
			return nil, fault.New(fault.Invalid, "line 1: column %d (%.40q) is not known; the columns are %s", i+1, name, columnWords(kind))
		case slices.Contains(names, lower):
			return nil, fault.New(fault.Invalid, "line 1: column %d: there are two columns %s", i+1, lower)
		}
		names[i] = lower
	}
	for _, name := range known[:needed] {
		if !slices.Contains(names, name) {
			return nil, fault.New(fault.Invalid, "line 1: the column %s is missing; the columns are %s", name, columnWords(kind))
		}
	}
	return names, nil
}

func columnWords(kind ImportKind) string {
	known, _ := ImportColumns(kind)
	text := strings.Join(known, ", ")
	if kind == ImportPatients {
		text += ", and identifier:URI for each system"
	}
	return text
}

// left writes the rows that did not come in.
func (t ImportTable) left(lines map[int]ImportLine) []byte {
	var b bytes.Buffer
	b.WriteString("\ufeff") // spreadsheets take a file for UTF-8 only with it
	w := csv.NewWriter(&b)
	own := func(column int) bool {
		return column < len(t.Header) && (t.Header[column] == columnLine || t.Header[column] == columnWhy)
	}
	write := func(line, why string, fields []string) {
		out := []string{line, why}
		for i, f := range fields {
			if !own(i) {
				out = append(out, GuardCell(f))
			}
		}
		_ = w.Write(out) // into memory
	}
	write(columnLine, columnWhy, t.Header)
	for i, r := range t.Records {
		if l, ok := lines[i+1]; ok {
			why := l.Told()
			if l.Field != "" && !strings.HasPrefix(why, l.Field+":") {
				why = l.Field + ": " + why
			}
			write(l.Place(), GuardCell(why), r.Fields)
		}
	}
	w.Flush()
	return b.Bytes()
}

// formula are the signs with which a spreadsheet takes a cell for a formula (OWASP, CSV Injection).
const formula = "=+-@\t\r"

// GuardCell returns a cell that no spreadsheet takes for a formula: one that begins like a formula, after any quotes, gets a
// quote before it. unguarded takes it away again, so that what is sent back is what was written.
func GuardCell(cell string) string {
	if rest := strings.TrimLeft(cell, "'"); rest != "" && strings.ContainsRune(formula, rune(rest[0])) {
		return "'" + cell
	}
	return cell
}

func unguarded(cell string) string {
	if rest := strings.TrimLeft(cell, "'"); len(rest) < len(cell) && rest != "" && strings.ContainsRune(formula, rune(rest[0])) {
		return cell[1:]
	}
	return cell
}

// ImportRow is a row as it was understood; empty is what the file does not say. Problem is why it cannot be taken.
type ImportRow struct {
	Row, Line      int
	Entry          int
	Field, Problem string

	Name        string
	Birth       vital.Date
	Sex         string
	Zone        string
	Number      string
	Teams       []string
	AsNew       bool
	Same        bool // a person says that the row is about whom its identifiers point to
	Identifiers []Identifier
	Login       string
	Role        account.Role
}

// rows reads a file into rows.
func (m *Imports) rows(ctx context.Context, actor account.Actor, i Import, content []byte) ([]ImportRow, error) {
	t, err := m.table(ctx, actor, i.Kind, content)
	if err != nil {
		return nil, err
	}
	if len(t.Records) == 0 {
		return nil, fault.New(fault.Invalid, "the file has a header and no rows")
	}
	read := rowReader{header: t.Header, nfc: m.NFC, now: m.Now()}
	if i.Kind == ImportPatients {
		list, err := m.Book.Systems(ctx, actor)
		if err != nil {
			return nil, err
		}
		if read.number, err = m.Book.NumberSystem(ctx, actor); err != nil {
			return nil, err
		}
		read.folds = folding(list)
	}
	rows := make([]ImportRow, len(t.Records))
	for n, r := range t.Records {
		rows[n] = read.row(r)
		rows[n].Row, rows[n].Line, rows[n].Entry = n+1, r.Line, r.Entry
	}
	return rows, nil
}

type rowReader struct {
	header []string
	nfc    func(string) string
	folds  map[string]bool
	number string
	now    time.Time
}

func (read *rowReader) row(r ImportRecord) ImportRow {
	row := ImportRow{Field: r.Field, Problem: r.Problem}
	for i, name := range read.header {
		if row.Problem != "" {
			return row
		}
		text := read.nfc(strings.TrimSpace(r.Fields[i]))
		if text == "" || name == columnLine || name == columnWhy {
			continue
		}
		if err := read.cell(&row, name, text, r.Identifiers); err != nil {
			row.Field, row.Problem = name, fault.MessageOf(err)
		}
	}
	// What says more than a column can, and is in no column: what an identifier was until it ended.
	for _, i := range r.Identifiers {
		if row.Problem == "" && !slices.ContainsFunc(row.Identifiers, func(have Identifier) bool { return have.System == i.System && have.Value == i.Value }) {
			if err := read.identifier(&row, i); err != nil {
				row.Field, row.Problem = IdentifierColumn(i.System), fault.MessageOf(err)
			}
		}
	}
	return row
}

// cell takes one cell into the row. The text is not empty.
func (read *rowReader) cell(row *ImportRow, name, text string, more []Identifier) error {
	if system, ok := strings.CutPrefix(name, identifierColumn); ok {
		i := Identifier{System: system, Value: text}
		for _, better := range more {
			if better.System == system && read.nfc(strings.TrimSpace(better.Value)) == text {
				i = better
			}
		}
		return read.identifier(row, i)
	}
	switch name {
	case columnName:
		row.Name = strings.Join(strings.Fields(text), " ")
		return check(account.Printable(row.Name, account.LongestName), "give 1 to %d printable characters", account.LongestName)
	case columnBirth:
		row.Birth = vital.Date(text)
		ok := account.Born(row.Birth, read.now)
		return check(ok, "give a date as YYYY-MM-DD, or YYYY-MM or YYYY when no more is known, from %d on and not in the future", account.FirstBirth)
	case columnSex:
		row.Sex = strings.ToLower(text)
		return check(slices.Contains([]string{"female", "male", "other", "unknown"}, row.Sex), "give female, male, other or unknown")
	case columnZone:
		row.Zone = text
		return account.CheckZone(text)
	case columnNumber:
		return read.ownNumber(row, text)
	case columnTeam:
		for team := range strings.SplitSeq(text, teamSeparator) {
			row.Teams = append(row.Teams, strings.TrimSpace(team))
		}
	case columnAsNew:
		return yes(text, &row.AsNew)
	case columnSame:
		return yes(text, &row.Same)
	case columnLogin:
		row.Login = text
		return account.CheckLogin(text)
	case columnRole:
		row.Role = account.Role(strings.ToLower(text))
		return check(slices.Contains(account.StaffRoles(), row.Role), "give nurse, pharmacist, physician, device_desk, manager, researcher, privacy_officer or administrator")
	}
	return nil
}

func yes(text string, at *bool) error {
	*at = strings.EqualFold(text, "yes")
	return check(*at || strings.EqualFold(text, "no"), "give yes or no")
}

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fault.New(fault.Invalid, format, args...)
}

func (read *rowReader) ownNumber(row *ImportRow, text string) error {
	if row.Number != "" && row.Number != text {
		return fault.New(fault.Invalid, "the row has two different numbers of the programme")
	}
	row.Number = text
	return check(account.Printable(text, account.LongestNumber), "give at most %d printable characters", account.LongestNumber)
}

func (read *rowReader) identifier(row *ImportRow, i Identifier) error {
	i, err := i.normal(read.nfc, read.folds)
	if err != nil {
		return err
	}
	if i.System == read.number {
		if !i.InForce(read.now) {
			return nil
		}
		return read.ownNumber(row, i.Value)
	}
	if slices.ContainsFunc(row.Identifiers, func(have Identifier) bool { return have.System == i.System && have.Key == i.Key }) {
		return nil
	}
	row.Identifiers = append(row.Identifiers, i)
	return nil
}
