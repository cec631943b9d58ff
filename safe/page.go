package safe

import (
	"bytes"
	"context"
	_ "embed" // the page's style
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/account"
	"hale/vital"
)

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// PageStyle is the style of the readable page, for whoever shows its body in a page of their own.
func PageStyle() string { return pageStyle }

// page is the readable page: it takes what is exported as it passes, and keeps a summary of each day.
type page struct {
	export *Export
	zone   *time.Location
	since  time.Time
	days   map[dayOf]*day
	counts map[vital.Metric]int
	newest map[vital.Metric]*Reading
	alerts []pageAlert
	left   int // alerts that are not on the page
	visits []Look
	trail  bool // the page tells who looked
}

type dayOf struct {
	metric    vital.Metric
	component int
	date      string // of the home
}

type day struct {
	low, high, sum float64
	n              int
}

// What the page holds at most; all of it stands in the tables beside it.
const (
	mostPageAlerts = 200
	mostPageLooks  = 500
	mostPageDays   = 62
)

func newPage(e *Export) *page {
	return &page{
		export: e, zone: vital.ZoneOrUTC(e.Holder.Zone), trail: true,
		days: map[dayOf]*day{}, counts: map[vital.Metric]int{}, newest: map[vital.Metric]*Reading{},
	}
}

func (g *page) take(r *Reading) {
	date := r.MeasuredAt.In(g.zone).Format(time.DateOnly)
	g.counts[r.Metric]++
	if n := g.newest[r.Metric]; n == nil || n.MeasuredAt.Before(r.MeasuredAt) {
		kept := *r
		g.newest[r.Metric] = &kept
	}
	for i, v := range r.Values {
		k := dayOf{r.Metric, i, date}
		d := g.days[k]
		if d == nil {
			d = &day{low: v, high: v}
			g.days[k] = d
		}
		d.low, d.high, d.sum, d.n = min(d.low, v), max(d.high, v), d.sum+v, d.n+1
	}
}

type pageAlert struct{ When, Text string }

func (g *page) alert(a *Alert) {
	if a.LastAt.Before(g.since) {
		return
	}
	text := vitalName(a.Metric) + ": " + a.Level + ", " + valueText(a.Metric, a.Last)
	if said := a.Stands(); said != "" {
		text += " (" + said + ")"
	}
	switch a.State {
	case "closed":
		text += ". Closed " + g.moment(a.ClosedAt)
	default:
		text += ". Not closed yet"
	}
	if a.Note != "" {
		text += ". Note: " + a.Note
	}
	g.alerts = append(g.alerts, pageAlert{When: g.moment(a.OpenedAt), Text: text})
	if len(g.alerts) > 2*mostPageAlerts { // the newest stay
		g.left += mostPageAlerts
		g.alerts = slices.Delete(g.alerts, 0, mostPageAlerts)
	}
}

func (g *page) look(l *Look) {
	if len(g.visits) < mostPageLooks && (l.Role != "" || l.Name != "hale") {
		g.visits = append(g.visits, *l)
	}
}

func (g *page) moment(t time.Time) string { return t.In(g.zone).Format("2 January 2006, 15:04") }

// measured is when a reading was measured, as far as that is known.
func (g *page) measured(r *Reading) string {
	switch {
	case r.Dated():
		return r.MeasuredAt.In(g.zone).Format("2 January 2006") + ", the time of day was not sent"
	case r.Findings&vital.TimeUnsure != 0:
		return g.moment(r.MeasuredAt) + ", or some time from it (when is not known well)"
	}
	return g.moment(r.MeasuredAt)
}

func vitalName(m vital.Metric) string {
	d, _ := vital.Define(m)
	return d.Display
}

// valueText says values as people do: "128/79 mmHg, pulse 66 /min".
func valueText(m vital.Metric, values []float64) string {
	d, ok := vital.Define(m)
	if !ok || len(values) == 0 {
		return "no value"
	}
	if m == vital.BloodPressure && len(values) >= 2 {
		text := Converted(round2(values[0])) + "/" + Converted(round2(values[1])) + " mmHg"
		if len(values) > 2 {
			text += ", pulse " + Converted(round2(values[2])) + " /min"
		}
		return text
	}
	return strings.TrimSpace(Converted(round2(values[0])) + " " + d.Components[0].Canonical.Word())
}

