package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/devices"
	"hale/devices/downlink"
	"hale/vital"
)

type commandBody struct {
	ID        vital.UID             `json:"id" format:"uuid"`
	Device    string                `json:"device"`
	Sensor    string                `json:"sensor" doc:"What it is for: the device itself, or a sensor that it speaks for"`
	Kind      downlink.CommandKind  `json:"kind" enum:"measure_now,text,sync_clock,set_interval"`
	Metric    string                `json:"metric,omitempty" example:"blood_pressure"`
	Seconds   int                   `json:"seconds,omitempty"`
	Text      string                `json:"text,omitempty"`
	Urgent    bool                  `json:"urgent"`
	CreatedAt time.Time             `json:"created_at"`
	NotAfter  time.Time             `json:"not_after" doc:"From then on it is stale and never delivered"`
	By        string                `json:"by"`
	State     downlink.CommandState `json:"state" enum:"queued,sent,done,failed,expired,withdrawn,cancelled" doc:"done and failed are the device's words; cancelled: it changed hands or was taken out of use, see detail"`
	HeldUntil *time.Time            `json:"held_until,omitempty" doc:"Quiet hours at home hold it back until then"`
	SentAt    *time.Time            `json:"sent_at,omitempty" doc:"The latest time"`
	Times     int                   `json:"times" doc:"How often it was sent: whenever the device begins to listen, until it says what became of it"`
	SettledAt *time.Time            `json:"settled_at,omitempty"`
	Detail    string                `json:"detail,omitempty" doc:"What the device says to it"`
}

func commandOf(c *downlink.Command, now time.Time) commandBody {
	b := commandBody{
		ID: c.ID, Device: c.Device, Sensor: c.Sensor, Kind: c.Kind, Metric: c.Metric, Seconds: c.Seconds, Text: c.Text, Urgent: c.Urgent, CreatedAt: c.CreatedAt.UTC(), NotAfter: c.NotAfter,
		By: c.By, State: c.State, SentAt: at(c.SentAt), Times: c.Times, SettledAt: at(c.SettledAt), Detail: c.Detail,
	}
	if c.State.Open() {
		b.HeldUntil = at(c.HeldUntil(now))
	}
	return b
}

type askDeviceInput struct {
	UID  string `path:"uid" maxLength:"64"`
	Body struct {
		Kind     string     `json:"kind" enum:"measure_now,text,sync_clock,set_interval"`
		Sensor   string     `json:"sensor,omitempty" maxLength:"64" doc:"A sensor that the device speaks for; the device itself when left out"`
		Metric   string     `json:"metric,omitempty" maxLength:"64" doc:"With measure_now: what to measure; whatever the device measures when left out"`
		Seconds  int        `json:"seconds,omitempty" minimum:"60" maximum:"86400" doc:"With set_interval"`
		Text     string     `json:"text,omitempty" maxLength:"200" doc:"With text"`
		NotAfter *time.Time `json:"not_after,omitempty" doc:"At most 7 days ahead. Left out: an hour for measure_now, a day for the others, from the end of quiet hours"`
		Urgent   bool       `json:"urgent,omitempty" doc:"Quiet hours at home (21:00 to 07:00) do not hold it back"`
	}
}

type askDeviceOutput struct{ Body commandBody }

type commandsOutput struct {
	Body struct {
		Commands []commandBody `json:"commands" doc:"The newest first"`
	}
}

type withdrawCommandInput struct {
	UID string `path:"uid" maxLength:"64"`
	ID  string `path:"id" format:"uuid"`
}

type wearerBody struct {
	Patient vital.UID `json:"patient" format:"uuid"`
	Name    string    `json:"name"`
}

