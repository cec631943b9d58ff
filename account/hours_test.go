package account_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/account"
	"hale/fault"
)

// roundTheClock are hours in which somebody always watches in one way.
func roundTheClock(zone string, w account.Watch) account.Hours {
	h := account.Hours{Zone: zone}
	for day := range h.Weekly {
		h.Weekly[day] = []account.Span{{From: 0, To: 24 * 60, Watch: w}}
	}
	return h
}

// office are hours from 08:00 to 16:00 on weekdays, on call until 22:00 and from 08:00 to 22:00 at the weekend.
func office() account.Hours {
	h := account.Hours{Zone: "Europe/Ljubljana", Holidays: []account.Holiday{
		{Date: "2026-12-25", Name: "Christmas Day"},
		{Date: "2026-12-24", Name: "Christmas Eve", Spans: []account.Span{{From: 8 * 60, To: 12 * 60, Watch: account.Staffed}}},
	}}
	for day := range h.Weekly {
		h.Weekly[day] = []account.Span{{From: 8 * 60, To: 22 * 60, Watch: account.OnCall}}
		if day != int(time.Sunday) && day != int(time.Saturday) {
			h.Weekly[day] = []account.Span{{From: 8 * 60, To: 16 * 60, Watch: account.Staffed}, {From: 16 * 60, To: 22 * 60, Watch: account.OnCall}}
		}
	}
	return h
}

