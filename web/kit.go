package web

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"net/http"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// kitView is one kit: who has it, what is missing before it is live, what is in it, and what was done with it.
type kitView struct {
	Error   string
	Kit     kitLine
	Assigns bool // the reader issues kits and takes them back
	Enrols  bool // the reader makes kits
	Pairs   bool
	Sees    bool // the reader sees patients

	Stock, Issued, Accepted, Returned, Cleaning, Retired bool

	Ticks   []tickView // three, while somebody has it
	Green   bool       // all of them
	Named   []kitHolder
	Cuff    moment
	HasCuff bool
	Items   []kitItemView
	Taken   []string    // sensors that come back with the kit though they were taken from its gateways
	Strange []string    // and those that do not: somebody else has them
	Shared  []slotsView // what several people can use, for the form
	Free    []string
	History []kitEventView

	Who     string
	Choices []patientLine
}

// tickView is one of the three green ticks.
type tickView struct {
	Done  bool
	Word  string
	Lines []string // what is missing of it
}

type kitItemView struct {
	Device  string
	Model   string
	Revoked bool
	Sensors []kitSensorView
}

type kitSensorView struct {
	UID     string
	Kind    string
	About   string // "Nonin 3230, serial 7, lot L1"
	Due     string
	Users   []string // "slot 1: Ana Novak"
	Waits   bool     // it was issued, and somebody who has it has not sent
	Sent    bool
	Carries bool
	Others  []string // gateways that are not in the kit and speak for it too
	Strange bool     // somebody has it who has not the kit
}

type slotsView struct {
	Sensor string
	Slots  []slotField
}

type slotField struct {
	Number int
	Field  string
	Value  string
}

type kitEventView struct {
	At     moment
	By     string
	Role   string
	What   string
	Detail string
}

// mostSlotsShown bounds the fields of a form: a device that tells apart more users is issued through the API.
const mostSlotsShown = 8

// kitPage answers GET /devices/kits/{id}.
func (w *Web) kitPage(c *fiber.Ctx, view kitView) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	kit, err := w.Kits.Get(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	history, err := w.Kits.History(ctx, actor, kit.UID, 0)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view.Kit = kitLineOf(&kit, k)
	view.Assigns, view.Enrols, view.Pairs, view.Sees = may(actor, account.AssignDevice), may(actor, account.EnrolDevice), w.Credentials != nil, may(actor, account.SeePatients)
	view.Stock, view.Issued, view.Accepted = kit.State == devices.KitInStock, kit.State == devices.KitIssued, kit.State == devices.KitAccepted
	view.Returned, view.Cleaning, view.Retired = kit.State == devices.KitReturned, kit.State == devices.KitCleaning, kit.State == devices.KitRetired
	view.HasCuff, view.Cuff = kit.HasCuff(), k.at(kit.CuffAt)
	if view.Issued || view.Accepted {
		view.Ticks, view.Green = ticksOf(&kit)
	}
	view.Taken, view.Strange = kit.ToReturn()
	view.fill(&kit, c)
	for _, e := range history {
		view.History = append(view.History, kitEventView{At: k.at(e.At), By: e.By, Role: strings.ReplaceAll(e.Role, "_", " "), What: string(e.What), Detail: e.Detail})
	}
	if view.Stock && view.Enrols {
		if view.Free, err = w.freeDevices(ctx, actor); err != nil {
			return err
		}
	}
	return w.page(c, "kit", "Kit "+kit.Label, "devices", view)
}

// ticksOf tells the three green ticks.
func ticksOf(kit *devices.Kit) (ticks []tickView, green bool) {
	ticks = []tickView{{Done: true, Word: "Every sensor has sent since it was issued"}, {Done: true, Word: "The name is confirmed"}, {Done: true, Word: "The cuff fits"}}
	if !kit.HasCuff() {
		ticks[2].Word = "There is no cuff in it"
	}
	words := kitMissingWords(kit)
	for i, m := range kit.Missing() {
		at := map[devices.MissingWhat]int{devices.MissingReading: 0, devices.MissingOwner: 0, devices.MissingName: 1, devices.MissingCuff: 2}[m.What]
		ticks[at].Done = false
		if m.What == devices.MissingOwner {
			ticks[at].Lines = append(ticks[at].Lines, words[i])
		}
		if m.What == devices.MissingReading {
			ticks[at].Lines = append(ticks[at].Lines, words[i]+" ("+m.Sensor+")")
		}
	}
	return ticks, ticks[0].Done && ticks[1].Done && ticks[2].Done
}

