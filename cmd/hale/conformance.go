package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hale/fault"
	"hale/ingest"
	"hale/ingest/formats"
	"hale/vital"
)

type conformanceCommand struct {
	Format string `arg:"" enum:"gatt,omh,fhir,news2" help:"What the vectors are of: gatt and news2 (a file each), omh (a tree schema/version/shouldPass or shouldFail), fhir (a folder of Observations)."`
	Path   string `arg:"" help:"The file or folder."`
}

// vector is what became of one vector. One that is old is as expected but for its time: before 2015 no device of Hale's measured anything,
// so that one which sent it would be refused.
type vector struct {
	name string
	ok   bool
	old  bool
	got  string
}

func (v *vector) verdict() string {
	switch {
	case !v.ok:
		return "MISS"
	case v.old:
		return "old"
	}
	return "ok"
}

// Run prints a table. That a vector is missed is an error, and so is a path without vectors.
func (c *conformanceCommand) Run(p *program) error {
	rows, err := conform(c.Format, c.Path, time.Now())
	if err != nil {
		return err
	}
	widest := 0
	for _, r := range rows {
		widest = max(widest, min(len(r.name), 90))
	}
	missed, old := 0, 0
	for _, r := range rows {
		if !r.ok {
			missed++
		} else if r.old {
			old++
		}
		fmt.Fprintf(p.out, "%-4s  %-*s  %s\n", r.verdict(), widest, r.name, r.got)
	}
	fmt.Fprintf(p.out, "%d of %d vectors as expected\n", len(rows)-missed, len(rows))
	if old > 0 {
		fmt.Fprintf(p.out, "%d of these have a time before 2015 (old): a device that sent it would be refused for that, and for nothing else\n", old)
	}
	switch {
	case len(rows) == 0:
		return fault.New(fault.Invalid, "%s holds no vectors", c.Path)
	case missed > 0:
		return fault.New(fault.Invalid, "%d of %d vectors are missed", missed, len(rows))
	}
	return nil
}

func conform(format, path string, now time.Time) ([]vector, error) {
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
		v := vector{}
		if format == "omh" {
			v = conformOMH(at, text, now)
		} else {
			v = conformFHIR(text, now)
		}
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
func conformOMH(path string, body []byte, now time.Time) vector {
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
		if _, err := v.taken(&m, now); err != nil {
			v.ok, v.got = false, v.got+": "+fault.MessageOf(err)
		}
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

// taken returns the measurements of a message as they are stored when a device sends it now. What would be refused is an error, unless it is
// for its time alone, which lies before 2015: then the vector is old, and they are as they would be stored otherwise.
func (v *vector) taken(m *formats.Message, now time.Time) ([]vital.Reading, error) {
	var all []vital.Reading
	for i := range m.Drafts {
		r, no := ingest.Judge(&m.Drafts[i], now)
		if no != nil && (no.Reason != vital.ReasonClock || vital.ClockPlausible(r.SentAt, r.SentAt)) {
			return nil, fault.New(fault.Invalid, "a device that sends it is refused: %s", no.Detail)
		}
		if no != nil {
			v.old, r.MeasuredAt = true, r.SentAt
			if r.More != nil {
				r.MeasuredAt = r.SentAt.Add(r.More.Clock.Offset)
			}
			r.FindAge()
		}
		all = append(all, r)
	}
	return all, nil
}

// schemasNotKept are names of schemas of Open mHealth whose bodies are well formed and no measurement that Hale keeps.
func schemasNotKept() []string {
	return []string{"body-fat-percentage", "body-height", "body-mass-index", "calories-burned", "minutes-moderate-activity", "physical-activity"}
}
