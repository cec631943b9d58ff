package main

// specialOfWebhooks are the requests about where notices are sent.
func specialOfWebhooks() map[string]question {
	list := map[string]question{
		"POST /v1/webhooks": {json: `{"name":"Pagers","url":"https://pager.example.org/hale","topics":["alert.*"],"severities":["red"],"audiences":["team"]}`},
		"POST /webhooks":    {form: "name=Pagers&url=https%3A%2F%2Fpager.example.org%2Fhale&topic=alert.*&severity=red&audience=team"},
	}
	for _, route := range []string{
		"GET /v1/webhooks/:id/deliveries", "POST /v1/webhooks/:id/secret", "POST /v1/webhooks/:id/disable", "POST /v1/webhooks/:id/test",
		"GET /webhooks/:id", "POST /webhooks/:id/secret", "POST /webhooks/:id/disable", "POST /webhooks/:id/test",
	} {
		list[route] = question{state: hooked()}
	}
	return list
}

// hooked gives the patient's organisation a webhook, once: several who only look share a scene.
func hooked() []string {
	return []string{`INSERT INTO channel (org_id, uid, name, url, topics, severities, audiences, secret, created_at, created_name)
		SELECT org_id, '{webhook}', '{webhook}', 'https://pager.example.org/hale', ARRAY[]::text[], ARRAY[]::text[], ARRAY['team'], '\x00', now(), 'Somebody' FROM patient WHERE uid = '{patient}'
		ON CONFLICT DO NOTHING`}
}
