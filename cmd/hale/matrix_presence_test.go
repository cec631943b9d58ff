package main

// specialOfPresence are the requests about problems of devices, what devices are asked, and what gateways speak for.
func specialOfPresence() map[string]question {
	const mark = `{"device":"{device}","kind":"battery","state":"seen","note":"Batteries are on their way."}`
	return map[string]question{
		"POST /v1/devices/:uid/commands":           {json: `{"kind":"sync_clock"}`},
		"DELETE /v1/devices/:uid/commands/:id":     {path: "/v1/devices/{device}/commands/{command}", state: commanded()},
		"GET /v1/device-problems":                  {state: deviceHeld()}, // somebody wears it, and is named
		"GET /devices/problems":                    {state: deviceHeld()},
		"POST /v1/device-problems/mark":            {json: mark},
		"POST /devices/:uid/commands":              {form: "kind=sync_clock"},
		"POST /devices/:uid/commands/:id/withdraw": {path: "/devices/{device}/commands/{command}/withdraw", state: commanded()},
		"PUT /v1/devices/:uid/sensors/:sensor":     {path: "/v1/devices/{device}/sensors/{device}-s", json: `{"serial":""}`},
		"DELETE /v1/devices/:uid/sensors/:sensor":  {path: "/v1/devices/{device}/sensors/{device}-s", state: spokenFor()},
		"POST /devices/about/:uid/sensors":         {form: "sensor={device}-s"},
		"POST /devices/about/:uid/sensors/take":    {form: "sensor={device}-s", state: spokenFor()},
		"POST /devices/about/:uid/give":            {form: "sensor={device}&other={patient}"},
		"POST /devices/problems/mark":              {form: "device={device}&sensor={device}&kind=battery&act=seen"},
	}
}

// spokenFor lets the device speak for a sensor, once: several who only look share a scene.
func spokenFor() []string {
	return []string{
		`INSERT INTO sensor (org_id, uid) SELECT org_id, uid || '-s' FROM device WHERE uid = '{device}' ON CONFLICT DO NOTHING`,
		`INSERT INTO gateway_grant (org_id, device_id, sensor_id) SELECT d.org_id, d.id, s.id FROM device d JOIN sensor s ON s.uid = d.uid || '-s' WHERE d.uid = '{device}' ON CONFLICT DO NOTHING`,
	}
}

// commanded gives the device a command that waits.
func commanded() []string {
	return []string{`INSERT INTO device_command (org_id, uid, device_id, sensor_id, kind, payload, urgent, created_at, not_after, author_name)
		SELECT d.org_id, '{command}', d.id, s.id, 'sync_clock', '{}'::jsonb, false, now(), now() + interval '1 hour', 'Somebody' FROM device d JOIN sensor s ON s.device_id = d.id WHERE d.uid = '{device}'`}
}
