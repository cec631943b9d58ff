package web_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/downlink"
	"hale/fault"
	"hale/internal/browser"
	"hale/vital"
)

// troubles is a record in memory of what is wrong with devices, and of what they are asked.
type troubles struct {
	*house
	facts    devices.Facts
	commands []downlink.Command
}

func (t *troubles) DeviceFacts(context.Context, account.Actor) (devices.Facts, time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.facts
	f.Marks = slices.Clone(f.Marks)
	return f, t.now, nil
}

func (t *troubles) MarkProblem(_ context.Context, actor account.Actor, _ devices.Problem, m devices.ProblemMark) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.By, m.At = actor.Name, t.now
	t.facts.Marks = slices.DeleteFunc(t.facts.Marks, func(o devices.ProblemMark) bool { return o.Sensor == m.Sensor && o.Kind == m.Kind })
	if m.State != devices.ProblemNew {
		t.facts.Marks = append(t.facts.Marks, m)
	}
	return nil
}

func (t *troubles) Incidents(context.Context, account.Actor, int) ([]devices.Incident, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.facts.Incidents), nil
}

func (t *troubles) AddCommand(_ context.Context, actor account.Actor, c downlink.Command, decide func(*downlink.Command, time.Time) error) (downlink.Command, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.ID, c.By, c.State, c.CreatedAt = vital.UID("c"+strconv.Itoa(len(t.commands)+1)), actor.Name, downlink.CommandQueued, t.now
	if err := decide(&c, t.now); err != nil {
		return c, err
	}
	t.commands = append([]downlink.Command{c}, t.commands...)
	return c, nil
}

func (t *troubles) Commands(_ context.Context, _ account.Actor, device string, _ int) ([]downlink.Command, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if device == "nobody" {
		return nil, fault.New(fault.NotFound, "there is no device %q", device)
	}
	return slices.Clone(t.commands), nil
}

func (t *troubles) WithdrawCommand(_ context.Context, _ account.Actor, _ string, id vital.UID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.commands {
		if t.commands[i].ID == id && t.commands[i].State.Open() {
			t.commands[i].State, t.commands[i].SettledAt = downlink.CommandWithdrawn, t.now
			return nil
		}
	}
	return fault.New(fault.Conflict, "it is settled already: look what became of it")
}

// trouble gives the house a gateway that is out, a cuff with a low battery and a wrong clock, and a scale of which nothing came.
func (t *troubles) trouble(ana account.Patient) {
	ago := func(d time.Duration) time.Time { return t.now.Add(-d) }
	who := []devices.Wearer{{ID: ana.ID, UID: ana.UID, Name: ana.Name}}
	t.facts = devices.Facts{
		Devices: []devices.Fact{
			{Device: 1, Name: "cuff-1", Model: "Cuff", Sensor: 10, SensorName: "cuff-1", Wearers: who, Condition: devices.Condition{
				HeardAt: ago(time.Hour), BatteryLowAt: ago(5 * time.Hour), HasBattery: true, Battery: 12}, Clock: devices.ClockFact{Trouble: devices.ClockTrouble{Wrong: 50 * time.Hour, Since: ago(3 * time.Hour)}}},
			{Device: 2, Name: "gw-1", Model: "Gateway", Sensor: 20, SensorName: "gw-1"},
			{Device: 2, Name: "gw-1", Model: "Gateway", Sensor: 21, SensorName: "scale-1", Wearers: who, Silence: devices.Silence{From: ago(6 * time.Hour), Slots: 2, Explained: true}},
			{Device: 4, Name: "meter-1", Model: "Meter", Sensor: 40, SensorName: "meter-1", Clock: devices.ClockFact{Trouble: devices.ClockTrouble{Jumped: 3 * time.Hour, JumpedAt: ago(2 * time.Hour)}}},
			{Device: 5, Name: "phone-1", Model: "Phone", Sensor: 50, SensorName: "phone-1", Clock: devices.ClockFact{Refused: 2, Since: ago(5 * time.Hour), Newest: ago(time.Hour)}},
			{Device: 3, Name: "scale-2", Model: "Scale", Sensor: 30, SensorName: "scale-2", Silence: devices.Silence{From: ago(26 * time.Hour), Slots: 2}},
		},
		Incidents: []devices.Incident{{UID: "i", Kind: devices.GatewayOut, Device: 2, Name: "gw-1", Why: devices.WhySilent, From: ago(8 * time.Hour), OpenedAt: ago(6 * time.Hour), Explains: 6}},
	}
}

