package web

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/vital"
)

// boardView is the worklist: the patients that wait for somebody, and below them those that somebody looks after.
type boardView struct {
	// Unverified are values of nobody known that may be an emergency: they come before all patients.
	Unverified []unverifiedView
	Inbox      bool     // the reader says whose readings are that wait
	Watch      bool     // the reader is shown unverified reds
	Untold     []string // one line for each way by which care teams are told, and are not just now
	Outages    []string // one line for each that lasts: what it explains is not missed
	Waiting    []caseView
	Taken      []caseView
	Claimed    []claimedView // of the last day, and judged by no limit
	Summary    string        // "3 to call, 11 to check, 2 taken"
	Quiet      string        // how many patients have no open alert
	Empty      bool          // no patient at all
	CanAdd     bool
	// CanStaff says that the reader makes accounts for those who work here.
	CanStaff bool
}

// caseView is one patient on the worklist.
type caseView struct {
	Patient vital.UID
	Name    string
	Number  string
	Level   levelView
	Since   moment
	Rows    []rowView
}

// levelView is a level as shape, word and colour.
type levelView struct{ Code, Word string }

func viewLevel(l alerts.Level) levelView { return levelView{Code: l.String(), Word: levelWord(l)} }

// rowView is one alert in a list.
type rowView struct {
	ID         vital.UID
	Version    int
	CSRF       string
	Back       string // where the form leads when no script is at work
	Live       bool   // a script may change the row alone; not where other forms of the page show the same version
	Patient    string
	Level      levelView
	Metric     string
	metric     vital.Metric
	Values     string
	Last       bool   // the values are the last that were beyond a limit, and perhaps not the worst
	Worse      bool   // they are known not to be the worst, and that is not known
	Worst      string // the worst ones, when the last are others
	WorstAt    moment
	Gone       string // "taken back by the device, 10:05": the values are struck out
	GoneWorst  string // the same of the worst ones
	Was        string // "was 210/118 mmHg, ...": of a reading that stands in the place of another
	AlsoGone   string // how many others of its readings do not stand any more
	Contact    string // "contact now: last known 81 %, 7 h ago"; empty when nobody is to get in touch
	Lasts      moment // since when it has lasted, when neither its opening nor its last reading says so
	Since      moment // it waits since then
	Measured   moment
	Times      string // "seen 3 times"; empty for once
	Historic   bool
	Taken      bool   // its condition is over because its readings are another record's
	Undone     bool   // its condition is over because readings were taken back
	InsideNow  bool   // the readings are back inside the limits (not: nobody judges them any more)
	Inside     string // the same in words
	TakenBy    string
	TakenUntil moment
	Expired    string // who had taken it, when that has run out
	Closed     string // how it ended; empty while it has not
	CanTake    bool
	CanResolve bool
}

// piece is a part of a sentence; Strong is what the eye looks for in it.
type piece struct {
	Text   string
	Strong bool
}

// Pieces makes the amounts strong in what is said of values: the numbers with a unit of the metric, or all of it when
// there is none.
func (r rowView) Pieces(text string) []piece {
	d, ok := vital.Define(r.metric)
	if !ok {
		return []piece{{text, true}}
	}
	var list []piece
	rest := text
	for rest != "" {
		from, to := amountIn(rest, d)
		if to == 0 {
			break
		}
		if from > 0 {
			list = append(list, piece{rest[:from], false})
		}
		list, rest = append(list, piece{rest[from:to], true}), rest[to:]
	}
	if len(list) == 0 {
		return []piece{{text, true}}
	}
	if rest != "" {
		list = append(list, piece{rest, false})
	}
	return list
}

// amountIn returns where the first number with a unit of the metric stands in the text; 0, 0 when there is none.
func amountIn(text string, d vital.Definition) (from, to int) {
	for _, c := range d.Components {
		unit := c.Canonical.Word()
		if unit == "" {
			continue
		}
		for at := 0; ; {
			i := strings.Index(text[at:], " "+unit)
			if i < 0 {
				break
			}
			number, end := strings.TrimRight(text[:at+i], "0123456789./"), at+i+1+len(unit)
			if len(number) < at+i && (to == 0 || len(number) < from) {
				from, to = len(number), end
				break
			}
			at = end
		}
	}
	return from, to
}

// rowMaker makes rows for one reader.
type rowMaker struct {
	clock clock
	csrf  string
	me    account.StaffID
	may   bool   // the reader may handle alerts
	back  string // the page that the rows stand on
	live  bool
}

// tellSince is how long before its opening an alert's first reading must have been measured to be told.
const tellSince = 10 * time.Minute

