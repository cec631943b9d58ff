package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

type parkedBody struct {
	Metric     string    `json:"metric" example:"oxygen_saturation"`
	Values     []float64 `json:"values" doc:"Canonical units, in the order of the metric's components"`
	MeasuredAt time.Time `json:"measured_at"`
	Unsure     float64   `json:"uncertainty_seconds,omitempty" doc:"It was measured within so much of it, either way, and not after it was received; left out when its time is known to 5 minutes" example:"86700"`
	ReceivedAt time.Time `json:"received_at"`
	Findings   []string  `json:"findings"`
}

type suggestionBody struct {
	Patient patientRef `json:"patient"`
	Reasons []string   `json:"reasons"`
}

type waitingBody struct {
	Sensor      string           `json:"sensor"`
	Device      string           `json:"device"`
	Reason      string           `json:"reason" example:"no_owner" doc:"Why they wait"`
	Count       int              `json:"count"`
	First       time.Time        `json:"first" doc:"Measured"`
	Last        time.Time        `json:"last"`
	Unsure      float64          `json:"uncertainty_seconds,omitempty" doc:"First and last were measured within so much of it at most, either way; left out when their times are known to 5 minutes" example:"86700"`
	Readings    []parkedBody     `json:"readings" doc:"The newest"`
	Suggestions []suggestionBody `json:"suggestions" doc:"Whose they may be, of the patients within your reach; nothing is filed by it, and no claim is a reason for the next"`
}

type asideBody struct {
	Sensor   string       `json:"sensor"`
	Device   string       `json:"device"`
	Reason   string       `json:"reason" example:"no_owner" doc:"Why they had waited"`
	Count    int          `json:"count"`
	First    time.Time    `json:"first" doc:"Measured"`
	Last     time.Time    `json:"last"`
	Unsure   float64      `json:"uncertainty_seconds,omitempty" doc:"First and last were measured within so much of it at most, either way; left out when their times are known to 5 minutes" example:"86700"`
	Readings []parkedBody `json:"readings" doc:"The newest"`
	By       string       `json:"by" doc:"Who put them aside"`
	Why      string       `json:"why"`
	At       time.Time    `json:"at" doc:"When"`
}

type inboxInput struct {
	State string `query:"state" enum:"waiting,put_aside" default:"waiting" doc:"What waits, or what was put aside"`
}

type inboxOutput struct {
	Body struct {
		Waiting  []waitingBody `json:"waiting"`
		PutAside []asideBody   `json:"put_aside" doc:"With state=put_aside, the newest first"`
	}
}

type bringBackInput struct {
	Body struct {
		Sensor string    `json:"sensor" maxLength:"64"`
		Device string    `json:"device,omitempty" maxLength:"64" doc:"Only what this device sent; several may speak for a sensor"`
		From   time.Time `json:"from" doc:"What was measured then or later"`
		To     time.Time `json:"to" doc:"... and before"`
		At     time.Time `json:"at,omitempty" doc:"Only what was put aside at that time, as the list has it"`
	}
}

type bringBackOutput struct {
	Body struct {
		BroughtBack int `json:"brought_back" doc:"Readings; they wait again"`
	}
}

type claimWaitingInput struct {
	Body struct {
		Sensor  string    `json:"sensor" maxLength:"64"`
		Device  string    `json:"device,omitempty" maxLength:"64" doc:"Only what this device sent; several may speak for a sensor, each in another home. Left out: whatever any of them sent"`
		From    time.Time `json:"from" doc:"What was measured then or later"`
		To      time.Time `json:"to" doc:"... and before"`
		Patient string    `json:"patient" format:"uuid"`
		Reason  string    `json:"reason" minLength:"1" maxLength:"2000"`
	}
}

type dismissInput struct {
	Body struct {
		Sensor string    `json:"sensor" maxLength:"64"`
		Device string    `json:"device,omitempty" maxLength:"64" doc:"Only what this device sent; several may speak for a sensor"`
		Waits  string    `json:"waits,omitempty" doc:"Only what waits for this reason"`
		From   time.Time `json:"from" doc:"What was measured then or later"`
		To     time.Time `json:"to" doc:"... and before"`
		Why    string    `json:"why" minLength:"1" maxLength:"2000"`
	}
}

type dismissOutput struct {
	Body struct {
		Dismissed int `json:"dismissed" doc:"Readings; they stay, and wait for nobody"`
	}
}

