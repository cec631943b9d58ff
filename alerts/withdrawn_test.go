package alerts_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
)

// back takes the readings of these minutes back, as a device or a person does: the alerts that told of them say so at once, and the
// patient is to be judged anew.
func (r *record) back(now time.Time, by account.Actor, minutes ...int) {
	for _, minute := range minutes {
		i := slices.IndexFunc(r.points, func(p alerts.Point) bool { return int(p.ID)-1 == minute })
		gone := r.points[i]
		r.points = slices.Delete(r.points, i, i+1)
		for _, e := range r.episodes {
			told := slices.ContainsFunc(r.logs[e.ID], func(n alerts.Entry) bool { return n.Tells() && n.Reading.Compare(gone.Mark) == 0 })
			if !told {
				continue
			}
			c := alerts.Withdrawn(e, by, alerts.Retraction{Reading: gone.Mark, Values: gone.Values, How: alerts.InError}, "entered in error", now)
			*e = *c.Episode
			r.logs[e.ID] = append(r.logs[e.ID], c.Entries...)
		}
		r.changes = append(r.changes, alerts.Change{Patient: patient, Rejudge: true, From: gone.At, Withdrawn: true})
	}
}

// TestReadingsThatAreTakenBack checks what becomes of alerts whose readings their device or a person took back.
func TestReadingsThatAreTakenBack(t *testing.T) {
	t.Parallel()
	now := epoch().Add(time.Hour)
	for _, c := range []struct {
		name     string
		readings []alerts.Point
		act      alerts.EntryKind // of a person, on the alert that is open; none when empty
		back     []int
		episodes string
		last     int  // minute of the last reading that the alert tells of
		gone     bool // and that one was taken back
		says     string
	}{
		{"a yellow one that nobody acted on closes, and shows what was taken back", []alerts.Point{pulse(1, 80), pulse(2, 105)}, "", []int{2}, "closed yellow", 2, true, "cleared taken back"},
		{"also when nothing is left at all", []alerts.Point{pulse(2, 105)}, "", []int{2}, "closed yellow", 2, true, "cleared taken back"},
		{"a red one stays for a person", []alerts.Point{pulse(1, 80), pulse(2, 125)}, "", []int{2}, "open red", 2, true, "cleared taken back"},
		{"one that somebody took as well: what they took is not there", []alerts.Point{pulse(2, 105)}, alerts.EntryAcknowledged, []int{2}, "closed yellow", 2, true, "cleared taken back"},
		{"one that somebody took stays theirs while a reading stands that they were shown", []alerts.Point{pulse(1, 104), pulse(2, 105)}, alerts.EntryAcknowledged, []int{2}, "acknowledged yellow", 1, false, "annotated taken back"},
		{"what is left is told of, and it holds", []alerts.Point{pulse(1, 101), pulse(2, 125), pulse(3, 104)}, "", []int{3}, "open red", 2, false, "annotated taken back"},
		{"what a person has resolved says it too", []alerts.Point{pulse(1, 105), pulse(2, 104)}, alerts.EntryResolved, []int{2}, "closed yellow", 2, true, "annotated taken back"},
		{"one after another", []alerts.Point{pulse(1, 125), pulse(2, 126)}, "", []int{2, 1}, "open red", 2, true, "cleared taken back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, d := newRecord(pulseRule()), alerts.NewDecider(0)
			for _, p := range c.readings {
				if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
					t.Fatal(err)
				}
			}
			if c.act != "" {
				r.amend(r.openEpisode(11), alerts.Entry{Kind: c.act, RecordedAt: now, Actor: ana(), Until: now.Add(time.Hour), NextStep: alerts.StepNone})
			}
			r.back(now, account.Actor{}, c.back...)
			if _, err := r.take(d, now, 2); err != nil {
				t.Fatal(err)
			}
			if d.Mended() != 0 {
				t.Error("what was taken back is told as a track that did not follow from the readings")
			}
			if got := r.tell(); got != c.episodes {
				t.Errorf("the alerts are %q, want %q", got, c.episodes)
			}
			e := r.episodes[len(r.episodes)-1]
			var said []string
			for _, n := range r.logs[e.ID] {
				said = append(said, string(n.Kind)+" "+string(n.Cause))
			}
			if !slices.Contains(said, c.says) {
				t.Errorf("the log says %q, want %q in it", said, c.says)
			}
			if want := epoch().Add(time.Duration(c.last) * time.Minute); !e.Last.At.Equal(want) || (e.Retraction(e.Last) != nil) != c.gone {
				t.Errorf("the last reading told of is of %s, taken back: %v; want %s, %v", e.Last.At, e.Retraction(e.Last) != nil, want, c.gone)
			}
			r.checkPure(t)
		})
	}
}