// maker returns what makes the rows of a page for whoever is signed in.
func (w *Web) maker(s account.Session, k clock, page string) rowMaker {
	return rowMaker{
		clock: k, csrf: s.CSRF, me: s.Actor.Staff, may: may(s.Actor, account.HandleAlert), back: page,
		live: !strings.HasPrefix(page, "/alerts/"),
	}
}

func (m rowMaker) row(a *alerts.Alert) rowView {
	inForce := a.AckInForce(m.clock.now)
	home := m.clock // by which a date is today's
	if a.PatientZone != "" {
		home.zone = vital.ZoneOrUTC(a.PatientZone)
	}
	r := rowView{
		ID: a.UID, Version: a.Version, CSRF: m.csrf, Back: m.back, Live: m.live, Patient: a.PatientName, Level: viewLevel(a.Level),
		Metric: metricWord(a.Metric), metric: a.Metric, Values: valueWords(a.Metric, a.LastValues),
		Since: m.clock.at(a.OpenedAt), Measured: home.measured(a.Last.At, a.LastVague), Historic: a.Historic,
	}
	if a.Occurrences > 1 {
		r.Times, r.Last = strconv.Itoa(a.Occurrences)+" readings", a.Worst.IsZero()
	}
	worst := valueWords(a.Metric, a.WorstValues)
	if because := a.Because(); because != "" {
		r.Values, r.Last, worst = because, false, a.WorstBecause()
	}
	if a.Eased() && worst != r.Values {
		r.Last, r.Worst, r.WorstAt = true, worst, home.measured(a.Worst.At, a.WorstVague)
	}
	r.retract(a, m.clock)
	if a.SinceVague.IsZero() && a.Since.Before(a.Last.At) && a.OpenedAt.Sub(a.Since) > tellSince {
		r.Lasts = m.clock.at(a.Since)
	}
	if a.ContactNow() {
		r.Contact = "contact now: last known " + valueWords(a.Metric, a.LastValues) + ", " + home.measuredAgo(a.Last.At, a.LastVague)
	}
	switch {
	case a.State == alerts.Closed:
		r.Closed = closedWords(a, m.clock)
		return r
	case inForce:
		r.TakenBy, r.TakenUntil = a.AckName+" has it", m.clock.at(a.AckUntil)
		if a.AckBy == m.me {
			r.TakenBy = "You have it"
		}
		if m.clock.afar {
			r.TakenBy, r.TakenUntil.Short = r.TakenBy+" for another", span(a.AckUntil.Sub(m.clock.now))
		} else {
			r.TakenBy += " until"
		}
	case a.State == alerts.Acknowledged:
		r.Expired = a.AckName
	}
	r.Taken, r.Undone = !a.Holds && a.Ended == alerts.CauseTaken, !a.Holds && a.Ended == alerts.CauseWithdrawn
	r.InsideNow, r.Inside = !a.Holds && a.Ended == alerts.CauseReturned, strings.ToLower(returnedWord(a.RuleKey()))
	r.CanTake, r.CanResolve = m.may && !inForce, m.may
	return r
}

// closedWords says how an alert ended.
func closedWords(a *alerts.Alert, k clock) string {
	if a.Closing == alerts.ClosedByCondition {
		text := "closed by itself " + k.short(a.ClosedAt)
		if a.Ended == alerts.CauseRule {
			text += ": the " + ruleNoun(a.RuleKey()) + " changed"
		}
		if a.Ended == alerts.CauseTaken {
			text += ": its readings are filed elsewhere now"
		}
		if a.Ended == alerts.CauseWithdrawn {
			text += ": what was beyond the limits was taken back"
		}
		return text
	}
	text := "resolved " + k.short(a.ClosedAt) + ": " + stepWord(a.NextStep)
	if !a.NextStepAt.IsZero() {
		text += " at " + k.short(a.NextStepAt)
	}
	return text
}

// board answers GET /.
func (w *Web) board(c *fiber.Ctx) error {
	actor := session.Actor(c.UserContext())
	if w.Safe != nil && ownOnly(actor) {
		return c.Redirect("/safe", http.StatusSeeOther)
	}
	if !may(actor, account.SeeAlerts) && may(actor, account.SeePatients) {
		return c.Redirect("/patients", http.StatusSeeOther) // the device desk has no board
	}
	if !may(actor, account.SeeAlerts) {
		return c.Redirect("/me", http.StatusSeeOther) // a researcher sees nobody by name
	}
	view, err := w.boardView(c)
	if err != nil {
		return err
	}
	return w.page(c, "board", "Triage board", "board", view)
}

