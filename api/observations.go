package api

import (
	"context"
	"encoding/base64"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

// Taker makes messages of devices durable (ingest.Core).
type Taker interface {
	Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt))
}

const (
	mostObservations = 256 << 10        // bytes of a body, as of a message by MQTT
	durableWithin    = 20 * time.Second // longer than any hiccup of the disk, shorter than clients wait
	sendAgainAfter   = 5 * time.Second
)

type observationsInput struct {
	ContentType string `header:"Content-Type"`
	Format      string `query:"format" enum:"fhir,omh,json,withings,gateway,gatt:2A18,gatt:2A19,gatt:2A1C,gatt:2A34,gatt:2A35,gatt:2A37,gatt:2A5E,gatt:2A5F,gatt:2A9D" doc:"Where the Content-Type does not tell: fhir (an Observation or a Bundle), omh (a data point of Open mHealth, or a list), json (as in docs/wire.md), withings (the answer of getmeas), gateway (reports of home gateways, or of cuffs behind a bridge), gatt: and the number of a Bluetooth characteristic (its bytes)"`
	// Time is of what has none of its own, as most Bluetooth payloads.
	Time    time.Time `query:"time" doc:"When the app got what it sends, with zone, for measurements that have no time of their own. Without it that is when they arrive here, and sent again they are others" example:"2026-11-21T07:25:00Z"`
	RawBody []byte
}

type refusedBody struct {
	Index  int          `json:"index" doc:"Place in the list or Bundle; 0 for a single one"`
	Reason vital.Reason `json:"reason" example:"unit"`
	Field  string       `json:"field,omitempty" example:"entry[1].resource.valueQuantity.code" doc:"Path of the field in what was sent, where one is known"`
	Detail string       `json:"detail" doc:"What to mend"`
}

type observationsOutput struct {
	Body struct {
		Accepted int           `json:"accepted" example:"3" doc:"Readings that are on disk"`
		Refused  []refusedBody `json:"refused" doc:"What was not taken as a reading; it is kept apart, and need not be sent again"`
	}
}

func (s *Server) addObservations() {
	o := public(op(http.MethodPost, "/v1/observations", "send-observations", tagDevices, "Send what was measured", http.StatusBadRequest, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusTooManyRequests))
	o.Description = "For apps on phones, which are devices like any other: enrolled, assigned to the patient, with a secret of their own that they send as HTTP Basic. " +
		"The answer 200 means that all of it is on disk, refused parts included. After 503 send the same again, after the time in Retry-After; sending twice does no harm. " +
		"At most 1,000 measurements and 256 KiB."
	o.MaxBodyBytes = mostObservations
	o.Middlewares = append(o.Middlewares, s.phonesOnly)
	add(s, o, s.takeObservations)
	at := s.api.OpenAPI().Paths[o.Path].Post // described afterwards: what is sent is for the decoders to judge, and not for the frame
	at.Security = []map[string][]string{{"device": {}}}
	at.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	for _, t := range []string{"application/fhir+json", "application/vnd.openmhealth+json", "application/json", "application/octet-stream"} {
		at.RequestBody.Content[t] = &huma.MediaType{Schema: &huma.Schema{}}
	}
}

// endingOf returns how the topic ends to which a device would send the same.
func endingOf(in *observationsInput) (string, error) {
	switch characteristic, gatt := strings.CutPrefix(in.Format, "gatt:"); {
	case gatt:
		return "gatt/" + characteristic, nil
	case in.Format == "json":
		return "readings", nil
	case in.Format != "":
		return in.Format, nil
	}
	kind, _, err := mime.ParseMediaType(in.ContentType)
	switch {
	case err == nil && kind == "application/fhir+json":
		return "fhir", nil
	case err == nil && kind == "application/vnd.openmhealth+json":
		return "omh", nil
	case err == nil && kind == "application/json":
		return "readings", nil
	}
	unknown := fault.New(fault.Invalid, "the Content-Type is none that Hale reads; send application/fhir+json, application/vnd.openmhealth+json or application/json, or say ?format=fhir, omh, json, withings, gateway or gatt:2A35")
	return "", &precondition{error: unknown, status: http.StatusUnsupportedMediaType}
}

// phoneKey is under what the device stands in the context of its request.
type phoneKey struct{}

// phonesOnly refuses whoever shows no device's secret, before anybody reads what they send.
func (s *Server) phonesOnly(c huma.Context, next func(huma.Context)) {
	device, err := s.knock(c.Context(), c.Header("Authorization"))
	if err == nil {
		next(huma.WithValue(c, phoneKey{}, device))
		return
	}
	p := s.problem(c.Context(), c.Operation().OperationID, err)
	if wait, ok := session.RetryAfter(err); ok {
		c.SetHeader("Retry-After", seconds(wait))
	}
	if p.Status == http.StatusUnauthorized {
		c.SetHeader("WWW-Authenticate", `Basic realm="hale"`)
	}
	_ = huma.WriteErr(s.api, c, p.Status, p.Detail) // what cannot be written has nobody who reads it
}

// takeObservations takes what a phone sends, and answers when it is durable.
func (s *Server) takeObservations(ctx context.Context, _ account.Actor, in *observationsInput) (*observationsOutput, error) {
	device, _ := ctx.Value(phoneKey{}).(*devices.Device)
	ending, err := endingOf(in)
	if err != nil {
		return nil, err
	}
	receipt, err := s.durable(ctx, ingest.Message{Device: device, Topic: credential.TopicRoot + device.UID + "/" + ending, Payload: append([]byte{}, in.RawBody...), Untimed: in.Time})
	if err != nil {
		return nil, err
	}
	out := &observationsOutput{}
	out.Body.Accepted, out.Body.Refused = receipt.Accepted, []refusedBody{}
	for _, r := range receipt.Refused {
		out.Body.Refused = append(out.Body.Refused, refusedBody{Index: r.Index, Reason: r.Reason, Field: r.Field, Detail: r.Detail})
	}
	return out, nil
}

// knock finds the device by the name and secret of HTTP Basic (RFC 7617).
func (s *Server) knock(ctx context.Context, authorization string) (*devices.Device, error) {
	scheme, given, _ := strings.Cut(authorization, " ")
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(given))
	uid, secret, ok := strings.Cut(string(pair), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return nil, fault.New(fault.Unauthenticated, "sign in as a device: send its UID and secret as HTTP Basic")
	}
	return s.Phones.Knock(session.From(ctx), uid, []byte(secret))
}

// durable waits until the message is on disk.
func (s *Server) durable(ctx context.Context, m ingest.Message) (ingest.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, durableWithin)
	defer cancel()
	done := make(chan ingest.Receipt, 1)
	s.Taker.Submit(ctx, m, func(r ingest.Receipt) { done <- r })
	select {
	case r := <-done:
		if r.Err != nil && !fault.Is(r.Err, fault.Forbidden) {
			return r, &precondition{error: &sendAgainError{r.Err}, status: http.StatusServiceUnavailable}
		}
		return r, r.Err
	case <-ctx.Done():
		late := fault.Wrap(fault.Unavailable, ctx.Err(), "it is not on disk yet; send it again")
		return ingest.Receipt{}, &precondition{error: &sendAgainError{late}, status: http.StatusServiceUnavailable}
	}
}

// sendAgainError says that a message is not durable, and when to send it again.
type sendAgainError struct{ err error }

// Error returns what is wrong.
func (e *sendAgainError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e *sendAgainError) Unwrap() error { return e.err }

// RetryAfter returns when to send it again.
func (*sendAgainError) RetryAfter() time.Duration { return sendAgainAfter }
