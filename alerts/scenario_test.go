package alerts_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

// TestScenarios plays the timetables in testdata: see testdata/README.md for how they are written.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("found %d scenarios (%v), there are more", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header, timetable, ok := strings.Cut(string(text), "\n\n")
			if !ok || len(header) < 20 {
				t.Fatal("a scenario begins with a few plain words and an empty line")
			}
			want := withoutBlank(timetable)
			s := &scenario{record: newRecord(), decider: alerts.NewDecider(0), zone: "UTC"}
			for _, line := range want {
				if strings.HasPrefix(line, "  ") {
					continue // what is expected
				}
				s.said = append(s.said, line)
				if err := s.play(line); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
			}
			if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(s.said, "\n")); diff != "" {
				t.Errorf("%s\nlines with - are expected, lines with + are what happened:\n%s", header, diff)
			}
			s.check(t)
		})
	}
}

func withoutBlank(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
}

// scenario is a timetable being played.
type scenario struct {
	*record
	decider *alerts.Decider
	said    []string
	day     int // from 0
	now     time.Time
	nextID  int64
	noticed int
	zone    string // of trends
}

// play does what one line says.
func (s *scenario) play(line string) error {
	first, rest, _ := strings.Cut(line, " ")
	switch {
	case first == "limits":
		return s.limits(rest)
	case first == "zone":
		s.zone = rest
		return nil
	case first == "trend":
		return s.trend(rest)
	case first == "day":
		n, err := strconv.Atoi(rest)
		s.day = n - 1
		return err
	case first == "days":
		return s.daily(rest)
	case first == "restart":
		s.decider.Forget()
		return nil
	case line == "end":
		s.end()
		return nil
	}
	now, err := s.clock(first)
	if err != nil {
		return err
	}
	s.now = now
	var made []logged
	switch {
	case strings.HasPrefix(rest, "Ana looks at alert "):
		return s.look(atoi(strings.TrimPrefix(rest, "Ana looks at alert ")))
	case strings.HasPrefix(rest, "Ana sets "):
		made, err = s.sets(strings.TrimPrefix(rest, "Ana sets "))
	case strings.HasPrefix(rest, "Ana "):
		made, err = s.acts(strings.Fields(rest)[1:])
	default:
		made, err = s.arrive(strings.Split(rest, ";"))
	}
	s.tell(made)
	return err
}

// clock reads "08:10" of the current day.
func (s *scenario) clock(text string) (time.Time, error) {
	at, err := time.Parse("15:04", text)
	if err != nil {
		return time.Time{}, err
	}
	return epoch().AddDate(0, 0, s.day).Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute), nil
}

// limits reads "heart_rate default" or "heart_rate value yellow_high 101 margin 5, k 2 of 3, clear after 1".
func (s *scenario) limits(text string) error {
	metric, l, err := parseLimits(text)
	if err != nil {
		return err
	}
	s.rules = append(s.rules, alerts.Rule{
		ID: alerts.RuleID(len(s.rules) + 1), Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: metric,
		Versions: []alerts.Version{{Number: 1, EffectiveFrom: epoch().AddDate(-1, 0, 0), Enabled: true, Limit: l}},
	})
	return nil
}

func parseLimits(text string) (vital.Metric, alerts.Limit, error) {
	name, text, _ := strings.Cut(text, " ")
	metric, ok := vital.ParseMetric(name)
	if !ok {
		return 0, alerts.Limit{}, fmt.Errorf("no metric %q", name)
	}
	if text == "default" {
		for _, d := range alerts.Defaults() {
			if d.Metric == metric {
				return metric, d.Version.Limit, nil
			}
		}
		return 0, alerts.Limit{}, fmt.Errorf("%s has no default", name)
	}
	definition, _ := vital.Define(metric)
	l := alerts.Limit{Components: make([]alerts.Bounds, len(definition.Components)), K: 1, N: 1, ClearAfter: 2}
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		switch words[0] {
		case "k":
			l.K, l.N = atoi(words[1]), atoi(words[3])
		case "for": // for 10 min gap 5 min
			l.ForMinutes, l.GapMinutes = atoi(words[1]), atoi(words[4])
		case "clear":
			l.ClearAfter = atoi(words[2])
		default:
			i := slices.IndexFunc(definition.Components, func(c vital.Component) bool { return c.Code == words[0] })
			if i < 0 || len(words)%2 == 0 {
				return 0, l, fmt.Errorf("cannot read %q", part)
			}
			for pair := range slices.Chunk(words[1:], 2) {
				if err := setBound(&l.Components[i], pair[0], pair[1]); err != nil {
					return 0, l, err
				}
			}
		}
	}
	return metric, l, l.Check(metric)
}

