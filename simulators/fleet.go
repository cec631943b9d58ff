package simulators

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Fleet lets a cohort live against a running Hale: people and devices are enrolled through the staff API, and each
// device speaks MQTT on a connection of its own.
//
// Readings keep the times at which they were measured, so time cannot be made to run ahead of the present: a week at
// speed is a week of history that ends now. First every device sends the newest reading of each metric, so that the
// present is known before the past arrives (docs/wire.md, store and forward), then the past in order, then life goes
// on in real time.
type Fleet struct {
	Staff       *Staff
	MQTT        string      // address of the edge: HOST:PORT, or mqtts://HOST:PORT
	Trust       *tls.Config // whom to believe at mqtts; nil: whom this machine trusts
	Credentials string      // file that keeps the secrets of the devices, so that another run finds them
	Cohort      Cohort
	Most        int     // devices that this process can connect at once; 0: not known
	Speed       float64 // seconds lived a second while the past is sent; 0: as fast as it is taken
	Live        bool    // go on living after the present is reached, until ctx ends
	Score       bool    // compare the alerts with what happened when the present is reached, and end
	Progress    func(step string, done, total int)
	Present     func(FleetResult) // when set, is told when the present is reached and life goes on
	Now         func() time.Time

	keys    *keyring
	began   time.Time
	telling sync.Mutex // Progress is for one goroutine
	count   struct{ acked, again, messages, dialled, behind atomic.Int64 }
}

// FleetResult tells what a fleet did.
type FleetResult struct {
	Scenario    string         `json:"scenario"`
	Seed        uint64         `json:"seed"`
	Start       time.Time      `json:"start"`
	Until       time.Time      `json:"until"` // the present, when it was reached
	Patients    int            `json:"patients"`
	Devices     int            `json:"devices"`
	Readings    int            `json:"readings"` // different ones that were acknowledged
	Again       int            `json:"again"`    // acknowledged ones that had been sent before
	Messages    int            `json:"messages"`
	Connections int            `json:"connections"` // attempts to connect
	Stored      int            `json:"stored"`      // in the record, of these devices; only with a score
	Parked      int            `json:"parked"`
	Quarantined map[string]int `json:"quarantined"`
	Seconds     float64        `json:"seconds"` // from the first connection to the last PUBACK of the past
	Score       *StoryScore    `json:"score,omitempty"`

	Lives []*Life `json:"-"`
}

// edgeHears is how long to wait after devices were enrolled: an edge hears of them within a second, and a device that
// comes earlier is taken for a stranger.
const edgeHears = 1300 * time.Millisecond

// resident is a simulated person with their connections and what is still to be sent.
type resident struct {
	*Life
	id      string
	lines   []*connection
	waiting []Sending // in order of At
	acked   []int     // by kit: different readings
}

// Run lets the cohort live. It returns when ctx ends or, unless Live, when the present is reached; an end by ctx is no
// error once the present was reached.
func (f *Fleet) Run(ctx context.Context) (*FleetResult, error) {
	f.began, f.Live = f.Now(), f.Live && !f.Score
	if f.Cohort.Start.After(f.began) {
		return nil, fmt.Errorf("the start %s lies in the future", f.Cohort.Start.Format(time.RFC3339))
	}
	lives, err := f.Cohort.lives(ctx)
	if err != nil {
		return nil, err
	}
	if devices := kitsOf(lives); f.Most > 0 && devices > f.Most {
		return nil, fmt.Errorf("%d people have %d devices, and the limit of open files leaves %d connections: raise it (ulimit -n), or let fewer live",
			len(lives), devices, f.Most)
	}
	ids, fresh, err := f.enrol(ctx, lives)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := waitUntil(ctx, time.Now().Add(edgeHears)); err != nil {
			return nil, err
		}
	}
	people := f.people(lives, ids)
	if err := f.livePast(ctx, people); err != nil {
		return nil, err
	}
	return f.run(ctx, people)
}

// kitsOf counts the devices.
func kitsOf(lives []*Life) int {
	n := 0
	for _, l := range lives {
		n += len(l.Kits)
	}
	return n
}

