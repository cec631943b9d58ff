package devices_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/devices"
	"hale/vital"
)

// ten is a moment from which the cases count.
func ten() time.Time { return time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) }

func look(at time.Time, offset time.Duration) vital.ClockLook {
	return vital.ClockLook{At: at, Clock: vital.Clock{Offset: offset, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}
}

func heard(looks ...vital.ClockLook) (c devices.Clocks) {
	for _, l := range looks {
		c, _ = c.Hear(l)
	}
	return c
}

func TestLooksAtAClock(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	cases := map[string]struct {
		clocks         devices.Clocks
		sent, received time.Time
		offset, unsure time.Duration // unsure beyond that of the look
	}{
		"what was measured before the first look is put right by it": {
			heard(look(ten(), -37*time.Minute)), ten().Add(-20 * hour), ten().Add(time.Minute), -37 * time.Minute, 0},
		"before a clock was changed the older offset holds": {
			heard(look(ten(), 0), look(ten().Add(40*time.Minute), -hour)), ten().Add(20 * time.Minute), ten().Add(hour), 0, 0},
		"after it the newer one": {
			heard(look(ten(), 0), look(ten().Add(40*time.Minute), -hour)), ten().Add(95 * time.Minute), ten().Add(hour), -hour, 0},
		"what either can have stamped is uncertain by as much as they are apart": {
			heard(look(ten(), 0), look(ten().Add(40*time.Minute), hour)), ten().Add(10 * time.Minute), ten().Add(3 * hour), hour, hour},
		"what neither can have stamped is uncertain by as much as it misses": {
			heard(look(ten(), 0), look(ten().Add(40*time.Minute), -hour)), ten().Add(45 * time.Minute), ten().Add(hour), 0, 5*time.Minute - devices.ClockTolerance},
		"from memory of before the clock was changed": {
			heard(look(ten(), 3*hour), look(ten().Add(24*hour), 0)), ten().Add(-5 * hour), ten().Add(25 * hour), 3 * hour, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := c.clocks.At(c.sent, c.received)
			want := vital.Clock{Offset: c.offset, Method: vital.ClockCoincident, Uncertainty: 11*time.Second + c.unsure}
			if diff := cmp.Diff(want, got); diff != "" || !ok {
				t.Errorf("ok %t: %s", ok, diff)
			}
		})
	}
	if _, ok := heard().At(ten(), ten()); ok {
		t.Error("nobody has looked at the clock, and yet it is known")
	}
}

func TestAClockIsToldAnewOnlyWhenItIsAnother(t *testing.T) {
	t.Parallel()
	c, anew := devices.Clocks(nil).Hear(look(ten(), 0))
	if !anew {
		t.Error("the first look says nothing new")
	}
	if c, anew = c.Hear(look(ten().Add(time.Hour), 8*time.Second)); anew || len(c) != 1 || !c[0].Last.Equal(ten().Add(time.Hour)) {
		t.Errorf("a look within the tolerance: anew %t, %+v", anew, c)
	}
	if c, anew = c.Hear(look(ten().Add(2*time.Hour), -11*time.Second)); !anew || len(c) != 2 {
		t.Errorf("a look beyond the tolerance: anew %t, %+v", anew, c)
	}
	if again, anew := c.Hear(look(ten().Add(time.Minute), time.Hour)); anew || len(again) != 2 {
		t.Errorf("a look of before: anew %t, %+v", anew, again)
	}
	for i := range 40 {
		c, _ = c.Hear(look(ten().Add(time.Duration(3+i)*time.Hour), time.Duration(i)*time.Minute))
	}
	if len(c) != 16 {
		t.Errorf("%d spans are remembered", len(c))
	}
}

