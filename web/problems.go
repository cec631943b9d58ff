package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/devices/downlink"
	"hale/fault"
	"hale/vital"
)

// mountProblems puts the pages on the app on which the device desk sees what is wrong with devices, and asks something of them.
func (w *Web) mountProblems(get, post func(string, fiber.Handler)) {
	if w.Problems == nil {
		return
	}
	get("/devices/problems", func(c *fiber.Ctx) error { return w.problemsPage(c, http.StatusOK, "") })
	post("/devices/problems/mark", w.markProblem)
	get("/devices/:uid/commands", func(c *fiber.Ctx) error { return w.commandsPage(c, http.StatusOK, "") })
	post("/devices/:uid/commands", w.askDevice)
	post("/devices/:uid/commands/:id/withdraw", w.withdrawCommand)
}

// problemsView is what is wrong with the organisation's devices.
type problemsView struct {
	Error   string
	Open    []problemView
	Settled []problemView // seen, or to wait
}

// problemView is a problem in plain words, and what to do next.
type problemView struct {
	CSRF    string
	Kind    devices.ProblemKind
	Device  string
	Sensor  string
	Title   string
	Text    string
	Do      string
	Since   moment
	Wearers []devices.Wearer
	Urgent  bool
	Refused bool   // messages of it wait in quarantine
	Said    string // who has seen it, or until when it waits
	Note    string
	New     bool
	CanMark bool
	CanAsk  bool
}

func (w *Web) problemsPage(c *fiber.Ctx, status int, problem string) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	list, err := w.Problems.List(ctx, s.Actor)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view := problemsView{Error: problem}
	for i := range list {
		p := viewProblem(&list[i], k)
		p.CSRF = s.CSRF
		p.CanMark = p.Device != "" && may(s.Actor, account.EnrolDevice)
		p.CanAsk = p.CanMark && w.Commands != nil
		if p.New {
			view.Open = append(view.Open, p)
		} else {
			view.Settled = append(view.Settled, p)
		}
	}
	c.Status(status)
	return w.page(c, "problems", "Device problems", "devices", view)
}

func viewProblem(p *devices.Problem, k clock) problemView {
	v := problemView{
		Kind: p.Kind, Device: p.Device, Sensor: p.Sensor, Since: k.at(p.Since), Wearers: p.Wearers, Note: p.Note, New: p.State == devices.ProblemNew,
		Urgent: p.Kind == devices.ProblemOutage || p.Kind == devices.ProblemClock, Refused: p.ClockRefused > 0,
	}
	v.Title, v.Text, v.Do = problemWords(p, k)
	switch p.State {
	case devices.ProblemSeen:
		v.Said = "Seen by " + p.By + ", " + k.exact(p.MarkedAt)
	case devices.ProblemSnoozed:
		v.Said = "Put off by " + p.By + " until " + k.exact(p.Until)
	case devices.ProblemNew:
		if p.SnoozedYet {
			v.Said = "It was put off by " + p.By + ", and that is over"
		}
	}
	return v
}

// problemWords says a problem in plain words, and what to do next.
func problemWords(p *devices.Problem, k clock) (title, text, do string) {
	what := p.Sensor
	if p.Sensor != p.Device {
		what += " of " + p.Device
	}
	switch p.Kind {
	case devices.ProblemOutage:
		return outageWords(&p.Incident, k)
	case devices.ProblemClock:
		return clockProblemWords(p, what)
	case devices.ProblemCertificate:
		return "The certificate of " + what + " ends", "It is good until " + k.exact(p.Ends) + ", and the device has not renewed it. After that it cannot connect by it.",
			"See that the device is on and connected, so that it can renew by itself; or give it a new one."
	case devices.ProblemSilent:
		return "Nothing came from " + what, fmt.Sprintf("%s passed with nothing. %s", countWord(p.Slots, "expected measurement", "expected measurements"), heardWords(p, k)),
			"Call: was it measured, and does the device show that it was sent? If they were away, write down a pause."
	case devices.ProblemBattery:
		return "The battery of " + what + " is low", strconv.Itoa(int(p.Battery)) + " % are left.", "Call and have the battery changed or the device charged; send batteries if there are none."
	case devices.ProblemSignal:
		return "The signal of " + what + " is poor", strconv.Itoa(int(p.Signal)) + " dBm. What it measures may come late.", "Have it moved nearer to its gateway or to a window, away from metal."
	case devices.ProblemGaps:
		return "Readings of " + what + " are missing", countWord(p.Lost, "reading is", "readings are") + " missing in its count of the last two days.", "Look at its gaps: what it kept in its memory may still come. If it does not, ask what it shows."
	case devices.ProblemCalibration:
		return what + " is due for calibration", "It was due on " + p.Ends.Format("2 Jan 2006") + ".", "Exchange it, and send it in."
	}
	return string(p.Kind), "", ""
}

