package web_test

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/internal/browser"
	"hale/vital"
)

// shots is where pictures of the screens go; by default they are thrown away with the test.
var shots = flag.String("shots", "", "folder for pictures of the screens")

func picture(t *testing.T, name string) string {
	t.Helper()
	if *shots == "" {
		return filepath.Join(t.TempDir(), name)
	}
	return filepath.Join(*shots, name)
}

// enter signs somebody in through the form.
func enter(tab *browser.Tab, address, login string) {
	tab.Open(address + "/signin")
	tab.Do(
		chromedp.SendKeys(`input[name="login"]`, login), chromedp.SendKeys(`input[name="password"]`, login),
		chromedp.Click(`main button`),
	)
	tab.Until("the board is open", `location.pathname === "/" && document.readyState === "complete" && document.querySelector("#summary")`)
}

// silent fails the test when a page has complained: of a script that threw, or of what its content security policy
// refused.
func silent(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for _, complaint := range tab.Complaints() {
		t.Errorf("the console says: %s", complaint)
	}
}

// TestInABrowser drives the screens in one Chromium.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	chromium := browser.Start(t)
	for name, test := range map[string]func(*testing.T, *browser.Browser){
		"every page is whole, within its width and accessible": everyPage,
		"the first page is light":                              firstPageIsLight,
		"the board is live":                                    boardIsLive,
		"whoever presses second is told who was first":         secondIsTold,
		"two tabs of a person share one feed":                  twoTabs,
		"a board that hears nothing says so":                   brokenFeed,
		"a board that may hear nothing says so":                refusedFeed,
		"without scripts one can read and acknowledge":         withoutScripts,
		"charts end at the newest reading, however old":        chartRanges,
		"charts say what they show":                            chartsSayWhatTheyShow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, chromium)
		})
	}
}

func everyPage(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	f := furnish(t)
	long, trend := longEpisode(f), risingWeight(f.house, f.weak)
	lastKnown(f)
	fallen(f, f.ana)
	address := f.serve(t)
	empty := newHouse(f.now)
	nowhere := empty.serve(t)

	const drawn = `[...document.querySelectorAll(".plot:not([hidden])")].every(p => p.querySelector("canvas")) && document.querySelector(".plot canvas")`
	pages := []struct{ name, path, ready string }{
		{"board", "/", `document.querySelector("#live").dataset.state === "live"`},
		{"alert", "/alerts/" + string(f.red), `true`},
		{"taken", "/alerts/" + string(f.taken), `true`},
		{"episode", "/alerts/" + string(long), `true`},
		{"trend", "/alerts/" + string(trend), `true`},
		{"patients", "/patients", `true`},
		{"patient", "/patients/" + string(f.ana.UID), drawn},
		{"replay", "/patients/" + string(f.old.UID), drawn},
		{"hostile", "/patients/" + string(f.hostile.UID), drawn},
	}
	for _, width := range []int{320, 390, 1280} { // 320: WCAG 2.2, 1.4.10
		for _, dark := range []bool{false, true} {
			if width == 320 && dark {
				continue // colours have nothing to do with the width
			}
			name := strconv.Itoa(width) + map[bool]string{false: "-light", true: "-dark"}[dark]
			t.Run(name, func(t *testing.T) {
				tab := chromium.Tab(t, width, 900)
				tab.Dark(dark)
				look := func(page string) {
					if *shots != "" {
						tab.Shot(picture(t, page+"-"+name+".png"))
					}
					if wide := browser.Eval[int](tab, `document.documentElement.scrollWidth`); wide > width {
						t.Errorf("%s is %d pixels wide", page, wide)
					}
					for _, violation := range tab.Axe(string(axe)) {
						t.Errorf("%s: %s", page, violation)
					}
				}
				tab.Open(address + "/signin")
				look("signin")
				enter(tab, address, "mira")
				const narrow = `[...document.querySelectorAll(".row .what")].filter(w => w.clientWidth < 0.8 * w.parentElement.clientWidth).length`
				if n := browser.Eval[int](tab, narrow); width < 480 && n > 0 {
					t.Errorf("%d rows of the board leave much of their width empty", n)
				}
				for _, p := range pages {
					tab.Open(address + p.path)
					tab.Until(p.name+" is ready", p.ready)
					look(p.name)
				}
				tab.Open(nowhere + "/signin")
				enter(tab, nowhere, "mira")
				look("empty")
				silent(t, tab)
			})
		}
	}
}

