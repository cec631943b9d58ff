package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mountRefiles puts the screens on the app where wrong pairings are undone and two records of one person become one.
func (w *Web) mountRefiles(get, post func(string, fiber.Handler)) {
	if w.Refiles == nil {
		return
	}
	get("/patients/:id/refile", w.refileForm)
	post("/patients/:id/refile", w.refileAsked)
	get("/refiles/:id", w.refile)
	get("/refiles/:id/progress", w.refileProgress)
	post("/refiles/:id/undo", w.refileUndo)
	get("/patients/:id/merge", w.mergeForm)
	post("/patients/:id/merge", w.mergeAsked)
	get("/merges/:id", w.merge)
	get("/merges/:id/progress", w.mergeProgress)
	post("/merges/:id/undo", w.mergeUndo)
}

// The ways in which readings are filed anew, as the form names them.
const (
	refileToOther  = "other"  // filed here, they are another patient's
	refileToNobody = "nobody" // filed here, nobody knows whose they are
	refileClaim    = "claim"  // parked, they are this patient's
)

// refileView is the form, and once it was filled in what would move.
type refileView struct {
	ID       vital.UID
	Name     string
	Zone     string
	Desk     bool // the reader may give away what is nobody's
	Worn     []wornLine
	Way      string
	Sensor   string
	From, To string // as the form sends them
	Who      string
	Other    vital.UID
	Choices  []patientLine // of those whom Who may mean
	Reason   string
	Error    string
	Preview  *refilePreview
}

type wornLine struct{ Sensor, Span string }

// refilePreview is what would move.
type refilePreview struct {
	Lines  []string
	Total  int
	Alerts int
	Whose  string // "Ana Kos"; empty: nobody's
	Span   string
	Under  vital.UID
}

func (w *Web) refileForm(c *fiber.Ctx) error {
	return w.refilePage(c, http.StatusOK, refileView{Way: refileToOther, Sensor: c.Query("sensor")})
}

func (w *Web) refilePage(c *fiber.Ctx, status int, view refileView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	p, err := w.Directory.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	worn, err := w.Refiles.WornBy(ctx, actor, p.UID)
	if err != nil {
		return err
	}
	k := clock{now: w.Now()}.in(p.Zone)
	view.ID, view.Name, view.Zone, view.Desk = p.UID, p.Name, p.Zone, may(actor, account.AssignDevice)
	for _, one := range worn {
		view.Worn = append(view.Worn, wornLine{one.Sensor, betweenWords(one.From, one.To, k)})
		if view.Sensor == "" {
			view.Sensor = one.Sensor
		}
	}
	c.Status(status)
	return w.page(c, "refile", "File readings anew", "patients", view)
}

func betweenWords(from, to time.Time, k clock) string {
	if to.IsZero() {
		return "from " + k.exact(from) + " on"
	}
	return k.exact(from) + " to " + k.exact(to)
}

// refileAsked answers POST /patients/{id}/refile: first with what would move, and when that was seen by asking for it.
func (w *Web) refileAsked(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	view := refileView{
		Way: c.FormValue("way"), Sensor: strings.TrimSpace(c.FormValue("sensor")), From: c.FormValue("from"), To: c.FormValue("to"),
		Who: strings.TrimSpace(c.FormValue("who")), Other: vital.UID(c.FormValue("other")), Reason: c.FormValue("reason"),
	}
	p, err := w.Directory.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	k := clock{now: w.Now()}.in(p.Zone)
	wish, whose, err := w.wishOf(ctx, actor, &view, p, k)
	if err == nil && len(view.Choices) == 0 {
		if c.FormValue("seen") != "" {
			var made safe.Refile
			if made, err = w.Refiles.Ask(ctx, actor, wish); err == nil {
				return c.Redirect("/refiles/"+string(made.UID), http.StatusSeeOther)
			}
		} else {
			view.Preview, err = w.previewOf(ctx, actor, wish, whose, k)
		}
	}
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		view.Error, view.Preview = sentence(fault.MessageOf(err)), nil
		return w.refilePage(c, session.Status(err), view)
	}
	if err != nil {
		return err
	}
	return w.refilePage(c, http.StatusOK, view)
}

