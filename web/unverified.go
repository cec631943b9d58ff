package web

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// mountUnverified puts the pages of values on the app that may be somebody's emergency.
func (w *Web) mountUnverified(get, post func(string, fiber.Handler)) {
	if w.Unverified == nil {
		return
	}
	get("/unverified", w.unverifiedEnded)
	get("/unverified/:id", w.unverified)
	post("/unverified/:id/acknowledge", w.unverifiedAct)
	post("/unverified/:id/claim", w.unverifiedAct)
	post("/unverified/:id/close", w.unverifiedAct)
	post("/unverified/:id/values/:value/unclaim", w.unclaim)
}

// unverifiedView is an unverified red, as a row of the board and on its own page.
type unverifiedView struct {
	ID         vital.UID
	Version    int
	CSRF       string
	Level      levelView
	Metric     string
	Values     string
	Because    string // why it counts
	Waits      string // where the value is, and why
	Device     string
	Sensor     string
	Findings   []string
	Measured   moment
	Received   moment
	Opened     moment
	Times      string
	Historic   bool
	Deadline   string // "9 min left"; empty when it has passed
	Loud       string // "overdue by 3 min"
	TakenBy    string
	TakenUntil moment
	Closed     string
	Note       string
	Holders    []holderView
	Open       bool
	CanTake    bool
	Inbox      bool
	Filing     bool   // somebody has said whose it is: it is being filed
	Aside      string // open, though somebody who may not end it has put it aside in the inbox
	// Of the page alone.
	All     []partView // what it stands for, where that is not all said
	Cut     bool       // All may be but the worst of it
	Log     []entryView
	Who     string
	Choices []patientLine
	Error   string
}

type holderView struct {
	ID     vital.UID
	Name   string
	Number string
	How    string
}

func viewUnverified(u *alerts.Unverified, k clock, csrf string) unverifiedView {
	v := unverifiedView{
		ID: u.UID, Version: u.Version, CSRF: csrf, Level: viewLevel(u.Level), Metric: metricWord(u.Metric), Values: unverifiedValues(u), Because: groundWords(u.Ground),
		Waits: placeWords(u), Device: u.Device, Sensor: u.Sensor, Measured: k.measured(u.MeasuredAt, u.Vague), Received: k.at(u.ReceivedAt), Opened: k.at(u.OpenedAt), Historic: u.Historic,
		Open: u.State != alerts.Closed, Note: u.Note, Inbox: u.Place == alerts.InInbox,
	}
	for _, f := range u.Findings.Names() {
		v.Findings = append(v.Findings, strings.ReplaceAll(f, "_", " "))
	}
	if u.Times > 1 {
		v.Times = strconv.Itoa(u.Times) + " such values"
	}
	switch {
	case u.State == alerts.Closed:
		v.Closed = closingWords(u.Closing, u.ClosedBy, u.Place) + ", " + k.short(u.ClosedAt)
	case u.AckInForce(k.now):
		v.TakenBy, v.TakenUntil = u.AckName+" looks after it", k.at(u.AckUntil)
	case u.Loud(k.now):
		v.Loud = "overdue by " + span(k.now.Sub(u.Deadline))
	case !u.Historic:
		v.Deadline = span(u.Deadline.Sub(k.now)) + " left to look at it"
	}
	if aside := u.Aside(); aside != "" {
		v.Aside = sentence(aside)
	}
	v.CanTake = v.Open && v.TakenBy == ""
	for _, h := range u.Holders {
		v.Filing = v.Filing || v.Open && v.Inbox && h.How == "claimed"
		v.Holders = append(v.Holders, holderView{h.Patient, h.Name, h.Number, holderWords(h, k)})
	}
	return v
}

func holderWords(h alerts.Holder, k clock) string {
	what := "the sensor"
	if h.How == "near" {
		what = "something of the same household"
	}
	switch {
	case h.How == "claimed":
		return "said to be the one"
	case h.How == "holds":
		return "holds the sensor"
	case h.To.IsZero():
		return "holds " + what + " since " + k.exact(h.From)
	case h.From.IsZero():
		return "held " + what
	}
	return "held " + what + " until " + k.exact(h.To)
}

// unverifiedValues says what is known of the number, and whether the device could not even measure another.
func unverifiedValues(u *alerts.Unverified) string {
	d, ok := vital.Define(u.Metric)
	if !ok {
		return ""
	}
	if n := len(u.Values); (n > 1 || n == 1 && len(d.Components) == 1) && !slices.ContainsFunc(u.Values, math.IsNaN) && !u.Unitless && u.Beyond == 0 {
		return valueWords(u.Metric, u.Values)
	}
	var parts []string
	for i, v := range u.Values {
		if i == len(d.Components) || math.IsNaN(v) {
			continue
		}
		text := number(v)
		if !u.Unitless {
			text = withUnit(text, d.Components[i].Canonical)
		}
		if len(d.Components) > 1 { // a pressure alone says which it is
			text = d.Components[i].Code + " " + text
		}
		parts = append(parts, text)
	}
	if u.Unitless && len(parts) > 0 {
		parts[len(parts)-1] += " (unit not known)"
	}
	switch u.Beyond {
	case vital.Below:
		parts = append(parts, "below what the device can measure (LO)")
	case vital.Above:
		parts = append(parts, "above what the device can measure (HI)")
	case vital.Under, vital.Over: // of a bound the number stands by itself
	}
	return strings.Join(parts, ", ")
}

