package ingest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

const (
	ourOrg   vital.OrgID     = 3
	ours     vital.DeviceID  = 40
	ownUID                   = "cuff-7"
	own      vital.SensorID  = 400
	granted  vital.SensorID  = 401
	gateway                  = "hale/v1/cuff-7/sensors/scale-1/readings"
	readings                 = "hale/v1/cuff-7/readings"
	anna     vital.PatientID = 11
	bruno    vital.PatientID = 12
)

// moment is when every message of these tests arrives.
func moment() time.Time { return time.Date(2026, 11, 21, 7, 25, 0, 250_000_000, time.UTC) }

// registry knows one gateway: its own sensor was Bruno's until noon of the 20th, then nobody's, and is Anna's since
// midnight.
func registry() *devices.Snapshot {
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	device := &devices.Device{ID: ours, Org: ourOrg, UID: ownUID, Own: own, Sensors: map[string]vital.SensorID{"scale-1": granted}}
	return &devices.Snapshot{
		Version: 1,
		Devices: map[string]*devices.Device{ownUID: device},
		Assignments: map[vital.SensorID][]devices.Assignment{
			own: {
				{ID: 1, Org: ourOrg, Sensor: own, Patient: bruno, To: midnight.Add(-12 * time.Hour), Epoch: 4},
				{ID: 2, Org: ourOrg, Sensor: own, Patient: anna, From: midnight, Epoch: 5},
			},
			granted: {{ID: 3, Org: ourOrg, Sensor: granted, Patient: bruno, Epoch: 1}},
		},
		Zones: map[vital.PatientID]*time.Location{anna: time.UTC, bruno: time.UTC},
	}
}

func message(topic, payload string) ingest.Message {
	return ingest.Message{Device: registry().Devices[ownUID], Topic: topic, Payload: []byte(payload), ReceivedAt: moment()}
}

// taker is a publisher on whose disk everything is at once.
type taker struct{}

func (taker) Publish(context.Context, int, vital.Lane, []vital.Record) error { return nil }

// envelope is what a stream was asked to take.
type envelope struct {
	partition int
	lane      vital.Lane
	records   []vital.Record
	outcome   chan<- error // where the test says what becomes of it
}

// stream is a publisher whose outcomes a test decides. It checks that one envelope per partition and lane is on its way.
type stream struct {
	envelopes chan envelope

	mu       sync.Mutex
	onTheWay map[[2]any]int
	crowded  bool
}

func newStream() *stream {
	return &stream{envelopes: make(chan envelope, 1024), onTheWay: map[[2]any]int{}}
}

func (s *stream) Publish(ctx context.Context, partition int, lane vital.Lane, records []vital.Record) error {
	place := [2]any{partition, lane}
	s.mu.Lock()
	s.onTheWay[place]++
	s.crowded = s.crowded || s.onTheWay[place] > 1
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.onTheWay[place]--
		s.mu.Unlock()
	}()
	outcome := make(chan error, 1)
	s.envelopes <- envelope{partition, lane, records, outcome}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns the next envelope that was handed over.
func (s *stream) next(t *testing.T) envelope {
	t.Helper()
	select {
	case e := <-s.envelopes:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no envelope came")
		return envelope{}
	}
}

// harness is a core that runs.
type harness struct {
	core     *ingest.Core
	stop     func() // ends Run and waits for it
	stopping context.CancelFunc
}

func start(tb testing.TB, c ingest.Config) *harness {
	tb.Helper()
	if c.Snapshot == nil {
		s := registry()
		c.Snapshot = func() *devices.Snapshot { return s }
	}
	if c.Now == nil {
		c.Now = moment
	}
	h := &harness{core: ingest.New(c)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.core.Run(ctx) }()
	h.stopping = cancel
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(h.stop)
	return h
}

// receipts collects what submitted messages are told, by their number.
type receipts struct {
	mu    sync.Mutex
	told  map[int][]ingest.Receipt
	order []int
	bell  chan struct{}
}

func newReceipts() *receipts {
	return &receipts{told: map[int][]ingest.Receipt{}, bell: make(chan struct{}, 1<<16)}
}

func (r *receipts) of(n int) func(ingest.Receipt) {
	return func(receipt ingest.Receipt) {
		r.mu.Lock()
		r.told[n] = append(r.told[n], receipt)
		r.order = append(r.order, n)
		r.mu.Unlock()
		r.bell <- struct{}{}
	}
}

// wait returns when n receipts have come in all.
func (r *receipts) wait(t *testing.T, n int) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		r.mu.Lock()
		got := len(r.order)
		r.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-r.bell:
		case <-deadline:
			t.Fatalf("%d of %d receipts came", got, n)
		}
	}
}

func (r *receipts) one(t *testing.T, n int) ingest.Receipt {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told[n]) != 1 {
		t.Fatalf("message %d was told %d times: %+v", n, len(r.told[n]), r.told[n])
	}
	return r.told[n][0]
}

func (r *receipts) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.order)
}

func (r *receipts) inOrder() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}
