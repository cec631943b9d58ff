package web

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mountParked puts the pages on the app of what waits for an owner, and of what was refused.
func (w *Web) mountParked(get, post func(string, fiber.Handler)) {
	if w.Inbox != nil {
		get("/devices/inbox", func(c *fiber.Ctx) error { return w.inboxPage(c, http.StatusOK, inboxView{}) })
		post("/devices/inbox/claim", w.inboxClaim)
		post("/devices/inbox/dismiss", w.inboxDismiss)
		post("/devices/inbox/bring-back", w.inboxBringBack)
	}
	if w.Quarantine != nil {
		get("/devices/quarantine", func(c *fiber.Ctx) error { return w.quarantinePage(c, http.StatusOK, noticeView{}) })
		post("/devices/quarantine/:id/retry", w.quarantineRetry)
	}
}

// inboxView is what waits for an owner.
type inboxView struct {
	Groups  []waitingView
	Aside   []asideView
	Desk    bool // the reader sees the other pages of devices
	Notice  noticeView
	Choices []patientLine
	// Asked is of which group the choices are.
	Asked, AskedFrom, AskedTo, Who, Reason string
}

type waitingView struct {
	Key, Sensor, Device, Model string
	Why                        string
	Waits                      string // the reason as the form sends it
	Count                      int
	Measured                   string // when, all of them
	From, To                   string // as the form sends them
	Readings                   []parkedLine
	Suggestions                []suggestionLine
	Claimable                  bool
}

// asideView is what somebody put aside at one time.
type asideView struct {
	waitingView
	By, Reason string
	Put        moment
	At         string // as the form sends it
}

type parkedLine struct {
	Metric, Values string
	Measured       moment
	Findings       []string
}

type suggestionLine struct {
	ID           vital.UID
	Name, Number string
	Reasons      []string
}

func (w *Web) inboxPage(c *fiber.Ctx, status int, view inboxView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	list, err := w.Inbox.List(ctx, actor)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view.Desk = may(actor, account.SeeDevices)
	for i := range list {
		view.Groups = append(view.Groups, viewWaiting(&list[i], k))
	}
	aside, err := w.Inbox.ListAside(ctx, actor)
	if err != nil {
		return err
	}
	for i := range aside {
		g := &aside[i]
		view.Aside = append(view.Aside, asideView{viewWaiting(&g.Waiting, k), g.By, g.Why, k.at(g.At), g.At.Format(time.RFC3339Nano)})
	}
	c.Status(status)
	return w.page(c, "inbox", "Unassigned readings", "devices", view)
}

func viewWaiting(g *safe.Waiting, k clock) waitingView {
	v := waitingView{
		Key: g.Sensor + "." + g.Reason + "." + g.Device, Sensor: g.Sensor, Device: g.Device, Model: g.Model, Why: waitsWords(g.Reason), Waits: g.Reason, Count: g.Count,
		From: g.First.Format(time.RFC3339Nano), To: g.Last.Add(time.Microsecond).Format(time.RFC3339Nano), Claimable: g.Reason != "revoked",
	}
	v.Measured = k.exact(g.First)
	switch {
	case !g.Vague.IsZero() && g.First.Equal(g.Last):
		v.Measured = k.measured(g.First, g.Vague).Exact
	case !g.Vague.IsZero():
		first, _ := g.Vague.Span(g.First)
		_, last := g.Vague.Span(g.Last)
		v.Measured = k.between(first, last).Exact
	case k.exact(g.First) != k.exact(g.Last):
		v.Measured += " to " + k.exact(g.Last)
	}
	for _, r := range g.Readings {
		line := parkedLine{Metric: metricWord(r.Metric), Values: valueWords(r.Metric, r.Values), Measured: k.measured(r.MeasuredAt, r.Vague)}
		for _, f := range r.Findings.Names() {
			line.Findings = append(line.Findings, strings.ReplaceAll(f, "_", " "))
		}
		v.Readings = append(v.Readings, line)
	}
	for _, s := range g.Suggestions {
		v.Suggestions = append(v.Suggestions, suggestionLine{s.Patient.UID, s.Patient.Name, s.Patient.Number, s.Reasons})
	}
	return v
}