func firstPageIsLight(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	tab := chromium.Tab(t, 1280, 900)
	enter(tab, f.serve(t), "mira")
	tab.Until("the board is live", live)
	const most = 100_000
	if got := tab.Received(); got == 0 || got > most {
		t.Errorf("signing in and the board took %d bytes over the wire, want at most %d", got, most)
	}
	silent(t, tab)
}

const live = `document.querySelector("#live .text").textContent === "Live"`

func boardIsLive(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	tab := chromium.Tab(t, 1280, 900)
	enter(tab, f.serve(t), "mira")
	tab.Until("the board is live", live)

	fresh := f.alarm(f.people[4], alerts.Red, f.clock().Add(-time.Second), vital.HeartRate, false, 140)
	row := `document.querySelector("#alert-` + string(fresh) + `")`
	tab.Until("the new alert is there, marked as new", row+`?.classList.contains("fresh")`)
	tab.Until("the summary counts it", `document.querySelector("#summary").textContent === "3 to call, 2 to check, 0 taken"`)
	tab.Shot(picture(t, "fresh.png"))

	tab.Do(chromedp.Focus("#take-"+string(fresh)), chromedp.KeyEvent("\r"))
	tab.Until("one press takes it", row+`?.closest(".taken")?.textContent.includes("You have it for another")`)
	if got := browser.Eval[string](tab, `document.activeElement.id`); got != "open-"+string(fresh) {
		t.Errorf("after the press the focus is on %q", got)
	}

	if _, err := f.triage().Acknowledge(t.Context(), f.staff["jan"], f.red, 1, time.Time{}, ""); err != nil {
		t.Fatal(err)
	}
	tab.Until("what a colleague does is seen", `document.querySelector("#alert-`+string(f.red)+`").textContent.includes("Jan Kovač has it")`)
	silent(t, tab)
}

func secondIsTold(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	tab := chromium.Tab(t, 1280, 900)
	enter(tab, f.serve(t), "mira")
	tab.Until("the board is live", live)
	// A board that has just become live fetches its list once; the next time would be after half a minute.
	tab.Until("the list is fetched", `performance.getEntriesByType("resource").some(r => r.name.endsWith("/board/list") && r.responseEnd > 0) && !document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling")`)
	// No event tells of it: as if the colleague's act were still on its way to the board.
	f.log(f.red, alerts.Entry{Kind: alerts.EntryAcknowledged, Actor: f.staff["jan"], Until: f.clock().Add(time.Hour)})
	// Pressed in one step: a click by position looks the button up first, and the list may be fetched anew in between.
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#take-` + string(f.red) + `").click()`))
	tab.Until("the page says who was first", `document.querySelector("#notice").textContent.includes("Ana Novak: Jan Kovač acknowledged it")`)
	tab.Until("the row is fresh", `document.querySelector("#alert-`+string(f.red)+`").textContent.includes("Jan Kovač has it for another")`)
	tab.Shot(picture(t, "second.png"))
}

func twoTabs(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	address := f.serve(t)
	one := chromium.Tab(t, 1280, 900)
	enter(one, address, "mira")
	one.Until("the board is live", live)
	two := one.Another(390, 844)
	two.Open(address + "/")
	two.Until("the second is live", live)
	if got := f.hub.Count(); got != 1 {
		t.Errorf("the server has %d feeds open, want 1", got)
	}
	fresh := f.alarm(f.people[4], alerts.Yellow, f.clock(), vital.HeartRate, false, 104)
	for _, tab := range []*browser.Tab{one, two} {
		tab.Until("both show the new alert", `document.querySelector("#alert-`+string(fresh)+`")`)
		silent(t, tab)
	}
}

