package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/account"
	"hale/safe"
)

// refiles is where wrong pairings are undone.
func (h *house) refiles(looks *account.Looks) *safe.Refiles {
	return &safe.Refiles{People: h.app, Book: h.app, Now: time.Now, Looks: looks}
}

// merges is where two records of one person become one.
func (h *house) merges(looks *account.Looks) *safe.Merges {
	return &safe.Merges{People: h.app, Book: h.app, Looks: looks}
}

// refiling carries out what was asked for, in role process.
func (h *house) refiling() stage {
	failed := prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_refile_failures_total", Help: "Steps of refiles and merges that failed; they are tried again, and others go on."})
	h.registry.MustRegister(failed)
	refiler := &safe.Refiler{Store: h.work, Changed: h.registryChanged, Failed: failed.Inc, Log: h.log}
	return stage{name: "refiles and merges", run: refiler.Run}
}
