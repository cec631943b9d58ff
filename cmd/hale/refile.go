package main

import (
	"time"

	"hale/safe"
)

// refiles is where wrong pairings are undone.
func (h *house) refiles() *safe.Refiles {
	return &safe.Refiles{People: h.app, Book: h.app, Now: time.Now}
}

// merges is where two records of one person become one.
func (h *house) merges() *safe.Merges { return &safe.Merges{People: h.app, Book: h.app} }

// refiling carries out what was asked for, in role process.
func (h *house) refiling() stage {
	refiler := &safe.Refiler{Store: h.work, Changed: h.registryChanged, Log: h.log}
	return stage{name: "refiles and merges", run: refiler.Run}
}
