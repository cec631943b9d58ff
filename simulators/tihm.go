package simulators

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"time"
)

// The TIHM data set (DOI 10.5281/zenodo.7622128): real home monitoring of older people, with the alerts that a
// clinical team validated. It is read from a folder that the user downloaded; nothing of it is part of Hale.

// tihmZone is where the people of the data set live; Physiology.csv gives wall-clock times without a zone.
const tihmZone = "Europe/London"

// Recording is a data set that can be replayed.
type Recording struct {
	People []Recorded
	Labels []Label
	Zone   *time.Location
	Rows   int // rows of the source that the messages carry
}

// Recorded is one person of a recording with their messages in order of time.
type Recorded struct {
	Key       string // the data set's own name for the person
	BirthYear int    // middle of the age band at the time; 0 when not known
	Sex       string
	Messages  []Message
}

// Message is one reading as the wire takes it.
type Message struct {
	At     time.Time
	Metric string
	Body   []byte // one JSON object, see docs/wire.md
	Rows   int    // rows of the source that it carries
}

// Label is an alert that people validated: a kind of trouble of a person at a time.
type Label struct {
	Key  string
	At   time.Time
	Type string
}

type tihmMetric struct {
	metric, unit string
}

func tihmDevice(deviceType string) (m tihmMetric, ok bool) {
	switch deviceType {
	case "Body Temperature":
		return tihmMetric{"body_temperature", "Cel"}, true
	case "Skin Temperature":
		return tihmMetric{"skin_temperature", "Cel"}, true
	case "Body weight":
		return tihmMetric{"body_weight", "kg"}, true
	case "O/E - muscle mass":
		return tihmMetric{"muscle_mass", "kg"}, true
	case "Total body water":
		return tihmMetric{"body_water", "%"}, true
	case "Heart rate":
		return tihmMetric{"heart_rate", "/min"}, true
	}
	return tihmMetric{}, false
}

const (
	tihmSystolic  = "Systolic blood pressure"
	tihmDiastolic = "Diastolic blood pressure"
	tihmPulse     = "Heart rate"
	tihmTime      = "2006-01-02 15:04:05"
)

// ReadTIHM reads a folder in the layout of the TIHM data set: Physiology.csv, and Demographics.csv and Labels.csv
// where they are there. Blood pressure comes as rows of one timestamp and is joined into one reading; a heart rate
// beside it is its pulse and also a reading of its own. Errors name the file and the line.
func ReadTIHM(dir string) (*Recording, error) {
	zone, err := time.LoadLocation(tihmZone)
	if err != nil {
		return nil, fmt.Errorf("load the time zone %s: %w", tihmZone, err)
	}
	rec := &Recording{Zone: zone}
	people := map[string]*Recorded{}
	if err := rec.readPhysiology(filepath.Join(dir, "Physiology.csv"), people); err != nil {
		return nil, err
	}
	if err := readDemographics(filepath.Join(dir, "Demographics.csv"), people); err != nil {
		return nil, err
	}
	if err := rec.readLabels(filepath.Join(dir, "Labels.csv")); err != nil {
		return nil, err
	}
	for _, p := range people {
		sort.SliceStable(p.Messages, func(i, j int) bool { return p.Messages[i].At.Before(p.Messages[j].At) })
		rec.People = append(rec.People, *p)
	}
	sort.Slice(rec.People, func(i, j int) bool { return rec.People[i].Key < rec.People[j].Key })
	return rec, nil
}

// reading collects the rows of one blood pressure.
type pressure struct {
	person, wall               string
	systolic, diastolic, pulse string
}

