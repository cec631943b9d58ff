package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

type typeBody struct {
	ID      vital.UID    `json:"id" format:"uuid"`
	Maker   string       `json:"maker" example:"A&D"`
	Model   string       `json:"model" example:"UA-651BLE"`
	Kind    devices.Kind `json:"kind" example:"cuff"`
	Metrics []string     `json:"metrics" doc:"What it can measure; empty when it only carries what others measured" example:"blood_pressure"`
	Slots   int          `json:"user_slots" doc:"How many users it tells apart"`
	Shipped bool         `json:"shipped" doc:"It came with Hale"`
}

func typeOf(t *devices.Type) typeBody {
	b := typeBody{ID: t.UID, Maker: t.Maker, Model: t.Model, Kind: t.Kind, Metrics: make([]string, len(t.Metrics)), Slots: t.Slots, Shipped: t.Shipped}
	for i, m := range t.Metrics {
		b.Metrics[i] = m.String()
	}
	return b
}

type typesOutput struct {
	Body struct {
		Types []typeBody `json:"types"`
	}
}

type addTypeInput struct {
	Body struct {
		Maker   string   `json:"maker" minLength:"1" maxLength:"200"`
		Model   string   `json:"model" minLength:"1" maxLength:"200"`
		Kind    string   `json:"kind" enum:"gateway,tablet,cuff,scale,oximeter,thermometer,glucometer,spirometer,patch,tracker,other"`
		Metrics []string `json:"metrics,omitempty" maxItems:"32"`
		Slots   int      `json:"user_slots,omitempty" minimum:"1" maximum:"255" default:"1"`
	}
}

type typeOutput struct {
	Body typeBody
}

type describeInput struct {
	UID  string `path:"uid" maxLength:"64"`
	Body struct {
		Sensor         string     `json:"sensor,omitempty" maxLength:"64" doc:"A sensor that the device speaks for; its own when left out"`
		Type           vital.UID  `json:"type,omitempty" format:"uuid" doc:"Not known when left out"`
		Serial         string     `json:"serial,omitempty" maxLength:"200"`
		Lot            string     `json:"lot,omitempty" maxLength:"200"`
		Firmware       string     `json:"firmware,omitempty" maxLength:"200"`
		CalibrationDue vital.Date `json:"calibration_due,omitempty" example:"2027-03-01"`
	}
}

type recallInput struct {
	Maker    string `query:"maker" maxLength:"200"`
	Model    string `query:"model" maxLength:"200"`
	Lot      string `query:"lot" maxLength:"200"`
	Firmware string `query:"firmware" maxLength:"200"`
}

type heldBody struct {
	Sensor string `json:"sensor" example:"cuff-0017:2" doc:"With the number of the user slot of a shared one"`
	detailsBody
	Kit     string     `json:"kit,omitempty" doc:"Label of the kit it is in"`
	Patient vital.UID  `json:"patient,omitempty" doc:"Left out when nobody has it"`
	Name    string     `json:"name,omitempty"`
	Number  string     `json:"number,omitempty"`
	From    *time.Time `json:"from,omitempty" doc:"Since when they have it"`
}

type recallOutput struct {
	Body struct {
		Held []heldBody `json:"held"`
	}
}

type sensorInput struct {
	UID    string `path:"uid" maxLength:"64"`
	Sensor string `query:"sensor" maxLength:"70" doc:"A sensor that the device speaks for, or a user slot as in cuff-0017:2; its own, with its slots, when left out"`
}

func (in *sensorInput) sensor() string {
	if in.Sensor == "" {
		return in.UID
	}
	return in.Sensor
}

type wornBody struct {
	Sensor  string     `json:"sensor"`
	Patient vital.UID  `json:"patient" format:"uuid"`
	Name    string     `json:"name"`
	From    time.Time  `json:"from"`
	To      *time.Time `json:"to,omitempty" doc:"Left out while it lasts"`
}

type wornOutput struct {
	Body struct {
		Assignments []wornBody `json:"assignments"`
	}
}

type endedOutput struct {
	Body struct {
		Ended int `json:"ended" doc:"How many assignments ended"`
	}
}