func groundWords(g alerts.Ground) string {
	switch g {
	case alerts.GroundExtreme:
		return "Such a value is acted on at once, whoever it is"
	case alerts.GroundLimit:
		return "It is beyond a red limit of somebody whose it may be"
	case alerts.GroundBeyond:
		return "The device could not even measure it"
	case alerts.GroundUnit:
		return "It is red whichever unit it has"
	}
	return ""
}

func placeWords(u *alerts.Unverified) string {
	switch u.Place {
	case alerts.InInbox:
		return "waits for an owner: " + waitsWords(u.Why)
	case alerts.InQuarantine:
		if vital.Reason(u.Why) == vital.ReasonNotKept { // it has a number, so that it is no goal and no index
			return "was refused: its sender calls it preliminary, or does not say that it is a final result"
		}
		return "was refused: " + refusedWords(vital.Reason(u.Why))
	case alerts.InRecord:
		return "is stored as an average, which no limit judges"
	}
	return ""
}

// waitsWords says why a reading waits in the inbox.
func waitsWords(reason string) string {
	switch reason {
	case "no_owner":
		return "nobody held the sensor then"
	case "revoked":
		return "its device had been taken out of use"
	case "refiled":
		return "somebody said that it is not whose it was filed under"
	case "slot":
		return "the device has several users, and which of them it was is not said or not sure"
	case "clock_uncertain":
		return "the device's clock is not sure, and the sensor changed hands around that time"
	}
	return strings.ReplaceAll(reason, "_", " ")
}

// refusedWords says why a message was refused.
func refusedWords(r vital.Reason) string {
	switch r {
	case vital.ReasonUnparsable:
		return "it could not be read"
	case vital.ReasonTooLarge:
		return "it was too large"
	case vital.ReasonMetric:
		return "what was measured is not known, or a part is missing"
	case vital.ReasonUnit:
		return "its unit is missing or unknown"
	case vital.ReasonNotANumber:
		return "its value is no number"
	case vital.ReasonImplausible:
		return "its value is hardly possible"
	case vital.ReasonClock:
		return "its time cannot be"
	case vital.ReasonTopic:
		return "it came on a topic that is not the device's"
	case vital.ReasonSensor:
		return "the gateway may not speak for that sensor"
	case vital.ReasonConflict:
		return "its sequence number was used before for another value"
	case vital.ReasonName:
		return "it amends or takes back what was never sent under that name"
	case vital.ReasonNotKept:
		return "Hale does not keep such a thing"
	}
	return strings.ReplaceAll(string(r), "_", " ")
}

// unverifiedRows are those that the board shows; none to whoever does not handle alerts.
func (w *Web) unverifiedRows(c *fiber.Ctx, s account.Session) ([]unverifiedView, error) {
	if w.Unverified == nil || !alerts.MayWatch(s.Actor) {
		return nil, nil
	}
	list, err := w.Unverified.List(c.UserContext(), s.Actor, alerts.UnverifiedFilter{})
	if err != nil {
		return nil, err
	}
	k := clock{now: w.Now(), zone: w.Zone, afar: true}
	views := make([]unverifiedView, len(list))
	for i := range list {
		views[i] = viewUnverified(&list[i], k, s.CSRF)
	}
	return views, nil
}

// unverified answers GET /unverified/{id}.
func (w *Web) unverified(c *fiber.Ctx) error { return w.unverifiedPage(c, http.StatusOK, "", nil) }

func (w *Web) unverifiedPage(c *fiber.Ctx, status int, wrong string, choices []patientLine) error {
	s, _ := session.Of(c.UserContext())
	u, err := w.Unverified.Get(c.UserContext(), s.Actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	v := viewUnverified(&u, k, s.CSRF)
	v.tell(&u, k, &s, "/unverified/"+string(u.UID))
	v.Error, v.Choices, v.Who = wrong, choices, c.FormValue("who")
	c.Status(status)
	return w.page(c, "unverified", "Unverified red", "board", v)
}

// unverifiedAct answers the three acts; after each the reader is back where they were, or on the board.
func (w *Web) unverifiedAct(c *fiber.Ctx) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	uid := vital.UID(c.Params("id"))
	var err error
	back := "/"
	switch path := c.Path(); {
	case strings.HasSuffix(path, "/acknowledge"):
		_, err = w.Unverified.Acknowledge(ctx, s.Actor, uid, version(c), time.Time{})
		if c.FormValue("back") != "" {
			back = local(c.FormValue("back"))
		}
	case strings.HasSuffix(path, "/claim"):
		patient := vital.UID(c.FormValue("patient"))
		var choices []patientLine
		if patient == "" {
			var p account.Patient
			p, err = w.other(ctx, s.Actor, strings.TrimSpace(c.FormValue("who")), vital.UID(c.FormValue("other")), "", &choices)
			patient = p.UID
		}
		if err == nil && len(choices) > 0 && patient == "" {
			return w.unverifiedPage(c, http.StatusOK, "", choices)
		}
		if err == nil {
			_, err = w.Unverified.Claim(ctx, s.Actor, uid, version(c), patient, c.FormValue("note"))
			back = "/patients/" + string(patient)
		}
	default:
		_, err = w.Unverified.Close(ctx, s.Actor, uid, version(c), alerts.Closing(c.FormValue("how")), c.FormValue("note"))
	}
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		return w.unverifiedPage(c, session.Status(err), sentence(fault.MessageOf(err)), nil)
	}
	if err != nil {
		return err
	}
	return c.Redirect(back, http.StatusSeeOther)
}