// A device's clock is set to something else now and then, it is looked at now and then, and what it measured arrives later: the
// true time always lies within the uncertainty.
func TestTheTrueTimeLiesWithinTheUncertainty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		type event struct {
			at   time.Time
			kind int // 0: measured, 1: looked at, 2: set
		}
		now, behind := ten(), time.Duration(rapid.IntRange(-300, 300).Draw(rt, "behind"))*time.Minute
		clocks := heard(look(now, behind)) // nobody can know of a change before the first look
		var sent, truth []time.Time
		sets := 0
		for range rapid.IntRange(3, 25).Draw(rt, "events") {
			now = now.Add(time.Duration(rapid.IntRange(1, 90).Draw(rt, "pause")) * time.Minute)
			switch e := (event{now, rapid.IntRange(0, 2).Draw(rt, "what")}); e.kind {
			case 0:
				sent, truth = append(sent, now.Add(-behind)), append(truth, now)
			case 1:
				delay := time.Duration(rapid.IntRange(0, 9000).Draw(rt, "delay")) * time.Millisecond
				clocks, _ = clocks.Hear(look(now.Add(delay), behind+delay))
				sets = 0
			case 2:
				if sets++; sets == 1 { // two changes between two looks: the one between is never seen
					behind = time.Duration(rapid.IntRange(-300, 300).Draw(rt, "set behind")) * time.Minute
				}
			}
		}
		now = now.Add(time.Minute)
		clocks, _ = clocks.Hear(look(now, behind))
		for i := range sent {
			clock, _ := clocks.At(sent[i], now.Add(time.Hour))
			if off := sent[i].Add(clock.Offset).Sub(truth[i]).Abs(); off > clock.Uncertainty {
				rt.Fatalf("measured at %s, said to be at %s, uncertain by %s: %+v", truth[i], sent[i].Add(clock.Offset), clock.Uncertainty, clocks)
			}
		}
	})
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := vital.LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// worn is a registry in which the sensor 7 was the patient 1's until ten, and the patient 2's from two days later.
func worn(t *testing.T) *devices.Snapshot {
	t.Helper()
	return &devices.Snapshot{
		Assignments: map[vital.SensorID][]devices.Assignment{7: {
			{ID: 1, Sensor: 7, Patient: 1, From: ten().AddDate(-2, 0, 0), To: ten()},
			{ID: 2, Sensor: 7, Patient: 2, From: ten().AddDate(0, 0, 2)},
		}},
		Zones: map[vital.PatientID]*time.Location{1: berlin(t), 2: time.FixedZone("", -5*3600)},
	}
}

