package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// scheduleForm is a schedule as people type it: a part for every line, and some empty ones for more.
type scheduleForm struct {
	Version string
	From    string
	Reason  string
	Lines   []lineForm
}

// lineForm is one measurement. Its fields are named with its number: metric0, days0, ...
type lineForm struct {
	N           int
	Metric      string
	Days        []dayBox
	Every       string
	Times       string
	First, Last string
	IntroDays   string
	IntroTimes  string
	// What the form does not show of the intro, and keeps: days of the week and every n-th day of it.
	IntroOn, IntroEvery string
}

type dayBox struct {
	Value   int
	Word    string
	Checked bool
}

type metricChoice struct{ Code, Title string }

const (
	emptyLines = 2  // for more than there are
	mostLines  = 64 // that are read
)

func metricChoices() []metricChoice {
	var all []metricChoice
	for _, d := range vital.Metrics() {
		all = append(all, metricChoice{d.Code, d.Display})
	}
	return all
}

// boxes are the days of a week that begins with Monday.
func boxes(days []time.Weekday) []dayBox {
	all := make([]dayBox, 7)
	for i := range all {
		d := time.Weekday((i + 1) % 7)
		all[i] = dayBox{int(d), d.String()[:3], hasDay(days, d)}
	}
	return all
}

// formOfSchedule fills the form with the newest version.
func formOfSchedule(m *measuring.History, k clock) *scheduleForm {
	form := &scheduleForm{Version: strconv.Itoa(m.Newest())}
	if n := len(m.Versions); n > 0 {
		for i := range m.Versions[n-1].Lines {
			form.Lines = append(form.Lines, formOfLine(&m.Versions[n-1].Lines[i]))
		}
	}
	today := k.now.In(k.zone).Format(time.DateOnly)
	for range emptyLines {
		form.Lines = append(form.Lines, lineForm{Days: boxes(nil), First: today})
	}
	for i := range form.Lines {
		form.Lines[i].N = i
	}
	return form
}

func formOfLine(l *measuring.Line) lineForm {
	f := lineForm{Metric: l.Metric.String(), Days: boxes(l.Days.Weekdays), Times: windowsWords(l.Times), First: string(l.First), Last: string(l.Last)}
	if l.Days.Every > 1 {
		f.Every = strconv.Itoa(l.Days.Every)
	}
	if l.Intro != nil {
		f.IntroDays, f.IntroTimes = strconv.Itoa(l.Intro.For), windowsWords(l.Intro.Times)
		var on []string
		for _, d := range l.Intro.Days.Weekdays {
			on = append(on, strconv.Itoa(int(d)))
		}
		f.IntroOn = strings.Join(on, ",")
		if l.Intro.Days.Every > 1 {
			f.IntroEvery = strconv.Itoa(l.Intro.Days.Every)
		}
	}
	return f
}

func readScheduleForm(c *fiber.Ctx) *scheduleForm {
	form := &scheduleForm{Version: c.FormValue("version"), From: c.FormValue("from"), Reason: c.FormValue("reason")}
	for i := range mostLines {
		field := func(name string) string { return strings.TrimSpace(c.FormValue(name + strconv.Itoa(i))) }
		if c.Request().PostArgs().Peek("metric"+strconv.Itoa(i)) == nil {
			break
		}
		var days []time.Weekday
		for _, text := range c.Request().PostArgs().PeekMulti("days" + strconv.Itoa(i)) {
			if n, err := strconv.Atoi(string(text)); err == nil {
				days = append(days, time.Weekday(n))
			}
		}
		form.Lines = append(form.Lines, lineForm{
			N: i, Metric: field("metric"), Days: boxes(days), Every: field("every"), Times: field("times"), First: field("first"), Last: field("last"),
			IntroDays: field("introdays"), IntroTimes: field("introtimes"), IntroOn: field("introon"), IntroEvery: field("introevery"),
		})
	}
	return form
}

// schedule reads what was typed; fault.Invalid says what cannot be understood, and how it is written. A part without a metric is
// left out.
func (f *scheduleForm) schedule(zone *time.Location) (measuring.Authored, error) {
	a := measuring.Authored{Reason: f.Reason}
	var err error
	if f.From != "" {
		if a.EffectiveFrom, err = time.ParseInLocation(formTime, f.From, zone); err != nil {
			return a, fault.New(fault.Invalid, "from when: give the date and the time, or leave both out")
		}
	}
	for i := range f.Lines {
		if f.Lines[i].Metric == "" {
			continue
		}
		l, err := f.Lines[i].line()
		if err != nil {
			return a, err
		}
		a.Lines = append(a.Lines, l)
	}
	return a, nil
}

func (f *lineForm) line() (measuring.Line, error) {
	m, ok := vital.ParseMetric(f.Metric)
	if !ok {
		return measuring.Line{}, fault.New(fault.Invalid, "there is no measurement %q", f.Metric)
	}
	what := metricWord(m)
	l := measuring.Line{Metric: m, First: vital.Date(f.First), Last: vital.Date(f.Last)}
	for _, d := range f.Days {
		if d.Checked {
			l.Days.Weekdays = append(l.Days.Weekdays, time.Weekday(d.Value))
		}
	}
	var err error
	if l.Days.Every, err = wholeNumber(what+", every so many days", f.Every); err != nil {
		return l, err
	}
	if l.Times, err = windowsOf(what, f.Times); err != nil {
		return l, err
	}
	days, err := wholeNumber(what+", days at first", f.IntroDays)
	if err != nil || days == 0 && f.IntroTimes == "" {
		return l, err
	}
	l.Intro = &measuring.Intro{For: days}
	if l.Intro.Times, err = windowsOf(what+", at first", f.IntroTimes); err != nil {
		return l, err
	}
	for _, text := range strings.FieldsFunc(f.IntroOn, func(r rune) bool { return r == ',' }) {
		day, err := wholeNumber(what+", days of the week at first", text)
		if err != nil {
			return l, err
		}
		l.Intro.Days.Weekdays = append(l.Intro.Days.Weekdays, time.Weekday(day))
	}
	l.Intro.Days.Every, err = wholeNumber(what+", every so many days at first", f.IntroEvery)
	return l, err
}

func wholeNumber(what, text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%s: %q is no whole number", what, text)
	}
	return n, nil
}

// Legend names the part in the form.
func (f lineForm) Legend() string {
	if m, ok := vital.ParseMetric(f.Metric); ok {
		return metricWord(m)
	}
	return fmt.Sprintf("Measurement %d", f.N+1)
}

// More reports whether the part has something that is folded away otherwise.
func (f lineForm) More() bool { return f.Every != "" || f.Last != "" || f.IntroDays != "" }