// wishOf reads the form. Whom the text may mean besides stands in Choices.
func (w *Web) wishOf(ctx context.Context, actor account.Actor, view *refileView, p account.Patient, k clock) (wish safe.Wish, whose string, err error) {
	wish = safe.Wish{Sensor: view.Sensor, Owner: p.UID, Reason: view.Reason}
	if wish.From, err = time.ParseInLocation(formTime, view.From, k.zone); err != nil {
		return wish, "", fault.New(fault.Invalid, "say from when on: give the date and the time")
	}
	if view.To != "" {
		if wish.To, err = time.ParseInLocation(formTime, view.To, k.zone); err != nil {
			return wish, "", fault.New(fault.Invalid, "say until when: give the date and the time, or leave both out")
		}
	}
	switch view.Way {
	case refileToNobody:
		return wish, "", nil
	case refileClaim:
		wish.Owner, wish.BelongsTo = "", p.UID
		return wish, p.Name, nil
	case refileToOther:
		other, err := w.other(ctx, actor, view.Who, view.Other, p.UID, &view.Choices)
		wish.BelongsTo = other.UID
		view.Other = other.UID
		return wish, other.Name, err
	}
	return wish, "", fault.New(fault.Invalid, "say whose the readings are")
}

// other finds the other patient: by the choice that was made, or by a name or number that only one has.
func (w *Web) other(ctx context.Context, actor account.Actor, who string, chosen, besides vital.UID, choices *[]patientLine) (account.Patient, error) {
	if chosen != "" {
		return w.Directory.Patient(ctx, actor, chosen)
	}
	if who == "" {
		return account.Patient{}, fault.New(fault.Invalid, "say who the other person is: a name or a number")
	}
	const most = 20
	list, err := w.Directory.Patients(ctx, actor, who, most)
	if err != nil {
		return account.Patient{}, err
	}
	for i := range list {
		if q := &list[i]; q.UID != besides {
			*choices = append(*choices, patientLine{ID: q.UID, Name: q.Name, Number: q.Number, Born: bornWord(q.BirthYear)})
		}
	}
	if len(*choices) == 0 {
		return account.Patient{}, fault.New(fault.NotFound, "nobody else whom you can see has this name or number")
	}
	return account.Patient{}, nil // a name alone is no choice: the person is picked from the list
}

func (w *Web) previewOf(ctx context.Context, actor account.Actor, wish safe.Wish, whose string, k clock) (*refilePreview, error) {
	found, err := w.Refiles.Preview(ctx, actor, wish)
	if err != nil {
		return nil, err
	}
	p := &refilePreview{Total: found.Total(), Alerts: len(found.Alerts), Whose: whose, Span: betweenWords(wish.From, wish.To, k), Under: found.Under}
	for _, m := range found.Readings {
		p.Lines = append(p.Lines, fmt.Sprintf("%d × %s", m.Readings, metricWord(m.Metric)))
	}
	return p, nil
}

// filedView is one refile, on its own page and as a line of a patient's.
type filedView struct {
	ID       vital.UID
	Sensor   string
	Span     string
	From, To partyView
	Reason   string
	State    string
	Ended    bool
	Failed   bool
	Problem  string
	Stands   bool   // it does not go on just now
	Next     string // what to do about the problem
	Total    int
	Moved    int
	Alerts   int
	At       moment
	By       string
	UndoOf   vital.UID
	UndoneBy vital.UID
	Merge    vital.UID
	MayUndo  bool
	Waits    bool // the readings are nobody's
	Brought  bool // of a patient's list: to this one
}

// partyView is a patient, or what is said of one whom the reader may not know of.
type partyView struct {
	ID     vital.UID
	Name   string
	Number string
}

func viewParty(p safe.Party, some bool) partyView {
	switch {
	case !some:
		return partyView{Name: "nobody (parked)"}
	case p.UID == "":
		return partyView{Name: "another person"}
	}
	return partyView{p.UID, p.Name, p.Number}
}

func viewFiled(r *safe.Refile, actor account.Actor, k clock) filedView {
	v := filedView{
		ID: r.UID, Sensor: r.Sensor, Span: betweenWords(r.From, r.To, k), From: viewParty(r.Owner, r.Owned), To: viewParty(r.BelongsTo, r.Claimed),
		Reason: r.Reason, Problem: sentence(r.Problem), Ended: r.State.Ended(), Failed: r.State == safe.RefileFailed, Total: r.Total, Moved: r.Moved, Alerts: r.Alerts,
		At: k.at(r.AskedAt), By: r.AskedBy, UndoOf: r.UndoOf, UndoneBy: r.UndoneBy, Merge: r.Merge,
		MayUndo: r.MayUndo(actor), Waits: !r.Claimed && !r.State.Ended() || !r.Claimed && r.State == safe.RefileDone && r.UndoneBy == "",
	}
	switch r.State {
	case safe.RefileAsked:
		v.State = "asked for"
	case safe.RefileRunning:
		v.State = "under way"
	case safe.RefileDone:
		v.State = "done"
	case safe.RefileFailed:
		v.State = "not done"
	}
	v.Stands, v.Next = r.StandsStill(), refileNext(r)
	return v
}

