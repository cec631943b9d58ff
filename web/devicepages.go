package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// mountDevicePages puts the pages of single devices, their types and recalls on the app.
func (w *Web) mountDevicePages(get, post func(string, fiber.Handler)) {
	get("/devices/recall", w.recallPage)
	get("/devices/types", func(c *fiber.Ctx) error { return w.typesPage(c, typesView{Slots: 1}) })
	get("/devices/about/:uid", func(c *fiber.Ctx) error { return w.devicePage(c, "", givingView{}) })
	act := func(path string, action account.Action, h fiber.Handler) {
		post(path, func(c *fiber.Ctx) error { // before anything of the form is read
			if err := account.Allow(session.Actor(c.UserContext()), action, nil); err != nil {
				return err
			}
			return h(c)
		})
	}
	act("/devices", account.EnrolDevice, w.enrolDevice)
	act("/devices/types", account.EnrolDevice, w.addType)
	act("/devices/about/:uid/describe", account.EnrolDevice, w.describeDevice)
	act("/devices/about/:uid/end", account.AssignDevice, w.endAssignment)
	act("/devices/about/:uid/give", account.AssignDevice, w.giveSensor)
	if w.Gateways != nil {
		act("/devices/about/:uid/sensors", account.EnrolDevice, w.grantSensor)
		act("/devices/about/:uid/sensors/take", account.EnrolDevice, w.takeSensor)
	}
}

// enrolDevice answers POST /devices: the device gets its secret by pairing.
func (w *Web) enrolDevice(c *fiber.Ctx) error {
	made, err := w.Desk.Enrol(c.UserContext(), session.Actor(c.UserContext()), devices.Enrolment{
		UID: c.FormValue("uid"), Model: c.FormValue("model"), Sensors: namesIn(c.FormValue("sensors")),
	})
	if amiss(err) {
		c.Status(session.Status(err))
		return w.kitsPage(c, kitsView{Error: sentence(fault.MessageOf(err))})
	}
	if err != nil {
		return err
	}
	return c.Redirect("/devices/about/"+made.Device.UID, http.StatusSeeOther)
}

// deviceView is one device: what it and its sensors are, and who had them.
type deviceView struct {
	Error   string
	UID     string
	Model   string
	Revoked bool
	Enrols  bool
	Assigns bool
	Pairs   bool
	Asks    bool // there is a page of what it is asked
	Kit     kitLine
	InKit   bool
	InHands bool // and somebody has the kit
	Types   []typeOption
	Sensors []sensorView
	Adds    bool         // the reader may let it speak for further sensors
	Taken   []sensorView // from it, and somebody has them still
	Giving  givingView
}

type sensorView struct {
	UID    string
	Own    bool
	Type   vital.UID
	Serial string
	Lot    string
	Ware   string // firmware
	Due    string
	Known  string
	Worn   []wearLine
	Held   bool     // somebody has it now
	Waits  bool     // what it measures waits: nobody has it
	Others []string // gateways that speak for it too
	Left   moment   // when it was taken from the gateway
	Give   bool     // the reader may say here whose it is
	Takes  bool     // and may take it from the gateway
}

type wearLine struct {
	Sensor string
	Slot   string // "user 2"; empty: the whole
	ID     vital.UID
	Name   string
	Span   string
	Now    bool
}

type typeOption struct {
	ID   vital.UID
	Name string
}

// devicePage answers GET /devices/about/{uid}.
func (w *Web) devicePage(c *fiber.Ctx, problem string, giving givingView) error {
	ctx, actor, uid := c.UserContext(), session.Actor(c.UserContext()), c.Params("uid")
	all, err := w.Desk.Devices(ctx, actor, mostDevicesShown)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(d devices.Device) bool { return d.UID == uid })
	if i < 0 {
		return fault.New(fault.NotFound, "there is no device %q", uid)
	}
	d := &all[i]
	types, err := w.Types.List(ctx, actor)
	if err != nil {
		return err
	}
	details, kit, err := w.detailsOf(c, d)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view := deviceView{
		Error: problem, Giving: giving, UID: d.UID, Model: d.Model, Revoked: d.Revoked,
		Enrols: may(actor, account.EnrolDevice), Assigns: may(actor, account.AssignDevice), Pairs: w.Credentials != nil, Asks: w.Commands != nil,
	}
	if kit != nil {
		view.Kit, view.InKit, view.InHands = kitLineOf(kit, k), true, kit.State == devices.KitIssued || kit.State == devices.KitAccepted
	}
	for j := range types {
		view.Types = append(view.Types, typeOption{types[j].UID, types[j].Maker + " " + types[j].Model + " (" + string(types[j].Kind) + ")"})
	}
	names := []string{d.UID}
	for name := range d.Sensors {
		names = append(names, name)
	}
	slices.Sort(names[1:])
	for _, name := range names {
		s, err := w.sensorOf(c, name, details[name], k)
		if err != nil {
			return err
		}
		s.Own = name == d.UID
		of := details[name].Type
		s.Waits = !s.Held && of.Measures()
		s.Give = view.Assigns && !d.Revoked && s.Waits && of.Slots <= 1 && (!view.InKit || view.InHands)
		view.Sensors = append(view.Sensors, s)
	}
	if err := w.addGrants(c, d, &view, k); err != nil {
		return err
	}
	return w.page(c, "device", "Device "+d.UID, "devices", view)
}

