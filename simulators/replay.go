package simulators

import (
	"context"
	"crypto/tls"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// Replay sends a recording through the front door of a running Hale: it enrols the people and their devices through
// the staff API and sends every reading over MQTT.
type Replay struct {
	Staff       *Staff
	MQTT        string            // address of the edge: HOST:PORT, or mqtts://HOST:PORT
	Trust       *tls.Config       // whom to believe at mqtts; nil: whom this machine trusts
	Credentials string            // file that keeps the secrets of the devices, so that a second run finds them
	Limits      map[string]Limits // personal limits by metric; nil: the defaults stand
	Rate        float64           // messages a second over all devices; 0: as fast as they are taken
	Progress    func(step string, done, total int)
}

// ReplayResult tells what a replay did.
type ReplayResult struct {
	Rows        int            `json:"rows"`        // of the source
	Messages    int            `json:"messages"`    // sent and acknowledged
	Stored      int            `json:"stored"`      // readings in the record, of these devices
	Quarantined map[string]int `json:"quarantined"` // by reason
	Parked      int            `json:"parked"`      // waiting for an owner
	NewStored   int            `json:"new_stored"`  // by this run
	NewRefused  int            `json:"new_refused"` // by this run
	Alerts      int            `json:"alerts"`      // of these people, in all
	NewAlerts   int            `json:"new_alerts"`  // by this run
	Seconds     float64        `json:"seconds"`     // of sending, to the last PUBACK
	Score       *Score         `json:"score,omitempty"`
}

// enrolled is a recorded person who is known to the running Hale.
type enrolled struct {
	*Recorded
	patient string
	device  string
	secret  string
	before  Intake
	alerts  []Alert // before
}

// Run replays the recording; with score it compares the alerts with the labels afterwards.
func (r *Replay) Run(ctx context.Context, rec *Recording, score bool) (*ReplayResult, error) {
	people, err := r.enrol(ctx, rec)
	if err != nil {
		return nil, err
	}
	res := &ReplayResult{Rows: rec.Rows, Quarantined: map[string]int{}}
	watch := newWatch(r.Staff, people)
	if err := r.remember(ctx, people, watch); err != nil {
		return nil, err
	}
	watchCtx, stop := context.WithCancel(ctx)
	defer stop()
	if err := watch.start(watchCtx); err != nil {
		return nil, err
	}
	began := time.Now()
	if res.Messages, err = r.send(ctx, people, watch); err != nil {
		return nil, err
	}
	res.Seconds = time.Since(began).Seconds()
	if err := r.settle(ctx, people, res); err != nil {
		return nil, err
	}
	seen, err := r.collect(ctx, people, watch, res)
	if err != nil {
		return nil, err
	}
	stop()
	if score {
		res.Score = &Score{Types: ScoreDays(rec, seen), Latency: latencyOf(watch.latencies())}
	}
	return res, nil
}

// remember tells the watch what the logs of existing alerts hold, so that a second run claims no latency for them.
func (r *Replay) remember(ctx context.Context, people []*enrolled, watch *watch) error {
	for _, e := range people {
		for _, a := range e.alerts {
			log, err := r.Staff.Timeline(ctx, a.ID)
			if err != nil {
				return err
			}
			watch.known(a, log)
		}
	}
	return nil
}

func (r *Replay) progress(step string, done, total int) {
	if r.Progress != nil {
		r.Progress(step, done, total)
	}
}

func (r *Replay) enrol(ctx context.Context, rec *Recording) ([]*enrolled, error) {
	secrets, err := openCredentials(r.Credentials)
	if err != nil {
		return nil, err
	}
	people := make([]*enrolled, 0, len(rec.People))
	for i := range rec.People {
		p := &rec.People[i]
		if len(p.Messages) == 0 {
			continue
		}
		e, err := r.enrolOne(ctx, rec, p, secrets)
		if err != nil {
			return nil, err
		}
		people = append(people, e)
		r.progress("enrol", i+1, len(rec.People))
	}
	return people, nil
}

func (r *Replay) enrolOne(ctx context.Context, rec *Recording, p *Recorded, secrets map[string]string) (*enrolled, error) {
	e := &enrolled{Recorded: p, device: "tihm-" + p.Key}
	number := "TIHM-" + p.Key
	person, known, err := r.Staff.FindPatient(ctx, number)
	if err != nil {
		return nil, err
	}
	if !known {
		person, err = r.Staff.AddPatient(ctx, Person{Name: "TIHM " + p.Key, Number: number, BirthYear: p.BirthYear, Sex: p.Sex, Zone: rec.Zone.String()})
		if err != nil {
			return nil, err
		}
	}
	e.patient = person.ID
	if err := r.setLimits(ctx, e); err != nil {
		return nil, err
	}
	e.secret = secrets[e.device]
	if e.secret == "" {
		if e.secret, err = r.Staff.Enrol(ctx, e.device, "TIHM kit"); err != nil {
			return nil, fmt.Errorf("%w (a device that was enrolled before needs its secret: it is kept in %s)", err, r.Credentials)
		}
		// The secret is written down before anything else can go wrong: it is shown only once.
		secrets[e.device] = e.secret
		if err := WriteCredentials(r.Credentials, secrets); err != nil {
			return nil, err
		}
		if err := r.Staff.Assign(ctx, e.device, e.patient, p.Messages[0].At); err != nil {
			return nil, err
		}
	}
	if e.before, err = r.Staff.Intake(ctx, e.device); err != nil {
		return nil, err
	}
	e.alerts, err = r.Staff.Alerts(ctx, e.patient)
	return e, err
}

// setLimits gives the person the asked limits from their first reading on, unless they stand already.
func (r *Replay) setLimits(ctx context.Context, e *enrolled) error {
	limits := make(map[string]Limits, len(r.Limits))
	for metric, l := range r.Limits {
		l.EffectiveFrom = e.Messages[0].At
		limits[metric] = l
	}
	return setOwnLimits(ctx, r.Staff, e.patient, limits)
}

func sameLimits(a, b Limits) bool {
	return a.EffectiveFrom.Equal(b.EffectiveFrom) && a.Enabled == b.Enabled && a.K == b.K && a.N == b.N && a.ClearAfter == b.ClearAfter &&
		reflect.DeepEqual(trimBounds(a.Components), trimBounds(b.Components))
}

func trimBounds(list []Bounds) []Bounds {
	out := make([]Bounds, 0, len(list))
	for _, b := range list {
		c := Bounds{}
		for k, v := range b {
			if v != 0 {
				c[k] = v
			}
		}
		out = append(out, c)
	}
	for len(out) > 0 && len(out[len(out)-1]) == 0 {
		out = out[:len(out)-1]
	}
	return out
}

// send publishes every person's messages in order, all people side by side, and waits for the last PUBACK.
func (r *Replay) send(ctx context.Context, people []*enrolled, watch *watch) (int, error) {
	total := 0
	for _, e := range people {
		total += len(e.Messages)
	}
	var mu sync.Mutex
	acked := 0
	note := func() {
		mu.Lock()
		defer mu.Unlock()
		acked++
		r.progress("send", acked, total)
	}
	pace := &pace{began: time.Now(), rate: r.Rate}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, e := range people {
		wg.Go(func() {
			if err := r.sendOne(ctx, e, pace, watch, note); err != nil {
				cancel(fmt.Errorf("device %s: %w", e.device, err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return acked, err
	}
	return acked, nil
}

func (r *Replay) sendOne(ctx context.Context, e *enrolled, pace *pace, watch *watch, note func()) error {
	w, err := DialTrusting(ctx, r.Trust, r.MQTT, e.device, e.secret, 200)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	topic := "hale/v1/" + e.device + "/readings"
	for i := range e.Messages {
		m := &e.Messages[i]
		if err := pace.wait(ctx); err != nil {
			return err
		}
		err := w.Publish(ctx, topic, m.Body, func(at time.Time) { watch.acked(e, m, at); note() })
		if err != nil {
			return err
		}
		if pace.rate > 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	return w.Drain(ctx)
}

// pace spreads the messages of all devices evenly over time.
type pace struct {
	began time.Time
	rate  float64 // a second; 0: no bound
	taken atomic.Int64
}

// wait waits for the next free moment.
func (p *pace) wait(ctx context.Context) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	n := p.taken.Add(1)
	return waitUntil(ctx, p.began.Add(time.Duration(float64(n)/p.rate*float64(time.Second))))
}

func waitUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settlePatience is how long the record may take to hold what was acknowledged before a replay calls it missing.
const settlePatience = 2 * time.Minute

// settle waits until everything that was acknowledged is stored, parked or quarantined.
func (r *Replay) settle(ctx context.Context, people []*enrolled, res *ReplayResult) error {
	deadline := time.Now().Add(settlePatience)
	total := 0
	for i, e := range people {
		for {
			now, err := r.Staff.Intake(ctx, e.device)
			if err != nil {
				return err
			}
			// Every distinct reading ends in exactly one place; resent ones add nothing.
			if now.Total >= distinct(e.Messages) {
				res.Stored += now.Stored
				res.Parked += now.Parked
				for reason, n := range now.Quarantined {
					res.Quarantined[reason] += n
				}
				res.NewStored += now.Stored - e.before.Stored
				res.NewRefused += now.Total - now.Stored - now.Parked - (e.before.Total - e.before.Stored - e.before.Parked)
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("device %s: %d readings were acknowledged, but only %d are stored, parked or quarantined after %s", e.device, distinct(e.Messages), now.Total, settlePatience)
			}
			if err := waitUntil(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
				return err
			}
		}
		total++
		r.progress("settle", i+1, len(people))
	}
	return nil
}

func distinct(list []Message) int {
	seen := map[string]bool{}
	for _, m := range list {
		seen[string(m.Body)] = true
	}
	return len(seen)
}

// collect reads every alert of the replayed people with its log.
func (r *Replay) collect(ctx context.Context, people []*enrolled, watch *watch, res *ReplayResult) ([]AlertDay, error) {
	var seen []AlertDay
	for i, e := range people {
		list, err := r.Staff.Alerts(ctx, e.patient)
		if err != nil {
			return nil, err
		}
		res.Alerts += len(list)
		res.NewAlerts += len(list) - len(e.alerts)
		for _, a := range list {
			log, err := r.Staff.Timeline(ctx, a.ID)
			if err != nil {
				return nil, err
			}
			for _, n := range log {
				if tellsOfReading(n) {
					seen = append(seen, AlertDay{Key: e.Key, Metric: a.Metric, Trend: a.Kind == "trend", At: n.Reading.MeasuredAt})
				}
			}
			watch.seen(a, log, time.Now())
		}
		r.progress("collect", i+1, len(people))
	}
	return seen, nil
}

func tellsOfReading(n Entry) bool {
	return n.Reading != nil && (n.Kind == "opened" || n.Kind == "occurred" || n.Kind == "worsened")
}