func TestWhenAMeasurementWasMade(t *testing.T) {
	t.Parallel()
	digits := func(s string) time.Time {
		at, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	const set = 5 * time.Minute
	received := ten().AddDate(0, 1, 0)
	s := worn(t)
	s.Clocks = map[devices.ClockKey]devices.Clocks{
		{Sensor: 8}:              heard(look(ten(), -37*time.Minute)),
		{Sensor: 9, Local: true}: heard(look(ten(), -time.Hour)),
		{Sensor: 10}:             heard(look(ten(), 4*time.Second)),
		{Sensor: 99}:             heard(look(ten(), 2*time.Hour)),
	}
	cases := map[string]struct {
		stamp devices.Stamp
		want  string
		clock vital.Clock
	}{
		"a clock that nobody looked at is believed": {
			devices.Stamp{Sent: ten(), Sensor: 7}, "2026-03-02 10:00:00", vital.Clock{}},
		"one that is wrong by seconds too": {
			devices.Stamp{Sent: ten(), Sensor: 10}, "2026-03-02 10:00:00", vital.Clock{}},
		"a known offset puts it right": {
			devices.Stamp{Sent: ten(), Sensor: 8}, "2026-03-02 09:23:00", vital.Clock{Offset: -37 * time.Minute, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}},
		"the gateway's, where nobody looked at the sensor's": {
			devices.Stamp{Sent: ten(), Sensor: 7, Gateway: 99}, "2026-03-02 12:00:00", vital.Clock{Offset: 2 * time.Hour, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}},
		"the gateway's zone says nothing of a clock without one": {
			devices.Stamp{Sent: digits("2026-01-10 08:00:00"), Local: true, Sensor: 7, Worn: 7, Gateway: 99}, "2026-01-10 07:00:00",
			vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: set}},
		"a clock without zone that was looked at needs none": {
			devices.Stamp{Sent: digits("2026-01-10 08:00:00"), Local: true, Sensor: 9, Worn: 7}, "2026-01-10 07:00:00",
			vital.Clock{Offset: -time.Hour, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}},
		"in summer the zone is another": {
			devices.Stamp{Sent: digits("2025-07-10 08:00:00"), Local: true, Sensor: 7, Worn: 7}, "2025-07-10 06:00:00",
			vital.Clock{Offset: -2 * time.Hour, Method: vital.ClockZone, Uncertainty: set}},
		"where the clocks go back it is the first, and uncertain by an hour": {
			devices.Stamp{Sent: digits("2025-10-26 02:30:00"), Local: true, Sensor: 7, Worn: 7}, "2025-10-26 00:30:00",
			vital.Clock{Offset: -2 * time.Hour, Method: vital.ClockZone, Uncertainty: set + time.Hour}},
		"where they go forward it is as if they had not": {
			devices.Stamp{Sent: digits("2025-03-30 02:30:00"), Local: true, Sensor: 7, Worn: 7}, "2025-03-30 01:30:00",
			vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: set + time.Hour}},
		"the next wearer's zone": {
			devices.Stamp{Sent: digits("2026-03-20 08:00:00"), Local: true, Sensor: 7, Worn: 7}, "2026-03-20 13:00:00",
			vital.Clock{Offset: 5 * time.Hour, Method: vital.ClockZone, Uncertainty: set}},
		"a date alone is uncertain by a day": {
			devices.Stamp{Sent: digits("2026-01-10 00:00:00"), Local: true, Day: true, Sensor: 9, Worn: 7}, "2026-01-09 23:00:00",
			vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: set + 24*time.Hour}},
		"a time that no wearer explains is uncertain by a day": {
			devices.Stamp{Sent: digits("2019-01-10 08:00:00"), Local: true, Sensor: 7, Worn: 7}, "2019-01-10 07:00:00",
			vital.Clock{Offset: -time.Hour, Method: vital.ClockZone, Uncertainty: set + 24*time.Hour}},
		"nobody ever wore it": {
			devices.Stamp{Sent: ten(), Local: true, Sensor: 6, Worn: 6}, "2026-03-02 10:00:00",
			vital.Clock{Method: vital.ClockZone, Uncertainty: set + 24*time.Hour}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.stamp.Received = received
			at, clock := s.Moment(c.stamp, nil)
			if !at.Equal(digits(c.want)) {
				t.Errorf("measured at %s, want %s", at, c.want)
			}
			if diff := cmp.Diff(c.clock, clock); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhoseAnUncertainMeasurementIs(t *testing.T) {
	t.Parallel()
	s := worn(t)
	late := ten().AddDate(0, 1, 0)
	cases := map[string]struct {
		at           time.Time
		unsure       time.Duration
		received     time.Time
		patient      vital.PatientID
		ok, doubtful bool
	}{
		"well within":                              {ten().Add(-time.Hour), time.Minute, late, 1, true, false},
		"near the end of the first":                {ten().Add(-time.Hour), time.Hour, late, 0, false, true},
		"shortly after it":                         {ten().Add(time.Hour), 2 * time.Hour, late, 0, false, true},
		"between both":                             {ten().AddDate(0, 0, 1), time.Hour, late, 0, false, false},
		"near the beginning of the next":           {ten().AddDate(0, 0, 2).Add(time.Minute), time.Hour, late, 0, false, true},
		"nothing is measured after it has arrived": {ten().Add(-30 * time.Minute), time.Hour, ten().Add(-time.Second), 1, true, false},
		"a certain time at the boundary":           {ten().AddDate(0, 0, 2), 0, late, 2, true, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, ok, doubtful := s.OwnerWithin(7, c.at, c.unsure, c.received)
			if a.Patient != c.patient || ok != c.ok || doubtful != c.doubtful {
				t.Errorf("patient %d, ok %t, doubtful %t", a.Patient, ok, doubtful)
			}
		})
	}
}

