package main

// specialOfPresence are the requests about problems of devices, and what devices are asked.
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
		"POST /devices/problems/mark":              {form: "device={device}&sensor={device}&kind=battery&act=seen"},
	}
}

// commanded gives the device a command that waits.
func commanded() []string {
	return []string{`INSERT INTO device_command (org_id, uid, device_id, sensor_id, kind, payload, urgent, created_at, not_after, author_name)
		SELECT d.org_id, '{command}', d.id, s.id, 'sync_clock', '{}'::jsonb, false, now(), now() + interval '1 hour', 'Somebody' FROM device d JOIN sensor s ON s.device_id = d.id WHERE d.uid = '{device}'`}
}
