package web

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
)

// mountGaps puts the page on the app on which the device desk sees which readings of a device are missing.
func (w *Web) mountGaps(get func(string, fiber.Handler)) {
	if w.Counts != nil {
		get("/devices/:uid/gaps", w.gapsPage)
	}
}

// gapsView is what the numbers of a device's readings tell, for a page of its own or a part of another (template "gaps").
type gapsView struct {
	Device  string
	Days    int
	Sensors []gapsOfSensor
}

type gapsOfSensor struct {
	Title   string // "cuff-17, blood pressure: 3 readings missing"
	Whole   bool   // nothing is missing or doubtful
	Details []string
}

// mostGaps bounds what is told of one sensor.
const mostGaps = 20

// gaps returns what the numbers of a device's readings tell.
func (w *Web) gaps(ctx context.Context, actor account.Actor, device string) (gapsView, error) {
	view := gapsView{Device: device, Days: longStrip}
	found, err := w.Counts.Of(ctx, actor, device, longStrip)
	if err != nil {
		return view, err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	for _, sensor := range slices.Sorted(maps.Keys(found)) {
		for i := range found[sensor] {
			view.Sensors = append(view.Sensors, viewSequence(sensor, &found[sensor][i], k))
		}
	}
	return view, nil
}

func viewSequence(sensor string, s *devices.Sequence, k clock) gapsOfSensor {
	title := sensor
	if s.Metric != 0 {
		title += ", " + metricWord(s.Metric)
	}
	v := gapsOfSensor{Title: title + ": " + gapWords(s.Missing()), Whole: s.Missing() == 0 && len(s.Repeated) == 0}
	for _, g := range slices.Backward(s.Gaps) {
		v.Details = append(v.Details, fmt.Sprintf("%s between number %d (%s) and number %d (%s)", gapWords(g.Missing), g.After, k.exact(g.From), g.Before, k.exact(g.To)))
	}
	for _, r := range slices.Backward(s.Repeated) {
		v.Details = append(v.Details, fmt.Sprintf("Number %d came again under another time, %s: both are stored, and one of them is doubtful", r.Number, k.exact(r.SentAt)))
	}
	for _, at := range slices.Backward(s.Restarts) {
		v.Details = append(v.Details, "It began to count anew by "+k.exact(at)+": nothing counts as missing there")
	}
	if n := len(v.Details); n > mostGaps {
		v.Details = append(v.Details[:mostGaps], fmt.Sprintf("and %d more", n-mostGaps))
	}
	return v
}

func gapWords(n int64) string {
	switch n {
	case 0:
		return "nothing missing"
	case 1:
		return "1 reading missing"
	}
	return fmt.Sprintf("%d readings missing", n)
}

func (w *Web) gapsPage(c *fiber.Ctx) error {
	ctx := c.UserContext()
	view, err := w.gaps(ctx, session.Actor(ctx), c.Params("uid"))
	if err != nil {
		return err
	}
	return w.page(c, "gaps", view.Device+", missing readings", "devices", view)
}
