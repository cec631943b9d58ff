package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
)

// The tags under which operations stand in the description.
const (
	tagSession  = "session"
	tagPatients = "patients"
	tagLimits   = "limits"
	tagDevices  = "devices"
	tagAlerts   = "alerts"
	tagKeys     = "keys"
	tagWebhooks = "webhooks"
	tagTeams    = "teams"
	tagSafe     = "data safe"
	tagAccess   = "access"
	tagConsent  = "consent"
	tagService  = "service"
)

// describe returns the frame of the OpenAPI description. Huma's own docs page and $schema links are off: the first
// loads scripts from elsewhere, the second write into every answer.
func describe() huma.Config {
	cfg := huma.DefaultConfig("Hale", "1")
	cfg.CreateHooks = nil
	cfg.Transformers = append(cfg.Transformers, withoutValues)
	cfg.DocsPath, cfg.SchemasPath = "", ""
	cfg.Info.Description = "Patients at home, their readings, the alerts these raise, and what people did about them. " +
		"Times are RFC 3339; ids are opaque. An error is a problem (RFC 9457); its detail says what to mend. " +
		"What you may not see is answered as if it did not exist."
	cfg.Tags = []*huma.Tag{
		{Name: tagSession, Description: "Who is signed in"},
		{Name: tagPatients, Description: "The people being watched over, and what was measured"},
		{Name: tagLimits, Description: "Each patient's own limits and trend rules, in versions"},
		{Name: tagDevices, Description: "What measures, and for whom"},
		{Name: tagAlerts, Description: "What asks for a person's attention"},
		{Name: tagKeys, Description: "Keys with which programs ask, each for what it is given"},
		{Name: tagWebhooks, Description: "Where notices are sent when they leave Hale"},
		{Name: tagSafe, Description: "What patients see and do with their own data"},
		{Name: tagTeams, Description: "Who looks after whom together, and when somebody watches"},
		{Name: tagConsent, Description: "What patients agree to, whom they let in, and how care ends"},
		{Name: tagAccess, Description: "Ways to a record outside one's care, and who watches over them"},
		{Name: tagImports, Description: "People who come in by files"},
		{Name: tagService, Description: "The server itself"},
	}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "The token that POST /v1/session returns, or an API key. One that POST /v1/session/code returns goes with the device's secret in " + session.DeviceHeader + "."},
		"device": {Type: "http", Scheme: "basic", Description: "The UID and secret of an enrolled device; only for POST /v1/observations."},
		"cookie": {Type: "apiKey", In: "cookie", Name: "hale_session", Description: "Set by POST /v1/session (with HTTPS its name begins with __Host-). Requests that change something carry the session's CSRF value in " + session.CSRFHeader + "."},
	}
	return cfg
}

// withoutValues takes from a problem what was sent: a body that is refused may hold a password, and problems are logged by
// whoever gets them.
func withoutValues(_ huma.Context, _ string, body any) (any, error) {
	if problem, ok := body.(*huma.ErrorModel); ok {
		for _, e := range problem.Errors {
			e.Value = nil
		}
	}
	return body, nil
}

// op returns an operation that somebody signed in may call. Errors are listed besides those that each one can have.
func op(method, path, id, tag, summary string, errors ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Tags: []string{tag}, Summary: summary,
		Errors: append([]int{
			http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
			http.StatusInternalServerError, http.StatusServiceUnavailable,
		}, errors...),
		Security:     []map[string][]string{{"bearer": {}}, {"cookie": {}}},
		MaxBodyBytes: bodyLimit,
	}
}

// add registers an operation. The handler gets who asks; its error becomes a problem by the one table of statuses.
func add[I, O any](s *Server, o huma.Operation, handle func(ctx context.Context, actor account.Actor, in *I) (*O, error)) {
	if len(o.Security) > 0 {
		o.Middlewares = append(o.Middlewares, s.strangersFirst)
	}
	huma.Register(s.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, session.Actor(ctx), in)
		if err == nil {
			return out, nil
		}
		p := s.problem(ctx, o.OperationID, err)
		if status, ok := statusOf(err); ok {
			p.Status, p.Title = status, http.StatusText(status)
		}
		if wait, ok := session.RetryAfter(err); ok {
			return nil, huma.ErrorWithHeaders(p, http.Header{"Retry-After": {seconds(wait)}})
		}
		return nil, p
	})
}

// strangersFirst refuses whoever is not signed in before anybody reads what they send.
func (s *Server) strangersFirst(c huma.Context, next func(huma.Context)) {
	if err := signedIn(session.Actor(c.Context())); err != nil {
		p := s.problem(c.Context(), c.Operation().OperationID, err)
		_ = huma.WriteErr(s.api, c, p.Status, p.Detail) // what cannot be written has nobody who reads it
		return
	}
	next(c)
}

// public takes an operation out of what needs a session.
func public(o huma.Operation) huma.Operation {
	o.Security = []map[string][]string{}
	return o
}

// created makes 201 the status of success.
func created(o huma.Operation) huma.Operation {
	o.DefaultStatus = http.StatusCreated
	return o
}

// signedIn refuses nobody, for what needs a session but no function of a role.
func signedIn(actor account.Actor) error {
	if actor.Nobody() {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	return nil
}