// Whatever the uncertainty and the hands that a sensor goes through: who gets a measurement wore the sensor at every moment at
// which it can have been made.
func TestNobodyGetsAnUncertainMeasurementOfSomebodyElse(t *testing.T) {
	t.Parallel()
	zones := []*time.Location{berlin(t), time.UTC, time.FixedZone("", -8*3600), time.FixedZone("", 12*3600)}
	rapid.Check(t, func(rt *rapid.T) {
		s := &devices.Snapshot{Assignments: map[vital.SensorID][]devices.Assignment{}, Zones: map[vital.PatientID]*time.Location{}}
		at := ten()
		for i := range rapid.IntRange(1, 5).Draw(rt, "wearers") {
			a := devices.Assignment{ID: vital.AssignmentID(i + 1), Sensor: 7, Patient: vital.PatientID(i + 1)}
			a.From = at.Add(time.Duration(rapid.IntRange(0, 600).Draw(rt, "free")) * time.Minute)
			a.To = a.From.Add(time.Duration(rapid.IntRange(0, 900).Draw(rt, "worn")) * time.Minute)
			at = a.To
			s.Assignments[7] = append(s.Assignments[7], a)
			s.Zones[a.Patient] = rapid.SampledFrom(zones).Draw(rt, "zone")
		}
		// The truth: somebody measures, and the clock shows what it shows where he lives.
		wearer := rapid.SampledFrom(s.Assignments[7]).Draw(rt, "who")
		if !wearer.From.Before(wearer.To) {
			return
		}
		truth := wearer.From.Add(time.Duration(rapid.Int64Range(0, int64(wearer.To.Sub(wearer.From))-1).Draw(rt, "when")))
		_, east := truth.In(s.Zones[wearer.Patient]).Zone()
		wrong := time.Duration(rapid.IntRange(-299, 299).Draw(rt, "wrong")) * time.Second
		stamp := devices.Stamp{Sent: truth.Add(time.Duration(east)*time.Second + wrong), Received: ten().AddDate(0, 1, 0), Local: true, Sensor: 7, Worn: 7}
		measured, clock := s.Moment(stamp, nil)
		a, ok, _ := s.OwnerWithin(7, measured, clock.Uncertainty, stamp.Received)
		if ok && a.Patient != wearer.Patient {
			rt.Fatalf("it is the patient %d's, and goes to %d: measured at %s, said to be at %s within %s", wearer.Patient, a.Patient, truth, measured, clock.Uncertainty)
		}
	})
}

func TestAClockThatIsWrongIsTrouble(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		clocks devices.Clocks
		zone   *time.Location
		want   devices.ClockTrouble
	}{
		"right":                 {heard(look(ten(), 20*time.Second)), nil, devices.ClockTrouble{RightAt: ten()}},
		"wrong since yesterday": {heard(look(ten().AddDate(0, 0, -1), time.Hour), look(ten(), time.Hour+time.Minute)), nil, devices.ClockTrouble{Wrong: time.Hour + time.Minute, Since: ten().AddDate(0, 0, -1)}},
		"set right again":       {heard(look(ten(), time.Hour), look(ten().Add(time.Hour), 0)), nil, devices.ClockTrouble{Jumped: -time.Hour, JumpedAt: ten().Add(time.Hour), RightAt: ten().Add(time.Hour)}},
		"reset to the year 2000": {heard(look(ten(), 0), look(ten().Add(time.Hour), 26*365*24*time.Hour)), nil,
			devices.ClockTrouble{Wrong: 26 * 365 * 24 * time.Hour, Since: ten().Add(time.Hour), Jumped: 26 * 365 * 24 * time.Hour, JumpedAt: ten().Add(time.Hour)}},
		"a clock without zone that is right":      {heard(look(ten(), -time.Hour)), berlin(t), devices.ClockTrouble{RightAt: ten()}},
		"and put forward":                         {heard(look(ten(), -time.Hour), look(ten().AddDate(0, 1, 0), -2*time.Hour)), berlin(t), devices.ClockTrouble{RightAt: ten().AddDate(0, 1, 0)}},
		"a clock without zone that is hours off":  {heard(look(ten(), 3*time.Hour)), berlin(t), devices.ClockTrouble{Wrong: 4 * time.Hour, Since: ten()}},
		"a clock that nobody looked at is silent": {nil, nil, devices.ClockTrouble{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := c.clocks.Trouble(c.zone)
			if diff := cmp.Diff(c.want, got); diff != "" || ok != (c.want.Wrong != 0 || c.want.Jumped != 0) {
				t.Errorf("ok %t: %s", ok, diff)
			}
		})
	}
}

