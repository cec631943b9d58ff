package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/alerts"
	"hale/api/feed"
	"hale/api/session"
	"hale/devices"
	"hale/devices/downlink"
	"hale/fault"
	"hale/safe"
	"hale/vital"
	"hale/web"
)

// app mounts the screens on an app, with the feed and a stand-in for the API's charts.
func (h *house) app(t *testing.T) *fiber.App {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	keeper := &session.Keeper{SignIn: h}
	kits, types, desk := h.boxes.services()
	screens := web.New(web.Config{
		Webhooks: h.pigeons.service(), Certificates: h.folder.service(), Kits: kits, Types: types, Desk: desk, Gateways: &devices.Gateways{Book: h.boxes}, Problems: &devices.Problems{Book: h.troubles}, Commands: &downlink.CommandDesk{Book: h.troubles},
		Inbox: &safe.Inbox{Book: h.lot}, Quarantine: &devices.Quarantine{Book: h.lot}, Claimed: &alerts.ClaimedReds{Book: h.lot, Now: h.clock},
		Unverified: &alerts.Watchlist{Book: h.lot, Now: h.clock}, Safe: h.safe,
		Directory: &account.Directory{People: h, Now: h.clock}, Triage: h.triage(), Limits: &alerts.Limits{Book: h, Past: h, Now: h.clock},
		Charts: h, Sessions: keeper, Log: log, Now: h.clock, Schedules: h.expected.schedules(), Technique: h.expected.technique(), Counts: &devices.Counts{Book: h.expected, Now: h.clock},
	})
	app := fiber.New(fiber.Config{DisableStartupMessage: true, Immutable: true, ErrorHandler: func(c *fiber.Ctx, err error) error {
		return screens.ErrorPage(c, session.Status(err), fault.MessageOf(err))
	}})
	screens.Mount(app)
	hub := feed.NewHub(h, h, log)
	h.hub = hub
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the feed: %v", err)
		}
	})
	who := func(ctx context.Context) (account.Actor, string) { return session.Actor(ctx), session.Token(ctx) }
	stream := &feed.Stream{Hub: hub, Who: who, Sessions: h, People: h}
	app.Get("/v1/feed", func(c *fiber.Ctx) error { h.feeds.Add(1); return c.Next() }, keeper.Identify, stream.Handle)
	app.Get("/v1/patients/:id/series", keeper.Identify, h.series)
	return app
}

// serve runs the app on a port of its own and returns its address.
func (h *house) serve(t *testing.T) string {
	t.Helper()
	app := h.app(t)
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	t.Cleanup(func() {
		h.hub.Close()
		if err := app.ShutdownWithTimeout(5 * time.Second); err != nil {
			t.Logf("the app did not end in time: %v", err)
			return
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + listener.Addr().String()
}

// series answers as the API does (docs of /v1/patients/{id}/series).
func (h *house) series(c *fiber.Ctx) error {
	metric, _ := vital.ParseMetric(c.Query("metric"))
	from, errFrom := time.Parse(time.RFC3339, c.Query("from"))
	to, errTo := time.Parse(time.RFC3339, c.Query("to"))
	if errFrom != nil || errTo != nil {
		return c.SendStatus(fiber.StatusUnprocessableEntity)
	}
	patient := vital.UID(c.Params("id"))
	list, err := h.Series(c.UserContext(), account.Actor{}, alerts.SeriesQuery{Patient: patient, Metric: metric, From: from, To: to})
	if err != nil {
		return err
	}
	type (
		point struct {
			T   int64     `json:"t"`
			N   int       `json:"n"`
			Min []float64 `json:"min"`
			Max []float64 `json:"max"`
			Avg []float64 `json:"avg"`
		}
		limit struct {
			From       time.Time       `json:"from"`
			Components []alerts.Bounds `json:"components"`
		}
	)
	width := 0
	if len(list) > 600 {
		width = 86400
		list = gather(list, 24*time.Hour)
	}
	points, parts, limits := []point{}, []map[string]string{}, []limit{}
	for _, b := range list {
		points = append(points, point{b.Start.UnixMilli(), b.N, b.Min, b.Max, b.Avg})
	}
	d, _ := vital.Define(metric)
	for _, p := range d.Components {
		parts = append(parts, map[string]string{"code": p.Code, "unit": p.Canonical.UCUM()})
	}
	rules, _ := h.Rules(c.UserContext(), account.Actor{}, patient)
	for _, r := range rules {
		if r.Key() != alerts.LimitOn(metric) {
			continue
		}
		for _, v := range r.Versions {
			limits = append(limits, limit{v.EffectiveFrom, v.Limit.Components})
		}
	}
	body, err := json.Marshal(map[string]any{
		"metric": d.Code, "display": d.Display, "components": parts, "bucket_seconds": width, "points": points, "limits": limits,
	})
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(body)
}

// gather puts single readings into spans of time.
func gather(single []alerts.Bucket, width time.Duration) []alerts.Bucket {
	var list []alerts.Bucket
	for _, b := range single {
		start := b.Start.Truncate(width)
		if len(list) == 0 || !list[len(list)-1].Start.Equal(start) {
			list = append(list, alerts.Bucket{Start: start, Min: slices.Clone(b.Min), Max: slices.Clone(b.Max), Avg: slices.Clone(b.Avg), N: 1})
			continue
		}
		last := &list[len(list)-1]
		for i := range last.Avg {
			last.Min[i], last.Max[i] = min(last.Min[i], b.Min[i]), max(last.Max[i], b.Max[i])
			last.Avg[i] = (last.Avg[i]*float64(last.N) + b.Avg[i]) / float64(last.N+1)
		}
		last.N++
	}
	return list
}