func (f *Fleet) progress(step string, done, total int) {
	if f.Progress == nil {
		return
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	f.Progress(step, done, total)
}

func (f *Fleet) people(lives []*Life, ids []string) []*resident {
	patience := linePatience
	if f.Live {
		patience = 0
	}
	people := make([]*resident, len(lives))
	for i, l := range lives {
		p := &resident{Life: l, id: ids[i], acked: make([]int, len(l.Kits))}
		for k := range l.Kits {
			device := l.Kits[k].Device
			p.lines = append(p.lines, newConnection(&connection{
				broker: f.MQTT, trust: f.Trust, device: device, secret: f.keys.get(device), random: l.source("pause", int64(k)), dialled: &f.count.dialled,
				patience: patience,
			}))
		}
		people[i] = p
	}
	return people
}

// livePast lets everybody live up to now, as many at once as there are processors.
func (f *Fleet) livePast(ctx context.Context, people []*resident) error {
	var done atomic.Int64
	group := errgroup.Group{}
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range people {
		group.Go(func() error {
			if err := p.liveUntil(ctx, f.began); err != nil {
				return err
			}
			f.count.behind.Add(int64(p.due(f.began)))
			f.progress("live", int(done.Add(1)), len(people))
			return nil
		})
	}
	return group.Wait()
}

// liveUntil lives the days that begin before t, unless ctx ends before.
func (p *resident) liveUntil(ctx context.Context, t time.Time) error {
	for !p.Lived().After(t) {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.waiting = append(p.waiting, p.NextDay()...)
	}
	slices.SortStableFunc(p.waiting, func(a, b Sending) int { return a.At.Compare(b.At) })
	return nil
}

// due is how many of the waiting readings are to be sent by t.
func (p *resident) due(t time.Time) int {
	i, _ := slices.BinarySearchFunc(p.waiting, t, func(s Sending, t time.Time) int {
		if s.At.After(t) {
			return 1
		}
		return -1
	})
	return i
}

// run sends the past and then, when asked to, lives on.
func (f *Fleet) run(ctx context.Context, people []*resident) (*FleetResult, error) {
	first := time.Now()
	if err := f.connect(ctx, people); err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range people {
			for _, c := range p.lines {
				c.close()
			}
		}
	}()
	var present sync.WaitGroup
	present.Add(len(people))
	group, inside := errgroup.WithContext(ctx)
	for _, p := range people {
		group.Go(func() error { return f.live(inside, p, sync.OnceFunc(present.Done)) })
	}
	present.Wait()
	res := f.result(people)
	res.Seconds = time.Since(first).Seconds()
	if inside.Err() == nil && f.Score {
		if err := f.score(inside, people, res); err != nil {
			return nil, errors.Join(err, group.Wait())
		}
	}
	if inside.Err() == nil && f.Live && f.Present != nil {
		f.Present(*res)
	}
	err := group.Wait()
	if err != nil && (!stopped(err) || ctx.Err() == nil) {
		return nil, err
	}
	last := f.result(people)
	last.Seconds, last.Until, last.Score = res.Seconds, res.Until, res.Score
	last.Stored, last.Parked, last.Quarantined = res.Stored, res.Parked, res.Quarantined
	return last, nil
}

func (f *Fleet) result(people []*resident) *FleetResult {
	r := &FleetResult{
		Scenario: f.Cohort.Scenario.Name, Seed: f.Cohort.Seed, Start: f.Cohort.Start.UTC(), Until: f.Now().UTC(), Patients: len(people),
		Readings: int(f.count.acked.Load()), Again: int(f.count.again.Load()), Messages: int(f.count.messages.Load()), Connections: int(f.count.dialled.Load()),
		Quarantined: map[string]int{},
	}
	for _, p := range people {
		r.Devices += len(p.lines)
		r.Lives = append(r.Lives, p.Life)
	}
	return r
}

// connectionsAtOnce bounds how many devices connect side by side: the accept queue of a listener is no deeper.
const connectionsAtOnce = 64

// connectPatience is how long a device may be refused at first: its enrolment may not have reached every edge yet.
const connectPatience = 20 * time.Second

// linePatience is how long a device of a fleet that is to end at the present tries to get a broken line back: Hale may be
// starting anew. One that lives on tries for ever.
const linePatience = 20 * time.Second

