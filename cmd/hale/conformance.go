package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hale/fault"
	"hale/fhir"
	"hale/ingest/formats"
	"hale/vital"
)

type conformanceCommand struct {
	Format string `arg:"" enum:"gatt,omh,fhir,news2" help:"What the vectors are of: gatt and news2 (a file each), omh (a tree schema/version/shouldPass or shouldFail), fhir (a folder of Observations)."`
	Path   string `arg:"" help:"The file or folder."`
}

// vector is what became of one vector.
type vector struct {
	name string
	ok   bool
	got  string
}

// Run prints a table. That a vector is missed is an error, and so is a path without vectors.
func (c *conformanceCommand) Run(p *program) error {
	rows, err := conform(c.Format, c.Path)
	if err != nil {
		return err
	}
	widest := 0
	for _, r := range rows {
		widest = max(widest, min(len(r.name), 90))
	}
	missed := 0
	for _, r := range rows {
		verdict := "ok"
		if !r.ok {
			verdict = "MISS"
			missed++
		}
		fmt.Fprintf(p.out, "%-4s  %-*s  %s\n", verdict, widest, r.name, r.got)
	}
	fmt.Fprintf(p.out, "%d of %d vectors as expected\n", len(rows)-missed, len(rows))
	switch {
	case len(rows) == 0:
		return fault.New(fault.Invalid, "%s holds no vectors", c.Path)
	case missed > 0:
		return fault.New(fault.Invalid, "%d of %d vectors are missed", missed, len(rows))
	}
	return nil
}

func conform(format, path string) ([]vector, error) {
	if inOneFile := map[string]func([]byte) ([]vector, error){"gatt": conformGATT, "news2": conformNEWS2}[format]; inOneFile != nil {
		text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the vectors cannot be read")
		}
		return inOneFile(text)
	}
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the vectors cannot be read")
	}
	var rows []vector
	err = filepath.WalkDir(root, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(at) != ".json" {
			return err
		}
		text, err := os.ReadFile(at) //nolint:gosec // below the folder that the operator names
		if err != nil {
			return err
		}
		row := conformFHIR
		if format == "omh" {
			row = func(text []byte) vector { return conformOMH(at, text) }
		}
		v := row(text)
		if v.name, err = filepath.Rel(root, at); err != nil || v.name == "." {
			v.name = filepath.Base(at)
		}
		rows = append(rows, v)
		return nil
	})
	return rows, fault.Wrap(fault.Invalid, err, "the vectors cannot be read")
}

// messageWords tells a message on one line.
func messageWords(m *formats.Message) string {
	var all []string
	for i := range m.Drafts {
		all = append(all, draftWords(&m.Drafts[i]))
	}
	for _, r := range m.Refused {
		all = append(all, "refused: "+r.Detail)
	}
	facts := m.Facts
	if c := m.Context; c != nil {
		all = append(all, fmt.Sprintf("beside sequence %d", c.Sequence))
		facts = append(slices.Clone(facts), c.Facts...)
	}
	for _, f := range facts {
		all = append(all, f.Name+" "+f.Value)
	}
	return strings.Join(all, " | ")
}

// noneKept reports whether a message holds nothing but what is well formed and no measurement that Hale keeps.
func noneKept(m *formats.Message) bool {
	for _, r := range m.Refused {
		if !r.NotKept {
			return false
		}
	}
	return len(m.Drafts) == 0 && len(m.Refused) > 0
}

// conformOMH holds a body against the folder in which it lies: schema/version/shouldPass or shouldFail.
func conformOMH(path string, body []byte) vector {
	parts := strings.Split(filepath.ToSlash(path), "/")
	if len(parts) < 4 {
		return vector{got: "it lies in no folder schema/version/shouldPass or shouldFail"}
	}
	schema := formats.Schema{Name: parts[len(parts)-4], Version: parts[len(parts)-3]}
	m := formats.OpenMHealth(body, schema)
	v := vector{got: messageWords(&m)}
	for _, r := range m.Refused {
		notKept := r.Field == "schema_id.name" && parts[len(parts)-2] == "shouldPass" && slices.Contains(schemasNotKept(), schema.Name)
		if !notKept && (r.Field == "schema_id.name" || r.Field == "schema_id.version") {
			return v // of a folder whose schema is not read nothing is proved
		}
	}
	switch parts[len(parts)-2] {
	case "shouldPass":
		v.ok = len(m.Drafts) == 1 && len(m.Refused) == 0 || noneKept(&m)
	case "shouldFail":
		v.ok = len(m.Drafts) == 0 && len(m.Refused) > 0
		for _, r := range m.Refused {
			v.ok = v.ok && r.Field != "" // the reason must name the field
		}
	default:
		v.got = "it lies in no folder schema/version/shouldPass or shouldFail"
	}
	return v
}

// schemasNotKept are names of schemas of Open mHealth whose bodies are well formed and no measurement that Hale keeps.
func schemasNotKept() []string {
	return []string{"body-fat-percentage", "body-height", "body-mass-index", "calories-burned", "minutes-moderate-activity", "physical-activity"}
}

// conformFHIR reads a resource, writes what it read, and reads that: it must mean the same. What is no measurement that Hale keeps
// must be refused with a reason.
func conformFHIR(text []byte) vector {
	m := formats.FHIR(text)
	v := vector{got: messageWords(&m), ok: len(m.Drafts) > 0 || noneKept(&m)}
	for _, r := range m.Refused {
		v.ok = v.ok && r.NotKept && r.Detail != ""
	}
	sent := quantitiesOf(text)
	for i := range m.Drafts {
		d := &m.Drafts[i]
		for _, q := range d.Measured() {
			if !slices.Contains(sent, q) {
				return vector{got: fmt.Sprintf("%s %s is not what was sent: %s", q, q.Unit.UCUM(), v.got)}
			}
		}
		o, err := formats.Observation(d)
		if err != nil {
			return vector{got: "it cannot be written again: " + fault.MessageOf(err)}
		}
		out, err := json.Marshal(o)
		if err != nil {
			return vector{got: "it cannot be written again: " + err.Error()}
		}
		again := formats.FHIR(out)
		if len(again.Drafts) != 1 || len(again.Refused) > 0 || !formats.Same(d, &again.Drafts[0]) {
			return vector{got: v.got + " came back as " + messageWords(&again)}
		}
	}
	return v
}

// quantitiesOf finds the amounts of a resource without knowing what it is: whatever object has a value and a code of UCUM, and
// whatever stands as valueInteger.
func quantitiesOf(text []byte) []vital.Quantity {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var root any
	if d.Decode(&root) != nil {
		return nil
	}
	var found []vital.Quantity
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			number, ok := v["value"].(json.Number)
			code, _ := v["code"].(string)
			units := []vital.Unit{}
			if u, known := fhir.UnitOf(code); known && ok {
				units = append(units, u)
			}
			if whole, is := v["valueInteger"].(json.Number); is {
				number, units = whole, []vital.Unit{vital.Steps, vital.Score}
			}
			if m, e, err := vital.ParseDecimal(number.String()); err == nil {
				for _, u := range units {
					found = append(found, vital.Quantity{Mantissa: m, Exponent: e, Unit: u})
					if u == vital.Fraction { // a count may be written as 1
						found = append(found, vital.Quantity{Mantissa: m, Exponent: e, Unit: vital.Steps}, vital.Quantity{Mantissa: m, Exponent: e, Unit: vital.Score})
					}
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(root)
	return found
}