// boardList answers GET /board/list: the part of the board that changes.
func (w *Web) boardList(c *fiber.Ctx) error {
	view, err := w.boardView(c)
	if err != nil {
		return err
	}
	return w.fragment(c, "worklist", view)
}

func (w *Web) boardView(c *fiber.Ctx) (boardView, error) {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	cases, err := w.Triage.Worklist(ctx, s.Actor)
	if err != nil {
		return boardView{}, err
	}
	people, err := w.heads.count(ctx, w.Directory, s.Actor, w.Now())
	if err != nil {
		return boardView{}, err
	}
	maker := w.maker(s, clock{now: w.Now(), zone: w.Zone, afar: true}, "/")
	view := viewBoard(cases, people, maker, may(s.Actor, account.AddPatient))
	if view.Unverified, err = w.unverifiedRows(c, s); err != nil {
		return boardView{}, err
	}
	if view.Claimed, err = w.claimedLately(ctx, s); err != nil {
		return boardView{}, err
	}
	view.Watch = w.Unverified != nil && alerts.MayWatch(s.Actor)
	view.Inbox = w.Inbox != nil && may(s.Actor, account.Refile)
	if n := len(view.Unverified); n > 0 {
		view.Summary += fmt.Sprintf(", %d unverified", n)
	}
	if view.Untold, err = w.untoldLines(ctx, s.Actor); err != nil {
		return boardView{}, err
	}
	if view.Outages, err = w.outageLines(ctx, s.Actor); err != nil {
		return boardView{}, err
	}
	view.CanStaff = w.Staffing != nil && may(s.Actor, account.ManageStaff)
	return view, nil
}

func viewBoard(cases []alerts.Case, people int, maker rowMaker, canAdd bool) boardView {
	view := boardView{CanAdd: canAdd, Empty: people == 0 && len(cases) == 0}
	call, check := 0, 0
	for i := range cases {
		one := &cases[i]
		v := caseView{
			Patient: one.Patient, Name: one.Name, Number: one.Number, Level: viewLevel(one.Level), Since: maker.clock.at(one.WaitingSince),
		}
		for j := range one.Alerts {
			v.Rows = append(v.Rows, maker.row(&one.Alerts[j]))
		}
		switch {
		case one.Acknowledged:
			view.Taken = append(view.Taken, v)
			continue
		case asksForCall(one, maker.clock.now):
			call++
		default:
			check++
		}
		view.Waiting = append(view.Waiting, v)
	}
	view.Summary = fmt.Sprintf("%d to call, %d to check, %d taken", call, check, len(view.Taken))
	view.Quiet = quietWords(people, len(cases))
	return view
}

// asksForCall reports whether a red alert waits for somebody that tells of now, or of the last that is known.
func asksForCall(c *alerts.Case, now time.Time) bool {
	return slices.ContainsFunc(c.Alerts, func(a alerts.Alert) bool {
		return a.Level >= alerts.Red && !a.Past() && !a.AckInForce(now)
	})
}

// quietWords says how many patients have no open alert, and does not call them well: who measures nothing raises none.
func quietWords(people, onBoard int) string {
	if people >= account.MostPatients {
		return fmt.Sprintf("More than %d patients; the others have no open alert.", account.MostPatients-1)
	}
	quiet := max(0, people-onBoard)
	return fmt.Sprintf("%d of %d patients have no open alert.", quiet, max(people, onBoard))
}

// headcount knows for a short while how many patients a person sees, since every open board asks for it several times a
// second when much happens. Nobody is told the number of another: it is of that one's care teams.
type headcount struct {
	mu    sync.Mutex
	known map[account.Actor]counted
}

type counted struct {
	people int
	at     time.Time
}

const countAgain = 10 * time.Second

func newHeadcount() *headcount { return &headcount{known: map[account.Actor]counted{}} }

// count returns how many patients the actor sees, up to account.MostPatients. None is not kept: who has just taken the first one
// in looks for it.
func (h *headcount) count(ctx context.Context, directory *account.Directory, actor account.Actor, now time.Time) (int, error) {
	h.mu.Lock()
	last, ok := h.known[actor]
	h.mu.Unlock()
	if ok && now.Sub(last.at) < countAgain {
		return last.people, nil
	}
	all, err := directory.Patients(ctx, actor, "", account.MostPatients)
	if err != nil {
		return 0, err
	}
	if len(all) == 0 {
		return 0, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.known, func(_ account.Actor, c counted) bool { return now.Sub(c.at) >= countAgain })
	h.known[actor] = counted{people: len(all), at: now}
	return len(all), nil
}
