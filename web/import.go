package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/identity"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// StaffInvitations lets somebody new choose their first password (account/signin.Invitations).
type StaffInvitations interface {
	Accept(ctx context.Context, from netip.Addr, code, password string) (login string, err error)
}

// mountImports puts the pages on the app on which people come in by files; open are the handlers of pages that need no session.
func (w *Web) mountImports(app *fiber.App, open []fiber.Handler, get, post func(string, fiber.Handler)) {
	if w.Imports == nil {
		return
	}
	get("/imports", w.imports)
	post("/imports", w.checkImport)
	get("/imports/:id", w.importPage)
	post("/imports/:id/commit", w.commitImport)
	get("/imports/:id/left.csv", w.leftRows)
	app.Get("/welcome", append(open[:len(open):len(open)], w.welcomePage)...)
	app.Post("/welcome", w.faults, headers, w.Sessions.SameOrigin, w.welcome)
}

// importsView is the form for a file, and the files that were sent.
type importsView struct {
	Error      string
	Staff      bool // the reader may make accounts
	Kind       string
	Zone, Team string
	AsNew      bool
	Columns    []string
	List       []importLine
}

type importLine struct {
	ID    vital.UID
	Kind  string
	State string
	By    string
	At    moment
	Rows  int
	Left  int // rows that did not come in
	identity.ImportCounts
}

func lineOf(i *identity.Import, k clock) importLine {
	states := map[identity.ImportState]string{identity.ImportChecked: "checked", identity.ImportRunning: "not finished", identity.ImportDone: "done"}
	kinds := map[identity.ImportKind]string{identity.ImportPatients: "Patients", identity.ImportStaff: "Staff"}
	return importLine{ID: i.UID, Kind: kinds[i.Kind], State: states[i.State], By: i.By, At: k.at(i.CreatedAt), Rows: i.Rows, Left: i.Counts.Double + i.Counts.Refused, ImportCounts: i.Counts}
}

// imports answers GET /imports.
func (w *Web) imports(c *fiber.Ctx) error {
	view := importsView{Kind: string(identity.ImportPatients)}
	if zone := w.Zone.String(); zone != "UTC" && zone != "Local" { // those say nothing of where patients live
		view.Zone = zone
	}
	return w.importsPage(c, view)
}

func (w *Web) importsPage(c *fiber.Ctx, view importsView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	list, err := w.Imports.List(ctx, actor, 20)
	if err != nil {
		return err
	}
	k := w.clock()
	for i := range list {
		view.List = append(view.List, lineOf(&list[i], k))
	}
	view.Staff = may(actor, account.ManageStaff)
	view.Columns, _ = identity.ImportColumns(identity.ImportPatients)
	return w.page(c, "imports", "Bring people in", "patients", view)
}

// clock is that of the staff, for what concerns no single patient.
func (w *Web) clock() clock { return clock{now: w.Now(), zone: w.Zone} }

