package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

	"hale/account"
)

type healthOutput struct {
	Body struct {
		OK bool `json:"ok"`
	}
}

type readyOutput struct {
	Status int
	Body   readiness
}

// readiness is what /readyz says, here and on the admin address.
type readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

// readinessOf returns what to say of the checks, and the status to say it with.
func readinessOf(checks []Check) (readiness, int) {
	r, status := readiness{Ready: true, Checks: slices.Clone(orEmpty(checks))}, http.StatusOK
	for i := range r.Checks {
		check := &r.Checks[i]
		check.Alarm = check.Alarm && !check.OK // whoever looks for alarms must not find what is well
		if check.Hinders() {
			r.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return r, status
}

// Admin returns /healthz, /readyz and /metrics by themselves, for processes that do not serve the API. Unlike the
// Server it answers /metrics to everybody who can reach it.
func Admin(ready func(context.Context) []Check, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]bool{"ok": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		body, status := readinessOf(ready(r.Context()))
		answerJSON(w, status, body)
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked is gone
}

func (s *Server) addHealth() {
	health := public(op(http.MethodGet, "/healthz", "get-health", tagService, "Is the process alive"))
	add(s, health, func(context.Context, account.Actor, *struct{}) (*healthOutput, error) {
		out := &healthOutput{}
		out.Body.OK = true
		return out, nil
	})
	ready := public(op(http.MethodGet, "/readyz", "get-readiness", tagService, "May the server be sent anything"))
	ready.Description = "503 until every check holds that is not marked as an alarm. What holds is never marked as one."
	add(s, ready, s.ready)
	if s.Metrics != nil {
		s.app.Get("/metrics", onlyHere, adaptor.HTTPHandler(s.Metrics))
	}
}

func (s *Server) ready(ctx context.Context, _ account.Actor, _ *struct{}) (*readyOutput, error) {
	var checks []Check
	if s.Ready != nil {
		checks = s.Ready(ctx)
	}
	out := &readyOutput{}
	out.Body, out.Status = readinessOf(checks)
	return out, nil
}

// onlyHere hides a route from everybody but this machine. A proxy on this machine speaks for others, and says so.
func onlyHere(c *fiber.Ctx) error {
	forwarded := c.Get(fiber.HeaderXForwardedFor) != "" || c.Get(fiber.HeaderForwarded) != ""
	if forwarded || !c.Context().RemoteIP().IsLoopback() {
		return fiber.ErrNotFound
	}
	return c.Next()
}

// describeFeed puts the raw route of the live feed into the description.
func (s *Server) describeFeed() {
	o := op(http.MethodGet, "/v1/feed", "follow-alerts", tagAlerts, "Hear at once that an alert changed (server-sent events)")
	o.Description = "Event `alert` carries {\"alert\", \"patient\", \"version\"}; fetch the alert to see it. Event `unverified` carries {\"unverified\", \"version\"} to whoever handles alerts: a value of nobody known may be an emergency (/v1/unverified). Event `reload` asks you to fetch anew whatever you show: " +
		"at the start, unless you resume, and when you missed too much. A comment comes every 5 s. Resume with Last-Event-ID."
	o.Parameters = []*huma.Param{
		{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Description: "Tell what came after this event"},
		{Name: "last_event_id", In: "query", Schema: &huma.Schema{Type: huma.TypeString}, Description: "The same, for clients that cannot set a header"},
	}
	o.Responses = map[string]*huma.Response{
		"200":     {Description: "Events, until one side closes", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}},
		"default": {Description: "Error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/ErrorModel"}}}},
	}
	s.api.OpenAPI().AddOperation(&o)
}
