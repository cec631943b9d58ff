package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stage is a part of the house that runs until it is told to end.
type stage struct {
	name  string
	run   func(ctx context.Context) error
	bound time.Duration // how long it may take to end; 0 means 10 s
}

// running is a stage that was started.
type running struct {
	stage
	cancel context.CancelFunc
	ended  chan error
}

// runStages starts the stages in their order and, when ctx ends or one of them does, ends them in the opposite
// order, each before the next: what takes from outside first, what it hands to later.
func runStages(ctx context.Context, log *slog.Logger, stages []stage) error {
	started := make([]*running, 0, len(stages))
	failed := make(chan error, len(stages))
	for _, s := range stages {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{stage: s, cancel: cancel, ended: make(chan error, 1)}
		go func() {
			err := r.run(own)
			if own.Err() == nil {
				if err == nil {
					err = errors.New("ended by itself")
				}
				failed <- fmt.Errorf("%s: %w", r.name, err)
			}
			r.ended <- err
		}()
		started = append(started, r)
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	for i := len(started) - 1; i >= 0; i-- {
		end(started[i], log)
	}
	return cause
}

func end(r *running, log *slog.Logger) {
	bound := r.bound
	if bound == 0 {
		bound = 10 * time.Second
	}
	r.cancel()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case err := <-r.ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			log.Warn("a part of the house ended with an error", "part", r.name, "error", err)
		}
	case <-timer.C:
		log.Error("a part of the house did not end in time", "part", r.name, "bound", bound)
	}
}
