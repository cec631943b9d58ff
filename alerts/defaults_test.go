package alerts_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

func TestDefaultsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	want := table(t, filepath.Join("testdata", "defaults.csv"))
	got := [][]string{{"metric", "component", "bound", "value", "grade"}}
	for _, d := range alerts.Defaults() {
		for _, g := range d.Grades {
			got = append(got, []string{d.Metric.String(), g.Component, g.Bound, strconv.FormatFloat(g.Value, 'f', -1, 64), g.Grade})
		}
		if l := d.Version.Limit; l.K != 1 || l.N != 1 || l.ClearAfter != 2 || !d.Version.Enabled {
			t.Errorf("%s: %d of %d, clear after %d, enabled %v", d.Metric, l.K, l.N, l.ClearAfter, d.Version.Enabled)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-table +code):\n%s", diff)
	}
}

// TestGradesAreOfTheBoundsInForce checks that the numbers with their grades are the ones that judge.
func TestGradesAreOfTheBoundsInForce(t *testing.T) {
	t.Parallel()
	for _, d := range alerts.Defaults() {
		graded := map[string]float64{}
		for _, g := range d.Grades {
			graded[g.Component+" "+g.Bound] = g.Value
		}
		definition, _ := vital.Define(d.Metric)
		judging := map[string]float64{}
		for i := range d.Version.Limit.Components {
			for name, p := range boundsOf(&d.Version.Limit.Components[i]) {
				if p != nil {
					judging[definition.Components[i].Code+" "+name] = *p
				}
			}
			if m := d.Version.Limit.Components[i].Margin; m != 0 {
				judging[definition.Components[i].Code+" margin"] = m
			}
		}
		if diff := cmp.Diff(graded, judging); diff != "" {
			t.Errorf("%s (-graded +judging):\n%s", d.Metric, diff)
		}
	}
}

func boundsOf(b *alerts.Bounds) map[string]*float64 {
	return map[string]*float64{
		"extreme_low": b.ExtremeLow, "red_low": b.RedLow, "yellow_low": b.YellowLow,
		"yellow_high": b.YellowHigh, "red_high": b.RedHigh, "extreme_high": b.ExtremeHigh,
	}
}

// TestDefaultsAreThoseOfTheClinicalTable compares with the clinical reference, which lies beside the repository where
// the limits are worked on. Elsewhere the table in testdata stands alone.
func TestDefaultsAreThoseOfTheClinicalTable(t *testing.T) {
	t.Parallel()
	shared := filepath.Join("..", "..", "shared")
	if _, err := os.Stat(shared); errors.Is(err, fs.ErrNotExist) {
		fmt.Println("no clinical reference beside the repository: the defaults were compared with testdata/defaults.csv only")
		return
	}
	rows := table(t, filepath.Join(shared, "clinical", "vitals.csv"))
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	byCode := map[string][]string{}
	for _, row := range rows[1:] {
		byCode[row[column["code"]]] = row
	}
	compared := 0
	for _, d := range alerts.Defaults() {
		definition, _ := vital.Define(d.Metric)
		for i := range d.Version.Limit.Components {
			code := definition.Code
			switch name := definition.Components[i].Code; {
			case d.Metric == vital.BloodPressure && name == "pulse":
				continue // has no bounds of its own, see TestDefaultsAreThoseOfTheTable
			case d.Metric == vital.BloodPressure:
				code = "bp_" + name
			case d.Metric == vital.OxygenSat:
				code = "spo2"
			case d.Metric == vital.GlucosePostMeal:
				code = "glucose_postmeal"
			}
			row, ok := byCode[code]
			if !ok {
				t.Errorf("the clinical table has no %s", code)
				continue
			}
			for name, p := range boundsOf(&d.Version.Limit.Components[i]) {
				compared++
				text := row[column[name]]
				want, err := strconv.ParseFloat(text, 64)
				if (text == "") != (p == nil) || p != nil && (err != nil || *p != want) {
					t.Errorf("%s %s: the clinical table says %q, the default is %s", code, name, text, said(p))
				}
			}
		}
	}
	if want := 6 * 12; compared != want {
		t.Errorf("%d bounds compared, want %d", compared, want)
	}
}

func said(p *float64) string {
	if p == nil {
		return "none"
	}
	return strconv.FormatFloat(*p, 'f', -1, 64)
}

func table(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clip(rows)
}

func TestOnlyDefaultsHaveGrades(t *testing.T) {
	t.Parallel()
	d := alerts.Defaults()[0]
	own, other := d.Version, d.Version
	own.Author = 3
	other.Limit.ClearAfter = 1
	for name, c := range map[string]struct {
		version alerts.Version
		want    int
	}{
		"the default": {d.Version, len(d.Grades)}, "what a person set": {own, 0}, "a default of earlier": {other, 0},
	} {
		if got := alerts.GradesOf(d.Metric, &c.version); len(got) != c.want {
			t.Errorf("%s has %d grades, want %d", name, len(got), c.want)
		}
	}
}
