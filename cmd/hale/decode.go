package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"hale/fault"
	"hale/ingest"
	"hale/ingest/formats"
	"hale/vital"
)

type decodeCommand struct {
	Format string `required:"" placeholder:"FORMAT" help:"gatt:2A35 (any characteristic that Hale reads), omh (data points), omh:blood-pressure:4.0 (bodies), fhir, withings, gateway, or json (the wire of docs/wire.md)."`
	JSON   bool   `name:"json" help:"Print it as JSON."`
	File   string `arg:"" optional:"" default:"-" help:"File with one payload; - is standard input. Of gatt it is bytes, or hexadecimal digits."`
}

// Run prints the measurements of a payload, or the reasons why it holds none. That a part of it is refused is an error; a doubt is none.
func (c *decodeCommand) Run(p *program) error {
	payload, err := readSample(c.File, p.in)
	if err != nil {
		return err
	}
	m, err := decodeAs(p.ctx, c.Format, payload)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(p.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(messageJSON(&m)); err != nil {
			return fault.Wrap(fault.Internal, err, "the measurements cannot be written")
		}
	} else {
		printMessage(p, &m)
	}
	if n := len(m.Refused); n > 0 {
		return fault.New(fault.Invalid, "%d of %d refused", n, n+len(m.Drafts))
	}
	return nil
}

// decodeAs reads a payload in the format that is named, or in that of the wire.
func decodeAs(ctx context.Context, format string, payload []byte) (formats.Message, error) {
	if format == "json" {
		return nativeMessage(ctx, payload)
	}
	if strings.HasPrefix(format, "gatt:") {
		var err error
		if payload, err = hexOrBytes(payload); err != nil {
			return formats.Message{}, err
		}
	}
	m, err := formats.Read(format, payload)
	if err != nil {
		return m, fault.Wrap(fault.Invalid, err, "--format")
	}
	return m, nil
}

// hexOrBytes returns the bytes that hexadecimal digits write; what is anything else is the bytes themselves. What looks like digits and
// is mistyped is fault.Invalid: no payload of three bytes and more consists of letters and digits alone.
func hexOrBytes(payload []byte) ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == ':' || r == '-' {
			return -1
		}
		return r
	}, string(payload))
	digits = strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X")
	b, err := hex.DecodeString(digits)
	if err == nil && digits != "" {
		return b, nil
	}
	const shortest = 3
	other := func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	if len(digits) < shortest || strings.ContainsFunc(digits, other) {
		return payload, nil
	}
	at := strings.IndexFunc(digits, func(r rune) bool { return !unicode.Is(unicode.ASCII_Hex_Digit, r) })
	if at < 0 {
		return nil, fault.New(fault.Invalid, "this is no hexadecimal: it has %d digits, and two make a byte", len(digits))
	}
	return nil, fault.New(fault.Invalid, "this is no hexadecimal: digit %d is %q", at+1, digits[at])
}

// draftWords tells a measurement on one line: what was sent, and in brackets what it is compared as.
func draftWords(d *formats.Draft) string {
	def, _ := vital.Define(d.Metric)
	var sent, canonical []string
	for i, q := range d.Measured() {
		c := def.Components[i]
		v, _ := q.To(c.Canonical)
		sent = append(sent, fmt.Sprintf("%s %s %s", c.Code, q, q.Unit.UCUM()))
		canonical = append(canonical, fmt.Sprintf("%.6g %s", v, c.Canonical.UCUM()))
	}
	text := fmt.Sprintf("%s: %s (%s)", d.Metric, strings.Join(sent, ", "), strings.Join(canonical, ", "))
	if len(sent) == 0 {
		text = d.Metric.String() + ": no number"
	}
	text += ", " + sentTime(d.Time)
	if d.HasSequence {
		text += fmt.Sprintf(", sequence %d", d.Sequence)
	}
	if d.HasSlot && d.Slot == 255 {
		text += ", user not known"
	} else if d.HasSlot {
		text += fmt.Sprintf(", user %d", d.Slot)
	}
	if s := standingWord(d.Standing); s != "final" {
		text += ", " + strings.ReplaceAll(s, "_", " ")
	}
	if names := d.Findings.Names(); len(names) > 0 {
		text += ", " + strings.Join(names, ", ")
	}
	return text
}

func standingWord(s vital.Standing) string {
	switch s {
	case vital.Final:
		return "final"
	case vital.Amended:
		return "amended"
	case vital.EnteredInError:
		return "entered_in_error"
	case vital.Summary:
		return "summary"
	}
	return "unknown"
}

// timeWords tells a time as it was sent.
func sentTime(t formats.Time) string {
	if t.At.IsZero() {
		return "time not known"
	}
	text := "at " + measuredAt(t.At, t)
	if !t.Until.IsZero() {
		text += " to " + measuredAt(t.Until, t)
	}
	if t.Local && t.Precision == formats.Exact {
		text += " by its own clock"
	}
	return text
}

func measuredAt(at time.Time, t formats.Time) string {
	switch t.Precision {
	case formats.ToDay:
		return at.Format(time.DateOnly)
	case formats.ToMonth:
		return at.Format("2006-01")
	case formats.ToYear:
		return at.Format("2006")
	case formats.Exact:
	}
	if t.Local {
		return at.Format("2006-01-02T15:04:05")
	}
	return at.Format(time.RFC3339Nano)
}

// doubt says why a device would be refused that sent it now, though it is well formed: a number that nobody can have, a time that cannot be.
// It is empty when it would be taken.
func doubt(d *formats.Draft) string {
	if _, no := ingest.Judge(d, time.Now()); no != nil {
		return no.Detail
	}
	return ""
}

func printMessage(p *program, m *formats.Message) {
	for i := range m.Drafts {
		d := &m.Drafts[i]
		fmt.Fprintf(p.out, "%3d  %s\n", i+1, draftWords(d))
		if d.Identifier != "" {
			fmt.Fprintf(p.out, "     name  %s\n", d.Identifier)
		}
		printFacts(p, d.Facts)
		if why := doubt(d); why != "" {
			fmt.Fprintf(p.out, "     DOUBT  it would be kept apart: %s\n", why)
		}
	}
	for i, r := range m.Refused {
		if i > 0 && r.Draft != nil && m.Refused[i-1].Draft != nil && r.Index == m.Refused[i-1].Index && r.Detail == m.Refused[i-1].Detail && r.Beyond == m.Refused[i-1].Beyond {
			continue // another measurement of what is refused as a whole
		}
		word := "REFUSED"
		if r.NotKept {
			word = "NOT KEPT"
		}
		fmt.Fprintf(p.out, "     %s  element %d: %s: %s\n", word, r.Index, r.Reason, r.Detail)
		switch r.Beyond {
		case vital.Above:
			fmt.Fprintln(p.out, "     the device found it higher than it can measure")
		case vital.Below:
			fmt.Fprintln(p.out, "     the device found it lower than it can measure")
		case vital.Under:
			fmt.Fprintln(p.out, "     the number is a bound: it was measured below it")
		case vital.Over:
			fmt.Fprintln(p.out, "     the number is a bound: it was measured above it")
		}
		if r.Draft != nil {
			printFacts(p, r.Draft.Facts)
		}
	}
	if c := m.Context; c != nil {
		fmt.Fprintf(p.out, "     beside the measurement with sequence %d\n", c.Sequence)
		printFacts(p, c.Facts)
	}
	printFacts(p, m.Facts)
}

func printFacts(p *program, facts []vital.Fact) {
	for _, f := range facts {
		fmt.Fprintf(p.out, "     %s  %s\n", f.Name, f.Value)
	}
}