func (s *Server) addInbox() {
	add(s, op(http.MethodGet, "/v1/inbox", "list-inbox", tagDevices, "Readings that wait until somebody says whose they are, by sensor, device and reason; or those that were put aside"), s.listInbox)
	claim := op(http.MethodPost, "/v1/inbox/claim", "claim-from-inbox", tagDevices, "Say whose they are", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	claim.Description = "They keep the time at which they were measured, are filed by the processor, and everybody concerned is judged anew. The answer is a refile, which can be watched and undone."
	add(s, claim, s.claimWaiting)
	dismiss := op(http.MethodPost, "/v1/inbox/dismiss", "dismiss-from-inbox", tagDevices, "Put aside what is nobody's", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	dismiss.Description = "An unverified red that they stand for ends with it where you may handle alerts. Else it stays open, and says that it was put aside, until somebody who handles alerts ends it."
	add(s, dismiss, s.dismissWaiting)
	back := op(http.MethodPost, "/v1/inbox/bring-back", "bring-back-to-inbox", tagDevices, "Let what was put aside wait again", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	back.Description = "Whoever put it aside. What was an unverified red is one again, unless somebody called it not real or handled. What its device took back does not come back."
	add(s, back, s.bringBack)
}

func (s *Server) listInbox(ctx context.Context, actor account.Actor, in *inboxInput) (*inboxOutput, error) {
	if in.State == "put_aside" {
		return s.listAside(ctx, actor)
	}
	list, err := s.Inbox.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &inboxOutput{}
	out.Body.Waiting, out.Body.PutAside = make([]waitingBody, len(list)), []asideBody{}
	for i := range list {
		out.Body.Waiting[i] = waitingOf(&list[i])
	}
	return out, nil
}

func waitingOf(w *safe.Waiting) waitingBody {
	b := waitingBody{Sensor: w.Sensor, Device: w.Device, Reason: w.Reason, Count: w.Count, First: w.First, Last: w.Last, Unsure: w.Vague.Within.Seconds(), Suggestions: []suggestionBody{}}
	b.Readings = parkedOf(w.Readings)
	for _, g := range w.Suggestions {
		b.Suggestions = append(b.Suggestions, suggestionBody{patientRef{g.Patient.UID, g.Patient.Name, g.Patient.Number}, g.Reasons})
	}
	return b
}

func parkedOf(readings []safe.Parked) []parkedBody {
	list := make([]parkedBody, len(readings))
	for i, r := range readings {
		list[i] = parkedBody{r.Metric.String(), r.Values, r.MeasuredAt, r.Vague.Within.Seconds(), r.ReceivedAt, orEmpty(r.Findings.Names())}
	}
	return list
}

func (s *Server) listAside(ctx context.Context, actor account.Actor) (*inboxOutput, error) {
	list, err := s.Inbox.ListAside(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &inboxOutput{}
	out.Body.Waiting, out.Body.PutAside = []waitingBody{}, make([]asideBody, len(list))
	for i := range list {
		g := &list[i]
		out.Body.PutAside[i] = asideBody{g.Sensor, g.Device, g.Reason, g.Count, g.First, g.Last, g.Vague.Within.Seconds(), parkedOf(g.Readings), g.By, g.Why, g.At}
	}
	return out, nil
}

func (s *Server) bringBack(ctx context.Context, actor account.Actor, in *bringBackInput) (*bringBackOutput, error) {
	n, err := s.Inbox.BringBack(ctx, actor, safe.Return{Sensor: in.Body.Sensor, Device: in.Body.Device, From: in.Body.From, To: in.Body.To, At: in.Body.At})
	if err != nil {
		return nil, err
	}
	out := &bringBackOutput{}
	out.Body.BroughtBack = n
	return out, nil
}

func (s *Server) claimWaiting(ctx context.Context, actor account.Actor, in *claimWaitingInput) (*askedRefileOutput, error) {
	made, err := s.Inbox.ClaimOf(ctx, actor, safe.Wish{Sensor: in.Body.Sensor, Device: in.Body.Device, From: in.Body.From, To: in.Body.To, BelongsTo: vital.UID(in.Body.Patient), Reason: in.Body.Reason})
	if err != nil {
		return nil, err
	}
	out := &askedRefileOutput{Status: http.StatusAccepted, Location: refilePath(&made)}
	out.Body.Refile = refileOf(&made)
	return out, nil
}

func (s *Server) dismissWaiting(ctx context.Context, actor account.Actor, in *dismissInput) (*dismissOutput, error) {
	n, err := s.Inbox.Dismiss(ctx, actor, safe.Dismissal{Sensor: in.Body.Sensor, Device: in.Body.Device, Reason: in.Body.Waits, From: in.Body.From, To: in.Body.To, Why: in.Body.Why})
	if err != nil {
		return nil, err
	}
	out := &dismissOutput{}
	out.Body.Dismissed = n
	return out, nil
}
