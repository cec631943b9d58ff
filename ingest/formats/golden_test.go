package formats_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/ingest/formats"
	"hale/vital"
)

// golden runs the cases of a file: each is a name behind #, what is sent, and behind -> what it must become, line by line.
func golden(t *testing.T, path string, read func(t *testing.T, given string) formats.Message) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split("\n"+string(text), "\n# ")[1:]
	if len(cases) < 10 {
		t.Fatalf("%s holds %d cases", path, len(cases))
	}
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		var given, want []string
		for line := range strings.Lines(rest) {
			line = strings.TrimSuffix(line, "\n")
			if expected, ok := strings.CutPrefix(line, "-> "); ok {
				want = append(want, expected)
			} else {
				given = append(given, line)
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(want) == 0 {
				t.Fatal("the case expects nothing")
			}
			m := read(t, strings.TrimSpace(strings.Join(given, "\n")))
			sound(t, m)
			if diff := cmp.Diff(strings.Join(want, "\n"), told(m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// goldenInputs returns what is sent in the cases of a file, as seeds.
func goldenInputs(tb testing.TB, path string) []string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, c := range strings.Split("\n"+string(text), "\n# ")[1:] {
		_, rest, _ := strings.Cut(c, "\n")
		given, _, _ := strings.Cut(rest, "\n-> ")
		all = append(all, given)
	}
	return all
}

// told writes a message as a person reads it: one line for each measurement and refusal.
func told(m formats.Message) string {
	var lines []string
	for _, d := range m.Drafts {
		lines = append(lines, draftLine(d))
	}
	for _, r := range m.Refused {
		line := fmt.Sprintf("refused %s: %s", r.Reason, r.Detail)
		if r.NotKept {
			line += " [not kept]"
		}
		if r.Beyond != 0 {
			line += fmt.Sprintf(" [beyond %+d]", r.Beyond)
		}
		lines = append(lines, line)
	}
	for _, f := range m.Facts {
		lines = append(lines, "device "+f.Name+"="+f.Value)
	}
	if c := m.Context; c != nil {
		lines = append(lines, fmt.Sprintf("context of %d: %s %v", c.Sequence, c.Metric, c.Facts))
	}
	return strings.Join(lines, "\n")
}

func draftLine(d formats.Draft) string {
	words := []string{d.Metric.String()}
	for _, q := range d.Measured() {
		words = append(words, q.String()+" "+q.Unit.UCUM())
	}
	if at := d.Time.At; !at.IsZero() {
		form := time.RFC3339Nano
		switch d.Time.Precision {
		case formats.ToDay:
			form = time.DateOnly
		case formats.ToMonth:
			form = "2006-01"
		case formats.ToYear:
			form = "2006"
		case formats.Exact:
		}
		if d.Time.Local {
			form = strings.TrimSuffix(form, "Z07:00")
		}
		words = append(words, "at "+at.Format(form))
		if !d.Time.Until.IsZero() {
			words = append(words, "until "+d.Time.Until.Format(form))
		}
	}
	if d.HasSequence {
		words = append(words, fmt.Sprintf("seq %d", d.Sequence))
	}
	if d.HasSlot {
		words = append(words, fmt.Sprintf("slot %d", d.Slot))
	}
	words = append(words, d.Findings.Names()...)
	if d.Standing != vital.Final {
		words = append(words, fmt.Sprintf("standing %d", d.Standing))
	}
	if d.Identifier != "" {
		words = append(words, "id "+d.Identifier)
	}
	for _, f := range d.Facts {
		words = append(words, f.Name+"="+f.Value)
	}
	return strings.Join(words, "; ")
}

// sound holds for whatever a decoder returns.
func sound(t *testing.T, m formats.Message) {
	t.Helper()
	if len(m.Drafts)+len(m.Refused)+len(m.Facts) == 0 && m.Context == nil {
		t.Fatal("neither a measurement nor a reason")
	}
	for _, d := range m.Drafts {
		def, ok := vital.Define(d.Metric)
		if !ok || d.N == 0 && d.Standing != vital.EnteredInError || int(d.N) > len(def.Components) {
			t.Fatalf("no measurement: %+v", d)
		}
		for i, q := range d.Measured() {
			if _, fits := q.To(def.Components[i].Canonical); !fits {
				t.Fatalf("%s in %s", def.Components[i].Code, q.Unit.UCUM())
			}
			if _, _, err := vital.ParseDecimal(q.String()); err != nil {
				t.Fatalf("%s is no number: %v", q, err)
			}
		}
		if d.Time.Local && d.Time.At.Location() != time.UTC {
			t.Fatalf("local digits in %s", d.Time.At.Location())
		}
		if d.Standing == vital.Amended && d.Identifier == "" {
			t.Fatal("an amendment of nothing")
		}
	}
	for _, r := range m.Refused {
		if r.Detail == "" || r.Reason == "" || r.Field != "" && !strings.HasPrefix(r.Detail, r.Field) {
			t.Fatalf("a refusal without a reason: %+v", r)
		}
		if r.Draft == nil || r.Draft.N == 0 {
			continue
		}
		if def, ok := vital.Define(r.Draft.Metric); !ok || int(r.Draft.N) > len(def.Components) {
			t.Fatalf("what was read of it is no measurement: %+v", r.Draft)
		}
	}
}
