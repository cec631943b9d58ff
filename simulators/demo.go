package simulators

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Demo is a handful of living patients for the first minutes with Hale: each has a week of history, which their
// device sends from its memory, and then goes on measuring far more often than anybody would, so that something can
// be seen. Two of them get into trouble within the first minute.
type Demo struct {
	Staff       *Staff
	MQTT        string
	Credentials string
	// Spare, when set, is told of a device that nobody drives, assigned to one of the people: for the first try by hand.
	Spare func(device, secret, patient string)
	Every time.Duration // between two live measurements of one patient; 0 means 5 s
	Now   func() time.Time
}

// persona is one invented person. Nobody's data stand behind it.
type persona struct {
	name, sex, zone string
	born            int
	systolic        float64
	diastolic       float64
	pulse           float64
	saturation      float64
	weight          float64
	story           func(seconds float64, v *vitals)
}

type vitals struct {
	systolic, diastolic, pulse, saturation, weight, temperature float64
}

func personas() []persona {
	steady := func(float64, *vitals) {}
	return []persona{
		{"Marija Novak", "female", "Europe/Ljubljana", 1941, 134, 78, 68, 97, 66.2, func(s float64, v *vitals) {
			rise := math.Min(1, math.Max(0, s-10)/30) // a hypertensive crisis, 10 to 40 s after the start
			v.systolic += 52 * rise
			v.diastolic += 24 * rise
		}},
		{"Jan de Vries", "male", "Europe/Amsterdam", 1938, 126, 72, 74, 94, 81.5, func(s float64, v *vitals) {
			fall := math.Min(1, math.Max(0, s-25)/40) // a chest infection, from 25 s on
			v.saturation -= 5 * fall
			v.pulse += 22 * fall
			v.temperature += 1.1 * fall
		}},
		{"Aino Korhonen", "female", "Europe/Helsinki", 1944, 122, 70, 63, 97, 58.9, steady},
		{"Giuseppe Russo", "male", "Europe/Rome", 1936, 138, 80, 71, 96, 77.3, steady},
		{"Carmen García", "female", "Europe/Madrid", 1947, 129, 75, 77, 98, 70.4, steady},
	}
}

// demoSeed keeps the past of the invented people the same at every start: what their devices send again is known
// to be the same measurement.
const demoSeed = 20240501

// Run enrols the people where they are not yet known, sends their past and lets them live until ctx ends.
func (d *Demo) Run(ctx context.Context) error {
	secrets, err := ReadCredentials(d.Credentials)
	if err != nil {
		return err
	}
	began := d.Now()
	done := make(chan error, len(personas()))
	for i, p := range personas() {
		device := fmt.Sprintf("demo-%d", i+1)
		if err := d.enrol(ctx, p, device, secrets); err != nil {
			return err
		}
		go func() { done <- d.live(ctx, p, device, secrets[device], began) }()
	}
	if err := d.spare(ctx, secrets); err != nil {
		return err
	}
	for range personas() {
		if e := <-done; e != nil && err == nil {
			err = e
		}
	}
	return err
}

// spareDevice is a device of the demo that its simulator leaves alone; sparePatient is whose it is.
const (
	spareDevice  = "my-cuff"
	sparePatient = 3
)

func (d *Demo) spare(ctx context.Context, secrets map[string]string) error {
	p := personas()[sparePatient-1]
	if secrets[spareDevice] == "" {
		person, _, err := d.Staff.FindPatient(ctx, fmt.Sprintf("DEMO-%d", sparePatient))
		if err != nil {
			return err
		}
		if secrets[spareDevice], err = d.Staff.Enrol(ctx, spareDevice, "for a first try by hand"); err != nil {
			return err
		}
		if err := WriteCredentials(d.Credentials, secrets); err != nil {
			return err
		}
		if err := d.Staff.Assign(ctx, spareDevice, person.ID, d.Now().Add(-24*time.Hour)); err != nil {
			return err
		}
	}
	if d.Spare != nil {
		d.Spare(spareDevice, secrets[spareDevice], p.name)
	}
	return nil
}

func (d *Demo) enrol(ctx context.Context, p persona, device string, secrets map[string]string) error {
	if secrets[device] != "" {
		return nil
	}
	number := "DEMO-" + device[len("demo-"):]
	person, known, err := d.Staff.FindPatient(ctx, number)
	if err != nil {
		return err
	}
	if !known {
		if person, err = d.Staff.AddPatient(ctx, Person{Name: p.name, Number: number, BirthYear: p.born, Sex: p.sex, Zone: p.zone}); err != nil {
			return err
		}
	}
	if secrets[device], err = d.Staff.Enrol(ctx, device, "simulated kit"); err != nil {
		return err
	}
	if err := WriteCredentials(d.Credentials, secrets); err != nil {
		return err
	}
	return d.Staff.Assign(ctx, device, person.ID, d.Now().Add(-400*24*time.Hour))
}

