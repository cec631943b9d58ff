package main

import (
	"context"

	"hale/devices"
	"hale/ingest/edge"
)

// nudgeCommands is the topic on which an API tells the edges that there is a new command.
const nudgeCommands = "commands"

// newDownlink brings commands to the devices of this process's edge.
func (h *house) newDownlink() *devices.Downlink {
	return &devices.Downlink{
		Orders: h.work, Log: h.log,
		Deliver: func(device string, payload []byte) bool { return h.edge.Deliver(device, edge.Commands, payload) },
	}
}

// sendingDown runs it.
func (h *house) sendingDown(d *devices.Downlink) []stage {
	return []stage{
		{name: "commands for devices", run: d.Run},
		{name: "nudges of commands", run: func(ctx context.Context) error { return h.conn.Feed().OnNudge(ctx, nudgeCommands, d.Nudge) }},
	}
}

// commands is the desk at which people ask something of devices.
func (h *house) commands() *devices.CommandDesk {
	return &devices.CommandDesk{Book: h.app, Told: func(ctx context.Context) { h.conn.Feed().Nudge(ctx, nudgeCommands) }}
}
