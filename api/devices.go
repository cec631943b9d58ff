package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

type deviceBody struct {
	UID     string   `json:"uid" doc:"MQTT user name, client id and first level of its topics" example:"bp-0017"`
	Model   string   `json:"model" example:"Cuff 3000"`
	Sensors []string `json:"sensors" doc:"Further sensors that it may speak for"`
	Revoked bool     `json:"revoked"`
}

func deviceOf(d *devices.Device) deviceBody {
	return deviceBody{UID: d.UID, Model: d.Model, Revoked: d.Revoked, Sensors: orEmpty(slices.Sorted(maps.Keys(d.Sensors)))}
}

type devicesInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
}

type devicesOutput struct {
	Body struct {
		Devices []deviceBody `json:"devices"`
	}
}

type enrolInput struct {
	Body struct {
		UID     string   `json:"uid,omitempty" pattern:"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$" doc:"Made up when left out" example:"bp-0017"`
		Model   string   `json:"model" minLength:"1" maxLength:"200" example:"Cuff 3000"`
		Sensors []string `json:"sensors,omitempty" maxItems:"256" doc:"Further sensors that it may speak for, as a gateway does"`
	}
}

type enrolOutput struct {
	Location string `header:"Location"`
	Body     struct {
		UID    string `json:"uid" example:"bp-0017"`
		Secret string `json:"secret" doc:"The MQTT password. It is shown this once"`
	}
}

type assignInput struct {
	UID  string `path:"uid" maxLength:"64"`
	Body struct {
		Patient string     `json:"patient" format:"uuid"`
		From    *time.Time `json:"from,omitempty" doc:"From now on when left out. May lie in the past as long as no reading of the sensor is stored or parked since, and at most a year ahead"`
		To      *time.Time `json:"to,omitempty" doc:"Until further notice when left out"`
		Sensor  string     `json:"sensor,omitempty" maxLength:"64" doc:"A sensor that the device speaks for; its own when left out"`
	}
}

type assignOutput struct {
	Body struct {
		Sensor  string     `json:"sensor"`
		Patient vital.UID  `json:"patient" format:"uuid"`
		From    time.Time  `json:"from"`
		To      *time.Time `json:"to,omitempty"`
	}
}

type intakeOutput struct {
	Body struct {
		Stored      int                  `json:"stored" doc:"Readings in the record"`
		Parked      int                  `json:"parked" doc:"Waiting until somebody says whose they are"`
		Quarantined map[vital.Reason]int `json:"quarantined" doc:"Refused, by reason"`
		Total       int                  `json:"total" doc:"All of them"`
	}
}

type deviceInput struct {
	UID string `path:"uid" maxLength:"64"`
}

func (s *Server) addDevices() {
	add(s, op(http.MethodGet, "/v1/devices", "list-devices", tagDevices, "Devices by name"), s.listDevices)
	add(s, created(op(http.MethodPost, "/v1/devices", "enrol-device", tagDevices, "Enrol a device", http.StatusBadRequest, http.StatusConflict)), s.enrol)
	assign := created(op(http.MethodPost, "/v1/devices/{uid}/assignments", "assign-device", tagDevices, "Say whose a sensor's readings are", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict))
	add(s, assign, s.assign)
	intake := op(http.MethodGet, "/v1/devices/{uid}/intake", "get-intake", tagDevices, "What became of what a device sent", http.StatusNotFound)
	intake.Description = "Every reading that the device sent is stored, parked or quarantined; none is in two of them."
	add(s, intake, s.intake)
	add(s, op(http.MethodDelete, "/v1/devices/{uid}", "revoke-device", tagDevices, "Make a device's secret worthless", http.StatusNotFound), s.revoke)
}

func (s *Server) listDevices(ctx context.Context, actor account.Actor, in *devicesInput) (*devicesOutput, error) {
	list, err := s.Desk.Devices(ctx, actor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &devicesOutput{}
	out.Body.Devices = make([]deviceBody, len(list))
	for i := range list {
		out.Body.Devices[i] = deviceOf(&list[i])
	}
	return out, nil
}

func (s *Server) enrol(ctx context.Context, actor account.Actor, in *enrolInput) (*enrolOutput, error) {
	made, err := s.Desk.Enrol(ctx, actor, devices.Enrolment{UID: in.Body.UID, Model: in.Body.Model, Sensors: in.Body.Sensors})
	if err != nil {
		return nil, err
	}
	out := &enrolOutput{Location: "/v1/devices/" + made.Device.UID}
	out.Body.UID, out.Body.Secret = made.Device.UID, made.Secret
	return out, nil
}

func (s *Server) assign(ctx context.Context, actor account.Actor, in *assignInput) (*assignOutput, error) {
	b := devices.Binding{Sensor: in.Body.Sensor, Patient: vital.UID(in.Body.Patient)}
	if b.Sensor == "" {
		b.Sensor = in.UID
	}
	if in.Body.From != nil {
		b.From = in.Body.From.UTC()
	}
	if in.Body.To != nil {
		b.To = in.Body.To.UTC()
	}
	made, err := s.Desk.Assign(ctx, actor, b)
	if err != nil {
		return nil, err
	}
	out := &assignOutput{}
	out.Body.Sensor, out.Body.Patient, out.Body.From, out.Body.To = b.Sensor, b.Patient, made.From.UTC(), at(made.To)
	return out, nil
}

func (s *Server) intake(ctx context.Context, actor account.Actor, in *deviceInput) (*intakeOutput, error) {
	became, err := s.Desk.Intake(ctx, actor, in.UID)
	if err != nil {
		return nil, err
	}
	out := &intakeOutput{}
	out.Body.Stored, out.Body.Parked, out.Body.Quarantined, out.Body.Total = became.Stored, became.Parked, became.Quarantined, became.Total()
	if out.Body.Quarantined == nil {
		out.Body.Quarantined = map[vital.Reason]int{}
	}
	return out, nil
}

func (s *Server) revoke(ctx context.Context, actor account.Actor, in *deviceInput) (*struct{}, error) {
	return nil, s.Desk.Revoke(ctx, actor, in.UID)
}