func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1 // refused by Check
	}
	return n
}

func setBound(b *alerts.Bounds, name, text string) error {
	v, err := strconv.ParseFloat(text, 64)
	switch name {
	case "extreme_low":
		b.ExtremeLow = &v
	case "red_low":
		b.RedLow = &v
	case "yellow_low":
		b.YellowLow = &v
	case "yellow_high":
		b.YellowHigh = &v
	case "red_high":
		b.RedHigh = &v
	case "extreme_high":
		b.ExtremeHigh = &v
	case "margin":
		b.Margin = v
	default:
		return fmt.Errorf("no bound %q", name)
	}
	return err
}

// arrive reads "heart_rate 120" or "heart_rate 120 measured 07:00" or "... measured day 1 07:00", each also with "within 24h".
func (s *scenario) arrive(readings []string) ([]logged, error) {
	var points []alerts.Point
	for _, text := range readings {
		words := strings.Fields(text)
		metric, ok := vital.ParseMetric(words[0])
		if !ok || len(words) < 2 {
			return nil, fmt.Errorf("cannot read %q", text)
		}
		p := alerts.Point{Metric: metric, ReceivedAt: s.now}
		for v := range strings.SplitSeq(words[1], "/") {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return nil, err
			}
			p.Values = append(p.Values, f)
		}
		s.nextID++
		p.Mark = alerts.Mark{At: s.now, ID: s.nextID}
		if len(words) > 2 && words[2] == "by" {
			p.Sensor = vital.SensorID(atoi(strings.TrimPrefix(words[3], "scale")))
			words = slices.Delete(words, 2, 4)
		}
		if i := slices.Index(words, "within"); i > 0 && i+1 < len(words) {
			unsure, err := time.ParseDuration(words[i+1])
			if err != nil {
				return nil, err
			}
			p.Unsure, words = unsure, slices.Delete(words, i, i+2)
		}
		if len(words) > 2 {
			at, err := s.measured(words[3:])
			if err != nil {
				return nil, err
			}
			p.At = at
		}
		points = append(points, p)
	}
	return s.take(s.decider, s.now, 1, points...)
}

func (s *scenario) measured(words []string) (time.Time, error) {
	day := s.day
	defer func() { s.day = day }()
	if len(words) == 3 {
		s.day = atoi(words[1]) - 1
		words = words[2:]
	}
	return s.clock(words[0])
}

// acts reads "acknowledges alert 1", "acknowledges alert 1 until 09:00", "resolves alert 1, next none" and "resolves
// alert 1, next recheck at 10:00".
func (s *scenario) acts(words []string) ([]logged, error) {
	id := atoi(strings.TrimSuffix(words[2], ","))
	if id < 1 || id > len(s.episodes) {
		return nil, fmt.Errorf("there is no alert %d", id)
	}
	var at time.Time
	if i := slices.IndexFunc(words, func(w string) bool { return w == "at" || w == "until" }); i > 0 {
		var err error
		if at, err = s.measured(words[i+1:]); err != nil {
			return nil, err
		}
	}
	e := s.episodes[id-1]
	desk := &amending{scenario: s, episode: e}
	triage := alerts.Triage{Cases: desk, Now: func() time.Time { return s.now }}
	var err error
	switch {
	case words[0] == "acknowledges":
		_, err = triage.Acknowledge(context.Background(), ana(), e.UID, e.Version, at, "")
	case words[0] == "resolves" && len(words) > 4:
		_, err = triage.Resolve(context.Background(), ana(), e.UID, e.Version, alerts.NextStep(words[4]), at, "")
	case words[0] == "resolves":
		_, err = triage.Resolve(context.Background(), ana(), e.UID, e.Version, "", at, "")
	default:
		return nil, fmt.Errorf("Ana cannot do %q", words[0])
	}
	if err != nil {
		s.said = append(s.said, "  refused: "+fault.MessageOf(err))
	}
	return desk.made, nil
}