// Every edge reads the whole registry again when it is told: a clock that sways by some seconds, or is another at each look, must not.
func TestEdgesAreToldOfAClockWhenItMatters(t *testing.T) {
	t.Parallel()
	type looked struct{ at, offset time.Duration }
	cases := map[string]struct {
		local bool
		looks []looked
		want  []int // which looks are news
	}{
		"right":                              {false, []looked{{0, 5 * time.Second}}, nil},
		"wrong by more than looks differ":    {false, []looked{{0, 11 * time.Second}}, []int{0}},
		"without zone, whatever it shows":    {true, []looked{{0, 0}}, []int{0}},
		"swaying with the way of messages":   {false, []looked{{0, time.Hour}, {time.Hour, time.Hour + 40*time.Second}, {2 * time.Hour, time.Hour}, {3 * time.Hour, time.Hour - 40*time.Second}}, []int{0}},
		"drifting, a minute in the end":      {false, []looked{{0, 40 * time.Second}, {time.Hour, 70 * time.Second}, {2 * time.Hour, 99 * time.Second}, {3 * time.Hour, 111 * time.Second}, {4 * time.Hour, 140 * time.Second}}, []int{0, 3}},
		"changed":                            {false, []looked{{0, time.Hour}, {time.Hour, 0}}, []int{0, 1}},
		"another at each look, all the time": {false, []looked{{0, time.Hour}, {20 * time.Second, 2 * time.Hour}, {40 * time.Second, 3 * time.Hour}, {time.Minute, 4 * time.Hour}, {80 * time.Second, 0}}, []int{0, 3}},
		"right first, and then not":          {false, []looked{{0, 0}, {time.Second, time.Minute}}, []int{1}},
		"changed too soon, and left so":      {false, []looked{{0, time.Hour}, {20 * time.Second, 0}, {time.Hour, 0}, {2 * time.Hour, 0}}, []int{0, 2}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clocks devices.Clocks
			var news []int
			for i, l := range c.looks {
				var told bool
				clocks, _ = clocks.Hear(look(ten().Add(l.at), l.offset))
				if clocks, told = clocks.Tell(c.local); told {
					news = append(news, i)
				}
			}
			if diff := cmp.Diff(c.want, news); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A cheap clock loses a little between two looks, for ever: what edges know of it is never further off than they are promised, however
// many of its offsets have been forgotten.
func TestEdgesKnowOfAClockThatDriftsForEver(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-31, 8, 12, 15, 20, 31, 45, 100} {
		step *= time.Second
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			var clocks devices.Clocks
			var edges time.Duration // what they put right by
			times := 0
			for i := range 200 {
				offset := time.Duration(i) * step
				var told bool
				clocks, _ = clocks.Hear(look(ten().Add(time.Duration(i)*time.Hour), offset))
				if clocks, told = clocks.Tell(false); told {
					edges, times = clocks[len(clocks)-1].Offset, times+1
				}
				if off := (offset - edges).Abs(); off > time.Minute+devices.ClockTolerance {
					t.Fatalf("at look %d the edges are wrong by %s, told %d times", i, off, times)
				}
			}
			if most := int(200*step.Abs()/time.Minute) + 2; times > min(most, 200) {
				t.Errorf("they were told %d times", times)
			}
		})
	}
}

func TestABookKnowsWhatTheRegistryDoesNotYet(t *testing.T) {
	t.Parallel()
	book, s := devices.NewClockBook(), &devices.Snapshot{Clocks: map[devices.ClockKey]devices.Clocks{{Sensor: 7}: heard(look(ten(), 0))}}
	book.Hear(s, 7, look(ten().Add(time.Hour), time.Minute))
	if known := book.Known(s, devices.ClockKey{Sensor: 7}); len(known) != 2 {
		t.Errorf("after it was told: %+v", known)
	}
	later := &devices.Snapshot{Clocks: map[devices.ClockKey]devices.Clocks{{Sensor: 7}: heard(look(ten().Add(2*time.Hour), time.Hour))}}
	if known := book.Known(later, devices.ClockKey{Sensor: 7}); len(known) != 1 || known[0].Offset != time.Hour {
		t.Errorf("what another edge heard later: %+v", known)
	}
}