func local(t *testing.T, text string) time.Time {
	t.Helper()
	place, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", text, place)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWhoWatchesByTheWallClockOfThePlace(t *testing.T) {
	t.Parallel()
	h := office()
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]account.Watch{
		"2026-11-20 07:59": account.Unstaffed,
		"2026-11-20 08:00": account.Staffed,
		"2026-11-20 15:59": account.Staffed,
		"2026-11-20 16:00": account.OnCall,
		"2026-11-20 22:00": account.Unstaffed,
		"2026-11-21 10:00": account.OnCall, // a Saturday
		"2026-12-24 11:59": account.Staffed,
		"2026-12-24 12:00": account.Unstaffed,
		"2026-12-25 10:00": account.Unstaffed, // a Friday, and a holiday
	} {
		if got := h.At(local(t, at)); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

func TestTheNextChangeOfWatch(t *testing.T) {
	t.Parallel()
	h := office()
	for at, want := range map[string]string{
		"2026-11-20 09:00": "2026-11-20 16:00",
		"2026-11-20 16:00": "2026-11-20 22:00",
		"2026-11-20 23:00": "2026-11-21 08:00",
		"2026-12-24 12:30": "2026-12-26 08:00", // over the holiday
	} {
		if _, got := h.Until(local(t, at)); !got.Equal(local(t, want)) {
			t.Errorf("after %s: %s, want %s", at, got, want)
		}
	}
	always := roundTheClock("Europe/Ljubljana", account.Staffed)
	if watch, next := always.Until(local(t, "2026-11-20 09:00")); watch != account.Staffed || !next.IsZero() {
		t.Errorf("round the clock: %s until %s", watch, next)
	}
}

// The clocks of Ljubljana go forward from 02:00 to 03:00 on 29 March 2026, and back from 03:00 to 02:00 on 25 October 2026.
func TestTheDaysOnWhichTheClocksChange(t *testing.T) {
	t.Parallel()
	night := account.Hours{Zone: "Europe/Ljubljana"}
	for day := range night.Weekly {
		night.Weekly[day] = []account.Span{{From: 0, To: 2*60 + 30, Watch: account.Staffed}}
	}
	lasts := func(from, to string) time.Duration {
		var sum time.Duration
		for _, p := range night.Between(local(t, from), local(t, to)) {
			if p.Watch == account.Staffed {
				sum += p.To.Sub(p.From)
			}
		}
		return sum
	}
	for day, want := range map[string]time.Duration{
		"2026-03-28": 150 * time.Minute,
		"2026-03-29": 120 * time.Minute, // 02:30 is left out: the span ends with the jump
		"2026-10-25": 180 * time.Minute, // the clock shows 02:00 to 02:30 twice
		"2026-10-26": 150 * time.Minute,
	} {
		if got := lasts(day+" 00:00", day+" 23:00"); got != want {
			t.Errorf("%s: %s, want %s", day, got, want)
		}
	}
	always := roundTheClock("Europe/Ljubljana", account.OnCall)
	whole := always.Between(local(t, "2026-10-25 00:00"), local(t, "2026-10-26 00:00"))
	want := []account.Period{{From: local(t, "2026-10-25 00:00").UTC(), To: local(t, "2026-10-26 00:00").UTC(), Watch: account.OnCall}}
	if diff := cmp.Diff(want, whole); diff != "" || whole[0].To.Sub(whole[0].From) != 25*time.Hour {
		t.Errorf("a day of 25 hours: %s", diff)
	}
}

// TestPeriodsAgreeWithEveryMinute compares Between, which jumps from change to change, with At, minute by minute.
func TestPeriodsAgreeWithEveryMinute(t *testing.T) {
	t.Parallel()
	zones := []string{"Europe/Ljubljana", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "UTC"}
	rapid.Check(t, func(t *rapid.T) {
		h := account.Hours{Zone: rapid.SampledFrom(zones).Draw(t, "zone")}
		spans := rapid.Custom(func(t *rapid.T) []account.Span {
			var list []account.Span
			for at := 0; at < 1440 && len(list) < 4; {
				from := at + rapid.IntRange(0, 600).Draw(t, "gap")
				to := min(from+rapid.IntRange(1, 800).Draw(t, "length"), 1440)
				if from >= to {
					break
				}
				list = append(list, account.Span{From: from, To: to, Watch: rapid.SampledFrom([]account.Watch{account.Staffed, account.OnCall, account.Unstaffed}).Draw(t, "watch")})
				at = to
			}
			return list
		})
		for day := range h.Weekly {
			h.Weekly[day] = spans.Draw(t, "day")
		}
		start := time.Date(2026, time.Month(rapid.SampledFrom([]int{3, 4, 10, 11}).Draw(t, "month")), rapid.IntRange(1, 28).Draw(t, "date"), 0, rapid.IntRange(0, 1439).Draw(t, "minute"), 0, 0, time.UTC)
		h.Holidays = []account.Holiday{{Date: start.AddDate(0, 0, 1).Format(time.DateOnly), Name: "x", Spans: spans.Draw(t, "holiday")}}
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		end := start.Add(4 * 24 * time.Hour)
		periods := h.Between(start, end)
		at := start
		for i, p := range periods {
			if !p.From.Equal(at) || !p.To.After(p.From) || i > 0 && periods[i-1].Watch == p.Watch {
				t.Fatalf("period %d of %+v", i, periods)
			}
			for minute := p.From; minute.Before(p.To); minute = minute.Add(time.Minute) {
				if got := h.At(minute); got != p.Watch {
					t.Fatalf("at %s it is %s, and %s by period %+v", minute, got, p.Watch, p)
				}
			}
			at = p.To
		}
		if !at.Equal(end) {
			t.Fatalf("the periods end at %s, not %s", at, end)
		}
	})
}

func TestHoursThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(h *account.Hours){
		"no zone": func(h *account.Hours) { h.Zone = "" },
		"an overlap": func(h *account.Hours) {
			h.Weekly[1] = append(h.Weekly[1], account.Span{From: 0, To: 500, Watch: account.OnCall})
		},
		"backwards":        func(h *account.Hours) { h.Weekly[2] = []account.Span{{From: 600, To: 600, Watch: account.OnCall}} },
		"past midnight":    func(h *account.Hours) { h.Weekly[2] = []account.Span{{From: 600, To: 1500, Watch: account.OnCall}} },
		"an unknown watch": func(h *account.Hours) { h.Weekly[2] = []account.Span{{From: 600, To: 700, Watch: "asleep"}} },
		"no date":          func(h *account.Hours) { h.Holidays = append(h.Holidays, account.Holiday{Date: "25.12.", Name: "x"}) },
		"a date twice":     func(h *account.Hours) { h.Holidays = append(h.Holidays, h.Holidays[0]) },
		"a nameless day":   func(h *account.Hours) { h.Holidays = append(h.Holidays, account.Holiday{Date: "2026-01-01"}) },
	} {
		h := office()
		spoil(&h)
		if err := h.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