// TestWhatIsLeftIsToldOnce of an alert whose last and worst reading was taken back: of each reading that is its last or its worst now.
func TestWhatIsLeftIsToldOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		readings    []alerts.Point
		back        int
		told        int
		last, worst float64
	}{
		"one is left, its last and its worst": {[]alerts.Point{pulse(1, 121), pulse(2, 125)}, 2, 1, 121, 121},
		"the last was taken back, two differ": {[]alerts.Point{pulse(1, 126), pulse(2, 121), pulse(3, 129)}, 3, 2, 121, 126},
		"the worst was, and was not the last": {[]alerts.Point{pulse(1, 129), pulse(2, 121)}, 1, 1, 121, 121},
		"neither was":                         {[]alerts.Point{pulse(1, 129), pulse(2, 121), pulse(3, 122)}, 2, 0, 122, 129},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d, now := newRecord(pulseRule()), alerts.NewDecider(0), epoch().Add(time.Hour)
			for _, p := range c.readings {
				if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
					t.Fatal(err)
				}
			}
			r.back(now, account.Actor{}, c.back)
			if _, err := r.take(d, now, 2); err != nil {
				t.Fatal(err)
			}
			told, e := 0, r.episodes[0]
			for _, n := range r.logs[e.ID] {
				if n.Renews() {
					told++
				}
				if strings.Contains(n.Note, "UTC") {
					t.Errorf("a page by the patient's clock says %q", n.Note)
				}
			}
			if told != c.told || e.LastValues[0] != c.last || e.WorstValues[0] != c.worst {
				t.Errorf("%d entries say what is left, last %v, worst %v; want %d, %v, %v: %+v", told, e.LastValues, e.WorstValues, c.told, c.last, c.worst, r.logs[e.ID])
			}
			r.checkPure(t)
		})
	}
}

// TestARetractionIsKept checks what an alert says of many readings that were taken back, and of those that are theirs after all.
func TestARetractionIsKept(t *testing.T) {
	t.Parallel()
	now := epoch().Add(time.Hour)
	var log []alerts.Entry
	for i := range 40 {
		p := pulse(i, 125+float64(i%3))
		kind := alerts.EntryOccurred
		if i == 0 {
			kind = alerts.EntryOpened
		}
		log = append(log, alerts.Entry{Kind: kind, RecordedAt: p.ReceivedAt, Level: alerts.Red, Reading: p.Mark, Values: p.Values, Worst: i == 2})
	}
	e := alerts.FoldLog(alerts.Episode{ID: 1}, log)
	for i := range 40 {
		c := alerts.Withdrawn(&e, ana(), alerts.Retraction{Reading: pulse(39-i, 0).Mark, Values: []float64{125}, How: alerts.InError}, "x", now)
		e = *c.Episode
	}
	if e.Retraction(e.Last) == nil || e.Retraction(e.Worst) == nil || len(e.Retracted) > 16 {
		t.Errorf("%d are kept; last: %v, worst: %v", len(e.Retracted), e.Retraction(e.Last), e.Retraction(e.Worst))
	}
	if r := e.Retraction(e.Last); r.By != ana().Name || !r.At.Equal(now) {
		t.Errorf("who said it, and when: %+v", r)
	}

	e = alerts.FoldLog(alerts.Episode{ID: 1}, log)
	said := alerts.Refiling{AskedBy: "Ana", At: now}
	away := alerts.Refiled(&e, said, []alerts.Mark{e.Last})
	if r := away.Episode.Retraction(e.Last); r == nil || r.How != alerts.NotHere || r.Values[0] != 125 || !strings.Contains(away.Entries[0].Note, "somebody else's") {
		t.Errorf("%+v", r)
	}
	if merged := alerts.Refiled(&e, alerts.Refiling{AskedBy: "Ana", At: now, SamePerson: true}, []alerts.Mark{e.Last}); merged.Episode.Retraction(e.Last) != nil {
		t.Error("what the person's other record has is no longer true")
	}
	back := alerts.Returned(away.Episode, said, []alerts.Mark{e.Last})
	if back.Episode.Retraction(e.Last) != nil {
		t.Error("it came back, and is still said to be somebody else's")
	}
	contact := alerts.Alert{Episode: e}
	contact.Contact, contact.ContactAbout = true, e.Last
	if !contact.ContactNow() {
		t.Error("nobody is asked to get in touch")
	}
	contact.Retracted = away.Episode.Retracted
	if contact.ContactNow() {
		t.Error("somebody is to get in touch because of a reading that does not stand")
	}
}

