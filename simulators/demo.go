package simulators

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Demo is a handful of living patients for the first minutes with Hale: each has a week of history, which their device
// sends from its memory, and then goes on measuring far more often than anybody would, so that something can be seen.
// Two of them get into trouble within the first minute, a third has been gathering fluid all week, and two are well.
type Demo struct {
	Staff       *Staff
	MQTT        string      // HOST:PORT, or mqtts://HOST:PORT
	Trust       *tls.Config // whom to believe at mqtts; nil: whom this machine trusts
	Credentials string      // file of device secrets; beside it, demo.json keeps when the demo's story began
	// Spare, when set, is told of a device that nobody drives, assigned to one of the people: for the first try by hand.
	Spare func(device, secret, patient string)
	Every time.Duration // between two live measurements of one patient; 0 means 5 s
	Now   func() time.Time
}

// demoDays is the history that the people of the demo have.
const demoDays = 7

// demoSeed keeps the past of the invented people the same at every start: what their devices send again is known
// to be the same measurement.
const demoSeed = 20240501

// demoLives makes the people. Their week of history ends at the anchor.
func demoLives(anchor time.Time) []*Life {
	hours := func(h float64) time.Time { return anchor.Add(time.Duration(h * float64(time.Hour))) }
	return []*Life{
		demoLife(1, anchor, "Marija Novak", "female", "Europe/Ljubljana", 1941, []Condition{Hypertension}, func(l *Life) {
			l.normal.systolic, l.normal.diastolic, l.normal.unsteady, l.normal.moment, l.normal.dip = 130, 76, 1.2, 3, 0.04
		}),
		demoLife(2, anchor, "Jan de Vries", "male", "Europe/Amsterdam", 1938, []Condition{COPD}, func(l *Life) {
			l.normal.saturation = 92.8
			l.Limits = map[string]Limits{"oxygen_saturation": l.ownSaturation()}
		}),
		demoLife(3, anchor, "Aino Korhonen", "female", "Europe/Helsinki", 1944, nil, func(l *Life) {
			l.normal.systolic, l.normal.diastolic, l.normal.weight = 122, 70, 58.9
		}),
		demoLife(4, anchor, "Giuseppe Russo", "male", "Europe/Rome", 1936, []Condition{HeartFailure}, func(l *Life) {
			l.normal.systolic, l.normal.diastolic, l.normal.weight, l.normal.saturation = 120, 71, 77.3, 96.2
			l.suffer(trouble(Decompensation, hours(-6*24), 7.5*24, 10*24, 72, 0.95))
		}),
		demoLife(5, anchor, "Carmen García", "female", "Europe/Madrid", 1947, []Condition{Diabetes}, func(l *Life) {
			l.normal.systolic, l.normal.diastolic, l.normal.fasting, l.normal.meal = 126, 74, 112, 32
			l.habits.mmol = true
		}),
	}
}

func demoLife(i int, anchor time.Time, name, sex, zone string, born int, ill []Condition, own func(*Life)) *Life {
	l := &Life{
		Number: fmt.Sprintf("DEMO-%d", i), Conditions: ill, seed: source(demoSeed, "demo", int64(i)).Uint64(),
		start: anchor.Add(-demoDays * 24 * time.Hour), end: anchor, counts: map[string]int64{}, noted: map[[2]int]bool{},
	}
	l.born()
	l.Name, l.Sex, l.BirthYear = name, sex, born
	if z, err := time.LoadLocation(zone); err == nil {
		l.Zone = z
	}
	l.habits.calm, l.habits.away, l.habits.guestDay, l.habits.counting, l.normal.whiteCoat = true, 0, -1, false, 0
	own(l)
	kit := Kit{Device: fmt.Sprintf("demo-%d", i), Model: "simulated kit"}
	for _, instrument := range []Instrument{Cuff, Scale, Oximeter, Thermometer} {
		kit.Sensors = append(kit.Sensors, Sensor{Instrument: instrument})
	}
	if l.has(Diabetes) {
		kit.Sensors = append(kit.Sensors, Sensor{Instrument: Meter})
	}
	l.Kits = []Kit{kit}
	return l
}

// acute adds what happens within the first minute after a start.
func acute(lives []*Life, began time.Time) {
	second := 1.0 / 3600
	lives[0].suffer(trouble(PressureCrisis, began.Add(4*time.Second), 12*second, 1000, 1, 1.02)) // a hypertensive crisis
	lives[1].suffer(trouble(Desaturation, began.Add(8*time.Second), 20*second, 1000, 1, 1.05))   // a chest infection
}

// Run enrols the people where they are not yet known, sends their past and lets them live until ctx ends.
func (d *Demo) Run(ctx context.Context) error {
	began := d.Now()
	anchor, err := d.anchor(began)
	if err != nil {
		return err
	}
	lives := demoLives(anchor)
	acute(lives, began)
	if lives, err = d.remaining(ctx, lives); err != nil {
		return err
	}
	f := &Fleet{Staff: d.Staff, MQTT: d.MQTT, Trust: d.Trust, Credentials: d.Credentials, Now: d.Now, Live: true, began: anchor}
	ids, fresh, err := f.enrol(ctx, lives)
	if err != nil {
		return err
	}
	if fresh {
		if err := waitUntil(ctx, time.Now().Add(edgeHears)); err != nil {
			return ended(ctx, err)
		}
	}
	if err := d.kits(ctx, ids, lives); err != nil {
		return ended(ctx, err)
	}
	if err := d.spare(ctx, f.keys, ids, lives); err != nil {
		return err
	}
	group, inside := errgroup.WithContext(ctx)
	for _, p := range f.people(lives, ids) {
		group.Go(func() error { return d.live(inside, f, p, began) })
	}
	return group.Wait()
}

