package api_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// EachReading tells of a saturation of 94 % on each of the twenty mornings before noon's day.
func (h *house) EachReading(_ context.Context, _ account.Actor, _ vital.UID, m vital.Metric, from, to time.Time, take func(*alerts.Point)) error {
	for ago := range 20 {
		p := alerts.Point{Mark: alerts.Mark{At: noon().AddDate(0, 0, -1-ago), ID: int64(ago)}, Metric: m, Values: []float64{94}}
		if !p.At.Before(from) && p.At.Before(to) {
			take(&p)
		}
	}
	return nil
}

// TestTheExampleOfWhatIsUsualIsTaken sends the file that the documentation shows, and some that are not to be taken.
func TestTheExampleOfWhatIsUsualIsTaken(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	h.trend.Metric, h.trend.Form, h.trend.Versions = vital.OxygenSat, alerts.FormBaseline, nil
	body, err := os.ReadFile("../docs/examples/usual-oxygen.json")
	if err != nil {
		t.Fatal(err)
	}
	const path = trendsOfAna + "/oxygen_saturation/baseline"
	a := ask(t, s, "nurse", "PUT", path, string(body), "If-Match", "*")
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	set := object(t, item(t, a.json(t)["versions"], 0)["baseline"])
	if set["days"] != 21.0 || item(t, set["steps"], 1)["spreads"] != 3.0 || set["least_spread"] != 1.0 {
		t.Errorf("set %v", set)
	}
	without := strings.Replace(string(body), `"least_spread": 1,`, "", 1)
	if set = object(t, item(t, ask(t, s, "nurse", "PUT", path, without, "If-Match", "*").json(t)["versions"], 0)["baseline"]); set["least_spread"] != 1.0 {
		t.Errorf("without a smallest spread %v was set, want that of the metric", set["least_spread"])
	}
	for spoilt, want := range map[string]string{
		strings.Replace(string(body), `"least_days": 14`, `"least_days": 22`, 1): "least_days: must be 3 to 21",
		strings.Replace(string(body), `"by": 3`, `"spreads": 0`, 1):              "say how far is too far",
	} {
		wantProblem(t, ask(t, s, "nurse", "PUT", path, spoilt, "If-Match", "*"), http.StatusUnprocessableEntity, want)
	}
	wantProblem(t, ask(t, s, "nurse", "PUT", trendsOfAna+"/body_weight/baseline", string(body), "If-Match", "*"), http.StatusUnprocessableEntity, "moving_average")
}

func TestTheListOfTrendsSaysWhatIsUsual(t *testing.T) {
	t.Parallel()
	s, h := server(t)
	b, _, _ := alerts.BaselineOffer(vital.OxygenSat)
	h.trend.Metric, h.trend.Form = vital.OxygenSat, alerts.FormBaseline
	h.trend.Versions = []alerts.Version{{Number: 1, Enabled: true, Trend: &alerts.Trend{Zone: "UTC", ClearAfter: 2, Baseline: &b}}}
	usual := func() map[string]any {
		return object(t, item(t, ask(t, s, "nurse", "GET", trendsOfAna, "").json(t)["rules"], 0)["usual"])
	}
	if got := usual(); got["known"] != false || got["days"] != 13.0 || !strings.HasPrefix(fmt.Sprint(got["words"]), "not enough history yet: 13 of 14 days and 13 of 14 sessions in the 21 days until ") {
		t.Errorf("before there is enough: %v", got)
	}
	b.GapDays = 0
	if got := usual(); got["known"] != true || got["median"] != 94.0 || got["spread"] != 1.0 || !strings.HasPrefix(fmt.Sprint(got["words"]), "usual is 94 % (median of 20 sessions on 20 days until ") {
		t.Errorf("when there is: %v", got)
	}
}
