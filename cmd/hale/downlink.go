package main

import (
	"context"

	"hale/devices/downlink"
	"hale/ingest/edge"
)

// nudgeCommands is the topic on which an API tells the edges that there is a new command.
const nudgeCommands = "commands"

// newDownlink brings commands to the devices of this process's edge.
func (h *house) newDownlink() *downlink.Sender {
	return &downlink.Sender{
		Orders: h.work, Log: h.log,
		Deliver: func(device string, payload []byte) bool { return h.edge.Deliver(device, edge.Commands, payload) },
	}
}

// sendingDown runs it.
func (h *house) sendingDown(d *downlink.Sender) []stage {
	return []stage{
		{name: "commands for devices", run: d.Run},
		{name: "nudges of commands", run: func(ctx context.Context) error { return h.conn.Feed().OnNudge(ctx, nudgeCommands, d.Nudge) }},
	}
}

// commands is the desk at which people ask something of devices.
func (h *house) commands() *downlink.CommandDesk {
	return &downlink.CommandDesk{Book: h.app, Told: func(ctx context.Context) { h.conn.Feed().Nudge(ctx, nudgeCommands) }}
}