// fill takes over what is in the kit.
func (v *kitView) fill(kit *devices.Kit, c *fiber.Ctx) {
	names := map[vital.PatientID]string{}
	for _, h := range kit.Holders {
		names[h.Patient] = h.Name
	}
	silent := map[string]bool{}
	for _, m := range kit.Missing() {
		silent[m.Sensor] = m.What == devices.MissingReading
	}
	for i := range kit.Items {
		item := &kit.Items[i]
		one := kitItemView{Device: item.Device, Model: item.Model, Revoked: item.Revoked}
		for j := range item.Sensors {
			s := &item.Sensors[j]
			line := kitSensorView{UID: s.UID, Kind: string(s.Details.Type.Kind), About: aboutSensor(&s.Details), Due: string(s.Details.CalibrationDue), Carries: s.Carries}
			line.Waits, line.Others, line.Strange = silent[s.UID], s.Others, slices.Contains(v.Strange, s.UID)
			for _, u := range s.Users {
				line.Sent = line.Sent || u.Sent
				if _, slot, ok := devices.SplitSlotUID(u.Sensor); ok && names[u.Patient] != "" {
					line.Users = append(line.Users, "user "+strconv.Itoa(int(slot))+": "+names[u.Patient])
				}
			}
			one.Sensors = append(one.Sensors, line)
			if n := s.Details.Type.Slots; s.Details.Type.Known() && n > 1 {
				v.Shared = append(v.Shared, sharedFields(s.UID, min(n, mostSlotsShown), c))
			}
		}
		v.Items = append(v.Items, one)
	}
}

func sharedFields(sensor string, slots int, c *fiber.Ctx) slotsView {
	v := slotsView{Sensor: sensor}
	for n := 1; n <= slots; n++ {
		field := "slot-" + strconv.Itoa(n) + "-" + sensor
		v.Slots = append(v.Slots, slotField{Number: n, Field: field, Value: c.FormValue(field)})
	}
	return v
}

// aboutSensor says what stands on a label.
func aboutSensor(d *devices.Details) string {
	var parts []string
	if d.Type.Known() {
		parts = append(parts, d.Type.Maker+" "+d.Type.Model)
	}
	for _, p := range []struct{ word, text string }{{"serial", d.Serial}, {"lot", d.Lot}, {"firmware", d.Firmware}} {
		if p.text != "" {
			parts = append(parts, p.word+" "+p.text)
		}
	}
	return strings.Join(parts, ", ")
}

// freeDevices are those that are in no kit and were not taken out of use.
func (w *Web) freeDevices(ctx context.Context, actor account.Actor) ([]string, error) {
	list, err := w.Kits.List(ctx, actor, devices.KitFilter{})
	if err != nil {
		return nil, err
	}
	in := map[string]bool{}
	for i := range list {
		for _, item := range list[i].Items {
			in[item.Device] = true
		}
	}
	all, err := w.Desk.Devices(ctx, actor, mostDevicesShown)
	if err != nil {
		return nil, err
	}
	var free []string
	for i := range all {
		if !in[all[i].UID] && !all[i].Revoked {
			free = append(free, all[i].UID)
		}
	}
	return free, nil
}

// issueKit answers POST /devices/kits/{id}/issue. A name that several people have comes back as a choice.
func (w *Web) issueKit(c *fiber.Ctx) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	view := kitView{Who: strings.TrimSpace(c.FormValue("who"))}
	err := w.tryIssue(ctx, actor, c, &view)
	if amiss(err) || fault.Is(err, fault.NotFound) {
		c.Status(session.Status(err))
		view.Error = sentence(fault.MessageOf(err))
		return w.kitPage(c, view)
	}
	if err != nil {
		return err
	}
	if len(view.Choices) > 0 {
		return w.kitPage(c, view)
	}
	return c.Redirect("/devices/kits/"+c.Params("id"), http.StatusSeeOther)
}

func (w *Web) tryIssue(ctx context.Context, actor account.Actor, c *fiber.Ctx, view *kitView) error {
	kit, err := w.Kits.Get(ctx, actor, vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	var asked kitView
	asked.fill(&kit, c)
	h := devices.Handout{Kit: kit.UID}
	for _, s := range asked.Shared {
		for _, f := range s.Slots {
			who := strings.TrimSpace(f.Value)
			if who == "" {
				continue
			}
			p, err := w.user(ctx, actor, who)
			if err != nil {
				return err
			}
			h.Users = append(h.Users, devices.SlotUser{Sensor: s.Sensor, Slot: uint8(f.Number), Patient: p.UID})
		}
	}
	p, err := w.other(ctx, actor, view.Who, vital.UID(c.FormValue("other")), "", &view.Choices)
	if err != nil || len(view.Choices) > 0 {
		return err
	}
	h.Patient = p.UID
	_, err = w.Kits.Issue(ctx, actor, h)
	return err
}

// user finds who is meant for a button of a device: the person with that number, or the only one whom the name finds.
func (w *Web) user(ctx context.Context, actor account.Actor, who string) (account.Patient, error) {
	list, err := w.Directory.Patients(ctx, actor, who, account.MostPatients)
	if err != nil {
		return account.Patient{}, err
	}
	for i := range list {
		if list[i].Number == who {
			return list[i], nil
		}
	}
	switch len(list) {
	case 0:
		return account.Patient{}, fault.New(fault.NotFound, "nobody whom you can see has the name or number %q", who)
	case 1:
		return list[0], nil
	}
	return account.Patient{}, fault.New(fault.Invalid, "several people have %q in their name or number: say the whole name, or the number", who)
}
