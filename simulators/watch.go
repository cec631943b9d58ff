package simulators

import (
	"context"
	"sync"
	"time"
)

// watch measures how long it takes from a reading's PUBACK until the alert it caused or joined can be read from the
// API: it follows the live feed, reads each alert that is told of, and notes when a reading first shows in a log.
type watch struct {
	staff   *Staff
	byID    map[string]string // patient to person
	mu      sync.Mutex
	ack     map[readingKey]time.Time
	visible map[readingKey]time.Time
	before  map[readingKey]bool // showed in a log before anything was sent
	metric  map[string]string   // alert to metric
	queued  map[string]bool
	queue   chan FeedEvent
}

type readingKey struct {
	patient, metric string
	at              int64
}

func newWatch(staff *Staff, people []*enrolled) *watch {
	w := &watch{
		staff: staff, byID: map[string]string{}, ack: map[readingKey]time.Time{}, visible: map[readingKey]time.Time{}, before: map[readingKey]bool{},
		metric: map[string]string{}, queued: map[string]bool{}, queue: make(chan FeedEvent, 100_000),
	}
	for _, e := range people {
		w.byID[e.patient] = e.Key
	}
	return w
}

// start opens the feed and the readers, and returns when the feed is open.
func (w *watch) start(ctx context.Context) error {
	open := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		if err := w.staff.Follow(ctx, sync.OnceFunc(func() { close(open) }), w.told); err != nil {
			failed <- err
		}
	}()
	for range 4 {
		go w.readQueued(ctx)
	}
	select {
	case <-open:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// told queues an alert to be read; one that waits already is not queued twice.
func (w *watch) told(e FeedEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID[e.Patient] == "" || w.queued[e.Alert] {
		return
	}
	w.queued[e.Alert] = true
	w.queue <- e
}

func (w *watch) readQueued(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.queue:
			w.mu.Lock()
			delete(w.queued, e.Alert)
			w.mu.Unlock()
			w.read(ctx, e)
		}
	}
}

// read looks at one alert. An error only costs the measurement: the collection at the end reads it again.
func (w *watch) read(ctx context.Context, e FeedEvent) {
	w.mu.Lock()
	metric := w.metric[e.Alert]
	w.mu.Unlock()
	a := Alert{ID: e.Alert, Metric: metric}
	a.Patient.ID = e.Patient
	if metric == "" {
		var err error
		if a, err = w.staff.Alert(ctx, e.Alert); err != nil {
			return
		}
	}
	log, err := w.staff.Timeline(ctx, e.Alert)
	if err != nil {
		return
	}
	w.seen(a, log, time.Now())
}

func (w *watch) seen(a Alert, log []Entry, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.metric[a.ID] = a.Metric
	for _, n := range log {
		if !tellsOfReading(n) {
			continue
		}
		k := readingKey{a.Patient.ID, a.Metric, n.Reading.MeasuredAt.UnixMicro()}
		if w.visible[k].IsZero() && !w.before[k] {
			w.visible[k] = at
		}
	}
}

// known notes what the log of an alert tells before anything is sent: this run does not cause it.
func (w *watch) known(a Alert, log []Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range log {
		if tellsOfReading(n) {
			w.before[readingKey{a.Patient.ID, a.Metric, n.Reading.MeasuredAt.UnixMicro()}] = true
		}
	}
}

func (w *watch) acked(e *enrolled, m *Message, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := readingKey{e.patient, m.Metric, m.At.UnixMicro()}
	if w.ack[k].IsZero() {
		w.ack[k] = at
	}
}

// latencies returns the measured times of all readings that show in an alert and were not there before this run.
func (w *watch) latencies() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []time.Duration
	for k, visible := range w.visible {
		ack, ok := w.ack[k]
		if !ok {
			continue
		}
		all = append(all, max(0, visible.Sub(ack)))
	}
	return all
}