// spanOf reads the period that a form of the inbox names.
func spanOf(c *fiber.Ctx) (from, to time.Time, err error) {
	if from, err = time.Parse(time.RFC3339Nano, c.FormValue("from")); err == nil {
		to, err = time.Parse(time.RFC3339Nano, c.FormValue("to"))
	}
	if err != nil {
		return from, to, fault.New(fault.Invalid, "the page has changed: look at it again")
	}
	return from, to, nil
}

func (w *Web) inboxClaim(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	view := inboxView{Asked: c.FormValue("key"), AskedFrom: c.FormValue("from"), AskedTo: c.FormValue("to"), Who: strings.TrimSpace(c.FormValue("who")), Reason: strings.TrimSpace(c.FormValue("reason"))}
	patient := vital.UID(c.FormValue("patient"))
	from, to, err := spanOf(c)
	if err == nil && patient == "" {
		var p account.Patient
		p, err = w.other(ctx, actor, view.Who, vital.UID(c.FormValue("other")), "", &view.Choices)
		if patient = p.UID; err == nil && patient == "" {
			return w.inboxPage(c, http.StatusOK, view)
		}
	}
	if err == nil {
		var made safe.Refile
		if made, err = w.Inbox.ClaimOf(ctx, actor, safe.Wish{Sensor: c.FormValue("sensor"), Device: c.FormValue("device"), From: from, To: to, BelongsTo: patient, Reason: view.Reason}); err == nil {
			return c.Redirect("/refiles/"+string(made.UID), http.StatusSeeOther)
		}
	}
	return w.inboxWrong(c, view, err)
}

func (w *Web) inboxDismiss(c *fiber.Ctx) error {
	actor := session.Actor(c.UserContext())
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	from, to, err := spanOf(c)
	if err == nil {
		_, err = w.Inbox.Dismiss(c.UserContext(), actor, safe.Dismissal{Sensor: c.FormValue("sensor"), Device: c.FormValue("device"), Reason: c.FormValue("waits"), From: from, To: to, Why: c.FormValue("why")})
	}
	if err == nil {
		return c.Redirect("/devices/inbox", http.StatusSeeOther)
	}
	return w.inboxWrong(c, inboxView{}, err)
}

func (w *Web) inboxBringBack(c *fiber.Ctx) error {
	actor := session.Actor(c.UserContext())
	if err := account.Allow(actor, account.Refile, nil); err != nil {
		return err
	}
	from, to, err := spanOf(c)
	var at time.Time
	if put := c.FormValue("at"); err == nil && put != "" {
		if at, err = time.Parse(time.RFC3339Nano, put); err != nil {
			err = fault.New(fault.Invalid, "the page has changed: look at it again")
		}
	}
	if err == nil {
		_, err = w.Inbox.BringBack(c.UserContext(), actor, safe.Return{Sensor: c.FormValue("sensor"), Device: c.FormValue("device"), From: from, To: to, At: at})
	}
	if err == nil {
		return c.Redirect("/devices/inbox", http.StatusSeeOther)
	}
	return w.inboxWrong(c, inboxView{}, err)
}

func (w *Web) inboxWrong(c *fiber.Ctx, view inboxView, err error) error {
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
		return err
	}
	view.Notice, view.Choices = noticeView{Bad: true, Text: sentence(fault.MessageOf(err))}, nil
	return w.inboxPage(c, session.Status(err), view)
}

// quarantineView is what was refused.
type quarantineView struct {
	List     []refusalView
	Device   string
	Reason   string
	Settled  bool
	Reasons  []reasonChoice
	CanRetry bool
	Notice   noticeView
}

type reasonChoice struct{ Code, Words string }

