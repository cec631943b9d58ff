package main

import (
	"crypto/sha256"
	"fmt"
	"time"

	"hale/vital"
)

// boxOf is the number of an oximeter that a patient of a class held for some minutes, and nobody holds since. Its name is no mark of the
// patient: what shows whose it may be, shows the patient.
func boxOf(scene int, c class) int { return townFirst + scene*100 + 80 + int(c) }

func boxName(number int) string { return fmt.Sprintf("box-%d", number) }

// townAside keeps the numbers of what was put aside apart.
const townAside = 1_000_000

// parked is what each of the lists of what is parked has: a reading that waits for an owner, the unverified red of it, one that was put
// aside, and a message that was refused.
func (in *inhabitants) parked(k int, c class, at time.Time) {
	org, patient, box := orgOf(k, c), one(k, c), boxOf(k, c)
	measured := at.Add(20 * time.Minute)
	in.add("device", field{"org_id", org}, field{"id", box}, field{"uid", boxName(box)}, field{"model", "Oximeter"}, field{"secret_hash", make([]byte, 32)}, field{"created_at", at})
	in.add("sensor", field{"org_id", org}, field{"id", box}, field{"uid", boxName(box)}, field{"device_id", box})
	in.add("assignment", field{"org_id", org}, field{"id", box}, field{"sensor_id", box}, field{"patient_id", patient}, field{"from_at", at}, field{"to_at", at.Add(10 * time.Minute)}, field{"created_at", at})
	in.add("inbox", field{"sensor_id", box}, field{"metric", int(vital.OxygenSat)}, field{"sent_at", measured}, field{"tie", 1}, field{"org_id", org}, field{"device_id", box}, field{"id", box},
		field{"measured_at", measured}, field{"received_at", measured}, field{"mantissa", 72}, field{"exponent", 0}, field{"unit", int(vital.Percent)}, field{"findings", 0},
		field{"has_sequence", false}, field{"reason", "no_owner"}, field{"state", "waiting"}, field{"settled_at", nil}, field{"settled_by", ""}, field{"settled_why", ""})
	in.add("inbox", field{"sensor_id", box}, field{"metric", int(vital.OxygenSat)}, field{"sent_at", at.Add(15 * time.Minute)}, field{"tie", 1}, field{"org_id", org}, field{"device_id", box},
		field{"id", box + townAside}, field{"measured_at", at.Add(15 * time.Minute)}, field{"received_at", measured}, field{"mantissa", 97}, field{"exponent", 0}, field{"unit", int(vital.Percent)},
		field{"findings", 0}, field{"has_sequence", false}, field{"reason", "no_owner"}, field{"state", "dismissed"}, field{"settled_at", measured}, field{"settled_by", "Somebody"},
		field{"settled_why", "A test."})
	red := func(id int, uid, place, why, state, closing string, closed any) {
		in.add("unverified", field{"org_id", org}, field{"id", id}, field{"uid", uid}, field{"device_id", box}, field{"sensor_id", box}, field{"metric", int(vital.OxygenSat)},
			field{"level", 3}, field{"ground", "extreme"}, field{"side", -1}, field{"vals", []float64{72}}, field{"badness", 1.0}, field{"findings", 0}, field{"measured_at", measured},
			field{"received_at", measured}, field{"last_received_at", measured}, field{"place", place}, field{"why", why}, field{"historic", false}, field{"opened_at", measured},
			field{"deadline_at", measured.Add(10 * time.Minute)}, field{"state", state}, field{"closing", closing}, field{"closed_at", closed})
	}
	claimed := box + townAside
	red(box, townUID("red", patient), "inbox", "no_owner", "open", "", nil)
	red(claimed, townUID("claimed", patient), "quarantine", "clock", "closed", "claimed", measured)
	in.add("unverified_value", field{"org_id", org}, field{"id", claimed}, field{"unverified_id", claimed}, field{"sensor_id", box}, field{"metric", int(vital.OxygenSat)}, field{"place", "quarantine"},
		field{"why", "clock"}, field{"level", 3}, field{"ground", "extreme"}, field{"vals", []float64{72}}, field{"unitless", false}, field{"badness", 1.0}, field{"findings", 0}, field{"received_at", measured},
		field{"left_at", measured}, field{"became", "claimed"}, field{"by_name", "Somebody"}, field{"ended_at", measured})
	in.add("unverified_person", field{"org_id", org}, field{"unverified_id", box}, field{"patient_id", patient}, field{"how", "held"}, field{"value_id", nil}, field{"from_at", at}, field{"to_at", at.Add(10 * time.Minute)})
	in.add("unverified_person", field{"org_id", org}, field{"unverified_id", claimed}, field{"patient_id", patient}, field{"how", "claimed"}, field{"value_id", claimed}, field{"from_at", nil}, field{"to_at", nil})
	raw := fmt.Appendf(nil, `{"value":%d}`, box)
	hash := sha256.Sum256(raw)
	in.add("quarantine", field{"org_id", org}, field{"uid", townUID("refused", patient)}, field{"device_id", box}, field{"topic", "hale/v1/" + boxName(box) + "/readings"}, field{"reason", "unit"},
		field{"detail", "send a unit"}, field{"raw", raw}, field{"length", len(raw)}, field{"hash", hash[:]}, field{"identity", hash[:]}, field{"received_at", measured}, field{"last_received_at", measured})
}

