package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/api/session"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// givingView is a sensor that is given to somebody by name: the people whom the name finds are a choice.
type givingView struct {
	Sensor  string
	Who     string
	Choices []patientLine
	Adding  addingView
}

// addingView is a sensor that a gateway is to speak for and that somebody else has than the gateway: it is asked whether that is so.
type addingView struct {
	Sensor string
	Type   vital.UID
	Worn   []wearLine // who has it now
}

// addGrants adds to the page of a device what else speaks for its sensors, and what was taken from it while somebody has it still.
func (w *Web) addGrants(c *fiber.Ctx, d *devices.Device, view *deviceView, k clock) error {
	if w.Gateways == nil {
		return nil
	}
	list, err := w.Gateways.Of(c.UserContext(), session.Actor(c.UserContext()), d.UID)
	if err != nil {
		return err
	}
	view.Adds = view.Enrols && !d.Revoked
	for _, g := range list {
		i := slices.IndexFunc(view.Sensors, func(s sensorView) bool { return s.UID == g.Sensor })
		if i >= 0 && g.Ended.IsZero() {
			view.Sensors[i].Others, view.Sensors[i].Takes = g.Others, view.Enrols
		}
		if g.Ended.IsZero() || !g.Held || len(g.Others) > 0 {
			continue
		}
		s, err := w.sensorOf(c, g.Sensor, devices.Details{}, k)
		if err != nil {
			return err
		}
		s.Left = k.at(g.Ended)
		s.Worn = slices.DeleteFunc(s.Worn, func(l wearLine) bool { return !l.Now })
		view.Taken = append(view.Taken, s)
	}
	return nil
}

// grantSensor answers POST /devices/about/{uid}/sensors: the gateway speaks for one more sensor.
func (w *Web) grantSensor(c *fiber.Ctx) error {
	g := devices.Granting{Device: c.Params("uid"), Sensor: strings.TrimSpace(c.FormValue("sensor"))}
	if kind := c.FormValue("type"); kind != "" {
		is, err := w.Types.Of(c.UserContext(), session.Actor(c.UserContext()), g.Sensor) // what is known of it otherwise stays
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		g.Is = &devices.Describing{Type: vital.UID(kind), Serial: is.Serial, Lot: is.Lot, Version: is.Firmware, Due: is.CalibrationDue}
	}
	g.Confirmed = g.Sensor != "" && c.FormValue("confirm") == g.Sensor // of another name it was not asked
	_, err := w.Gateways.Grant(c.UserContext(), session.Actor(c.UserContext()), g)
	if errors.Is(err, devices.ErrElsewhere) {
		return w.askWhose(c, g, err)
	}
	return w.deviceAgain(c, err)
}

// askWhose shows the page of a gateway with who has a sensor that it is to speak for, to end that or to confirm it.
func (w *Web) askWhose(c *fiber.Ctx, g devices.Granting, refused error) error {
	s, err := w.sensorOf(c, g.Sensor, devices.Details{}, clock{now: w.Now(), zone: w.Zone})
	if err != nil {
		return err
	}
	asks := addingView{Sensor: g.Sensor, Worn: slices.DeleteFunc(s.Worn, func(l wearLine) bool { return !l.Now })}
	if g.Is != nil {
		asks.Type = g.Is.Type
	}
	c.Status(session.Status(refused))
	return w.devicePage(c, sentence(fault.MessageOf(refused)), givingView{Adding: asks})
}

// takeSensor answers POST /devices/about/{uid}/sensors/take.
func (w *Web) takeSensor(c *fiber.Ctx) error {
	return w.deviceAgain(c, w.Gateways.Take(c.UserContext(), session.Actor(c.UserContext()), c.Params("uid"), c.FormValue("sensor")))
}

// giveSensor answers POST /devices/about/{uid}/give: from now on the sensor is somebody's. A name comes back as a choice of people.
func (w *Web) giveSensor(c *fiber.Ctx) error {
	ctx, actor := c.UserContext(), session.Actor(c.UserContext())
	giving := givingView{Sensor: c.FormValue("sensor"), Who: strings.TrimSpace(c.FormValue("who"))}
	p, err := w.other(ctx, actor, giving.Who, vital.UID(c.FormValue("other")), "", &giving.Choices)
	if err == nil && len(giving.Choices) > 0 {
		return w.devicePage(c, "", giving)
	}
	if err == nil {
		_, err = w.Desk.Assign(ctx, actor, devices.Binding{Sensor: giving.Sensor, Patient: p.UID})
	}
	if amiss(err) || fault.Is(err, fault.NotFound) {
		c.Status(session.Status(err))
		return w.devicePage(c, sentence(fault.MessageOf(err)), giving)
	}
	if err != nil {
		return err
	}
	return c.Redirect("/devices/about/"+c.Params("uid"), http.StatusSeeOther)
}
