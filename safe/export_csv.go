package safe

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"hale/account/identity"
	"hale/vital"
)

// table is a CSV file (RFC 4180) in UTF-8.
type table struct {
	csv *csv.Writer
	p   *part
}

func newTable(p *part, columns ...string) (*table, error) {
	t := &table{csv: csv.NewWriter(p), p: p}
	t.csv.UseCRLF = true
	if err := t.csv.Write(columns); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *table) row(cells ...string) error {
	t.p.rows++
	return t.csv.Write(cells)
}

func (t *table) end() error {
	t.csv.Flush()
	return t.csv.Error()
}

// plain keeps what a person wrote from being taken for a formula by a spreadsheet: it then begins with an apostrophe.
func plain(s string) string { return identity.GuardCell(s) }

// at writes a moment by the clock of the patient's home, with its offset from UTC; empty when it is not set.
func (e *Export) at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(vital.ZoneOrUTC(e.Holder.Zone)).Format(time.RFC3339Nano)
}

func float(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// canonical writes a value in the canonical unit: as it was sent when that is its unit, else with at most four decimals.
func canonical(sent vital.Quantity, value float64, unit vital.Unit) string {
	if sent.Unit == unit {
		return sent.String()
	}
	return Converted(value)
}

// Converted writes a value that was converted: with at most four decimals, which no sensor of ours exceeds [J].
func Converted(value float64) string {
	s := strconv.FormatFloat(value, 'f', 4, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func (e *Export) readingsCSV(ctx context.Context, p *part, page *page, counted func(func(*Reading) error) func(*Reading) error) error {
	t, err := newTable(p, "reading", "metric", "component", "value_sent", "unit_sent", "value", "unit", "measured_at", "sent_at", "received_at",
		"clock_offset_seconds", "device", "sensor", "findings")
	if err != nil {
		return err
	}
	err = e.readings(ctx, time.Time{}, counted(func(r *Reading) error {
		page.take(r)
		d, _ := vital.Define(r.Metric)
		for i, q := range r.Sent {
			if i >= len(d.Components) || i >= len(r.Values) {
				break
			}
			c := d.Components[i]
			err := t.row(strconv.FormatInt(r.ID, 10), d.Code, c.Code, q.String(), q.Unit.UCUM(), canonical(q, r.Values[i], c.Canonical), c.Canonical.UCUM(),
				e.at(r.MeasuredAt), e.at(r.SentAt), e.at(r.ReceivedAt), float(r.Offset().Seconds()), plain(r.Device), plain(r.Sensor), strings.Join(r.Findings.Names(), " "))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		return err
	}
	return t.end()
}

func joined(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = Converted(v)
	}
	return strings.Join(texts, "/")
}

func (e *Export) alertsCSV(ctx context.Context, p *part, page *page) error {
	t, err := newTable(p, "alert", "metric", "rule", "level", "state", "opened_at", "first_reading_at", "last_reading_at", "last_values", "readings",
		"arrived_late", "taken_by", "taken_at", "closed_at", "closing", "next_step", "next_step_at", "note", "last_retracted", "last_retracted_by", "last_retracted_at")
	if err != nil {
		return err
	}
	err = e.alerts(ctx, func(a *Alert) error {
		page.alert(a)
		return t.row(string(a.UID), a.Metric.String(), a.Rule, a.Level, a.State, e.at(a.OpenedAt), e.at(a.FirstAt), e.at(a.LastAt), joined(a.Last),
			strconv.Itoa(a.Readings), strconv.FormatBool(a.Historic), plain(a.TakenBy), e.at(a.TakenAt), e.at(a.ClosedAt), a.Closing, a.NextStep, e.at(a.NextStepT), plain(a.Note),
			a.Retracted, plain(a.RetractedBy), e.at(a.RetractedAt))
	})
	if err != nil {
		return err
	}
	return t.end()
}

func (e *Export) alertLogCSV(ctx context.Context, p *part) error {
	t, err := newTable(p, "alert", "at", "what", "by", "role", "reading_at", "values", "note")
	if err != nil {
		return err
	}
	err = e.alerts(ctx, func(a *Alert) error {
		for _, n := range a.Log {
			if err := t.row(string(a.UID), e.at(n.At), n.Kind, plain(n.By), n.Role, e.at(n.ReadingAt), joined(n.Values), plain(n.Note)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.end()
}

func (e *Export) looksCSV(ctx context.Context, p *part, page *page) error {
	t, err := newTable(p, "at", "who", "role", "what", "object", "detail", "emergency_reason", "in_words")
	if err != nil {
		return err
	}
	err = e.looks(ctx, func(l *Look) error {
		page.look(l)
		return t.row(e.at(l.At), plain(l.Name), string(l.Role), l.Action, plain(l.Object), plain(l.Detail), plain(l.Glass), l.Did(Theirs))
	})
	if err != nil {
		return err
	}
	return t.end()
}

// tables writes what the other tables of the record hold, one file each; one that holds nothing has its head line.
func (e *Export) tables(ctx context.Context, a *archive) error {
	all, err := e.exports.Book.TablesOf(ctx, e.actor, e.Holder.ID)
	if err != nil {
		return err
	}
	for _, one := range all {
		err := a.file("tables/"+one.Name+".csv", func(p *part) error {
			t, err := newTable(p, one.Columns...)
			if err != nil {
				return err
			}
			for _, cells := range one.Rows {
				for i := range cells {
					cells[i] = plain(e.told(one.Columns[i], cells[i]))
				}
				if err := t.row(cells...); err != nil {
					return err
				}
			}
			return t.end()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// recordTime is how the record writes a moment as text.
const recordTime = "2006-01-02 15:04:05.999999-07"

// told writes a cell of a table of the record as people read it: a moment by the clock of the home, a metric by its code.
func (e *Export) told(column, cell string) string {
	if n, err := strconv.ParseInt(cell, 10, 16); err == nil && column == "metric" {
		return vital.Metric(n).String()
	}
	if at, err := time.Parse(recordTime, cell); err == nil {
		return e.at(at)
	}
	return cell
}

func (e *Export) readme(w io.Writer) error {
	_, err := fmt.Fprintf(w, `This is a copy of one person's record, made by Hale on %s.

index.html     to read and to print; it works without a network
fhir.json      everything that FHIR R4 (4.0.1) has a form for, as one Bundle
readings.csv   each number that was measured: as it was sent, and in the usual unit
alerts.csv     the alerts; alert-log.csv tells what happened to each
looks.csv      who looked at the record or changed it, newest first
tables/        all else that is kept about the person, table by table
manifest.json  the files with their rows and SHA-256 hashes

Times are those of the person's home (%s), with the offset from UTC. CSV files are UTF-8 with commas. A text that begins
with = + - or @ has an apostrophe before it, so that no spreadsheet takes it for a formula.
`, e.at(e.At), e.Holder.Zone)
	return err
}
