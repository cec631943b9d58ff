package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mergeView sets two records side by side, once the other one is chosen.
type mergeView struct {
	ID       vital.UID
	Name     string
	Who      string
	Choices  []patientLine
	Other    vital.UID
	Reason   string
	Override string
	Error    string

	Compared bool
	From     twinView
	Into     twinView
	Facts    []factLine
	Alike    string
	Differ   string
	Needs    bool // an override
	Confirm  string
	Limits   []limitsPair
}

type twinView struct {
	ID         vital.UID
	Name       string
	Sensors    int
	OpenAlerts int
}

type factLine struct {
	Name       string
	From, Into string
	Differs    bool
}

// limitsPair is a rule that both records have, and that says something else in each.
type limitsPair struct {
	Title      string
	From, Into []levelLine
}

func (w *Web) mergeForm(c *fiber.Ctx) error {
	return w.mergePage(c, http.StatusOK, mergeView{Who: strings.TrimSpace(c.Query("who")), Other: vital.UID(c.Query("into"))})
}

func (w *Web) mergePage(c *fiber.Ctx, status int, view mergeView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.MergePatients, nil); err != nil {
		return err
	}
	p, err := w.Directory.Patient(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	view.ID, view.Name = p.UID, p.Name
	switch {
	case view.Other != "":
		if err := w.compare(ctx, actor, &view); err != nil {
			return err
		}
	case view.Who != "":
		if _, err := w.other(ctx, actor, view.Who, "", p.UID, &view.Choices); err != nil {
			view.Error = sentence(fault.MessageOf(err))
		}
	}
	c.Status(status)
	return w.page(c, "merge", "One person, two records", "patients", view)
}

func (w *Web) compare(ctx context.Context, actor account.Actor, view *mergeView) error {
	found, err := w.Merges.Compare(ctx, actor, view.ID, view.Other)
	if err != nil {
		return err
	}
	view.Compared, view.Confirm = true, found.Confirm
	view.From, view.Into = viewTwin(&found.From), viewTwin(&found.Into)
	view.Facts = factsOf(&found)
	view.Alike, view.Differ = strings.Join(found.Alike, ", "), strings.Join(found.Differ, ", ")
	view.Needs = len(found.Differ) > 0 || len(found.Alike) == 0
	if may(actor, account.SeeReadings) {
		view.Limits, err = w.limitPairs(ctx, actor, view.ID, view.Other)
	}
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Forbidden) {
		return nil // whose limits are not this reader's are not compared here
	}
	return err
}

func viewTwin(t *safe.Twin) twinView {
	return twinView{ID: t.Patient.UID, Name: t.Patient.Name, Sensors: t.Sensors, OpenAlerts: t.OpenAlerts}
}

func factsOf(c *safe.Comparison) []factLine {
	a, b := &c.From.Patient, &c.Into.Patient
	lines := []factLine{
		{Name: "Name", From: a.Name, Into: b.Name},
		{Name: "Born", From: known(string(a.BirthDate)), Into: known(string(b.BirthDate)), Differs: a.BirthDate != "" && b.BirthDate != "" && !a.BirthDate.Agrees(b.BirthDate)},
		{Name: "Sex", From: a.Sex, Into: b.Sex, Differs: a.Sex != b.Sex && a.Sex != "unknown" && b.Sex != "unknown"},
		{Name: "Number here", From: known(a.Number), Into: known(b.Number)},
	}
	at := map[string]int{}
	for _, k := range c.From.Identifiers {
		at[k.System] = len(lines)
		lines = append(lines, factLine{Name: k.System, From: k.Value, Into: "none"})
	}
	for _, k := range c.Into.Identifiers {
		i, both := at[k.System]
		if !both {
			lines = append(lines, factLine{Name: k.System, From: "none", Into: k.Value})
			continue
		}
		lines[i].Into, lines[i].Differs = k.Value, lines[i].From != k.Value
	}
	return lines
}

func known(text string) string {
	if text == "" {
		return "not known"
	}
	return text
}

// limitPairs are the rules in force that differ: those of the record that stays go on.
func (w *Web) limitPairs(ctx context.Context, actor account.Actor, from, into vital.UID) ([]limitsPair, error) {
	was, err := w.Limits.Get(ctx, actor, from)
	if err != nil {
		return nil, err
	}
	stays, err := w.Limits.Get(ctx, actor, into)
	if err != nil {
		return nil, err
	}
	words := func(rules []alerts.Rule) map[alerts.RuleKey][]levelLine {
		m := map[alerts.RuleKey][]levelLine{}
		for i := range rules {
			if v, ok := rules[i].InForce(w.Now()); ok && v.Enabled {
				m[rules[i].Key()] = ruleWordsOf(rules[i].Key(), v).Lines
			}
		}
		return m
	}
	theirs, others := words(stays), words(was)
	var pairs []limitsPair
	for i := range was {
		key := was[i].Key()
		if a, b := others[key], theirs[key]; !sameLines(a, b) {
			pairs = append(pairs, limitsPair{Title: titleWords(key), From: a, Into: b})
		}
	}
	return pairs, nil
}

