package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
)

func TestDefaultLimitsShowWhereTheirNumbersComeFrom(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	d := alerts.Defaults()[0]
	own := d.Version
	own.Number, own.Author, own.AuthorName = 2, 3, "Nina"
	h.rule.Metric, h.rule.Versions = d.Metric, []alerts.Version{d.Version, own}
	versions := item(t, ask(t, s, "nurse", "GET", "/v1/patients/"+ana+"/limits", "").json(t)["rules"], 0)["versions"]
	grades, _ := item(t, versions, 0)["grades"].([]any)
	if len(grades) != len(d.Grades) {
		t.Fatalf("%d grades, want %d", len(grades), len(d.Grades))
	}
	g := d.Grades[0]
	want := map[string]any{"component": g.Component, "bound": g.Bound, "value": g.Value, "grade": g.Grade, "source": g.Source}
	if diff := cmp.Diff(want, grades[0]); diff != "" {
		t.Errorf("the first grade (-want +got):\n%s", diff)
	}
	if item(t, versions, 1)["grades"] != nil {
		t.Error("limits that a person set have grades")
	}
}