// checkImport answers POST /imports: it keeps the file and leads to what would become of it.
func (w *Web) checkImport(c *fiber.Ctx) error {
	ctx := c.UserContext()
	view := importsView{Kind: c.FormValue("kind"), Zone: strings.TrimSpace(c.FormValue("zone")), Team: strings.TrimSpace(c.FormValue("team")), AsNew: c.FormValue("as_new") == "yes"}
	content, err := sentFile(c)
	var i identity.Import
	if err == nil {
		i, _, err = w.Imports.Check(ctx, session.Actor(ctx), identity.ImportKind(view.Kind), identity.ImportOptions{Zone: view.Zone, Team: view.Team, AsNew: view.AsNew}, content)
	}
	if fault.Is(err, fault.Invalid) {
		view.Error = sentence(fault.MessageOf(err))
		c.Status(http.StatusUnprocessableEntity)
		return w.importsPage(c, view)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/imports/"+string(i.UID), http.StatusSeeOther)
}

func sentFile(c *fiber.Ctx) ([]byte, error) {
	header, err := c.FormFile("file")
	if err != nil || header.Size == 0 {
		return nil, fault.New(fault.Invalid, "choose a file that is not empty")
	}
	file, err := header.Open()
	if err != nil {
		return nil, fmt.Errorf("open the file that was sent: %w", err)
	}
	content, err := io.ReadAll(file) // as large as a request may be
	if closing := file.Close(); err == nil {
		err = closing
	}
	return content, err
}

// importView is one file: what would become, or became, of its rows.
type importView struct {
	importLine
	Checked, Running, Done bool
	Nothing                bool // it was checked, and there is nothing to take in
	Came                   int  // rows that are done
	Kept                   bool
	Parts                  []importPart
	Codes                  []codeLine // once
	Days                   int        // that a code lasts
}

// importPart is the rows of one outcome.
type importPart struct {
	Title string
	Why   string
	Open  bool
	Lines []rowLine
	More  int
}

type rowLine struct {
	Place   string
	Patient vital.UID
	Others  []vital.UID
	Text    string
}

type codeLine struct {
	Line int
	Code string
}

const shownLines = 200

// importPage answers GET /imports/{id}.
func (w *Web) importPage(c *fiber.Ctx) error {
	ctx := c.UserContext()
	i, lines, err := w.Imports.Lines(ctx, session.Actor(ctx), vital.UID(c.Params("id")), "", 0, identity.MostImportRows)
	if err != nil {
		return err
	}
	return w.page(c, "import", "Bring people in", "patients", w.viewImport(&i, lines))
}

func (w *Web) viewImport(i *identity.Import, lines []identity.ImportLine) importView {
	view := importView{
		importLine: lineOf(i, w.clock()), Checked: i.State == identity.ImportChecked, Running: i.State == identity.ImportRunning, Done: i.State == identity.ImportDone,
		Nothing: i.State == identity.ImportChecked && i.Counts.New+i.Counts.Changed == 0,
		Came:    i.Done, Kept: i.Kept, Days: int(account.InvitationLasts / (24 * time.Hour)),
	}
	for _, o := range []struct {
		outcome    identity.Outcome
		title, why string
	}{
		{identity.OutcomeRefused, "Refused", "These rows do not come in. Mend them and send them again."},
		{identity.OutcomeDouble, "May be somebody who is there", "The name and the birth fit, but no identifier says so. Nobody comes in from these rows: give an identifier that both have, or write yes under as_new when they are two people."},
		{identity.OutcomeChanged, "Changed", "People who are there, and of whom the file says something new."},
		{identity.OutcomeNew, "New", ""},
		{identity.OutcomeSame, "The same", "People who are there; nothing changes."},
	} {
		part := importPart{Title: o.title, Why: o.why, Open: o.outcome != identity.OutcomeSame && o.outcome != identity.OutcomeNew}
		for n := range lines {
			if lines[n].Outcome != o.outcome {
				continue
			}
			if len(part.Lines) == shownLines {
				part.More++
				continue
			}
			part.Lines = append(part.Lines, rowWords(&lines[n]))
		}
		if len(part.Lines) > 0 {
			view.Parts = append(view.Parts, part)
		}
	}
	return view
}

func rowWords(l *identity.ImportLine) rowLine {
	row := rowLine{Place: l.Place(), Patient: l.Patient}
	var words []string
	if l.Problem != "" {
		words = append(words, strings.TrimPrefix(l.Field+": "+sentence(strings.TrimPrefix(l.Told(), l.Field+": ")), ": "))
	}
	for _, ch := range l.Changes {
		text := ch.Field + ": " + ch.After
		if ch.Before != "" {
			text = ch.Field + ": " + ch.Before + " becomes " + ch.After
		}
		words = append(words, text)
	}
	for _, o := range l.Others {
		if o.Patient != "" {
			row.Others = append(row.Others, o.Patient)
		}
	}
	row.Text = strings.Join(words, "; ")
	return row
}

// commitWithin is how long one request takes rows in; the page goes on by itself, or by its button.
const commitWithin = 4 * time.Second

// commitImport answers POST /imports/{id}/commit. The codes of new staff are shown on this answer and never again.
func (w *Web) commitImport(c *fiber.Ctx) error {
	ctx := c.UserContext()
	i, lines, err := w.Imports.Advance(ctx, session.Actor(ctx), vital.UID(c.Params("id")), commitWithin, nil)
	if err != nil {
		return err
	}
	var codes []codeLine
	for n := range lines {
		if lines[n].Code != "" {
			codes = append(codes, codeLine{lines[n].Line, lines[n].Code})
		}
	}
	if len(codes) == 0 {
		return c.Redirect("/imports/"+string(i.UID), http.StatusSeeOther)
	}
	view := w.viewImport(&i, lines)
	view.Codes = codes
	return w.page(c, "import", "Bring people in", "patients", view)
}

// leftRows answers GET /imports/{id}/left.csv.
func (w *Web) leftRows(c *fiber.Ctx) error {
	ctx := c.UserContext()
	text, err := w.Imports.Left(ctx, session.Actor(ctx), vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/csv; charset=utf-8")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="left.csv"`)
	return c.Send(text)
}

// welcomeView is the page on which somebody new chooses a password.
type welcomeView struct{ Code, Error, Login string }

// welcomePage answers GET /welcome.
func (w *Web) welcomePage(c *fiber.Ctx) error {
	return w.page(c, "welcome", "Welcome", "", welcomeView{})
}

// welcome answers POST /welcome.
func (w *Web) welcome(c *fiber.Ctx) error {
	ctx := c.UserContext()
	view := welcomeView{Code: c.FormValue("code")}
	var err error
	if view.Login, err = w.StaffInvitations.Accept(ctx, session.From(ctx), view.Code, c.FormValue("password")); err == nil {
		return w.page(c, "welcome", "Welcome", "", view)
	}
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Unavailable) {
		return err
	}
	if wait, ok := session.RetryAfter(err); ok {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())))
	}
	view.Error = sentence(fault.MessageOf(err))
	c.Status(session.Status(err))
	return w.page(c, "welcome", "Welcome", "", view)
}
