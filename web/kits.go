package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// mountKits puts the pages of the device desk on the app: kits, devices, their types, and who has what is recalled.
func (w *Web) mountKits(get, post func(string, fiber.Handler)) {
	if w.Kits == nil {
		return
	}
	get("/devices", func(c *fiber.Ctx) error { return w.kitsPage(c, kitsView{}) })
	w.mountDevicePages(get, post)
	act := func(path string, action account.Action, h fiber.Handler) {
		post(path, func(c *fiber.Ctx) error { // before anything of the form is read
			if err := account.Allow(session.Actor(c.UserContext()), action, nil); err != nil {
				return err
			}
			return h(c)
		})
	}
	act("/devices/kits", account.EnrolDevice, w.makeKit)
	get("/devices/kits/:id", func(c *fiber.Ctx) error { return w.kitPage(c, kitView{}) })
	act("/devices/kits/:id/issue", account.AssignDevice, w.issueKit)
	act("/devices/kits/:id/confirm", account.AssignDevice, w.kitAct(func(c *fiber.Ctx, kit vital.UID) error {
		said := devices.Confirmation{Cuff: c.FormValue("cuff") != ""}
		if name := c.FormValue("name"); name != "" {
			said.Names = []vital.UID{vital.UID(name)}
		}
		_, err := w.Kits.Confirm(c.UserContext(), session.Actor(c.UserContext()), kit, said)
		return err
	}))
	for step, do := range map[string]func(context.Context, account.Actor, vital.UID) (devices.Kit, error){
		"accept": w.Kits.Accept, "return": w.Kits.Return, "clean": w.Kits.Clean, "stock": w.Kits.Stock,
	} {
		act("/devices/kits/:id/"+step, account.AssignDevice, w.kitStep(do))
	}
	act("/devices/kits/:id/retire", account.EnrolDevice, w.kitStep(w.Kits.Retire))
	act("/devices/kits/:id/fill", account.EnrolDevice, w.kitAct(func(c *fiber.Ctx, kit vital.UID) error {
		_, err := w.Kits.Fill(c.UserContext(), session.Actor(c.UserContext()), kit, strings.TrimSpace(c.FormValue("device")))
		return err
	}))
	act("/devices/kits/:id/empty", account.EnrolDevice, w.kitAct(func(c *fiber.Ctx, kit vital.UID) error {
		_, err := w.Kits.Empty(c.UserContext(), session.Actor(c.UserContext()), kit, c.FormValue("device"))
		return err
	}))
}

// kitStep answers a button that does one thing with a kit.
func (w *Web) kitStep(do func(context.Context, account.Actor, vital.UID) (devices.Kit, error)) fiber.Handler {
	return w.kitAct(func(c *fiber.Ctx, kit vital.UID) error {
		_, err := do(c.UserContext(), session.Actor(c.UserContext()), kit)
		return err
	})
}

// kitAct does something with a kit and shows it again; what the reader can mend stands above it.
func (w *Web) kitAct(do func(c *fiber.Ctx, kit vital.UID) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id := vital.UID(c.Params("id"))
		err := do(c, id)
		if amiss(err) || fault.Is(err, fault.NotFound) {
			c.Status(session.Status(err))
			return w.kitPage(c, kitView{Error: sentence(fault.MessageOf(err))})
		}
		if err != nil {
			return err
		}
		return c.Redirect("/devices/kits/"+string(id), http.StatusSeeOther)
	}
}

// kitsView is the list of kits and devices.
type kitsView struct {
	Error   string
	Enrols  bool // the reader makes kits and devices
	Assigns bool
	Pairs   bool // there are pages of pairing
	Label   string
	Names   string
	Kits    []kitLine
	Devices []deviceLine
	Free    []string // devices that are in no kit
	More    bool     // there are more devices than are shown
}

type kitLine struct {
	ID      vital.UID
	Label   string
	State   string
	Live    bool
	Waits   bool // issued, and not live yet
	Since   moment
	Holders []kitHolder
	Missing []string
	More    int // of what is missing, besides the first two
}

type kitHolder struct {
	ID    vital.UID
	Name  string
	Named moment
}

type deviceLine struct {
	UID     string
	Model   string
	Kit     string
	KitID   vital.UID
	Revoked bool
	Speaks  int // for so many sensors besides
}

const mostDevicesShown = 1000