func TestTheDeskSeesWhatIsWrongAndWhatToDoNext(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.troubles.trouble(f.ana)
	app := f.app(t)
	desk := visit(t, app, "desk")
	_, page := desk.get("/devices/problems")
	wants(t, page, "The gateway gw-1 is not heard", "nothing comes of 6 people", "The clock of cuff-1 is wrong", "behind", "The battery of cuff-1 is low", "12 % are left", "have the battery changed",
		"The clock of meter-1 was changed", "put back by 3 h between two looks. It is right now", "Times that phone-1 sent cannot be right", "2 messages wait in quarantine", "ends by itself",
		"Nothing came from scale-2", "2 expected measurements passed with nothing", f.ana.Name)
	if strings.Contains(words(page), "scale-1") {
		t.Error("what the outage explains stands beside it")
	}
	mark := url.Values{"device": {"cuff-1"}, "sensor": {"cuff-1"}, "kind": {"battery"}, "act": {"seen"}, "note": {"batteries are on their way"}}
	if answer, page := press(desk, "/devices/problems/mark", mark); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("seen: %d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get("/devices/problems")
	wants(t, page, "Seen, or put off (1)", "Seen by Dora Desk", "batteries are on their way")
	mark.Set("kind", "signal")
	answer, page := press(desk, "/devices/problems/mark", mark)
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("a problem that is not there: %d", answer.StatusCode)
	}
	wants(t, page, "There is no such problem just now")
	if answer, _ := visit(t, app, "mira").get("/devices/problems"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse sees the desk's list: %d", answer.StatusCode)
	}
	// But she sees, in one line, why nothing comes.
	_, page = visit(t, app, "mira").get("/")
	wants(t, page, "The gateway gw-1 is not heard", "6 people")
}

func TestTheDeskAsksSomethingOfADevice(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	app := f.app(t)
	desk := visit(t, app, "desk")
	_, page := desk.get("/devices/about/cuff-1")
	if !strings.Contains(page, `href="/devices/cuff-1/commands"`) {
		t.Error("the page of a device does not lead to what it is asked")
	}
	_, page = desk.get("/devices/cuff-1/commands")
	wants(t, page, "Nothing was asked of it yet")
	if !strings.Contains(page, `href="/devices/about/cuff-1"`) {
		t.Error("nor does that lead back")
	}
	for form, want := range map[string]int{
		"kind=measure_now&metric=blood_pressure": http.StatusSeeOther, "kind=text&text=Please+sit": http.StatusSeeOther, "kind=set_interval&minutes=60": http.StatusSeeOther,
		"kind=set_interval&minutes=often": http.StatusBadRequest, "kind=set_interval&minutes=0": http.StatusUnprocessableEntity, "kind=reboot": http.StatusUnprocessableEntity,
	} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		if answer, page := press(desk, "/devices/cuff-1/commands", values); answer.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", form, answer.StatusCode, want, words(page))
		}
	}
	_, page = desk.get("/devices/cuff-1/commands")
	wants(t, page, "Measure now: Blood pressure", "“Please sit”", "Measure by itself every 60 min", "waits")
	if answer, page := press(desk, "/devices/cuff-1/commands/c1/withdraw", url.Values{}); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("withdraw: %d %s", answer.StatusCode, words(page))
	}
	if answer, _ := press(desk, "/devices/cuff-1/commands/c1/withdraw", url.Values{}); answer.StatusCode != http.StatusConflict {
		t.Errorf("withdraw twice: %d", answer.StatusCode)
	}
	if answer, _ := desk.get("/devices/nobody/commands"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("no such device: %d", answer.StatusCode)
	}
	f.troubles.commands = []downlink.Command{{
		ID: "c9", Device: "cuff-1", Sensor: "cuff-1", Kind: downlink.ShowText, Text: "Please rest", State: downlink.CommandCancelled, By: "Dora", CreatedAt: f.clock(),
		SettledAt: f.clock(), NotAfter: f.clock(), Times: 1, Detail: "it changed hands",
	}}
	_, page = desk.get("/devices/cuff-1/commands")
	wants(t, page, "cancelled", ": it changed hands. It had been sent before")
}

func TestThePagesOfProblemsFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.troubles.trouble(f.ana)
	f.troubles.commands = []downlink.Command{
		{ID: "c2", Device: "cuff-1", Sensor: "cuff-1", Kind: downlink.ShowText, Text: "Please sit down and measure again", State: downlink.CommandFailed, By: "Dora", CreatedAt: f.clock(), SettledAt: f.clock(), NotAfter: f.clock(), Times: 1, Detail: "no display"},
		{ID: "c1", Device: "cuff-1", Sensor: "cuff-1", Kind: downlink.MeasureNow, State: downlink.CommandQueued, By: "Dora", CreatedAt: f.clock(), NotAfter: f.clock().Add(time.Hour)},
		{ID: "c0", Device: "cuff-1", Sensor: "cuff-1", Kind: downlink.ShowText, Text: "Please rest", State: downlink.CommandCancelled, By: "Dora", CreatedAt: f.clock(), SettledAt: f.clock(), NotAfter: f.clock(), Times: 1, Detail: "it changed hands"},
	}
	address := f.serve(t)
	fitAPhoneAndReadAloud(t, browser.Start(t), address, "admin", map[string]string{"pres-problems": "/devices/problems", "pres-commands": "/devices/cuff-1/commands", "pres-board": "/"})
}
