package web_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// lastKnown is a red of seven hours ago that came just now and is the last that is known of the patient's saturation.
func lastKnown(f furnished) vital.UID {
	point := f.measure(f.weak, vital.OxygenSat, f.now.Add(-7*time.Hour), 81)
	return f.open(f.weak, alerts.LimitOn(vital.OxygenSat), alerts.Entry{Level: alerts.Red, Historic: true, Contact: true}, point)
}

// TestALateRedThatIsTheLastKnownAsksForContact is what product.md section 2 demands of late data (S).
func TestALateRedThatIsTheLastKnownAsksForContact(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	uid := lastKnown(f)
	nurse := visit(t, f.app(t), "mira")
	const asks = "contact now: last known 81 %, 7 h ago"
	pages := []string{"/", "/alerts/" + string(uid), "/patients/" + string(f.weak.UID)}
	for _, path := range pages {
		_, page := nurse.get(path)
		wants(t, page, asks)
		if row := rowOf(t, page, uid); strings.Contains(row, "arrived late") {
			t.Errorf("%s: the row says that it arrived late, as if it were of the past: %s", path, row)
		}
	}
	_, page := nurse.get("/")
	wants(t, page, "3 to call")
	if board := words(page); strings.Index(board, asks) > strings.Index(board, "Red Heart rate 134") {
		t.Error("what is the last known stands below what tells only of the past")
	}
	_, page = nurse.get(pages[1])
	wants(t, page, "Opened: 81 %, measured 03:04 (came late; contact asked for)")
	if strings.Contains(page, "too late to call anybody") {
		t.Error("the timeline says that it was too late to call anybody")
	}

	f.measure(f.weak, vital.HeartRate, f.now.Add(-time.Hour), 88)
	_, page = nurse.get("/")
	wants(t, page, asks)
	f.measure(f.weak, vital.OxygenSat, f.now.Add(-time.Hour), 95)
	for _, path := range pages {
		_, page = nurse.get(path)
		if row := rowOf(t, page, uid); strings.Contains(row, "contact now") || !strings.Contains(row, "arrived late") {
			t.Errorf("%s: after a newer reading the row says %s", path, row)
		}
	}
}

// rowOf returns what the page's row of an alert says.
func rowOf(t *testing.T, page string, uid vital.UID) string {
	t.Helper()
	_, rest, found := strings.Cut(page, `id="alert-`+string(uid)+`"`)
	row, _, _ := strings.Cut(rest, "</li>")
	if !found {
		t.Fatalf("the page has no row of alert %s", uid)
	}
	return words(row)
}

// fallen is a red alert of a saturation that has come back to 92 %, where the limit is.
func fallen(f furnished, p account.Patient) vital.UID {
	at := f.now.Add(-6*time.Hour - 42*time.Minute)
	uid := f.alarm(p, alerts.Red, at, vital.OxygenSat, false, 91)
	later := at.Add(30 * time.Minute)
	f.log(uid, alerts.Entry{Kind: alerts.EntryOccurred, RecordedAt: later, Level: alerts.Yellow, Reading: alerts.Mark{At: later, ID: 900}, Values: []float64{92}, RuleVersion: 1})
	return uid
}

func TestTheWorstValueStandsBesideTheLast(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	uid := fallen(f, f.weak)
	nurse := visit(t, f.app(t), "mira")
	for path, want := range map[string]string{
		"/":                               "Red Oxygen saturation worst 91 % ( 6 h ago ), last 92 %",
		"/patients/" + string(f.weak.UID): "Red Oxygen saturation worst 91 % ( at 03:22 ), last 92 %",
		"/alerts/" + string(uid):          "Red Oxygen saturation worst 91 % ( at 03:22 ), last 92 %",
	} {
		_, page := nurse.get(path)
		wants(t, page, want)
	}
}

func TestHowLongATroubleHasLastedIsSaid(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	uid := f.alarm(f.weak, alerts.Red, f.now.Add(-10*time.Minute), vital.RespiratoryRate, false, 30)
	early := f.now.Add(-33 * time.Hour)
	f.log(uid, alerts.Entry{Kind: alerts.EntryOccurred, Historic: true, Level: alerts.Red, Reading: alerts.Mark{At: early, ID: 901}, Values: []float64{29}, RuleVersion: 1})
	nurse := visit(t, f.app(t), "mira")
	for path, want := range map[string]string{"/": "began 33 h ago", "/patients/" + string(f.weak.UID): "since 20 Nov, 01:04"} {
		_, page := nurse.get(path)
		wants(t, rowOf(t, page, uid), want)
	}
	_, page := nurse.get("/")
	if row := rowOf(t, page, f.extreme); strings.Contains(row, "began") {
		t.Errorf("a row whose opening says it all says it twice: %s", row)
	}
}