func outageWords(i *devices.Incident, k clock) (title, text, do string) {
	held := "Nobody's measurements are held back by it so far."
	if i.Explains > 0 {
		held = "It explains why nothing comes of " + countWord(i.Explains, "person", "people") + ": they are not said to have missed anything."
	}
	switch i.Kind {
	case devices.GatewayOut:
		return "The gateway " + i.Name + " is not heard", "Not since " + k.exact(i.From) + ". " + held, "Call whoever is there: is it plugged in, does its light show a connection? It ends by itself when it is heard again."
	case devices.DeviceOut:
		return "The device " + i.Name + " is not heard", "Not since " + k.exact(i.From) + ". " + held, "Call: is it switched on and near its gateway or the telephone? It ends by itself when it is heard again."
	case devices.PlatformOut:
		return "An outage of the platform", platformWord(i.Why) + " since " + k.exact(i.From) + ". " + held + " Red values that do come still alert.",
			"Tell whoever runs Hale. Nobody at home needs to be called about missing measurements."
	}
	return string(i.Kind), "", ""
}

// outageLines says in a line each which outages last, for whoever is to see them.
func (w *Web) outageLines(ctx context.Context, actor account.Actor) ([]string, error) {
	if w.Problems == nil {
		return nil, nil
	}
	list, err := w.Problems.Incidents(ctx, actor, 0)
	if fault.Is(err, fault.Forbidden) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	var lines []string
	for i := range list {
		if list[i].To.IsZero() {
			title, text, _ := outageWords(&list[i], k)
			lines = append(lines, title+". "+text)
		}
	}
	return lines, nil
}

func platformWord(why devices.IncidentWhy) string {
	switch why {
	case devices.WhyEdgeMissed:
		return "Nothing that devices send comes in"
	case devices.WhyStreamBehind:
		return "Part of what devices send is not judged"
	case devices.WhyManySilent:
		return "Many devices fell silent together"
	case devices.WhySilent:
	}
	return "Nothing is heard"
}

func aheadWord(off time.Duration) string {
	if off > 0 {
		return " ahead."
	}
	return " behind."
}

func heardWords(p *devices.Problem, k clock) string {
	if p.LastHeard.IsZero() {
		return "It was never heard of."
	}
	return "It was heard last " + k.at(p.LastHeard).When + "."
}