func (rec *Recording) readPhysiology(path string, people map[string]*Recorded) error {
	pressures := map[[2]string]*pressure{}
	var order [][2]string
	at := func(person, wall string) *pressure {
		k := [2]string{person, wall}
		if pressures[k] == nil {
			pressures[k] = &pressure{person: person, wall: wall}
			order = append(order, k)
		}
		return pressures[k]
	}
	err := readCSV(path, []string{"patient_id", "date", "device_type", "value", "unit"}, func(row []string) error {
		person, wall, kind, value, unit := row[0], row[1], row[2], row[3], row[4]
		rec.Rows++
		if people[person] == nil {
			people[person] = &Recorded{Key: person, Sex: "unknown"}
		}
		switch kind {
		case tihmSystolic:
			at(person, wall).systolic = value
			return nil
		case tihmDiastolic:
			at(person, wall).diastolic = value
			return nil
		case tihmPulse:
			at(person, wall).pulse = value
		}
		m, ok := tihmDevice(kind)
		if !ok {
			return fmt.Errorf("unknown device_type %q", kind)
		}
		if unit == "" {
			unit = m.unit
		}
		return rec.add(people[person], wall, m.metric, 1, map[string]any{"value": json.Number(value), "unit": unit})
	})
	if err != nil {
		return err
	}
	for _, k := range order {
		p := pressures[k]
		if p.systolic == "" && p.diastolic == "" {
			continue // a heart rate alone
		}
		fields := map[string]any{"unit": "mm[Hg]"}
		rows := 0
		for name, v := range map[string]string{"systolic": p.systolic, "diastolic": p.diastolic, "pulse": p.pulse} {
			if v == "" {
				continue
			}
			fields[name] = json.Number(v)
			if name != "pulse" {
				rows++
			}
		}
		if err := rec.add(people[p.person], p.wall, "blood_pressure", rows, fields); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (rec *Recording) add(p *Recorded, wall, metric string, rows int, fields map[string]any) error {
	t, err := wallClock(wall, rec.Zone)
	if err != nil {
		return err
	}
	fields["metric"] = metric
	fields["time"] = t.Format(time.RFC3339)
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("value is no number: %w", err)
	}
	p.Messages = append(p.Messages, Message{At: t.UTC(), Metric: metric, Body: body, Rows: rows})
	return nil
}

// wallClock reads a local time without a zone. In the hour that a clock change repeats the first pass is taken; a
// time in the hour that it leaves out is read with the offset from before the change. (time.Date promises neither.)
func wallClock(wall string, zone *time.Location) (time.Time, error) {
	naive, err := time.Parse(tihmTime, wall)
	if err != nil {
		return time.Time{}, fmt.Errorf("date %q is not of the form %s", wall, tihmTime)
	}
	_, before := naive.Add(-24 * time.Hour).In(zone).Zone()
	return naive.Add(-time.Duration(before) * time.Second).In(zone).Add(shift(naive, zone, before)), nil
}

// shift corrects an instant made with yesterday's offset when another offset holds at the wall-clock time itself.
func shift(naive time.Time, zone *time.Location, before int) time.Duration {
	guess := naive.Add(-time.Duration(before) * time.Second).In(zone)
	if guess.Format(tihmTime) == naive.Format(tihmTime) {
		return 0
	}
	_, after := guess.Zone()
	other := naive.Add(-time.Duration(after) * time.Second).In(zone)
	if other.Format(tihmTime) == naive.Format(tihmTime) {
		return time.Duration(before-after) * time.Second
	}
	return 0 // in the gap: the offset from before the change
}

func readDemographics(path string, people map[string]*Recorded) error {
	band := regexp.MustCompile(`(\d+)\D+(\d+)`)
	err := readCSV(path, []string{"patient_id", "age", "sex"}, func(row []string) error {
		p := people[row[0]]
		if p == nil {
			return nil
		}
		if m := band.FindStringSubmatch(row[1]); m != nil {
			low, _ := strconv.Atoi(m[1])  // digits by the expression
			high, _ := strconv.Atoi(m[2]) // digits by the expression
			p.BirthYear = 2019 - (low+high)/2
		}
		switch row[2] {
		case "Female":
			p.Sex = "female"
		case "Male":
			p.Sex = "male"
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// readLabels reads the validated alerts; their times are UTC (they then follow the readings by some 17 minutes,
// which is what the original batch took).
func (rec *Recording) readLabels(path string) error {
	err := readCSV(path, []string{"patient_id", "date", "type"}, func(row []string) error {
		t, err := time.Parse(tihmTime, row[1])
		if err != nil {
			return fmt.Errorf("date %q is not of the form %s", row[1], tihmTime)
		}
		rec.Labels = append(rec.Labels, Label{Key: row[0], At: t, Type: row[2]})
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func readCSV(path string, want []string, f func(row []string) error) error {
	file, err := os.Open(path) //nolint:gosec // the user names the folder
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	r := csv.NewReader(file)
	r.FieldsPerRecord = len(want)
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("%s: read the heading: %w", path, err)
	}
	for i, name := range want {
		if head[i] != name {
			return fmt.Errorf("%s: column %d is %q, want %q", path, i+1, head[i], name)
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := f(row); err != nil {
			line, _ := r.FieldPos(0)
			return fmt.Errorf("%s line %d: %w", path, line, err)
		}
	}
}