type refusalView struct {
	ID             vital.UID
	Device, Topic  string
	Why, Detail    string
	Received, Last moment
	Times          int
	Raw            string
	Hex            bool
	Length         int64
	Head           bool // only the head is kept
	Tried          string
	Again          string
	Settled        bool
	CanRetry       bool
}

func (w *Web) quarantinePage(c *fiber.Ctx, status int, notice noticeView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	view := quarantineView{Device: strings.TrimSpace(c.Query("device")), Reason: c.Query("reason"), Settled: c.Query("settled") != "", CanRetry: may(actor, account.EnrolDevice), Notice: notice}
	list, err := w.Quarantine.List(ctx, actor, devices.RefusalFilter{Device: view.Device, Reason: vital.Reason(view.Reason), Settled: view.Settled})
	if fault.Is(err, fault.NotFound) { // no device of the name that somebody typed
		status, view.Notice = session.Status(err), noticeView{Bad: true, Text: sentence(fault.MessageOf(err))}
	} else if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	for i := range list {
		view.List = append(view.List, viewRefusal(&list[i], k, view.CanRetry))
	}
	for _, r := range []vital.Reason{
		vital.ReasonUnparsable, vital.ReasonTooLarge, vital.ReasonMetric, vital.ReasonUnit, vital.ReasonNotANumber, vital.ReasonImplausible, vital.ReasonClock,
		vital.ReasonTopic, vital.ReasonSensor, vital.ReasonConflict, vital.ReasonName, vital.ReasonNotKept,
	} {
		view.Reasons = append(view.Reasons, reasonChoice{string(r), refusedWords(r)})
	}
	c.Status(status)
	return w.page(c, "quarantine", "Refused messages", "devices", view)
}

func viewRefusal(h *devices.Refusal, k clock, canRetry bool) refusalView {
	v := refusalView{
		ID: h.UID, Device: h.Device, Topic: h.Topic, Why: refusedWords(h.Reason), Detail: h.Detail, Received: k.at(h.ReceivedAt), Last: k.at(h.LastAt), Times: h.Times,
		Length: h.Length, Head: int64(len(h.Raw)) < h.Length, Settled: !h.SettledAt.IsZero(), Again: h.RefusedAgain,
	}
	v.Raw, v.Hex = rawWords(h.Raw)
	if !h.TriedAt.IsZero() {
		v.Tried = h.TriedBy + " had it decoded again " + k.short(h.TriedAt)
	}
	v.CanRetry = canRetry && h.Whole() && !v.Settled
	return v
}

// rawShown is how many bytes of a message a page shows.
const rawShown = 4096

// rawWords shows bytes as text where they are one that can be read, else as a dump.
func rawWords(raw []byte) (text string, dump bool) {
	cut := raw[:min(len(raw), rawShown)]
	for n := 0; n < utf8.UTFMax && len(cut) < len(raw) && !utf8.Valid(cut); n++ {
		cut = cut[:len(cut)-1] // within a letter
	}
	readable := utf8.Valid(cut) && strings.IndexFunc(string(cut), func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' }) < 0
	if readable {
		return string(cut), false
	}
	return hex.Dump(cut), true
}

func (w *Web) quarantineRetry(c *fiber.Ctx) error {
	h, err := w.Quarantine.Retry(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	switch {
	case fault.Is(err, fault.Invalid), fault.Is(err, fault.Conflict), fault.Is(err, fault.Unavailable):
		return w.quarantinePage(c, session.Status(err), noticeView{Bad: true, Text: sentence(fault.MessageOf(err))})
	case err != nil:
		return err
	case h.RefusedAgain != "":
		return w.quarantinePage(c, http.StatusOK, noticeView{Bad: true, Text: "Refused again: " + h.RefusedAgain})
	}
	return w.quarantinePage(c, http.StatusOK, noticeView{Text: "Readings that came of it: " + strconv.Itoa(h.Accepted) + ". It is kept among what is settled."})
}
