package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

type kitBody struct {
	ID        vital.UID        `json:"id" format:"uuid"`
	Label     string           `json:"label" example:"K-12" doc:"As it stands on the box"`
	State     devices.KitState `json:"state" example:"issued" enum:"stock,issued,accepted,returned,cleaning,retired"`
	StateAt   time.Time        `json:"since"`
	IssuedAt  *time.Time       `json:"issued_at,omitempty" doc:"The latest time"`
	Live      bool             `json:"live" doc:"It was accepted at home. Readings of a kit that is not live yet are kept and judged all the same"`
	CuffAt    *time.Time       `json:"cuff_confirmed_at,omitempty"`
	Devices   []kitItemBody    `json:"devices"`
	Holders   []kitHolderBody  `json:"holders" doc:"Who has it, as far as you see them"`
	MissingOf []missingBody    `json:"missing" doc:"What stands between a kit that was issued and its acceptance"`
}

type kitItemBody struct {
	UID     string          `json:"uid" example:"hub-0017"`
	Model   string          `json:"model"`
	Revoked bool            `json:"revoked"`
	Sensors []kitSensorBody `json:"sensors" doc:"Its own, and those that it speaks for"`
}

type kitSensorBody struct {
	UID string `json:"uid" example:"oxi-0017"`
	detailsBody
	Sent bool `json:"sent" doc:"A plausible reading has come since the kit was issued, of everybody who has the sensor"`
}

type detailsBody struct {
	Maker          string       `json:"maker,omitempty"`
	Model          string       `json:"type,omitempty" doc:"Model of its type"`
	Kind           devices.Kind `json:"kind,omitempty" example:"oximeter"`
	Serial         string       `json:"serial,omitempty"`
	Lot            string       `json:"lot,omitempty"`
	Firmware       string       `json:"firmware,omitempty"`
	CalibrationDue vital.Date   `json:"calibration_due,omitempty" example:"2027-03-01"`
}

func detailsOf(d *devices.Details) detailsBody {
	return detailsBody{
		Maker: d.Type.Maker, Model: d.Type.Model, Kind: d.Type.Kind, Serial: d.Serial, Lot: d.Lot, Firmware: d.Firmware, CalibrationDue: d.CalibrationDue,
	}
}

type kitHolderBody struct {
	Patient vital.UID  `json:"patient" format:"uuid"`
	Name    string     `json:"name"`
	From    time.Time  `json:"from"`
	NamedAt *time.Time `json:"name_confirmed_at,omitempty"`
}

type missingBody struct {
	What   devices.MissingWhat `json:"what" enum:"reading,owner,name,cuff"`
	Sensor string              `json:"sensor,omitempty" doc:"That has not sent"`
	Kind   devices.Kind        `json:"kind,omitempty"`
	Name   string              `json:"name,omitempty" doc:"Of whom it is missing"`
	Words  string              `json:"words" example:"oximeter oxi-0017 has not sent"`
}

func kitOf(k *devices.Kit) kitBody {
	b := kitBody{
		ID: k.UID, Label: k.Label, State: k.State, StateAt: k.StateAt, IssuedAt: timeOrNone(k.IssuedAt), Live: k.Live(), CuffAt: timeOrNone(k.CuffAt),
		Devices: make([]kitItemBody, len(k.Items)), Holders: make([]kitHolderBody, len(k.Holders)), MissingOf: []missingBody{},
	}
	silent := map[string]bool{}
	if k.State == devices.KitIssued || k.State == devices.KitAccepted {
		for _, m := range k.Missing() {
			silent[m.Sensor] = true
			if k.State == devices.KitIssued {
				b.MissingOf = append(b.MissingOf, missingBody{What: m.What, Sensor: m.Sensor, Kind: m.Kind, Name: m.Name, Words: m.String()})
			}
		}
	}
	for i := range k.Items {
		item := &k.Items[i]
		one := kitItemBody{UID: item.Device, Model: item.Model, Revoked: item.Revoked, Sensors: make([]kitSensorBody, len(item.Sensors))}
		for j := range item.Sensors {
			s := &item.Sensors[j]
			one.Sensors[j] = kitSensorBody{UID: s.UID, detailsBody: detailsOf(&s.Details), Sent: len(s.Users) > 0 && !silent[s.UID]}
		}
		b.Devices[i] = one
	}
	for i, h := range k.Holders {
		b.Holders[i] = kitHolderBody{Patient: h.UID, Name: h.Name, From: h.From, NamedAt: timeOrNone(h.NamedAt)}
	}
	return b
}