// TestAnAcknowledgementEndsWithWhatItWasGivenTo: what comes after all that an alert told of was taken back is told anew, and is its worst.
func TestAnAcknowledgementEndsWithWhatItWasGivenTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		act   alerts.EntryKind
		first []alerts.Point
		back  []int
		next  float64
		state alerts.State
		tells int // notices by the next reading
		worst float64
	}{
		{"all was taken back", alerts.EntryAcknowledged, []alerts.Point{pulse(1, 128)}, []int{1}, 124, alerts.Open, 1, 124},
		{"all was taken back, of an alert that nobody took", "", []alerts.Point{pulse(1, 128)}, []int{1}, 124, alerts.Open, 1, 124},
		{"another is left", alerts.EntryAcknowledged, []alerts.Point{pulse(1, 125), pulse(2, 128)}, []int{2}, 124, alerts.Acknowledged, 0, 125},
		{"nothing was taken back", alerts.EntryAcknowledged, []alerts.Point{pulse(1, 128)}, nil, 124, alerts.Acknowledged, 0, 128},
		{"only a lesser one is left", alerts.EntryAcknowledged, []alerts.Point{pulse(1, 105), pulse(2, 128)}, []int{2}, 124, alerts.Open, 1, 124},
		{"only a lesser one is left, of an alert that nobody took", "", []alerts.Point{pulse(1, 105), pulse(2, 128)}, []int{2}, 124, alerts.Open, 1, 124},
		{"only a lesser one is left, and another such comes", alerts.EntryAcknowledged, []alerts.Point{pulse(1, 105), pulse(2, 128)}, []int{2}, 106, alerts.Acknowledged, 0, 106},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := epoch().Add(5 * time.Minute)
			r, d := newRecord(pulseRule()), alerts.NewDecider(0)
			for _, p := range c.first {
				if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
					t.Fatal(err)
				}
			}
			if c.act != "" {
				r.amend(r.openEpisode(11), alerts.Entry{Kind: c.act, RecordedAt: now, Actor: ana(), Until: now.Add(time.Hour)})
				d.Forget()
			}
			r.back(now, account.Actor{}, c.back...)
			if _, err := r.take(d, now, 2); err != nil {
				t.Fatal(err)
			}
			told := len(r.notices)
			for i, p := range []alerts.Point{pulse(10, c.next), pulse(11, c.next)} {
				if _, err := r.take(d, p.ReceivedAt, 3+i, p); err != nil {
					t.Fatal(err)
				}
			}
			e := r.episodes[len(r.episodes)-1]
			if e.State != c.state || len(r.notices)-told != c.tells || e.WorstValues[0] != c.worst {
				t.Errorf("%s, %d more notices, worst %v; want %s, %d, %v", e.State, len(r.notices)-told, e.WorstValues, c.state, c.tells, c.worst)
			}
			r.checkPure(t)
		})
	}
}