// look tells what an alert says of its worst and its latest reading.
func (s *scenario) look(id int) error {
	if id < 1 || id > len(s.episodes) {
		return fmt.Errorf("there is no alert %d", id)
	}
	e := s.episodes[id-1]
	said := func(which string, at alerts.Mark, values []float64, g *alerts.Grounds) {
		line := "  " + which + " " + valuesOf(values) + " at " + timeOf(at.At)
		if g != nil {
			line += ": " + g.Words(e.Metric)
		}
		s.said = append(s.said, line)
	}
	said("worst", e.Worst, e.WorstValues, e.WorstGrounds)
	said(fmt.Sprintf("latest, by version %d,", e.LastVersion), e.Last, e.LastValues, e.LastGrounds)
	return nil
}

// amending is the record of a scenario as Triage sees it.
type amending struct {
	alerts.Cases // what is not overridden is not called
	scenario     *scenario
	episode      *alerts.Episode
	made         []logged
}

func (a *amending) Alert(context.Context, account.Actor, vital.UID) (alerts.Alert, error) {
	return alerts.Alert{Episode: *a.episode, Relation: account.Relation{Team: true}}, nil
}

func (a *amending) Amend(ctx context.Context, actor account.Actor, uid vital.UID, decide alerts.Amendment) (alerts.Alert, []alerts.Event, error) {
	seen, err := a.Alert(ctx, actor, uid)
	if err != nil {
		return alerts.Alert{}, nil, err
	}
	entries, err := decide(seen, a.scenario.now)
	if err != nil {
		return alerts.Alert{}, nil, err
	}
	a.made = a.scenario.amend(a.episode, entries...)
	return alerts.Alert{Episode: *a.episode}, nil, nil
}

func (a *amending) Log(context.Context, account.Actor, vital.UID) ([]alerts.Entry, error) {
	return a.scenario.logs[a.episode.ID], nil
}

// sets reads "heart_rate off from 08:00" and "heart_rate value yellow_high 110 from 08:00".
func (s *scenario) sets(text string) ([]logged, error) {
	text, from, _ := strings.Cut(text, " from ")
	at, err := s.measured(strings.Fields(from))
	if err != nil {
		return nil, err
	}
	name, off := strings.CutSuffix(text, " off")
	if trend, is := strings.CutPrefix(name, "trend "); is {
		metric, t, err := s.parseTrend(trend)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(s.rules, func(r alerts.Rule) bool { return r.Key() == alerts.TrendOn(metric, t.Form()) })
		s.addVersion(i, alerts.Version{EffectiveFrom: at, Enabled: !off, Trend: &t, Author: ana().Staff, AuthorName: ana().Name})
		return s.take(s.decider, s.now, 1)
	}
	if off {
		text = name + " default"
	}
	metric, l, err := parseLimits(text)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.rules, func(r alerts.Rule) bool { return r.Key() == alerts.LimitOn(metric) })
	s.addVersion(i, alerts.Version{EffectiveFrom: at, Enabled: !off, Limit: l, Author: ana().Staff, AuthorName: ana().Name})
	return s.take(s.decider, s.now, 1)
}

// tell writes down what came of a line.
func (s *scenario) tell(made []logged) {
	for _, l := range made {
		s.said = append(s.said, fmt.Sprintf("  alert %d %s", l.alert, s.words(l.Entry, s.episodes[l.alert-1].Metric)))
	}
	for _, n := range s.notices[s.noticed:] {
		what := map[push.Topic]string{push.AlertOpened: "opened", push.AlertWorsened: "worsened", push.ContactNow: "contact now"}[n.Topic]
		s.said = append(s.said, fmt.Sprintf("  notice: %s, %s", what, n.Severity))
	}
	s.noticed = len(s.notices)
}