type kitsInput struct {
	State string `query:"state" enum:"stock,issued,accepted,returned,cleaning,retired" doc:"All when left out"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
}

type kitsOutput struct {
	Body struct {
		Kits []kitBody `json:"kits"`
	}
}

type kitInput struct {
	ID string `path:"id" format:"uuid"`
}

type kitOutput struct {
	Location string `header:"Location"`
	Body     kitBody
}

type makeKitInput struct {
	Body struct {
		Label   string   `json:"label" minLength:"1" maxLength:"80" example:"K-12"`
		Devices []string `json:"devices,omitempty" maxItems:"32" doc:"UIDs of what is in it"`
	}
}

type kitDeviceInput struct {
	ID     string `path:"id" format:"uuid"`
	Device string `path:"device" maxLength:"64"`
}

type issueKitInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Patient vital.UID      `json:"patient" format:"uuid" doc:"Who has every sensor that users does not name"`
		Users   []userSlotBody `json:"users,omitempty" maxItems:"64" doc:"Whose the user slots of a shared device are, as of a couple with one cuff"`
	}
}

type userSlotBody struct {
	Sensor  string    `json:"sensor" maxLength:"64" example:"cuff-0017"`
	Slot    int       `json:"slot" minimum:"0" maximum:"254" doc:"The number of the user on the device"`
	Patient vital.UID `json:"patient" format:"uuid"`
}

type confirmKitInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Names []vital.UID `json:"names,omitempty" maxItems:"64" doc:"Patients who were asked at home who they are"`
		Cuff  bool        `json:"cuff,omitempty" doc:"The cuff fits the arm"`
	}
}

type kitHistoryInput struct {
	ID    string `path:"id" format:"uuid"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

type kitEventBody struct {
	At     time.Time       `json:"at"`
	By     string          `json:"by"`
	Role   string          `json:"role"`
	What   devices.KitWhat `json:"what" example:"issued"`
	Detail string          `json:"detail,omitempty"`
}

type kitHistoryOutput struct {
	Body struct {
		History []kitEventBody `json:"history"`
	}
}

func (s *Server) addKits() {
	if s.Kits == nil {
		return
	}
	add(s, op(http.MethodGet, "/v1/kits", "list-kits", tagDevices, "Kits by label, and who has each"), s.listKits)
	add(s, created(op(http.MethodPost, "/v1/kits", "make-kit", tagDevices, "Take a kit into stock", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)), s.makeKit)
	add(s, op(http.MethodGet, "/v1/kits/{id}", "get-kit", tagDevices, "One kit", http.StatusNotFound), func(ctx context.Context, actor account.Actor, in *kitInput) (*kitOutput, error) {
		return kitAnswer(s.Kits.Get(ctx, actor, vital.UID(in.ID)))
	})
	add(s, op(http.MethodGet, "/v1/kits/{id}/history", "get-kit-history", tagDevices, "What was done with a kit, newest first", http.StatusNotFound), s.kitHistory)
	add(s, op(http.MethodPut, "/v1/kits/{id}/devices/{device}", "fill-kit", tagDevices, "Put a device into a kit in stock", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, actor account.Actor, in *kitDeviceInput) (*kitOutput, error) {
			return kitAnswer(s.Kits.Fill(ctx, actor, vital.UID(in.ID), in.Device))
		})
	add(s, op(http.MethodDelete, "/v1/kits/{id}/devices/{device}", "empty-kit", tagDevices, "Take a device out of a kit in stock", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, actor account.Actor, in *kitDeviceInput) (*kitOutput, error) {
			return kitAnswer(s.Kits.Empty(ctx, actor, vital.UID(in.ID), in.Device))
		})
	issue := op(http.MethodPost, "/v1/kits/{id}/issue", "issue-kit", tagDevices, "Give a kit to a patient, or to a household", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)
	issue.Description = "From now on what its sensors measure is theirs: all of them, or none when one is somebody else's. The kit is not live until it is accepted."
	add(s, issue, s.issueKit)
	add(s, op(http.MethodPost, "/v1/kits/{id}/confirmations", "confirm-kit", tagDevices, "Write down what was confirmed at home", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict), s.confirmKit)
	accept := op(http.MethodPost, "/v1/kits/{id}/accept", "accept-kit", tagDevices, "Take a kit live that works at home", http.StatusNotFound, http.StatusConflict)
	accept.Description = "Every sensor has sent a plausible reading since the kit was issued and none that measures is nobody's, and the name and the size of the cuff are confirmed; else 409 says what is missing."
	add(s, accept, s.kitStep(s.Kits.Accept))
	back := op(http.MethodPost, "/v1/kits/{id}/return", "return-kit", tagDevices, "Take a kit back", http.StatusNotFound, http.StatusConflict)
	back.Description = "From this moment nobody has its sensors. What they measured before is filed under who had them then, whenever it arrives; what they measure until the kit is issued again waits."
	add(s, back, s.kitStep(s.Kits.Return))
	add(s, op(http.MethodPost, "/v1/kits/{id}/clean", "clean-kit", tagDevices, "A kit that came back is being cleaned", http.StatusNotFound, http.StatusConflict), s.kitStep(s.Kits.Clean))
	add(s, op(http.MethodPost, "/v1/kits/{id}/stock", "stock-kit", tagDevices, "A kit was cleaned and can be issued again", http.StatusNotFound, http.StatusConflict), s.kitStep(s.Kits.Stock))
	add(s, op(http.MethodPost, "/v1/kits/{id}/retire", "retire-kit", tagDevices, "End a kit that nobody has; its devices are free", http.StatusNotFound, http.StatusConflict), s.kitStep(s.Kits.Retire))
}

func kitAnswer(k devices.Kit, err error) (*kitOutput, error) {
	if err != nil {
		return nil, err
	}
	return &kitOutput{Location: "/v1/kits/" + string(k.UID), Body: kitOf(&k)}, nil
}

// kitStep is an operation that does one thing with a kit.
func (s *Server) kitStep(do func(context.Context, account.Actor, vital.UID) (devices.Kit, error)) func(context.Context, account.Actor, *kitInput) (*kitOutput, error) {
	return func(ctx context.Context, actor account.Actor, in *kitInput) (*kitOutput, error) {
		return kitAnswer(do(ctx, actor, vital.UID(in.ID)))
	}
}

func (s *Server) listKits(ctx context.Context, actor account.Actor, in *kitsInput) (*kitsOutput, error) {
	list, err := s.Kits.List(ctx, actor, devices.KitFilter{State: devices.KitState(in.State), Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &kitsOutput{}
	out.Body.Kits = make([]kitBody, len(list))
	for i := range list {
		out.Body.Kits[i] = kitOf(&list[i])
	}
	return out, nil
}

func (s *Server) makeKit(ctx context.Context, actor account.Actor, in *makeKitInput) (*kitOutput, error) {
	return kitAnswer(s.Kits.Make(ctx, actor, in.Body.Label, in.Body.Devices))
}

func (s *Server) issueKit(ctx context.Context, actor account.Actor, in *issueKitInput) (*kitOutput, error) {
	h := devices.Handout{Kit: vital.UID(in.ID), Patient: in.Body.Patient}
	for _, u := range in.Body.Users {
		h.Users = append(h.Users, devices.SlotUser{Sensor: u.Sensor, Slot: uint8(u.Slot), Patient: u.Patient})
	}
	return kitAnswer(s.Kits.Issue(ctx, actor, h))
}

func (s *Server) confirmKit(ctx context.Context, actor account.Actor, in *confirmKitInput) (*kitOutput, error) {
	return kitAnswer(s.Kits.Confirm(ctx, actor, vital.UID(in.ID), devices.Confirmation{Names: in.Body.Names, Cuff: in.Body.Cuff}))
}

func (s *Server) kitHistory(ctx context.Context, actor account.Actor, in *kitHistoryInput) (*kitHistoryOutput, error) {
	list, err := s.Kits.History(ctx, actor, vital.UID(in.ID), in.Limit)
	if err != nil {
		return nil, err
	}
	out := &kitHistoryOutput{}
	out.Body.History = make([]kitEventBody, len(list))
	for i, e := range list {
		out.Body.History[i] = kitEventBody(e)
	}
	return out, nil
}
