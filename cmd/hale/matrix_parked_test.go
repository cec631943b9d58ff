package main

// noSuchThing is the id of something that the town does not have.
const noSuchThing = "01920000-0000-7000-8000-00000000dead"

// specialOfParked are the requests about what is parked. In the town nothing waits and nothing was refused: whoever may, is told so.
func specialOfParked() map[string]question {
	return map[string]question{
		"GET /v1/unverified/:id":                           {path: "/v1/unverified/" + noSuchThing},
		"POST /v1/unverified/:id/acknowledge":              {path: "/v1/unverified/" + noSuchThing + "/acknowledge", json: `{"minutes":30}`, header: `If-Match: "1"`},
		"POST /v1/unverified/:id/claim":                    {path: "/v1/unverified/" + noSuchThing + "/claim", json: `{"patient":"` + noSuchThing + `"}`, header: `If-Match: "1"`},
		"POST /v1/unverified/:id/close":                    {path: "/v1/unverified/" + noSuchThing + "/close", json: `{"how":"not_real","note":"A test."}`, header: `If-Match: "1"`},
		"GET /unverified/:id":                              {path: "/unverified/" + noSuchThing},
		"POST /unverified/:id/acknowledge":                 {path: "/unverified/" + noSuchThing + "/acknowledge", form: "version=1"},
		"POST /unverified/:id/claim":                       {path: "/unverified/" + noSuchThing + "/claim", form: "version=1&patient=" + noSuchThing},
		"POST /unverified/:id/close":                       {path: "/unverified/" + noSuchThing + "/close", form: "version=1&how=not_real&note=A+test."},
		"POST /v1/inbox/claim":                             {json: `{"sensor":"{device}","from":"{began}","to":"{now}","patient":"{patient}","reason":"She says so."}`},
		"POST /v1/inbox/dismiss":                           {json: `{"sensor":"{device}","from":"{began}","to":"{now}","why":"A test."}`},
		"POST /devices/inbox/claim":                        {form: "sensor={device}&from={began}&to={now}&patient={patient}&reason=She+says+so."},
		"POST /devices/inbox/dismiss":                      {form: "sensor={device}&from={began}&to={now}&why=A+test."},
		"GET /v1/quarantine/:id":                           {path: "/v1/quarantine/" + noSuchThing},
		"POST /v1/quarantine/:id/retry":                    {path: "/v1/quarantine/" + noSuchThing + "/retry"},
		"POST /devices/quarantine/:id/retry":               {path: "/devices/quarantine/" + noSuchThing + "/retry"},
		"POST /v1/patients/:id/readings/:reading/withdraw": {path: "/v1/patients/{patient}/readings/1/withdraw", json: `{"measured_at":"{now}","why":"It was another's."}`},
		"POST /patients/:id/withdraw":                      {form: "reading=1+{now}&why=It+was+another%27s."},
	}
}
