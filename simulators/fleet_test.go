package simulators

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheVirtualClockNeverRunsAheadOfThePresent(t *testing.T) {
	t.Parallel()
	began := noon().Add(7 * 24 * time.Hour)
	week := Cohort{Start: noon()}
	for name, c := range map[string]struct {
		speed      float64
		start      time.Time
		at, goesAt time.Time
	}{
		"as fast as taken, the past is due at once":         {0, noon(), noon().Add(time.Hour), noon().Add(time.Hour)},
		"as fast as taken, the future is due when it comes": {0, noon(), began.Add(time.Hour), began.Add(time.Hour)},
		"at speed a week takes a minute":                    {7 * 24 * 60, noon(), noon().Add(84 * time.Hour), began.Add(30 * time.Second)},
		"at speed the future is due when it comes":          {7 * 24 * 60, noon(), began.Add(time.Hour), began.Add(time.Hour)},
		"at speed 1 from now on nothing is early":           {1, began, began.Add(time.Hour), began.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := Fleet{Speed: c.speed, Cohort: week, began: began}
			f.Cohort.Start = c.start
			if got := f.due(c.at); !got.Equal(c.goesAt) {
				t.Errorf("goes out at %s, want %s", got, c.goesAt)
			}
		})
	}
}

func TestAMessageIsAnObjectOrAList(t *testing.T) {
	t.Parallel()
	a, b := Sending{Body: []byte(`{"a":1}`)}, Sending{Body: []byte(`{"b":2}`)}
	if diff := cmp.Diff([]string{`{"a":1}`, `[{"a":1},{"b":2}]`}, []string{string(message([]Sending{a})), string(message([]Sending{a, b}))}); diff != "" {
		t.Error(diff)
	}
}

// live lets somebody live the days until then.
func live(t *testing.T, p *resident, until time.Time) {
	t.Helper()
	if err := p.liveUntil(t.Context(), until); err != nil {
		t.Fatal(err)
	}
}

func TestThePresentIsSentBeforeThePast(t *testing.T) {
	t.Parallel()
	c := cohort(t, "mixed", 20, 9)
	for _, l := range everybody(c) {
		p := &resident{Life: l}
		until := c.Start.Add(c.Length())
		live(t, p, until)
		all := len(p.waiting)
		first := p.takeNewest(until)
		if len(first) == 0 || len(first)+len(p.waiting) != all {
			t.Fatalf("%d and %d of %d readings", len(first), len(p.waiting), all)
		}
		newest := map[string]time.Time{}
		for _, s := range first {
			key := fmt.Sprint(s.Kit, s.Sensor, s.Metric)
			if _, twice := newest[key]; twice || s.At.After(until) || s.Again {
				t.Errorf("%s is sent first", s.Body)
			}
			newest[key] = s.Measured
		}
		for i, s := range p.waiting {
			if i > 0 && s.At.Before(p.waiting[i-1].At) {
				t.Fatal("the rest is out of order")
			}
			if at := newest[fmt.Sprint(s.Kit, s.Sensor, s.Metric)]; !s.At.After(until) && !s.Again && s.Measured.After(at) {
				t.Errorf("%s is newer than what is sent first", s.Body)
			}
		}
	}
}

func TestADeviceLimitsWhatOneMessageHolds(t *testing.T) {
	t.Parallel()
	c := cohort(t, "storm", 1, 1)
	l := c.Life(0)
	batch := lived(c, l)[:mostInMessage]
	if n := len(message(batch)); n > 200<<10 {
		t.Errorf("%d readings are %d bytes; the edge takes 256 KiB", len(batch), n)
	}
}

func TestTheDemoTellsItsStoryAtEveryHour(t *testing.T) {
	t.Parallel()
	for hour := range 24 {
		anchor := noon().Add(time.Duration(hour) * time.Hour)
		began := anchor.Add(20 * time.Second)
		lives := demoLives(anchor)
		acute(lives, began)
		var people []*resident
		for _, l := range lives {
			people = append(people, &resident{Life: l})
		}
		reds := map[string]int{}
		for round := range 12 {
			for _, p := range people {
				for _, s := range p.now(began.Add(time.Duration(round)*5*time.Second), round) {
					if r := read(t, s.Body); red(p.Life, &r) {
						reds[p.Number+" "+r.Metric]++
					}
				}
			}
		}
		if reds["DEMO-1 blood_pressure"] == 0 || reds["DEMO-2 oxygen_saturation"] == 0 || len(reds) > 3 {
			t.Errorf("at %d h, red within a minute: %v", hour, reds)
		}
		for i, l := range demoLives(anchor) {
			p := &resident{Life: l}
			live(t, p, anchor)
			past := p.waiting[:p.due(anchor)]
			if len(past) < 60 {
				t.Errorf("%s remembers %d readings", l.Number, len(past))
			}
			var weights []float64
			for _, s := range past {
				r := read(t, s.Body)
				if r.Metric == "body_weight" {
					weights = append(weights, r.canonical())
				}
				if i != 3 && red(l, &r) {
					t.Errorf("the past of %s is not quiet: %s", l.Name, s.Body)
				}
			}
			gain := weights[len(weights)-1] - weights[0]
			if i == 3 && (gain < 1.7 || gain > 3.5) || i != 3 && (gain > 1 || gain < -1) {
				t.Errorf("%s gained %.1f kg in the week", l.Name, gain)
			}
		}
	}
}

func TestTheDemosPastIsTheSameAtEveryStart(t *testing.T) {
	t.Parallel()
	d := Demo{Credentials: t.TempDir() + "/devices.json"}
	first, err := d.anchor(noon().Add(17 * time.Second))
	if err != nil || !first.Equal(noon()) {
		t.Fatalf("the story begins at %s, %v", first, err)
	}
	if again, err := d.anchor(noon().Add(storyLasts - time.Minute)); err != nil || !again.Equal(first) {
		t.Errorf("a later start begins the story at %s, %v", again, err)
	}
	a, b := demoLives(first)[0], demoLives(first)[0]
	for range 3 {
		if diff := cmp.Diff(a.NextDay(), b.NextDay()); diff != "" {
			t.Error(diff)
		}
	}
	if anew, err := d.anchor(noon().Add(storyLasts)); err != nil || !anew.Add(-demoDays*24*time.Hour).After(first) {
		t.Errorf("long after, the story begins at %s and overlaps the one before, %v", anew, err)
	}
}