// specialOfParked are the requests about what is parked.
func specialOfParked() map[string]question {
	return map[string]question{
		"GET /v1/unverified/:id":                           {path: "/v1/unverified/{red}"},
		"POST /v1/unverified/:id/acknowledge":              {path: "/v1/unverified/{red}/acknowledge", json: `{"minutes":30}`, header: `If-Match: "1"`},
		"POST /v1/unverified/:id/claim":                    {path: "/v1/unverified/{ourred}/claim", json: `{"patient":"{patient}"}`, header: `If-Match: "1"`},
		"POST /v1/unverified/:id/close":                    {path: "/v1/unverified/{red}/close", json: `{"how":"not_real","note":"A test."}`, header: `If-Match: "1"`},
		"POST /v1/unverified/:id/values/:value/unclaim":    {path: "/v1/unverified/{claimedred}/values/{claimedvalue}/unclaim", json: `{"reason":"It was another's."}`},
		"POST /unverified/:id/values/:value/unclaim":       {path: "/unverified/{claimedred}/values/{claimedvalue}/unclaim", form: "reason=It+was+another%27s."},
		"GET /unverified/:id":                              {path: "/unverified/{red}"},
		"POST /unverified/:id/acknowledge":                 {path: "/unverified/{red}/acknowledge", form: "version=1"},
		"POST /unverified/:id/claim":                       {path: "/unverified/{ourred}/claim", form: "version=1&patient={patient}"},
		"POST /unverified/:id/close":                       {path: "/unverified/{red}/close", form: "version=1&how=not_real&note=A+test."},
		"POST /v1/inbox/claim":                             {json: `{"sensor":"{ourbox}","from":"{began}","to":"{now}","patient":"{patient}","reason":"She says so."}`},
		"POST /v1/inbox/dismiss":                           {json: `{"sensor":"{box}","from":"{began}","to":"{now}","why":"A test."}`},
		"POST /devices/inbox/claim":                        {form: "sensor={ourbox}&from={began}&to={now}&patient={patient}&reason=She+says+so."},
		"POST /devices/inbox/dismiss":                      {form: "sensor={box}&from={began}&to={now}&why=A+test."},
		"POST /v1/inbox/bring-back":                        {json: `{"sensor":"{box}","from":"{began}","to":"{now}"}`},
		"POST /devices/inbox/bring-back":                   {form: "sensor={box}&from={began}&to={now}"},
		"GET /v1/quarantine/:id":                           {path: "/v1/quarantine/{refused}"},
		"POST /v1/quarantine/:id/retry":                    {path: "/v1/quarantine/{refused}/retry"},
		"POST /devices/quarantine/:id/retry":               {path: "/devices/quarantine/{refused}/retry"},
		"POST /v1/patients/:id/readings/:reading/withdraw": {path: "/v1/patients/{patient}/readings/1/withdraw", json: `{"measured_at":"{now}","why":"It was another's."}`},
		"POST /patients/:id/withdraw":                      {form: "reading=1+{now}&why=It+was+another%27s."},
	}
}