// detailsOf returns what each sensor of a device is, and the kit that it is in; nil when in none.
func (w *Web) detailsOf(c *fiber.Ctx, d *devices.Device) (map[string]devices.Details, *devices.Kit, error) {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	of := map[string]devices.Details{}
	for name := range d.Sensors {
		one, err := w.Types.Of(ctx, actor, name)
		if err != nil {
			return nil, nil, err
		}
		of[name] = one
	}
	own, err := w.Types.Of(ctx, actor, d.UID)
	if err != nil {
		return nil, nil, err
	}
	of[d.UID] = own
	list, err := w.Kits.List(ctx, actor, devices.KitFilter{})
	if err != nil {
		return nil, nil, err
	}
	for i := range list {
		if slices.ContainsFunc(list[i].Items, func(item devices.KitItem) bool { return item.Device == d.UID }) {
			return of, &list[i], nil
		}
	}
	return of, nil, nil
}

func (w *Web) sensorOf(c *fiber.Ctx, name string, d devices.Details, k clock) (sensorView, error) {
	s := sensorView{UID: name, Type: d.Type.UID, Serial: d.Serial, Lot: d.Lot, Ware: d.Firmware, Due: string(d.CalibrationDue), Known: aboutSensor(&d)}
	worn, err := w.Kits.Worn(c.UserContext(), session.Actor(c.UserContext()), name, 0)
	if err != nil {
		return s, err
	}
	for _, one := range worn {
		line := wearLine{Sensor: one.Sensor, ID: one.UID, Name: one.Name, Span: betweenWords(one.From, one.To, k), Now: one.To.IsZero() || one.To.After(k.now)}
		if _, slot, ok := devices.SplitSlotUID(one.Sensor); ok {
			line.Slot = "user " + strconv.Itoa(int(slot))
		}
		s.Worn, s.Held = append(s.Worn, line), s.Held || line.Now
	}
	return s, nil
}

// describeDevice answers POST /devices/about/{uid}/describe.
func (w *Web) describeDevice(c *fiber.Ctx) error {
	err := w.Types.Describe(c.UserContext(), session.Actor(c.UserContext()), devices.Describing{
		Sensor: c.FormValue("sensor"), Type: vital.UID(c.FormValue("type")), Serial: c.FormValue("serial"), Lot: c.FormValue("lot"),
		Version: c.FormValue("firmware"), Due: vital.Date(c.FormValue("due")),
	})
	return w.deviceAgain(c, err)
}

// endAssignment answers POST /devices/about/{uid}/end.
func (w *Web) endAssignment(c *fiber.Ctx) error {
	_, err := w.Kits.EndAssignment(c.UserContext(), session.Actor(c.UserContext()), c.FormValue("sensor"))
	return w.deviceAgain(c, err)
}

func (w *Web) deviceAgain(c *fiber.Ctx, err error) error {
	if amiss(err) {
		c.Status(session.Status(err))
		return w.devicePage(c, sentence(fault.MessageOf(err)), givingView{})
	}
	if err != nil {
		return err
	}
	return c.Redirect("/devices/about/"+c.Params("uid"), http.StatusSeeOther)
}

// recallView asks who has what, and answers.
type recallView struct {
	Error                   string
	Maker, Model, Lot, Ware string
	Asked                   bool
	Held                    []heldLine
	People, Lying           int // patients who have one; things that nobody has
	Makers, Models          []string
}

type heldLine struct {
	Sensor string
	About  string
	Kit    string
	ID     vital.UID
	Name   string
	Number string
	Since  moment
}