// kitsPage answers GET /devices.
func (w *Web) kitsPage(c *fiber.Ctx, view kitsView) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	list, err := w.Kits.List(ctx, actor, devices.KitFilter{})
	if err != nil {
		return err
	}
	all, err := w.Desk.Devices(ctx, actor, mostDevicesShown)
	if err != nil {
		return err
	}
	view.Enrols, view.Assigns, view.Pairs = may(actor, account.EnrolDevice), may(actor, account.AssignDevice), w.Credentials != nil
	k := clock{now: w.Now(), zone: w.Zone}
	in := map[string]*devices.Kit{}
	for i := range list {
		one := &list[i]
		for _, item := range one.Items {
			in[item.Device] = one
		}
		view.Kits = append(view.Kits, kitLineOf(one, k))
	}
	for i := range all {
		d := &all[i]
		line := deviceLine{UID: d.UID, Model: d.Model, Revoked: d.Revoked, Speaks: len(d.Sensors)}
		if kit := in[d.UID]; kit != nil {
			line.Kit, line.KitID = kit.Label, kit.UID
		} else if !d.Revoked {
			view.Free = append(view.Free, d.UID)
		}
		view.Devices = append(view.Devices, line)
	}
	view.More = len(all) == mostDevicesShown
	return w.page(c, "kits", "Kits and devices", "devices", view)
}

func kitLineOf(kit *devices.Kit, k clock) kitLine {
	line := kitLine{ID: kit.UID, Label: kit.Label, State: kitStateWord(kit.State), Live: kit.Live(), Waits: kit.State == devices.KitIssued, Since: k.at(kit.StateAt)}
	for _, h := range kit.Holders {
		line.Holders = append(line.Holders, kitHolder{ID: h.UID, Name: h.Name, Named: k.at(h.NamedAt)})
	}
	if line.Waits {
		line.Missing = kitMissingWords(kit)
		line.More = max(0, len(line.Missing)-2)
	}
	return line
}

// kitStateWord says where a kit is.
func kitStateWord(s devices.KitState) string {
	switch s {
	case devices.KitInStock:
		return "in stock"
	case devices.KitIssued:
		return "issued, not live yet"
	case devices.KitAccepted:
		return "live"
	case devices.KitReturned:
		return "came back"
	case devices.KitCleaning:
		return "being cleaned"
	case devices.KitRetired:
		return "retired"
	}
	return string(s)
}

// kitMissingWords says what a kit waits for, in words that a nurse reads out.
func kitMissingWords(kit *devices.Kit) []string {
	var words []string
	for _, m := range kit.Missing() {
		text := m.String()
		switch {
		case m.What == devices.MissingReading && m.Kind != "" && m.Kind != devices.OtherKind:
			text = string(m.Kind) + " has not sent"
		case m.What == devices.MissingName:
			text = "name not confirmed"
		case m.What == devices.MissingCuff:
			text = "size of the cuff not confirmed"
		}
		if len(kit.Holders) > 1 && m.Name != "" {
			text += " (" + m.Name + ")"
		}
		words = append(words, text)
	}
	return words
}

// makeKit answers POST /devices/kits.
func (w *Web) makeKit(c *fiber.Ctx) error {
	view := kitsView{Label: c.FormValue("label"), Names: c.FormValue("devices")}
	made, err := w.Kits.Make(c.UserContext(), session.Actor(c.UserContext()), view.Label, namesIn(view.Names))
	if amiss(err) || fault.Is(err, fault.NotFound) {
		c.Status(session.Status(err))
		view.Error = sentence(fault.MessageOf(err))
		return w.kitsPage(c, view)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/devices/kits/"+string(made.UID), http.StatusSeeOther)
}

// namesIn takes names apart that stand in one field, with commas or spaces between them.
func namesIn(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

// patientKit is the line of a kit on the page of who has it.
type patientKit struct {
	ID      vital.UID
	Label   string
	Live    bool
	Missing []string
	Desk    bool // the reader may open the kit
}

// kitsOf returns the kits that a patient has, for staff who look after the patient.
func (w *Web) kitsOf(ctx context.Context, actor account.Actor, p *account.Patient) ([]patientKit, error) {
	if w.Kits == nil || actor.Staff == 0 {
		return nil, nil
	}
	list, err := w.Kits.OfPatient(ctx, actor, p)
	if err != nil {
		return nil, err
	}
	var lines []patientKit
	for i := range list {
		line := patientKit{ID: list[i].UID, Label: list[i].Label, Live: list[i].Live(), Desk: may(actor, account.SeeDevices)}
		if !line.Live {
			line.Missing = kitMissingWords(&list[i])
		}
		lines = append(lines, line)
	}
	return lines, nil
}