// live connects the person's device, sends its memory of the last week and then measures until ctx ends.
func (d *Demo) live(ctx context.Context, p persona, device, secret string, began time.Time) error {
	options := mqtt.NewClientOptions().AddBroker("tcp://" + d.MQTT).SetClientID(device).SetUsername(device).SetPassword(secret).
		SetProtocolVersion(4).SetConnectRetry(true).SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(5 * time.Second).
		SetKeepAlive(30 * time.Second).SetOrderMatters(true)
	client := mqtt.NewClient(options)
	if err := wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("connect device %s: %w", device, err)
	}
	defer client.Disconnect(250)
	topic := "hale/v1/" + device + "/readings"
	for _, day := range history(p, device, d.Now()) {
		if err := wait(ctx, client.Publish(topic, 1, false, day)); err != nil {
			return fmt.Errorf("device %s sends its memory: %w", device, err)
		}
	}
	every := d.Every
	if every == 0 {
		every = 5 * time.Second
	}
	rng := rand.New(rand.NewPCG(demoSeed, nameSeed(device)^uint64(began.UnixNano())))
	next := d.Now().Add(time.Duration(rng.Float64() * float64(every)))
	for round := 0; ; round++ {
		if err := waitUntil(ctx, next); err != nil {
			return nil
		}
		next = next.Add(every)
		now := d.Now()
		v := p.at(now, rng)
		p.story(now.Sub(began).Seconds(), &v)
		if err := wait(ctx, client.Publish(topic, 1, false, v.readings(now, round))); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("device %s: %w", device, err)
		}
	}
}

func wait(ctx context.Context, t mqtt.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return nil
	}
}

func nameSeed(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash takes everything
	return h.Sum64()
}

// at draws the person's vitals at a time: a daily rhythm around their own baseline, and noise.
func (p persona) at(t time.Time, rng *rand.Rand) vitals {
	hour := float64(t.Hour()) + float64(t.Minute())/60
	rhythm := math.Sin((hour - 10) / 24 * 2 * math.Pi) // highest in the late afternoon
	return vitals{
		systolic:    p.systolic + 5*rhythm + 3*rng.NormFloat64(),
		diastolic:   p.diastolic + 3*rhythm + 2*rng.NormFloat64(),
		pulse:       p.pulse + 4*rhythm + 2*rng.NormFloat64(),
		saturation:  p.saturation + 0.4*rng.NormFloat64(),
		weight:      p.weight + 0.3*rng.NormFloat64(),
		temperature: 36.4 + 0.2*rhythm + 0.1*rng.NormFloat64(),
	}
}

// history is the week before today as the device remembers it: one message a day, the same at every start.
func history(p persona, device string, now time.Time) [][]byte {
	var days [][]byte
	today := now.UTC().Truncate(24 * time.Hour)
	for back := 7; back >= 1; back-- {
		day := today.AddDate(0, 0, -back)
		rng := rand.New(rand.NewPCG(demoSeed^uint64(day.Unix()), nameSeed(device)))
		var list []json.RawMessage
		for i, hour := range []float64{7.4, 11.2, 15.9, 19.6} {
			t := day.Add(time.Duration((hour + 0.3*rng.Float64()) * float64(time.Hour))).Truncate(time.Second)
			v := p.at(t, rng)
			v.saturation = math.Max(v.saturation, 94.2) // the past of the demo is quiet
			list = append(list, v.objects(t, i)...)
		}
		b, err := json.Marshal(list)
		if err != nil {
			continue // objects() made them: they are JSON
		}
		days = append(days, b)
	}
	return days
}

func (v vitals) readings(t time.Time, round int) []byte {
	b, err := json.Marshal(v.objects(t, round))
	if err != nil {
		return nil // objects() made them: they are JSON
	}
	return b
}

// objects writes the measurements as docs/wire.md says. Blood pressure and pulse come every time, the others in turn.
func (v vitals) objects(t time.Time, round int) []json.RawMessage {
	at := t.UTC().Format(time.RFC3339)
	list := []json.RawMessage{
		json.RawMessage(fmt.Sprintf(`{"metric":"blood_pressure","systolic":%.0f,"diastolic":%.0f,"pulse":%.0f,"unit":"mm[Hg]","time":%q}`, v.systolic, v.diastolic, v.pulse, at)),
		json.RawMessage(fmt.Sprintf(`{"metric":"heart_rate","value":%.0f,"unit":"/min","time":%q}`, v.pulse, at)),
	}
	if round%2 == 0 {
		list = append(list, json.RawMessage(fmt.Sprintf(`{"metric":"oxygen_saturation","value":%.0f,"unit":"%%","time":%q}`, math.Min(100, v.saturation), at)))
	}
	if round%4 == 0 {
		list = append(list, json.RawMessage(fmt.Sprintf(`{"metric":"body_weight","value":%.1f,"unit":"kg","time":%q}`, v.weight, at)),
			json.RawMessage(fmt.Sprintf(`{"metric":"body_temperature","value":%.1f,"unit":"Cel","time":%q}`, v.temperature, at)))
	}
	return list
}
