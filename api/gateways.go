package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

type grantedBody struct {
	Sensor string     `json:"sensor" example:"scale-0018"`
	Ended  *time.Time `json:"taken_at,omitempty" doc:"When it was taken from the gateway; left out while the gateway speaks for it"`
	Held   bool       `json:"held" doc:"Somebody has the sensor, or a user slot of it. GET the assignments of the device with this sensor says who"`
	Others []string   `json:"other_gateways" doc:"Other gateways in use that speak for it"`
}

func grantedOf(g *devices.Granted) grantedBody {
	return grantedBody{Sensor: g.Sensor, Ended: timeOrNone(g.Ended), Held: g.Held, Others: orEmpty(g.Others)}
}

type gatewaySensorsOutput struct {
	Body struct {
		Sensors []grantedBody `json:"sensors" doc:"What it speaks for besides itself, and what was taken from it, by name"`
	}
}

type gatewaySensorInput struct {
	UID    string `path:"uid" maxLength:"64"`
	Sensor string `path:"sensor" maxLength:"64"`
}

// sensorIsBody says what a sensor is, as PUT of a description does, and that it was asked whose it is.
type sensorIsBody struct {
	Type           vital.UID  `json:"type,omitempty" format:"uuid"`
	Serial         string     `json:"serial,omitempty" maxLength:"200"`
	Lot            string     `json:"lot,omitempty" maxLength:"200"`
	Firmware       string     `json:"firmware,omitempty" maxLength:"200"`
	CalibrationDue vital.Date `json:"calibration_due,omitempty" example:"2027-03-01"`
	Confirm        bool       `json:"confirm,omitempty" doc:"Of a sensor that somebody has who has not this gateway: it was asked, and stays theirs with what this gateway sends of it"`
}

type grantInput struct {
	UID    string        `path:"uid" maxLength:"64"`
	Sensor string        `path:"sensor" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"`
	Body   *sensorIsBody `doc:"What the sensor is; what is left out, or empty, stays as it is"`
}

type grantedOutput struct {
	Body grantedBody
}

func (s *Server) addGateways() {
	if s.Gateways == nil {
		return
	}
	add(s, op(http.MethodGet, "/v1/devices/{uid}/sensors", "list-gateway-sensors", tagDevices, "What a gateway speaks for", http.StatusNotFound), s.gatewaySensors)
	grant := op(http.MethodPut, "/v1/devices/{uid}/sensors/{sensor}", "grant-sensor", tagDevices, "Let a gateway speak for a further sensor", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	grant.Description = "From now on the gateway's messages of that sensor are taken. Nobody has the sensor by that: what it measures waits in the inbox until somebody says whose it is, " +
		"also where the gateway is part of a kit that somebody has. A sensor that somebody has already stays theirs; where they have not this gateway and somebody else has (its kit, its own sensor, or else what it speaks for), 409 says since when and " +
		"which kits they have: end who has it first, or `confirm`. Doing it again changes nothing."
	add(s, grant, s.grantSensor)
	take := op(http.MethodDelete, "/v1/devices/{uid}/sensors/{sensor}", "take-sensor", tagDevices, "Take a sensor from a gateway", http.StatusBadRequest, http.StatusNotFound)
	take.Description = "Nothing of that sensor is taken from the gateway any more, within a second also on the connection that it has. What it was asked for the sensor is cancelled. " +
		"Whoever has the sensor has it still: end the assignment too when the thing leaves them."
	add(s, take, func(ctx context.Context, actor account.Actor, in *gatewaySensorInput) (*struct{}, error) {
		return nil, s.Gateways.Take(ctx, actor, in.UID, in.Sensor)
	})
}

func (s *Server) gatewaySensors(ctx context.Context, actor account.Actor, in *deviceInput) (*gatewaySensorsOutput, error) {
	list, err := s.Gateways.Of(ctx, actor, in.UID)
	if err != nil {
		return nil, err
	}
	out := &gatewaySensorsOutput{}
	out.Body.Sensors = make([]grantedBody, len(list))
	for i := range list {
		out.Body.Sensors[i] = grantedOf(&list[i])
	}
	return out, nil
}

func (s *Server) grantSensor(ctx context.Context, actor account.Actor, in *grantInput) (*grantedOutput, error) {
	g := devices.Granting{Device: in.UID, Sensor: in.Sensor, Confirmed: in.Body != nil && in.Body.Confirm}
	if b := in.Body; b != nil && *b != (sensorIsBody{Confirm: b.Confirm}) {
		g.Is = &devices.Describing{Type: b.Type, Serial: b.Serial, Lot: b.Lot, Version: b.Firmware, Due: b.CalibrationDue}
	}
	made, err := s.Gateways.Grant(ctx, actor, g)
	if err != nil {
		return nil, err
	}
	return &grantedOutput{Body: grantedOf(&made)}, nil
}