// TestAnAcknowledgementIsOfWhatWasShown when it was given: what comes under it was shown to nobody, and calls once that is taken back.
func TestAnAcknowledgementIsOfWhatWasShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		before, under []alerts.Point
		back          []int
		alert         string
		tells         int // notices by the withdrawal
		last          float64
		later         time.Duration
	}{
		{"one came under it, and stands", []alerts.Point{pulse(1, 128)}, []alerts.Point{pulse(2, 125)}, []int{1}, "open red", 1, 125, 0},
		{"one came under it late, of before", []alerts.Point{pulse(3, 128)}, []alerts.Point{pulse(2, 125)}, []int{3}, "open red", 1, 125, 0},
		{"one came under it in time, half a day ago", []alerts.Point{pulse(1, 128)}, []alerts.Point{pulse(2, 125)}, []int{1}, "open red", 1, 125, 12 * time.Hour},
		{"a lesser one that was shown stands", []alerts.Point{pulse(1, 105), pulse(2, 128)}, []alerts.Point{pulse(3, 125)}, []int{2}, "open red", 1, 125, 0},
		{"one that was shown stands", []alerts.Point{pulse(1, 124), pulse(2, 128)}, []alerts.Point{pulse(3, 125)}, []int{2}, "acknowledged red", 0, 125, 0},
		{"what came under it is taken back", []alerts.Point{pulse(1, 128)}, []alerts.Point{pulse(2, 125)}, []int{2}, "acknowledged red", 0, 128, 0},
		{"both are taken back", []alerts.Point{pulse(1, 128)}, []alerts.Point{pulse(2, 125)}, []int{1, 2}, "open red", 0, 125, 0},
		{"what came under it was back inside the limits", []alerts.Point{pulse(1, 128)}, []alerts.Point{pulse(2, 80)}, []int{1}, "open red", 0, 128, 0},
		{"it was back inside the limits and beyond them again", []alerts.Point{pulse(1, 128)}, []alerts.Point{pulse(2, 80), pulse(3, 124)}, []int{1}, "open red", 1, 124, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := epoch().Add(5 * time.Minute)
			r, d := newRecord(pulseRule()), alerts.NewDecider(0)
			take := func(list []alerts.Point) {
				for _, p := range list {
					if _, err := r.take(d, now, 1, p); err != nil {
						t.Fatal(err)
					}
				}
			}
			take(c.before)
			r.amend(r.openEpisode(11), alerts.Entry{Kind: alerts.EntryAcknowledged, RecordedAt: now, Actor: ana(), Until: now.Add(24 * time.Hour)})
			take(c.under)
			told := len(r.notices)
			for _, minute := range c.back { // each for itself, and what follows from it
				r.back(now.Add(c.later), account.Actor{}, minute)
				if _, err := r.take(d, now.Add(c.later), 2); err != nil {
					t.Fatal(err)
				}
			}
			e := r.episodes[len(r.episodes)-1]
			if got := r.tell(); got != c.alert || e.LastValues[0] != c.last {
				t.Errorf("%s, last %v; want %s, %v", got, e.LastValues, c.alert, c.last)
			}
			if lost := e.State == alerts.Open; lost != (e.AckName == "") {
				t.Errorf("open (%v) and taken by %q", lost, e.AckName)
			}
			want := c.tells
			if len(c.back) > 1 {
				want++ // for a moment the other one stood
			}
			if n := len(r.notices) - told; n != want {
				t.Errorf("%d people are told, want %d: %+v", n, want, r.notices)
			}
			r.checkPure(t)
		})
	}
}

// TestWhatWasResolvedIsWhatWasShown: a reading that is corrected after its alert was resolved is another matter where it is worse than all
// that was shown.
func TestWhatWasResolvedIsWhatWasShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		instead  float64
		episodes string
		tells    int
	}{
		"corrected to a worse one of the same level": {150, "closed red, open red", 1},
		"corrected to a lesser one":                  {125, "closed red", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d, now := newRecord(pulseRule()), alerts.NewDecider(0), epoch().Add(10*time.Minute)
			if _, err := r.take(d, now, 1, pulse(1, 128), pulse(2, 121)); err != nil {
				t.Fatal(err)
			}
			r.amend(r.openEpisode(11), alerts.Entry{Kind: alerts.EntryResolved, RecordedAt: now, Actor: ana(), NextStep: alerts.StepNone})
			d.Forget()
			told := len(r.notices)
			r.back(now, account.Actor{}, 1)
			instead := pulse(1, c.instead)
			instead.ID, instead.ReceivedAt = 1, now // another reading of that minute
			if _, err := r.take(d, now, 2, instead); err != nil {
				t.Fatal(err)
			}
			if got := r.tell(); got != c.episodes || len(r.notices)-told != c.tells {
				t.Errorf("%s and %d notices, want %s and %d", got, len(r.notices)-told, c.episodes, c.tells)
			}
			r.checkPure(t)
		})
	}
}