func (s *scenario) words(e alerts.Entry, metric vital.Metric) string {
	said := string(e.Kind)
	switch e.Kind {
	case alerts.EntryOpened, alerts.EntryOccurred, alerts.EntryWorsened:
		said += " " + e.Level.String()
		if !e.Reading.IsZero() {
			said += " by " + valuesOf(e.Values) + " at " + timeOf(e.Reading.At)
		}
		if e.Historic {
			said += " (historic)"
		}
		if e.Grounds != nil {
			said += ": " + e.Grounds.Words(metric)
		}
	case alerts.EntryCleared:
		if !e.Reading.IsZero() {
			said += " at " + timeOf(e.Reading.At)
		}
		if e.Closes {
			said += " and closed"
		}
		if e.Cause != alerts.CauseReturned && e.Note == "" {
			said += ", " + string(e.Cause)
		}
	case alerts.EntryAcknowledged:
		said += " by " + e.Actor.Name + " until " + timeOf(e.Until)
	case alerts.EntryResolved:
		said += " by " + e.Actor.Name + ", next " + string(e.NextStep)
		if !e.NextStepAt.IsZero() {
			said += " at " + timeOf(e.NextStepAt)
		}
	case alerts.EntryAnnotated:
		if e.Renews() {
			said += " " + e.Level.String() + " by " + valuesOf(e.Values) + " at " + timeOf(e.Reading.At)
		}
		if e.Grounds != nil {
			said += ": " + e.Grounds.Words(metric)
		}
	case alerts.EntryResumed, alerts.EntryNoted:
	}
	if e.Note != "" {
		said += ", " + e.Note
	}
	return said
}

func valuesOf(values []float64) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, strconv.FormatFloat(v, 'f', -1, 64))
	}
	return strings.Join(parts, "/")
}

func timeOf(at time.Time) string {
	if day := int(at.Sub(epoch()).Hours()/24) + 1; day > 1 {
		return fmt.Sprintf("day %d %s", day, at.Format("15:04"))
	}
	return at.Format("15:04")
}

// end writes down how everything stands.
func (s *scenario) end() {
	for _, e := range s.episodes {
		state := string(e.State)
		if e.State == alerts.Closed {
			state += " (" + string(e.Closing) + ")"
		}
		parts := []string{state, e.Level.String(), counted(e.Occurrences)}
		if e.Holds && e.State != alerts.Closed {
			parts = append(parts, "holds")
		}
		if e.State == alerts.Acknowledged && !e.AckInForce(s.now) {
			parts = append(parts, "nobody looks after it any more")
		}
		if e.Historic {
			parts = append(parts, "historic")
		}
		s.said = append(s.said, fmt.Sprintf("  alert %d: %s", e.ID, strings.Join(parts, ", ")))
	}
	for _, r := range s.rules {
		for _, i := range s.tracks[r.ID] {
			until := "still holds"
			if !i.Open() {
				until = "until " + timeOf(i.To.At)
			}
			s.said = append(s.said, fmt.Sprintf("  condition of %s: from %s %s, %s, %s", r.Key(), timeOf(i.From.At), until, i.Peak, counted(i.Count)))
		}
	}
}

func counted(n int) string {
	if n == 1 {
		return "1 reading"
	}
	return strconv.Itoa(n) + " readings"
}

// check checks what holds in every scenario: the track is that of the reference, the episodes are their logs.
func (s *scenario) check(t *testing.T) {
	t.Helper()
	for i := range s.rules {
		r := &s.rules[i]
		if diff := cmp.Diff(alerts.FoldAll(r, s.of(r.Metric)), s.tracks[r.ID], cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the track of %s differs from the reference (-want +got):\n%s", r.Key(), diff)
		}
	}
	for _, e := range s.episodes {
		for _, entry := range s.logs[e.ID] {
			if byHale := entry.Actor.Staff == 0; byHale != (entry.Evaluator == alerts.Evaluator) {
				t.Errorf("alert %d: entry %s was judged by evaluator %d", e.ID, entry.Kind, entry.Evaluator)
			}
		}
		if diff := cmp.Diff(alerts.FoldLog(*e, s.logs[e.ID]), *e); diff != "" {
			t.Errorf("alert %d is not what its log says (-log +alert):\n%s", e.ID, diff)
		}
	}
	if s.decider.Mended() > 0 {
		t.Error("a stored track did not follow from the stored readings")
	}
}