type problemBody struct {
	Kind      devices.ProblemKind  `json:"kind" enum:"outage,clock,certificate,silent,battery,signal,gaps,calibration"`
	Device    string               `json:"device,omitempty" doc:"Left out of an outage of the platform"`
	Sensor    string               `json:"sensor,omitempty" doc:"The device itself, or a sensor that it speaks for"`
	Since     time.Time            `json:"since"`
	Wearers   []wearerBody         `json:"wearers" doc:"Who wears it"`
	LastHeard *time.Time           `json:"last_heard,omitempty"`
	Battery   *int                 `json:"battery,omitempty" doc:"Percent"`
	Signal    *int                 `json:"signal,omitempty" doc:"dBm"`
	ClockOff  *float64             `json:"clock_off_seconds,omitempty" doc:"Of its clock against ours; ahead is positive, and left out where it is not known or right by now"`
	ClockJump *float64             `json:"clock_jump_seconds,omitempty" doc:"By how much its clock was put back between two looks; forward is negative"`
	Refused   int                  `json:"clock_refused,omitempty" doc:"Messages that wait in quarantine because their times cannot be right"`
	Missed    int                  `json:"missed,omitempty" doc:"Expected measurements that did not come"`
	Lost      int                  `json:"lost,omitempty" doc:"Readings that are missing in its count"`
	Ends      *time.Time           `json:"ends,omitempty" doc:"Of the certificate, or when calibration was due"`
	Explains  int                  `json:"explains,omitempty" doc:"With outage: people whose measurements it held back"`
	State     devices.ProblemState `json:"state" enum:"new,seen,snoozed"`
	Until     *time.Time           `json:"until,omitempty"`
	Note      string               `json:"note,omitempty"`
	By        string               `json:"by,omitempty"`
}

func problemOf(p *devices.Problem) problemBody {
	b := problemBody{
		Kind: p.Kind, Device: p.Device, Sensor: p.Sensor, Since: p.Since, Wearers: make([]wearerBody, len(p.Wearers)), LastHeard: at(p.LastHeard), Missed: p.Slots, Lost: p.Lost,
		Ends: at(p.Ends), Explains: p.Incident.Explains, State: p.State, Until: at(p.Until), Note: p.Note, By: p.By,
	}
	for i, w := range p.Wearers {
		b.Wearers[i] = wearerBody{w.UID, w.Name}
	}
	switch p.Kind { //nolint:exhaustive // the others have no number of their own
	case devices.ProblemBattery:
		n := int(p.Battery)
		b.Battery = &n
	case devices.ProblemSignal:
		n := int(p.Signal)
		b.Signal = &n
	case devices.ProblemClock:
		if n := p.ClockOff.Seconds(); n != 0 {
			b.ClockOff = &n
		}
		if n := p.ClockJump.Seconds(); n != 0 {
			b.ClockJump = &n
		}
		b.Refused = p.ClockRefused
	}
	return b
}

type problemsOutput struct {
	Body struct {
		Problems []problemBody `json:"problems" doc:"New ones first, the urgent before the others"`
	}
}

type markInput struct {
	Body struct {
		Device string     `json:"device" maxLength:"64"`
		Sensor string     `json:"sensor,omitempty" maxLength:"64" doc:"The device itself when left out"`
		Kind   string     `json:"kind" enum:"outage,clock,certificate,silent,battery,signal,gaps,calibration"`
		State  string     `json:"state" enum:"new,seen,snoozed"`
		Until  *time.Time `json:"until,omitempty" doc:"With snoozed: at most 31 days ahead"`
		Note   string     `json:"note,omitempty" maxLength:"500"`
	}
}

type incidentBody struct {
	ID       vital.UID            `json:"id" format:"uuid"`
	Kind     devices.IncidentKind `json:"kind" enum:"device,gateway,platform"`
	Device   string               `json:"device,omitempty"`
	Why      devices.IncidentWhy  `json:"why" enum:"silent,many_silent,edge_missed,stream_behind"`
	From     time.Time            `json:"from" doc:"Since when nothing was heard"`
	To       *time.Time           `json:"to,omitempty" doc:"Left out while it lasts"`
	Explains int                  `json:"explains" doc:"People whose measurements it held back, at most at once"`
}

type incidentsInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type incidentsOutput struct {
	Body struct {
		Incidents []incidentBody `json:"incidents" doc:"Those that last, then the newest that are over"`
	}
}

