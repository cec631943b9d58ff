package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hale/api"
	"hale/fault"
)

// defaultAdmin is where a process without role api says how it is.
const defaultAdmin = "127.0.0.1:9090"

// adminWithin bounds each question on the admin address, and the end of those in hand.
const adminWithin = 5 * time.Second

// administer answers /healthz, /readyz and /metrics on the admin address until ctx ends.
func (h *house) administer(ctx context.Context) error {
	server := &http.Server{
		Handler:     api.Admin(h.checks, promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{})),
		ReadTimeout: adminWithin, WriteTimeout: 2 * adminWithin, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(h.admin) }()
	select {
	case err := <-served:
		return fault.Wrap(fault.Internal, err, "serve the admin address")
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminWithin)
	defer cancel()
	err := server.Shutdown(stop)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return fault.Wrap(fault.Internal, err, "stop serving the admin address")
}
