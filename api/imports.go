package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"hale/account"
	"hale/account/identity"
	"hale/api/session"
	"hale/vital"
)

// StaffInvitations lets somebody new choose their first password (account/signin.Invitations).
type StaffInvitations interface {
	Accept(ctx context.Context, from netip.Addr, code, password string) (login string, err error)
}

const tagImports = "imports"

type countsBody struct {
	New     int `json:"new"`
	Same    int `json:"same" doc:"People who are there, and of whom the file says nothing new"`
	Changed int `json:"changed" doc:"People who are there, and of whom the file says something new"`
	Double  int `json:"double" doc:"Rows that may be somebody who is there: nobody came in, a person has to say"`
	Refused int `json:"refused"`
}

type importBody struct {
	ID         vital.UID  `json:"id" format:"uuid"`
	Kind       string     `json:"kind" enum:"patients,staff"`
	SHA256     string     `json:"sha256" doc:"Of the file: what is taken in is what was checked"`
	State      string     `json:"state" enum:"checked,running,done"`
	Rows       int        `json:"rows"`
	Done       int        `json:"done" doc:"Rows whose outcome is final"`
	Counts     countsBody `json:"counts" doc:"Of the rows that are done; of an import that was just checked, what would become of all"`
	By         string     `json:"by"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Lines      []lineBody `json:"lines,omitempty" doc:"What became, or would become, of rows: at most 500; see the lines for all"`
}

func importOf(i *identity.Import, lines []identity.ImportLine) importBody {
	b := importBody{
		ID: i.UID, Kind: string(i.Kind), SHA256: i.Hash, State: string(i.State), Rows: i.Rows, Done: i.Done, Counts: countsBody(i.Counts), By: i.By, CreatedAt: i.CreatedAt,
		Lines: linesOf(lines[:min(len(lines), mostLines)]),
	}
	if !i.FinishedAt.IsZero() {
		b.FinishedAt = &i.FinishedAt
	}
	return b
}

type lineBody struct {
	Row     int             `json:"row"`
	Line    int             `json:"line" doc:"Of the file"`
	Entry   int             `json:"entry,omitempty" doc:"Of a FHIR Bundle that begins on the line, from 1"`
	Outcome string          `json:"outcome" enum:"new,same,changed,double,refused"`
	Patient vital.UID       `json:"patient,omitempty" doc:"Who it is, or was made"`
	By      string          `json:"by,omitempty" doc:"Which system's identifier, or number, said who it is"`
	Changes []rowChangeBody `json:"changes,omitempty"`
	Others  []candidateBody `json:"others,omitempty" doc:"Whom it may be, or whom its identifiers point to"`
	Field   string          `json:"field,omitempty" doc:"The column to mend"`
	Problem string          `json:"problem,omitempty" doc:"What is wrong, and what to mend"`
	Code    string          `json:"code,omitempty" doc:"Of a new member of staff: the invitation. It is nowhere else and is not shown again"`
}

type rowChangeBody struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

type candidateBody struct {
	Patient vital.UID `json:"patient,omitempty"`
	Name    string    `json:"name,omitempty"`
	Number  string    `json:"number,omitempty" doc:"The programme's own"`
	Line    int       `json:"line,omitempty" doc:"Of the file, for somebody whom an earlier row makes"`
	By      string    `json:"by,omitempty"`
}

const mostLines = 500

func linesOf(lines []identity.ImportLine) []lineBody {
	list := make([]lineBody, len(lines))
	for i := range lines {
		l := &lines[i]
		list[i] = lineBody{Row: l.Row, Line: l.Line, Entry: l.Entry, Outcome: string(l.Outcome), Patient: l.Patient, By: l.ByWhat, Field: l.Field, Problem: l.Told(), Code: l.Code}
		for _, c := range l.Changes {
			list[i].Changes = append(list[i].Changes, rowChangeBody(c))
		}
		for _, o := range l.Others {
			list[i].Others = append(list[i].Others, candidateBody{o.Patient, o.Name, o.Number, o.Line, o.ByWhat})
		}
	}
	return list
}

type newImportInput struct {
	Kind    string `query:"kind" enum:"patients,staff" required:"true"`
	Zone    string `query:"zone" maxLength:"64" doc:"Time zone (IANA) of new patients whose row has none" example:"Europe/Ljubljana"`
	Team    string `query:"team" maxLength:"200" doc:"Care team, by its name, of new people whose row has none; the organisation's usual one when left out"`
	AsNew   bool   `query:"as_new" doc:"Possible doubles come in as new people, and are listed for somebody to look at"`
	RawBody []byte `contentType:"text/csv" doc:"CSV (comma or semicolon, UTF-8), or for patients FHIR R4: a Patient, a Bundle, or one of these on each line. At most 4 MiB"`
}

type importOutput struct{ Body importBody }

type importInput struct {
	ID string `path:"id" format:"uuid"`
}

type importsInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

type importsOutput struct {
	Body struct {
		Imports []importBody `json:"imports" doc:"The newest first"`
	}
}

type linesInput struct {
	ID      string `path:"id" format:"uuid"`
	Outcome string `query:"outcome" enum:"new,same,changed,double,refused" doc:"Only these"`
	After   int    `query:"after" minimum:"0" doc:"Only rows after this one: the last row of the answer before"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"500"`
}

type linesOutput struct {
	Body struct {
		Lines []lineBody `json:"lines"`
	}
}

type leftOutput struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

type acceptInput struct {
	Body struct {
		Code     string `json:"code" minLength:"1" maxLength:"64" writeOnly:"true"`
		Password string `json:"password" minLength:"1" maxLength:"1024" writeOnly:"true" doc:"At least 12 characters; a weak one is refused"`
	}
}

type acceptOutput struct {
	Body struct {
		Login string `json:"login" doc:"To sign in with"`
	}
}

// commitWithin is how long one request takes rows in; the next one goes on.
const commitWithin = 8 * time.Second

func (s *Server) addImports() {
	check := created(op(http.MethodPost, "/v1/imports", "check-import", tagImports, "Send a file of people and see what would become of each row"))
	check.Description = "Nobody comes in yet. The columns are told in docs/import.md. Who somebody is follows from identifiers alone, never from a name."
	add(s, check, s.checkImport)
	add(s, op(http.MethodGet, "/v1/imports", "list-imports", tagImports, "The newest imports"), s.listImports)
	add(s, op(http.MethodGet, "/v1/imports/{id}", "get-import", tagImports, "An import and how far it is", http.StatusNotFound), s.getImport)
	commit := op(http.MethodPost, "/v1/imports/{id}/commit", "commit-import", tagImports, "Take in exactly the file that was checked", http.StatusNotFound, http.StatusConflict, http.StatusGone)
	commit.Description = "Takes rows in for some seconds, each batch in one transaction, and answers how far it came: ask again until the state is done. An import that broke off goes on where it was; the same file twice adds nobody. " +
		"The lines are those of this request; the codes of new staff are only there."
	add(s, commit, s.commitImport)
	add(s, op(http.MethodGet, "/v1/imports/{id}/lines", "list-import-lines", tagImports, "What became, or would become, of the rows", http.StatusNotFound), s.listImportLines)
	left := op(http.MethodGet, "/v1/imports/{id}/left.csv", "get-left-rows", tagImports, "The rows that did not come in, to mend and send again", http.StatusNotFound, http.StatusGone)
	left.Description = "CSV in UTF-8: the rows as they were sent, each with its line and what is wrong. A cell that a spreadsheet would take for a formula begins with a quote, which is taken away again when the file is sent."
	add(s, left, s.leftRows)
	accept := public(op(http.MethodPost, "/v1/staff-invitations/accept", "accept-staff-invitation", tagSession, "Choose the first password with the code of an invitation", http.StatusNotFound, http.StatusTooManyRequests))
	add(s, accept, s.acceptInvitation)
}

func (s *Server) checkImport(ctx context.Context, actor account.Actor, in *newImportInput) (*importOutput, error) {
	i, lines, err := s.Imports.Check(ctx, actor, identity.ImportKind(in.Kind), identity.ImportOptions{Zone: in.Zone, Team: in.Team, AsNew: in.AsNew}, in.RawBody)
	if err != nil {
		return nil, err
	}
	return &importOutput{importOf(&i, lines)}, nil
}

func (s *Server) listImports(ctx context.Context, actor account.Actor, in *importsInput) (*importsOutput, error) {
	list, err := s.Imports.List(ctx, actor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &importsOutput{}
	out.Body.Imports = make([]importBody, len(list))
	for i := range list {
		out.Body.Imports[i] = importOf(&list[i], nil)
	}
	return out, nil
}

func (s *Server) getImport(ctx context.Context, actor account.Actor, in *importInput) (*importOutput, error) {
	i, err := s.Imports.Get(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return &importOutput{importOf(&i, nil)}, nil
}

func (s *Server) commitImport(ctx context.Context, actor account.Actor, in *importInput) (*importOutput, error) {
	i, lines, err := s.Imports.Advance(ctx, actor, vital.UID(in.ID), commitWithin, nil)
	if err != nil {
		return nil, err
	}
	return &importOutput{importOf(&i, lines)}, nil
}

func (s *Server) listImportLines(ctx context.Context, actor account.Actor, in *linesInput) (*linesOutput, error) {
	_, lines, err := s.Imports.Lines(ctx, actor, vital.UID(in.ID), identity.Outcome(in.Outcome), in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &linesOutput{}
	out.Body.Lines = linesOf(lines)
	return out, nil
}

func (s *Server) leftRows(ctx context.Context, actor account.Actor, in *importInput) (*leftOutput, error) {
	text, err := s.Imports.Left(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	return &leftOutput{Type: "text/csv; charset=utf-8", Disposition: `attachment; filename="left.csv"`, Body: text}, nil
}

func (s *Server) acceptInvitation(ctx context.Context, _ account.Actor, in *acceptInput) (*acceptOutput, error) {
	login, err := s.StaffInvitations.Accept(ctx, session.From(ctx), in.Body.Code, in.Body.Password)
	if err != nil {
		return nil, err
	}
	out := &acceptOutput{}
	out.Body.Login = login
	return out, nil
}