// remaining leaves out who was erased: whose device has a secret here was a patient once, and whoever is found no more does not
// come back under their old name.
func (d *Demo) remaining(ctx context.Context, lives []*Life) ([]*Life, error) {
	secrets, err := ReadCredentials(d.Credentials)
	if err != nil {
		return nil, err
	}
	var there []*Life
	for _, l := range lives {
		if secrets[l.Kits[0].Device] != "" {
			_, known, err := d.Staff.FindPatient(ctx, l.Number)
			if err != nil {
				return nil, err
			}
			if !known {
				continue
			}
		}
		there = append(there, l)
	}
	return there, nil
}

// storyLasts is how long the story of a demo stays what it is. A start after that begins it anew, with a history that
// does not overlap the one before.
const storyLasts = (demoDays + 1) * 24 * time.Hour

// anchor returns when the story began: now, unless it is still going on from an earlier start.
func (d *Demo) anchor(now time.Time) (time.Time, error) {
	path := filepath.Join(filepath.Dir(d.Credentials), "demo.json")
	kept, err := ReadCredentials(path) // it has the same form: one JSON object of strings
	if err != nil {
		return time.Time{}, err
	}
	if t, err := time.Parse(time.RFC3339, kept["began"]); err == nil && !t.After(now) && now.Sub(t) < storyLasts {
		return t, nil
	}
	anchor := now.UTC().Truncate(time.Minute)
	return anchor, WriteCredentials(path, map[string]string{"began": anchor.Format(time.RFC3339)})
}

// spareDevice is a device of the demo that its simulator leaves alone; sparePatient is whose it is.
const (
	spareDevice  = "my-cuff"
	sparePatient = 3
)

func (d *Demo) spare(ctx context.Context, keys *keyring, ids []string, lives []*Life) error {
	whose := slices.IndexFunc(lives, func(l *Life) bool { return l.Number == fmt.Sprintf("DEMO-%d", sparePatient) })
	if whose < 0 {
		return nil // they were erased
	}
	if keys.get(spareDevice) == "" {
		secret, err := d.Staff.Enrol(ctx, spareDevice, "for a first try by hand")
		if err != nil {
			return err
		}
		keys.put(spareDevice, secret)
		if err := keys.save(); err != nil {
			return err
		}
	}
	// A demo that was killed in between may have left it undone; one that was not answers with a conflict.
	err := d.Staff.Assign(ctx, spareDevice, ids[whose], d.Now().Add(-24*time.Hour))
	if err != nil && !isStatus(err, http.StatusConflict) {
		return err
	}
	if d.Spare != nil {
		d.Spare(spareDevice, keys.get(spareDevice), lives[whose].Name)
	}
	return nil
}

// live connects the person's device, sends its memory of the week before the anchor and then measures until ctx ends.
func (d *Demo) live(ctx context.Context, f *Fleet, p *resident, began time.Time) error {
	line := p.lines[0]
	defer line.close()
	if err := ended(ctx, line.open(ctx, connectPatience)); err != nil {
		return err
	}
	if err := ended(ctx, p.liveUntil(ctx, f.began)); err != nil {
		return err
	}
	if err := ended(ctx, f.newest(ctx, p)); err != nil {
		return err
	}
	if err := ended(ctx, f.send(ctx, p, p.waiting[:p.due(f.began)])); err != nil {
		return err
	}
	every := d.Every
	if every == 0 {
		every = 5 * time.Second
	}
	next := d.Now().Add(time.Duration(p.source("live", began.UnixNano()).Float64() * float64(every)))
	for round := 0; ; round++ {
		if waitUntil(ctx, next) != nil {
			return nil // told to end
		}
		next = next.Add(every)
		if err := ended(ctx, f.send(ctx, p, p.now(d.Now(), round))); err != nil {
			return err
		}
	}
}

// ended forgets an error that only says that the demo was told to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// now measures at this moment: pressure and pulse every time, the others in turn.
func (p *resident) now(at time.Time, round int) []Sending {
	visits := []visit{{instrument: Cuff, turn: 1}}
	for _, turn := range []struct {
		instrument Instrument
		every      int
	}{{Oximeter, 2}, {Thermometer, 4}, {Meter, 8}, {Scale, 60}} {
		if _, _, has := p.holder(turn.instrument); has && round%turn.every == 0 {
			visits = append(visits, visit{instrument: turn.instrument, metric: "glucose"})
		}
	}
	var list []Sending
	for _, v := range visits {
		v.at = at.Truncate(time.Second)
		shown, _ := p.measure(&v)
		list = p.queue(list, &v, 0, "", shown)
	}
	return list
}