func round2(v float64) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 2, 64), 64)
	return s
}

// pageView is what the template shows.
type pageView struct {
	Style       template.CSS
	Holder      Holder
	Sex         string
	Made, Since string
	Zone        string
	Vitals      []pageVital
	Alerts      []pageAlert
	Left        int
	Trail       bool
	Visits      []string
	MoreVisits  bool
}

type pageVital struct {
	Name, Newest, When string
	Disputed           bool
	Count              int
	Chart              template.HTML
	Legend             string // which line is what, where there are several
	Days               []pageDay
	MoreDays           int
}

type pageDay struct{ Date, Values string }

func (g *page) view() pageView {
	h := g.export.Holder
	v := pageView{
		Style: template.CSS(pageStyle), Holder: h, Sex: h.Sex, Made: g.moment(g.export.At), Zone: g.zone.String(), Trail: g.trail, Left: g.left, //nolint:gosec // our own file
	}
	if h.Sex == "unknown" {
		v.Sex = "sex not recorded"
	}
	if !g.since.IsZero() {
		v.Since = g.since.In(g.zone).Format("2 January 2006")
	}
	for _, d := range vital.Metrics() {
		if g.counts[d.Metric] > 0 {
			v.Vitals = append(v.Vitals, g.vital(d))
		}
	}
	v.Alerts = g.alerts
	if n := len(v.Alerts); n > mostPageAlerts {
		v.Alerts, v.Left = v.Alerts[n-mostPageAlerts:], v.Left+n-mostPageAlerts
	}
	slices.Reverse(v.Alerts)
	visits := Visits(g.visits)
	for i := range visits {
		v.Visits = append(v.Visits, visits[i].Words(g.zone, Theirs).String())
	}
	v.MoreVisits = len(g.visits) == mostPageLooks
	return v
}

func (g *page) vital(d vital.Definition) pageVital {
	n := g.newest[d.Metric]
	v := pageVital{
		Name: d.Display, Newest: valueText(d.Metric, n.Values), When: g.measured(n), Disputed: n.Findings&vital.Disputed != 0, Count: g.counts[d.Metric],
	}
	var dates []string
	for k := range g.days {
		if k.metric == d.Metric && k.component == 0 {
			dates = append(dates, k.date)
		}
	}
	slices.Sort(dates)
	v.Chart, v.Legend = g.chart(d, dates), legend(d)
	for _, date := range slices.Backward(dates) {
		if len(v.Days) == mostPageDays {
			v.MoreDays = len(dates) - mostPageDays
			break
		}
		var parts []string
		for i, c := range d.Components {
			if one := g.days[dayOf{d.Metric, i, date}]; one != nil {
				parts = append(parts, dayText(d, c, one))
			}
		}
		v.Days = append(v.Days, pageDay{Date: longDate(date), Values: strings.Join(parts, "; ")})
	}
	return v
}

func dayText(d vital.Definition, c vital.Component, one *day) string {
	text := Converted(round2(one.low))
	if one.high > one.low {
		text += " to " + Converted(round2(one.high))
	}
	text = strings.TrimSpace(text + " " + c.Canonical.Word())
	if len(d.Components) > 1 {
		text = c.Code + " " + text
	}
	if one.n > 1 {
		text += " (" + strconv.Itoa(one.n) + " readings)"
	}
	return text
}

func longDate(date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.Format("Mon 2 January 2006")
}

func shortDate(date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.Format("2 Jan 2006")
}

// The size of a chart, in the units of its own picture.
const (
	chartWidth, chartHeight = 480, 280
	chartLeft, chartBottom  = 58, 34
	chartTop, chartRight    = 14, 12
)

