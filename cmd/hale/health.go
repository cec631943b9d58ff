package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"

	"hale/api"
	"hale/fault"
)

type healthCommand struct {
	Admin string `help:"Admin address of the process." default:"127.0.0.1:9090" placeholder:"ADDR" env:"HALE_ADMIN"`
}

// Run asks /readyz and prints one line. It returns fault.Unavailable with what is wrong when the process is not ready.
func (c *healthCommand) Run(p *program) error {
	ctx, cancel := context.WithTimeout(p.ctx, adminWithin)
	defer cancel()
	addr, err := net.ResolveTCPAddr("tcp", c.Admin)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "--admin %s is no address: say HOST:PORT", c.Admin)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+visitable(addr)+"/readyz", http.NoBody)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "--admin %s", c.Admin)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "nobody answers on %s", c.Admin)
	}
	defer func() { _ = res.Body.Close() }()
	var said struct {
		Ready  bool        `json:"ready"`
		Checks []api.Check `json:"checks"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, 1<<20)).Decode(&said); err != nil {
		return fault.Wrap(fault.Unavailable, err, "%s is no admin address of Hale", c.Admin)
	}
	if !said.Ready {
		return fault.New(fault.Unavailable, "not ready: %s", wanting(said.Checks, api.Check.Hinders))
	}
	if alarms := wanting(said.Checks, func(c api.Check) bool { return !c.OK }); alarms != "" {
		_, err = fmt.Fprintln(p.out, "ready; alarm:", alarms)
		return err
	}
	_, err = fmt.Fprintln(p.out, "ready")
	return err
}

// wanting names the checks of a kind, and what they want.
func wanting(checks []api.Check, kind func(api.Check) bool) string {
	var texts []string
	for _, c := range checks {
		if !kind(c) {
			continue
		}
		text := c.Name
		if c.Detail != "" {
			text += " (" + c.Detail + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}
