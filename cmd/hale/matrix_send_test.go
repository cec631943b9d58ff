package main

import (
	"context"
	"io"
	"net/http"

	"hale/account"
)

// reply is what a request of the town was answered.
type reply struct {
	status int
	header http.Header
	body   string
}

// send asks as somebody.
func (w *town) send(ctx context.Context, p person, method, path, kind string, body io.Reader, header http.Header) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.base+path, body)
	if err != nil {
		return reply{}, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w.introduce(r, p)
	res, err := w.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	a := reply{status: res.StatusCode, header: res.Header}
	if res.Header.Get("Content-Type") == "text/event-stream; charset=utf-8" {
		return a, nil // it has no end
	}
	b, err := io.ReadAll(res.Body)
	a.body = string(b)
	return a, err
}

// introduce signs a request, as a browser or a program does.
func (w *town) introduce(r *http.Request, p person) {
	switch p.Role { //nolint:exhaustive // everybody else has a session
	case nobody:
	case account.SystemRole:
		r.Header.Set("Authorization", "Bearer "+w.keys[p.Scene])
	default:
		r.AddCookie(&http.Cookie{Name: "hale_session", Value: secretOf("token", p.number())})
		r.AddCookie(&http.Cookie{Name: "hale_device", Value: secretOf("device", p.number())})
		r.Header.Set("X-Csrf-Token", townCSRF)
	}
}