// recallPage answers GET /devices/recall, with an answer when something is asked.
func (w *Web) recallPage(c *fiber.Ctx) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	types, err := w.Types.List(ctx, actor)
	if err != nil {
		return err
	}
	view := recallView{Maker: c.Query("maker"), Model: c.Query("model"), Lot: c.Query("lot"), Ware: c.Query("firmware")}
	for i := range types {
		view.Models = append(view.Models, types[i].Model)
		if !slices.Contains(view.Makers, types[i].Maker) {
			view.Makers = append(view.Makers, types[i].Maker)
		}
	}
	if view.Maker+view.Model+view.Lot+view.Ware == "" {
		return w.page(c, "recall", "Recall", "devices", view)
	}
	list, err := w.Types.Recall(ctx, actor, devices.Recall{Maker: view.Maker, Model: view.Model, Lot: view.Lot, Firmware: view.Ware})
	if amiss(err) {
		c.Status(session.Status(err))
		view.Error = sentence(fault.MessageOf(err))
		return w.page(c, "recall", "Recall", "devices", view)
	}
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view.Asked = true
	people := map[vital.UID]bool{}
	for i := range list {
		h := &list[i]
		line := heldLine{Sensor: h.Sensor, About: aboutSensor(&h.Details), Kit: h.Kit, ID: h.UID, Name: h.Name, Number: h.Number, Since: k.at(h.From)}
		if line.About == "" {
			line.About = h.Details.Type.Model
		}
		if h.UID == "" {
			view.Lying++
		} else {
			people[h.UID] = true
		}
		view.Held = append(view.Held, line)
	}
	view.People = len(people)
	return w.page(c, "recall", "Recall", "devices", view)
}

// typesView is the list of what makers make.
type typesView struct {
	Error        string
	Enrols       bool
	Maker, Model string
	Kind         string
	Slots        int
	Kinds        []string
	Metrics      []typeMetric
	Types        []typeLine
}

type typeMetric struct {
	Code, Word string
	Chosen     bool
}

type typeLine struct {
	Name     string
	Kind     string
	Measures string
	Slots    int
	Own      bool
}

func (w *Web) typesPage(c *fiber.Ctx, view typesView) error {
	actor := session.Actor(c.UserContext())
	list, err := w.Types.List(c.UserContext(), actor)
	if err != nil {
		return err
	}
	view.Enrols = may(actor, account.EnrolDevice)
	for _, kind := range devices.Kinds() {
		view.Kinds = append(view.Kinds, string(kind))
	}
	chosen := formValues(c, "metric")
	for _, d := range vital.Metrics() {
		view.Metrics = append(view.Metrics, typeMetric{Code: d.Code, Word: d.Display, Chosen: slices.Contains(chosen, d.Code)})
	}
	for i := range list {
		t := &list[i]
		words := make([]string, len(t.Metrics))
		for j, m := range t.Metrics {
			words[j] = strings.ToLower(metricWord(m))
		}
		view.Types = append(view.Types, typeLine{Name: t.Maker + " " + t.Model, Kind: string(t.Kind), Measures: strings.Join(words, ", "), Slots: t.Slots, Own: !t.Shipped})
	}
	return w.page(c, "types", "Types of devices", "devices", view)
}

// formValues returns every value of a field that a form sends several times.
func formValues(c *fiber.Ctx, field string) []string {
	var list []string
	for _, v := range c.Request().PostArgs().PeekMulti(field) {
		list = append(list, string(v))
	}
	return list
}

// addType answers POST /devices/types.
func (w *Web) addType(c *fiber.Ctx) error {
	view := typesView{Maker: c.FormValue("maker"), Model: c.FormValue("model"), Kind: c.FormValue("kind")}
	view.Slots, _ = strconv.Atoi(c.FormValue("slots")) // what is no number is refused below
	t := devices.Type{Maker: view.Maker, Model: view.Model, Kind: devices.Kind(view.Kind), Slots: max(view.Slots, -1)}
	for _, code := range formValues(c, "metric") {
		m, _ := vital.ParseMetric(code) // what is none is refused below
		t.Metrics = append(t.Metrics, m)
	}
	_, err := w.Types.Add(c.UserContext(), session.Actor(c.UserContext()), t)
	if amiss(err) {
		c.Status(session.Status(err))
		view.Error = sentence(fault.MessageOf(err))
		return w.typesPage(c, view)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/devices/types", http.StatusSeeOther)
}