func brokenFeed(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	tab := chromium.Tab(t, 1280, 900)
	enter(tab, f.serve(t), "mira")
	tab.Until("the board is live", live)
	f.hub.Close()
	tab.Until("it does not claim to be live any more", `document.querySelector("#live .text").textContent.startsWith("Reconnecting… current as of")`)
	f.fail(fault.New(fault.Unavailable, "the record is away"))
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("visibilitychange"))`)) // the reader comes back to the tab
	tab.Until("it says that the list is not current", `document.querySelector("#live").dataset.state === "broken"`)
	tab.Shot(picture(t, "broken.png"))
	f.fail(nil)
	tab.Until("it recovers by itself", `document.querySelector("#live").dataset.state === "wait"`)
}

// refusedFeed: who may not see alerts any more is still signed in, is told so, and asks no more.
func refusedFeed(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	tab := chromium.Tab(t, 1280, 900)
	enter(tab, f.serve(t), "mira")
	tab.Until("the board is live", live)
	f.demote(account.Researcher)
	tab.Until("it says that she may not see alerts", `document.querySelector("#live .text").textContent.startsWith("You may not see these alerts any more")`)
	asked := f.feeds.Load()
	const lists = `performance.getEntriesByType("resource").filter(r => r.name.endsWith("/board/list")).length`
	tab.Do(chromedp.Evaluate[chromedp.Void](`window.then = performance.now(), window.lists = ` + lists + `, document.dispatchEvent(new Event("visibilitychange"))`))
	tab.Until("two seconds have passed", `performance.now() > window.then + 2000`)
	if again := browser.Eval[bool](tab, lists+` !== window.lists`); again || f.feeds.Load() != asked {
		t.Errorf("it asks again: the list %v, the feed %d times after %d", again, f.feeds.Load(), asked)
	}
	tab.Shot(picture(t, "refused.png"))
}

func withoutScripts(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	address := f.serve(t)
	tab := chromium.Tab(t, 390, 844)
	tab.Scripts(false)
	tab.Open(address + "/signin")
	tab.Do(
		chromedp.SendKeys(`input[name="login"]`, "mira"), chromedp.SendKeys(`input[name="password"]`, "mira"),
		chromedp.Click(`main button`), chromedp.WaitVisible("#summary"), chromedp.Click("#take-"+string(f.red)),
		chromedp.WaitVisible("#alert-"+string(f.red)+" .tag.by"),
	)
	row, err := chromedp.Run(tab.Ctx, chromedp.TextContent("#alert-"+string(f.red)))
	if err != nil || !strings.Contains(row, "You have it for another") {
		t.Errorf("the row says %q, %v", row, err)
	}
	tab.Open(address + "/patients/" + string(f.ana.UID))
	tab.Do(chromedp.WaitNotVisible(".plot"), chromedp.Click(".chart details summary"), chromedp.WaitVisible(".chart table"))
	tab.Shot(picture(t, "without-scripts.png"))
}

func chartRanges(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	address := f.serve(t)
	tab := chromium.Tab(t, 1280, 900)
	enter(tab, address, "mira")
	tab.Open(address + "/patients/" + string(f.old.UID))
	const said = `document.querySelector(".chart .said").textContent`
	tab.Until("the chart is drawn", `document.querySelector(".plot canvas")`)
	tab.Do(chromedp.Click(`.ranges button:last-child`))
	tab.Until("all readings of years ago are there", said+`.startsWith("729 readings, 1 Apr 2019")`)
	tab.Shot(picture(t, "replay-all.png"))
	tab.Do(chromedp.Click(`.ranges button:first-child`))
	tab.Until("the last day of them ends at the newest", said+`.startsWith("9 readings, 29 Jun 2019") && `+said+`.includes("to 30 Jun 2019")`)
	silent(t, tab)
}

// fitAPhoneAndReadAloud opens pages, by name and path, as somebody sees them on a phone and on a desk: none scrolls sideways, axe
// finds nothing, and no script complains.
func fitAPhoneAndReadAloud(t *testing.T, chromium *browser.Browser, address, login string, pages map[string]string) {
	t.Helper()
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{390, 1280} {
		tab := chromium.Tab(t, width, 900)
		enter(tab, address, login)
		for name, path := range pages {
			tab.Open(address + path)
			tab.Until(name+" is there", `document.readyState === "complete"`)
			tab.Keep(name + "-" + strconv.Itoa(width))
			if wide := browser.Eval[int](tab, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s is %d pixels wide", name, wide)
			}
			for _, violation := range tab.Axe(string(axe)) {
				t.Errorf("%s at %d: %s", name, width, violation)
			}
		}
		silent(t, tab)
	}
}
