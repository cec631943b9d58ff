package edge

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"hale/vital"
)

// metricRows returns the rows of the table of metrics in docs/wire.md, as vital defines them.
func metricRows() []string {
	var rows []string
	for _, d := range vital.Metrics() {
		for _, c := range d.Components {
			units := make([]string, len(c.Accepted))
			for i, u := range c.Accepted {
				units[i] = "`" + u.UCUM() + "`"
			}
			field := "`" + c.Code + "`"
			if c.Optional {
				field += " (optional)"
			}
			number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s to %s |", d.Code, d.Display, field, strings.Join(units, ", "), number(c.Min), number(c.Max)))
		}
	}
	return rows
}

func TestTheDocumentedMetricsAreTheOnesWeKnow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| metric | what it is | field | units | plausible, in the first unit |\n|---|---|---|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if want := strings.Join(metricRows(), "\n"); !found || !ended || table != want {
		t.Errorf("the table of metrics in docs/wire.md should read:\n%s", want)
	}
}