func sameLines(a, b []levelLine) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// mergeAsked answers POST /patients/{id}/merge.
func (w *Web) mergeAsked(c *fiber.Ctx) error {
	view := mergeView{Other: vital.UID(c.FormValue("into")), Reason: c.FormValue("reason"), Override: c.FormValue("override")}
	confirm := ""
	if c.FormValue("seen") != "" {
		confirm = c.FormValue("confirm")
	}
	made, err := w.Merges.Ask(c.UserContext(), session.Actor(c.UserContext()), safe.MergeWish{
		Patient: vital.UID(c.Params("id")), Into: view.Other, Confirm: confirm, Reason: view.Reason, Override: view.Override,
	})
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		view.Error = sentence(fault.MessageOf(err))
		return w.mergePage(c, session.Status(err), view)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/merges/"+string(made.UID), http.StatusSeeOther)
}

// mergedView is one merge, on its own page and as a line of a patient's.
type mergedView struct {
	ID         vital.UID
	From, Into partyView
	State      string
	Ended      bool // nothing is under way
	Stands     bool // it is not undone
	Reason     string
	Override   string
	By         string
	At         moment
	UndoBy     string
	UndoAt     moment
	UndoReason string
	Total      int
	Moved      int
	Troubles   []filedView // parts that stand still or have failed
	Next       string      // what to do about them
	CanUndo    bool
	Was        bool // of a patient's list: this one is known under the other record
}

func viewMerged(m *safe.Merge, actor account.Actor, k clock) mergedView {
	v := mergedView{
		ID: m.UID, From: viewParty(m.From, true), Into: viewParty(m.Into, true), Reason: m.Reason, Override: m.Override, By: m.AskedBy, At: k.at(m.AskedAt),
		UndoBy: m.UndoBy, UndoAt: k.at(m.UndoAt), UndoReason: m.UndoReason, Total: m.Total, Moved: m.Moved,
		CanUndo: m.State == safe.MergeDone && may(actor, account.MergePatients),
	}
	switch m.State {
	case safe.MergeRunning:
		v.State, v.Stands = "under way", true
	case safe.MergeDone:
		v.State, v.Stands, v.Ended = "done", true, true
	case safe.MergeUndoing:
		v.State = "being undone"
	case safe.MergeUndone:
		v.State, v.Ended = "undone", true
	}
	for i := range m.Troubles {
		v.Troubles = append(v.Troubles, viewFiled(&m.Troubles[i], actor, k))
	}
	v.Next = mergeNext(m)
	return v
}

// mergeNext says what to do about the parts of a merge that stand still or have failed.
func mergeNext(m *safe.Merge) string {
	waits := false
	for i := range m.Troubles {
		waits = waits || m.Troubles[i].StandsStill()
	}
	switch {
	case len(m.Troubles) == 0:
		return ""
	case waits:
		return "Tell whoever runs Hale. It ends by itself when that is mended; until then look at both records for the readings of these devices, and keep an eye on the person."
	case m.State == safe.MergeDone:
		return "These readings are still under the record that was merged. Undo the merge, have that mended, and merge again."
	case m.State == safe.MergeUndone:
		return "These readings are still under the record that stayed. Open it and choose “Readings are somebody else's”."
	}
	return "The rest goes on. What to do about these is said here when it has ended."
}

func (w *Web) oneMerged(c *fiber.Ctx) (mergedView, error) {
	actor := session.Actor(c.UserContext())
	m, err := w.Merges.Get(c.UserContext(), actor, vital.UID(c.Params("id")))
	if err != nil {
		return mergedView{}, err
	}
	return viewMerged(&m, actor, clock{now: w.Now(), zone: w.Zone}), nil
}

// merge answers GET /merges/{id}.
func (w *Web) merge(c *fiber.Ctx) error {
	view, err := w.oneMerged(c)
	if err != nil {
		return err
	}
	return w.page(c, "merged", "One person, two records", "patients", view)
}

// mergeProgress answers GET /merges/{id}/progress, which the page asks for until it has ended.
func (w *Web) mergeProgress(c *fiber.Ctx) error {
	view, err := w.oneMerged(c)
	if err != nil {
		return err
	}
	return w.fragment(c, "merged-progress", view)
}

// mergeUndo answers POST /merges/{id}/undo.
func (w *Web) mergeUndo(c *fiber.Ctx) error {
	m, err := w.Merges.Undo(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")), c.FormValue("reason"))
	if err != nil {
		return err
	}
	return c.Redirect("/merges/"+string(m.UID), http.StatusSeeOther)
}