func countWord(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// markProblem answers POST /devices/problems/mark.
func (w *Web) markProblem(c *fiber.Ctx) error {
	ctx := c.UserContext()
	a := devices.ProblemAsk{Device: c.FormValue("device"), Sensor: c.FormValue("sensor"), Kind: devices.ProblemKind(c.FormValue("kind")), Note: strings.TrimSpace(c.FormValue("note"))}
	switch act := c.FormValue("act"); act {
	case "day", "week":
		a.State, a.Until = devices.ProblemSnoozed, w.Now().AddDate(0, 0, map[string]int{"day": 1, "week": 7}[act])
	default:
		a.State = devices.ProblemState(act)
	}
	err := w.Problems.Mark(ctx, session.Actor(ctx), a)
	if amiss(err) {
		return w.problemsPage(c, session.Status(err), sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect("/devices/problems", http.StatusSeeOther)
}

// commandsView is what was asked of a device, and the form that asks.
type commandsView struct {
	Error    string
	CSRF     string
	Device   string
	May      bool
	Kinds    []option
	Metrics  []option
	Commands []commandView
}

// option is one of a list.
type option struct {
	Code, Word string
}

// commandView is a command in words.
type commandView struct {
	ID     vital.UID
	Title  string
	State  string
	Text   string
	Detail string
	Made   moment
	Open   bool
}

func (w *Web) commandsPage(c *fiber.Ctx, status int, problem string) error {
	ctx := c.UserContext()
	s, _ := session.Of(ctx)
	uid := c.Params("uid")
	list, err := w.Commands.Commands(ctx, s.Actor, uid, 0)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view := commandsView{Error: problem, CSRF: s.CSRF, Device: uid, May: may(s.Actor, account.EnrolDevice)}
	for _, kind := range downlink.CommandKinds() {
		view.Kinds = append(view.Kinds, option{string(kind), commandWord(kind)})
	}
	for _, d := range vital.Metrics() {
		view.Metrics = append(view.Metrics, option{d.Code, metricWord(d.Metric)})
	}
	for i := range list {
		view.Commands = append(view.Commands, viewCommand(&list[i], k))
	}
	c.Status(status)
	return w.page(c, "commands", "What "+uid+" is asked", "devices", view)
}

func commandWord(kind downlink.CommandKind) string {
	switch kind {
	case downlink.MeasureNow:
		return "Measure now"
	case downlink.ShowText:
		return "Show a text"
	case downlink.SyncClock:
		return "Set its clock"
	case downlink.SetInterval:
		return "Measure by itself every so often"
	}
	return string(kind)
}

func viewCommand(c *downlink.Command, k clock) commandView {
	v := commandView{ID: c.ID, Title: commandWord(c.Kind), Detail: c.Detail, Made: k.at(c.CreatedAt), Open: c.State.Open()}
	switch c.Kind {
	case downlink.MeasureNow:
		if m, ok := vital.ParseMetric(c.Metric); ok {
			v.Title += ": " + metricWord(m)
		}
	case downlink.ShowText:
		v.Title += ": “" + c.Text + "”"
	case downlink.SetInterval:
		v.Title = "Measure by itself every " + span(time.Duration(c.Seconds)*time.Second)
	case downlink.SyncClock:
	}
	if c.Sensor != c.Device {
		v.Title += " (" + c.Sensor + ")"
	}
	v.Text = "Asked by " + c.By + "."
	held := c.HeldUntil(k.now)
	switch c.State {
	case downlink.CommandQueued:
		v.State = "waits"
		v.Text += " It is sent when the device listens, until " + k.exact(c.NotAfter) + "."
		if !held.IsZero() {
			v.Text += " Quiet hours at home hold it back until " + k.exact(held) + "."
		}
	case downlink.CommandSent:
		v.State = "sent"
		v.Text += " Sent " + k.at(c.SentAt).When + "; the device has not said what became of it."
	case downlink.CommandDone:
		v.State = "done"
		v.Text += " Done " + k.at(c.SettledAt).When + "."
	case downlink.CommandFailed:
		v.State = "failed"
		v.Text += " The device said " + k.at(c.SettledAt).When + " that it could not."
	case downlink.CommandExpired:
		v.State = "too late"
		if c.Times > 0 {
			v.Text += " It was sent, and the device said nothing until " + k.exact(c.NotAfter) + "."
		} else {
			v.Text += " The device did not listen until " + k.exact(c.NotAfter) + ": it was never sent."
		}
	case downlink.CommandWithdrawn:
		v.State = "taken back"
	case downlink.CommandCancelled:
		v.State, v.Detail = "cancelled", ""
		v.Text += " Cancelled " + k.at(c.SettledAt).When + ": " + c.Detail + "."
		if c.Times > 0 {
			v.Text += " It had been sent before; the device may have done it."
		}
	}
	return v
}

// askDevice answers POST /devices/{uid}/commands.
func (w *Web) askDevice(c *fiber.Ctx) error {
	ctx := c.UserContext()
	ask := downlink.Command{Device: c.Params("uid"), Sensor: strings.TrimSpace(c.FormValue("sensor")), Kind: downlink.CommandKind(c.FormValue("kind")), Urgent: c.FormValue("urgent") != ""}
	switch ask.Kind { // of the form only what goes with the kind
	case downlink.MeasureNow:
		ask.Metric = c.FormValue("metric")
	case downlink.ShowText:
		ask.Text = c.FormValue("text")
	case downlink.SetInterval:
		minutes, err := strconv.Atoi(strings.TrimSpace(c.FormValue("minutes")))
		if err != nil {
			return w.commandsPage(c, http.StatusBadRequest, "Say every how many minutes, as a whole number.")
		}
		ask.Seconds = minutes * 60
	case downlink.SyncClock:
	}
	_, err := w.Commands.Ask(ctx, session.Actor(ctx), ask)
	if amiss(err) {
		return w.commandsPage(c, session.Status(err), sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect(local("/devices/"+ask.Device+"/commands"), http.StatusSeeOther)
}

// withdrawCommand answers POST /devices/{uid}/commands/{id}/withdraw.
func (w *Web) withdrawCommand(c *fiber.Ctx) error {
	ctx := c.UserContext()
	err := w.Commands.Withdraw(ctx, session.Actor(ctx), c.Params("uid"), vital.UID(c.Params("id")))
	if amiss(err) {
		return w.commandsPage(c, session.Status(err), sentence(fault.MessageOf(err)))
	}
	if err != nil {
		return err
	}
	return c.Redirect(local("/devices/"+c.Params("uid")+"/commands"), http.StatusSeeOther)
}