func (s *Server) addPresence() {
	ask := created(op(http.MethodPost, "/v1/devices/{uid}/commands", "ask-device", tagDevices, "Ask something of a device", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict))
	ask.Description = "It is sent when the device listens, at once if it does, and never from not_after on."
	add(s, ask, s.askDevice)
	add(s, op(http.MethodGet, "/v1/devices/{uid}/commands", "list-commands", tagDevices, "What was asked of a device, and what became of it", http.StatusNotFound), s.listCommands)
	add(s, op(http.MethodDelete, "/v1/devices/{uid}/commands/{id}", "withdraw-command", tagDevices, "Take back what was asked of a device", http.StatusNotFound, http.StatusConflict), s.withdrawCommand)
	add(s, op(http.MethodGet, "/v1/device-problems", "list-device-problems", tagDevices, "What is wrong with devices"), s.listProblems)
	add(s, op(http.MethodPost, "/v1/device-problems/mark", "mark-device-problem", tagDevices, "Say that a device's problem was seen, or is to wait", http.StatusBadRequest, http.StatusNotFound), s.markProblem)
	add(s, op(http.MethodGet, "/v1/incidents", "list-incidents", tagDevices, "Outages of devices, gateways and the platform"), s.listIncidents)
}

func (s *Server) askDevice(ctx context.Context, actor account.Actor, in *askDeviceInput) (*askDeviceOutput, error) {
	c := downlink.Command{
		Device: in.UID, Sensor: in.Body.Sensor, Kind: downlink.CommandKind(in.Body.Kind), Metric: in.Body.Metric, Seconds: in.Body.Seconds, Text: in.Body.Text, Urgent: in.Body.Urgent,
	}
	if in.Body.NotAfter != nil {
		c.NotAfter = *in.Body.NotAfter
	}
	made, err := s.Commands.Ask(ctx, actor, c)
	if err != nil {
		return nil, err
	}
	return &askDeviceOutput{Body: commandOf(&made, s.Now())}, nil
}

func (s *Server) listCommands(ctx context.Context, actor account.Actor, in *deviceInput) (*commandsOutput, error) {
	list, err := s.Commands.Commands(ctx, actor, in.UID, 0)
	if err != nil {
		return nil, err
	}
	out := &commandsOutput{}
	out.Body.Commands = make([]commandBody, len(list))
	for i := range list {
		out.Body.Commands[i] = commandOf(&list[i], s.Now())
	}
	return out, nil
}

func (s *Server) withdrawCommand(ctx context.Context, actor account.Actor, in *withdrawCommandInput) (*struct{}, error) {
	return nil, s.Commands.Withdraw(ctx, actor, in.UID, vital.UID(in.ID))
}

func (s *Server) listProblems(ctx context.Context, actor account.Actor, _ *struct{}) (*problemsOutput, error) {
	list, err := s.Problems.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &problemsOutput{}
	out.Body.Problems = make([]problemBody, len(list))
	for i := range list {
		out.Body.Problems[i] = problemOf(&list[i])
	}
	return out, nil
}

func (s *Server) markProblem(ctx context.Context, actor account.Actor, in *markInput) (*struct{}, error) {
	a := devices.ProblemAsk{
		Device: in.Body.Device, Sensor: in.Body.Sensor, Kind: devices.ProblemKind(in.Body.Kind), State: devices.ProblemState(in.Body.State), Note: in.Body.Note,
	}
	if in.Body.Until != nil {
		a.Until = *in.Body.Until
	}
	return nil, s.Problems.Mark(ctx, actor, a)
}

func (s *Server) listIncidents(ctx context.Context, actor account.Actor, in *incidentsInput) (*incidentsOutput, error) {
	list, err := s.Problems.Incidents(ctx, actor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &incidentsOutput{}
	out.Body.Incidents = make([]incidentBody, len(list))
	for i, one := range list {
		out.Body.Incidents[i] = incidentBody{one.UID, one.Kind, one.Name, one.Why, one.From, at(one.To), one.Explains}
	}
	return out, nil
}