func (f *Fleet) connect(ctx context.Context, people []*resident) error {
	total := 0
	for _, p := range people {
		total += len(p.lines)
	}
	var done atomic.Int64
	group, inside := errgroup.WithContext(ctx)
	group.SetLimit(connectionsAtOnce)
	for _, p := range people {
		for _, c := range p.lines {
			group.Go(func() error {
				// The connection outlives this step, so it is opened under ctx, not under the step's own.
				if inside.Err() != nil {
					return inside.Err()
				}
				err := c.open(ctx, connectPatience)
				f.progress("connect", int(done.Add(1)), total)
				return err
			})
		}
	}
	return group.Wait()
}

// due is when a reading of a time goes out: behind the present, time runs at the speed of the fleet, and never ahead of it.
func (f *Fleet) due(at time.Time) time.Time {
	if f.Speed <= 0 {
		return at
	}
	played := f.began.Add(time.Duration(float64(at.Sub(f.Cohort.Start)) / f.Speed))
	if played.After(at) {
		return played
	}
	return at
}

// live sends what a person's devices have to send, each reading when it is due.
func (f *Fleet) live(ctx context.Context, p *resident, reached func()) error {
	defer reached()
	if err := f.newest(ctx, p); err != nil {
		return err
	}
	for {
		now := f.Now()
		n := 0
		for n < len(p.waiting) && !f.due(p.waiting[n].At).After(now) {
			n++
		}
		if n > 0 {
			batch := p.waiting[:n:n]
			p.waiting = p.waiting[n:]
			if err := f.send(ctx, p, batch); err != nil {
				return err
			}
			continue
		}
		if len(p.waiting) == 0 || p.waiting[0].At.After(f.began) {
			reached()
			if !f.Live {
				return nil
			}
		}
		if len(p.waiting) == 0 || !p.Lived().After(p.waiting[0].At) {
			if err := p.liveUntil(ctx, p.Lived()); err != nil {
				return err
			}
			continue
		}
		if err := waitUntil(ctx, f.due(p.waiting[0].At)); err != nil {
			return err
		}
	}
}

// newest sends the newest reading of each metric before the rest: so the past is known to be past when it comes.
func (f *Fleet) newest(ctx context.Context, p *resident) error {
	return f.send(ctx, p, p.takeNewest(f.began))
}

// takeNewest takes the newest reading that each sensor can send of each metric by t out of those that wait.
func (p *resident) takeNewest(t time.Time) []Sending {
	type place struct {
		kit            int
		sensor, metric string
	}
	last := map[place]int{}
	for i := range p.due(t) {
		s := &p.waiting[i]
		at := place{s.Kit, s.Sensor, s.Metric}
		if j, ok := last[at]; !s.Again && (!ok || !s.Measured.Before(p.waiting[j].Measured)) {
			last[at] = i
		}
	}
	var batch, rest []Sending
	for i := range p.waiting {
		s := &p.waiting[i]
		if j, ok := last[place{s.Kit, s.Sensor, s.Metric}]; ok && i == j {
			batch = append(batch, *s)
		} else {
			rest = append(rest, *s)
		}
	}
	p.waiting = rest
	return batch
}

// mostInMessage is how many readings go into one message when several wait: the size that docs/wire.md calls good.
const mostInMessage = 200

// send publishes readings in messages of one topic each and waits for every PUBACK.
func (f *Fleet) send(ctx context.Context, p *resident, batch []Sending) error {
	for len(batch) > 0 {
		kit, sensor := batch[0].Kit, batch[0].Sensor
		var now, rest []Sending
		for _, s := range batch {
			if s.Kit == kit && s.Sensor == sensor && len(now) < mostInMessage {
				now = append(now, s)
			} else {
				rest = append(rest, s)
			}
		}
		if err := p.lines[kit].publish(ctx, p.Kits[kit].Topic(sensor), message(now)); err != nil {
			return err
		}
		f.count.messages.Add(1)
		for i := range now {
			if now[i].Again {
				f.count.again.Add(1)
				continue
			}
			f.count.acked.Add(1)
			p.acked[kit]++
		}
		if sent, behind := f.count.acked.Load()+f.count.again.Load(), f.count.behind.Load(); sent <= behind {
			f.progress("past", int(sent), int(behind))
		}
		batch = rest
	}
	return nil
}

// message puts readings into one message: an object, or a list of them.
func message(list []Sending) []byte {
	if len(list) == 1 {
		return list[0].Body
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(list[i].Body)
	}
	b.WriteByte(']')
	return b.Bytes()
}