func (s *Server) addDeviceTypes() {
	if s.Kits == nil || s.Types == nil {
		return
	}
	add(s, op(http.MethodGet, "/v1/device-types", "list-device-types", tagDevices, "What makers make: kind, what it measures, how many users it tells apart"), s.listTypes)
	add(s, created(op(http.MethodPost, "/v1/device-types", "add-device-type", tagDevices, "Add a type of the organisation's own", http.StatusBadRequest, http.StatusConflict)), s.addType)
	add(s, op(http.MethodPut, "/v1/devices/{uid}/description", "describe-device", tagDevices, "Say what a device or a sensor is: type, serial, lot, firmware, calibration", http.StatusBadRequest, http.StatusNotFound), s.describeDevice)
	add(s, op(http.MethodGet, "/v1/devices/{uid}/assignments", "list-assignments", tagDevices, "Who had a sensor, newest first", http.StatusNotFound), s.worn)
	end := op(http.MethodDelete, "/v1/devices/{uid}/assignments", "end-assignment", tagDevices, "Take a sensor from whoever has it", http.StatusNotFound, http.StatusConflict)
	end.Description = "It ends at once. What was measured before stays and goes on to be filed under who had it then."
	add(s, end, s.endAssignment)
	recall := op(http.MethodGet, "/v1/recall", "recall", tagDevices, "Which patients have a model, lot or firmware", http.StatusBadRequest)
	recall.Description = "Give a model, a lot or a maker at least. What nobody has comes last, without a patient."
	add(s, recall, s.recall)
}

func (s *Server) listTypes(ctx context.Context, actor account.Actor, _ *struct{}) (*typesOutput, error) {
	list, err := s.Types.List(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := &typesOutput{}
	out.Body.Types = make([]typeBody, len(list))
	for i := range list {
		out.Body.Types[i] = typeOf(&list[i])
	}
	return out, nil
}

func (s *Server) addType(ctx context.Context, actor account.Actor, in *addTypeInput) (*typeOutput, error) {
	t := devices.Type{Maker: in.Body.Maker, Model: in.Body.Model, Kind: devices.Kind(in.Body.Kind), Slots: in.Body.Slots}
	for _, code := range in.Body.Metrics {
		m, ok := vital.ParseMetric(code)
		if !ok {
			return nil, fault.New(fault.Invalid, "metrics: nothing is measured that is called %q", code)
		}
		t.Metrics = append(t.Metrics, m)
	}
	made, err := s.Types.Add(ctx, actor, t)
	if err != nil {
		return nil, err
	}
	return &typeOutput{Body: typeOf(&made)}, nil
}

func (s *Server) describeDevice(ctx context.Context, actor account.Actor, in *describeInput) (*struct{}, error) {
	d := devices.Describing{Sensor: in.Body.Sensor, Type: in.Body.Type, Serial: in.Body.Serial, Lot: in.Body.Lot, Version: in.Body.Firmware, Due: in.Body.CalibrationDue}
	if d.Sensor == "" {
		d.Sensor = in.UID
	}
	return nil, s.Types.Describe(ctx, actor, d)
}

func (s *Server) worn(ctx context.Context, actor account.Actor, in *sensorInput) (*wornOutput, error) {
	list, err := s.Kits.Worn(ctx, actor, in.sensor(), 0)
	if err != nil {
		return nil, err
	}
	out := &wornOutput{}
	out.Body.Assignments = make([]wornBody, len(list))
	for i, w := range list {
		out.Body.Assignments[i] = wornBody{Sensor: w.Sensor, Patient: w.UID, Name: w.Name, From: w.From, To: timeOrNone(w.To)}
	}
	return out, nil
}

func (s *Server) endAssignment(ctx context.Context, actor account.Actor, in *sensorInput) (*endedOutput, error) {
	n, err := s.Kits.EndAssignment(ctx, actor, in.sensor())
	if err != nil {
		return nil, err
	}
	out := &endedOutput{}
	out.Body.Ended = n
	return out, nil
}

func (s *Server) recall(ctx context.Context, actor account.Actor, in *recallInput) (*recallOutput, error) {
	list, err := s.Types.Recall(ctx, actor, devices.Recall{Maker: in.Maker, Model: in.Model, Lot: in.Lot, Firmware: in.Firmware})
	if err != nil {
		return nil, err
	}
	out := &recallOutput{}
	out.Body.Held = make([]heldBody, len(list))
	for i := range list {
		h := &list[i]
		out.Body.Held[i] = heldBody{Sensor: h.Sensor, detailsBody: detailsOf(&h.Details), Kit: h.Kit, Patient: h.UID, Name: h.Name, Number: h.Number, From: timeOrNone(h.From)}
	}
	return out, nil
}
