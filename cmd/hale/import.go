package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/text/unicode/norm"

	"hale/account"
	"hale/account/identity"
	"hale/account/signin"
	"hale/api/fhirmap"
	"hale/fault"
	"hale/postgres"
)

// newImports joins the parts of which taking people in by files is made.
func newImports(app *postgres.App) *identity.Imports {
	return &identity.Imports{
		Book: app, NFC: norm.NFC.String, FHIR: fhirmap.ReadPatients, Invite: signin.NewInvitation, Now: time.Now,
	}
}

func newIdentities(app *postgres.App, looks *account.Looks) *identity.Identities {
	return &identity.Identities{Book: app, NFC: norm.NFC.String, Now: time.Now, Looks: looks}
}

type importCommand struct {
	Patients importPatientsCommand `cmd:"" help:"Take in patients from a CSV file or FHIR R4 Patients; without --commit it says what would become of each row."`
	Staff    importStaffCommand    `cmd:"" help:"Make accounts for staff from a CSV file, each with a code to choose a first password; without --commit it says what would become of each row."`
}

type importFlags struct {
	File string `arg:"" help:"File to take in (docs/import.md tells its form)." type:"existingfile"`
	recordFlags
	organisationFlag
	Team   string `help:"Care team of new people whose row has none (default: the organisation's usual one)." placeholder:"NAME"`
	Commit bool   `help:"Take the rows in. Without it nobody comes in."`
}

type importPatientsCommand struct {
	importFlags
	Zone  string `help:"Time zone (IANA) of new patients whose row has none." placeholder:"ZONE"`
	AsNew bool   `help:"Possible doubles come in as new people, and are listed for somebody to look at."`
	Left  string `help:"File to write the rows to that did not come in, to mend and send again; it must not be there yet." placeholder:"FILE"`
}

// Run checks the file, takes it in when that is asked for, and says what became of the rows.
func (c *importPatientsCommand) Run(p *program) error {
	return c.run(p, identity.ImportPatients, identity.ImportOptions{Zone: c.Zone, Team: c.Team, AsNew: c.AsNew}, c.Left, nil)
}

type importStaffCommand struct {
	importFlags
	Left   string `help:"File to write the rows to that did not come in, to mend and send again; it must not be there yet." placeholder:"FILE"`
	Result string `help:"File to write the codes of the new staff to; it must not be there yet. With --commit it is needed: a code is nowhere else." placeholder:"FILE"`
}

// Run checks the file, takes it in when that is asked for, and writes the codes.
func (c *importStaffCommand) Run(p *program) error {
	options := identity.ImportOptions{Team: c.Team}
	if !c.Commit {
		return c.run(p, identity.ImportStaff, options, c.Left, nil)
	}
	if c.Result == "" {
		return fault.New(fault.Invalid, "say with --result where to write the codes of the new staff: they are nowhere else")
	}
	file, err := newFile(c.Result)
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	err = w.Write([]string{"line", "code"})
	if err == nil {
		err = c.run(p, identity.ImportStaff, options, c.Left, func(lines []identity.ImportLine) error {
			for i := range lines {
				if lines[i].Code != "" {
					if err := w.Write([]string{strconv.Itoa(lines[i].Line), lines[i].Code}); err != nil {
						return err
					}
				}
			}
			w.Flush() // a code that was made is on disk before more are
			return w.Error()
		})
	}
	// What was written stays even when the import broke off: those accounts are there.
	err = errors.Join(err, fault.Wrap(fault.Unavailable, file.Sync(), "write %s", c.Result), file.Close())
	if err == nil {
		_, err = fmt.Fprintf(p.out, "The codes are in %s. With theirs each of the new staff chooses a password within %d days, on the page /welcome.\n", c.Result, int(account.InvitationLasts.Hours()/24))
	}
	return err
}

// run checks the file and takes it in; tell hears of the rows that came in.
func (c *importFlags) run(p *program, kind identity.ImportKind, o identity.ImportOptions, left string, tell func([]identity.ImportLine) error) error {
	content, err := os.ReadFile(c.File)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s cannot be read", c.File)
	}
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	actor, err := operator.In(p.ctx, c.Organisation)
	if err != nil {
		return err
	}
	app, err := openAs(p, operator)
	if err != nil {
		return err
	}
	defer app.Close()
	imports := newImports(app)
	i, lines, err := imports.Check(p.ctx, actor, kind, o, content)
	if err != nil {
		return err
	}
	if c.Commit {
		if i, err = commit(p, imports, actor, i, tell); err != nil {
			return err
		}
		if _, lines, err = imports.Lines(p.ctx, actor, i.UID, "", 0, i.Rows); err != nil {
			return err
		}
	}
	if left != "" {
		if err := writeLeft(p, imports, actor, i, left); err != nil {
			return err
		}
	}
	return tellImport(p, i, lines, c.Commit)
}

// commit takes all rows in, and shows how far it is.
func commit(p *program, imports *identity.Imports, actor account.Actor, i identity.Import, tell func([]identity.ImportLine) error) (identity.Import, error) {
	bar := progressbar.NewOptions(i.Rows, progressbar.OptionSetWriter(p.err), progressbar.OptionSetDescription("rows"),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	defer func() { _ = bar.Finish() }()
	for {
		after, lines, err := imports.Advance(p.ctx, actor, i.UID, 0, func(i identity.Import) { _ = bar.Set(i.Done) })
		if err == nil && tell != nil {
			err = tell(lines)
		}
		if err != nil || after.State == identity.ImportDone {
			return after, err
		}
	}
}

func writeLeft(p *program, imports *identity.Imports, actor account.Actor, i identity.Import, name string) error {
	text, err := imports.Left(p.ctx, actor, i.UID)
	if err != nil {
		return err
	}
	return writeNew(name, text)
}

func tellImport(p *program, i identity.Import, lines []identity.ImportLine, committed bool) error {
	c := i.Counts
	text := fmt.Sprintf("%d rows: %d new, %d the same, %d changed, %d possible doubles, %d refused (import %s)\n", i.Rows, c.New, c.Same, c.Changed, c.Double, c.Refused, i.UID)
	for _, l := range lines {
		switch l.Outcome {
		case identity.OutcomeDouble, identity.OutcomeRefused:
			text += fmt.Sprintf("  line %s: %s: %s\n", l.Place(), l.Outcome, strings.TrimPrefix(l.Field+": "+strings.TrimPrefix(l.Told(), l.Field+": "), ": "))
		case identity.OutcomeNew, identity.OutcomeSame, identity.OutcomeChanged:
		}
	}
	if !committed {
		text += "Nobody came in: say --commit to take the rows in.\n"
	}
	_, err := io.WriteString(p.out, text)
	return err
}