// chart draws the days of a metric: of each component the mean as a line, and from the least to the greatest as a stroke.
func (g *page) chart(d vital.Definition, dates []string) template.HTML {
	first, last := dates[0], dates[len(dates)-1]
	low, high, some := 0.0, 0.0, false
	for k, one := range g.days {
		if k.metric != d.Metric {
			continue
		}
		if !some {
			low, high, some = one.low, one.high, true
		}
		low, high = min(low, one.low), max(high, one.high)
	}
	if high-low < 1 {
		low, high = low-1, high+1
	}
	start, span := dayNumber(first), max(1, dayNumber(last)-dayNumber(first))
	x := func(date string) float64 {
		return chartLeft + float64(dayNumber(date)-start)/float64(span)*(chartWidth-chartLeft-chartRight)
	}
	y := func(v float64) float64 {
		return chartHeight - chartBottom - (v-low)/(high-low)*(chartHeight-chartBottom-chartTop)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s by day, from %s to %s">`, chartWidth, chartHeight,
		template.HTMLEscapeString(d.Display), longDate(first), longDate(last))
	for i := range 3 {
		v := low + (high-low)*float64(i)/2
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#bbb" stroke-width="1"/><text x="%d" y="%.1f" font-size="18" text-anchor="end" fill="#222">%s</text>`,
			chartLeft, y(v), chartWidth-chartRight, chartLeft-6, y(v)+5, Converted(round2(v)))
	}
	for i := range d.Components {
		line, dots := "", ""
		for _, date := range dates {
			one := g.days[dayOf{d.Metric, i, date}]
			if one == nil {
				continue
			}
			at, mean := x(date), y(one.sum/float64(one.n))
			line += fmt.Sprintf("%.1f,%.1f ", at, mean)
			dots += fmt.Sprintf(`<path d="M%.1f %.1fV%.1f" stroke="%s" stroke-width="3" stroke-opacity=".35"/><circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`,
				at, y(one.low), y(one.high), colour(i), at, mean, colour(i))
		}
		fmt.Fprintf(&b, `%s<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, dots, line, colour(i), dash(i))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="18" fill="#222">%s</text><text x="%d" y="%d" font-size="18" text-anchor="end" fill="#222">%s</text></svg>`,
		chartLeft, chartHeight-6, shortDate(first), chartWidth-chartRight, chartHeight-6, shortDate(last))
	return template.HTML(b.String()) //nolint:gosec // numbers, dates and our own words
}

// legend names the lines of a chart by how they are drawn.
func legend(d vital.Definition) string {
	if len(d.Components) < 2 {
		return ""
	}
	var parts []string
	for i, c := range d.Components {
		parts = append(parts, [...]string{"solid line", "dashed line", "dotted line"}[i%3]+": "+c.Code)
	}
	return strings.Join(parts, "; ")
}

// colour and dash tell the components of a chart apart, the dash also in black and white.
func colour(i int) string { return [...]string{"#1d5a96", "#6a4c93", "#8a5a00"}[i%3] }

func dash(i int) string {
	return [...]string{"", ` stroke-dasharray="8 4"`, ` stroke-dasharray="2 4"`}[i%3]
}

func dayNumber(date string) int64 {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return 0
	}
	return t.Unix() / (24 * 60 * 60)
}

// write writes the whole page, which needs nothing beside it.
func (g *page) write(_ context.Context, p *part) error {
	for _, n := range g.counts {
		p.rows += n
	}
	return g.render(p, "page")
}

func (g *page) render(w io.Writer, name string) error {
	if err := pageTemplate.ExecuteTemplate(w, name, g.view()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// Body returns the inner part of the readable page, of what was measured from since on, without who looked: for somebody with
// a share's link.
func (e *Export) Body(ctx context.Context, since time.Time) (template.HTML, error) {
	g := newPage(e)
	g.since, g.trail = since, false
	if err := e.readings(ctx, since, func(r *Reading) error { g.take(r); return nil }); err != nil {
		return "", err
	}
	if err := e.alerts(ctx, func(a *Alert) error { g.alert(a); return nil }); err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := g.render(&b, "body"); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil //nolint:gosec // what html/template has written
}

// SharedWith returns the readable page's body for somebody who opened a share; empty when the share shows the sheet alone.
func (e *Exports) SharedWith(ctx context.Context, o *Opened, p account.Patient) (template.HTML, error) {
	since, some := o.Since(e.Now())
	if !some {
		return "", nil
	}
	h, at, err := e.Book.BeginExport(ctx, o.Actor, p, "")
	if err != nil {
		return "", err
	}
	return (&Export{exports: e, actor: o.Actor, Holder: h, At: at}).Body(ctx, since)
}