// refileNext says what whoever reads of a refile in trouble can do; of a part of a merge the merge's page says it.
func refileNext(r *safe.Refile) string {
	switch {
	case r.Problem == "":
		return ""
	case r.StandsStill() && r.StartedAt.IsZero():
		return "Tell whoever runs Hale. Until then nothing is changed: the readings stand where they were."
	case r.StandsStill():
		return fmt.Sprintf("Tell whoever runs Hale. Until then %d of %d readings stand where they were, and the two people are judged as before.", r.Total-r.Moved, r.Total)
	case r.HalfWay():
		return fmt.Sprintf("%d of %d readings had moved and stay there. Both records that are left were judged anew.", r.Moved, r.Total)
	case r.Merge != "":
		return "Nothing was changed. The page of the merge says what to do."
	}
	return "Nothing was changed. It can be asked for again from the patient's page."
}

func (w *Web) oneFiled(c *fiber.Ctx) (filedView, error) {
	actor := session.Actor(c.UserContext())
	r, err := w.Refiles.Get(c.UserContext(), actor, vital.UID(c.Params("id")))
	if err != nil {
		return filedView{}, err
	}
	return viewFiled(&r, actor, clock{now: w.Now(), zone: w.Zone}), nil
}

// refile answers GET /refiles/{id}.
func (w *Web) refile(c *fiber.Ctx) error {
	view, err := w.oneFiled(c)
	if err != nil {
		return err
	}
	return w.page(c, "filed", "Readings filed anew", "patients", view)
}

// refileProgress answers GET /refiles/{id}/progress, which the page asks for until it has ended.
func (w *Web) refileProgress(c *fiber.Ctx) error {
	view, err := w.oneFiled(c)
	if err != nil {
		return err
	}
	return w.fragment(c, "filed-progress", view)
}

// refileUndo answers POST /refiles/{id}/undo.
func (w *Web) refileUndo(c *fiber.Ctx) error {
	made, err := w.Refiles.Undo(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")), c.FormValue("reason"))
	if err != nil {
		return err
	}
	return c.Redirect("/refiles/"+string(made.UID), http.StatusSeeOther)
}

// historyView is what a patient's page tells of readings that were filed anew and of merges.
type historyView struct {
	ID        vital.UID
	Filed     []filedView
	Merges    []mergedView
	Now       partyView // who the patient is known as; empty: themselves
	CanRefile bool
	CanMerge  bool
	// OpensFiled and OpensMerges say whether the pages of the two are for the role.
	OpensFiled, OpensMerges bool
}

func (w *Web) historyOf(ctx context.Context, actor account.Actor, p *account.Patient, k clock) (historyView, error) {
	v := historyView{ID: p.UID}
	if w.Refiles == nil {
		return v, nil
	}
	list, err := w.Refiles.Of(ctx, actor, p.UID)
	if err != nil {
		return v, err
	}
	for i := range list {
		one := viewFiled(&list[i], actor, k)
		one.Brought = list[i].Claimed && list[i].BelongsTo.UID == p.UID
		v.Filed = append(v.Filed, one)
	}
	merges, err := w.Merges.Of(ctx, actor, p.UID)
	if err != nil {
		return v, err
	}
	for i := range merges {
		one := viewMerged(&merges[i], actor, k)
		one.Was = merges[i].From.UID == p.UID
		if one.Was && p.State == account.Merged && v.Now.ID == "" && one.Stands {
			v.Now = one.Into
		}
		v.Merges = append(v.Merges, one)
	}
	v.OpensFiled, v.OpensMerges = may(actor, account.Refile), may(actor, account.MergePatients)
	active := p.State != account.Merged
	v.CanRefile, v.CanMerge = active && account.Allow(actor, account.Refile, p) == nil, active && account.Allow(actor, account.MergePatients, p) == nil
	return v, nil
}
