package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
	"hale/simulators"
)

func signInAt(tab *browser.Tab, told announcement) {
	tab.Open(told.URL + "/")
	tab.Do(chromedp.SendKeys(`input[name="login"]`, told.Login), chromedp.SendKeys(`input[name="password"]`, told.Password), chromedp.Click(`main form button`))
	tab.Until("the board after signing in", `document.querySelector('#worklist') !== null`)
}

func TestANurseSeesAnAlertArriveAndHandlesIt(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	k := newKit(t, staff, "cuff-1", time.Now().Add(-48*time.Hour))
	line := k.dial(t, told.MQTT)
	send := func(systolic, diastolic int, at time.Time) {
		t.Helper()
		if err := line.Publish(t.Context(), k.topic(), pressure(systolic, diastolic, at), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
		if err := line.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		send(128+i%9, 76+i%5, time.Now().Add(-time.Duration(40-i)*time.Hour))
	}
	tab := browser.Start(t).Tab(t, 1280, 900)
	signInAt(tab, told)
	tab.Until("the board is live", `document.querySelector('#live').dataset.state === 'live'`)
	if n := browser.Eval[int](tab, `document.querySelectorAll('article.case').length`); n != 0 {
		t.Fatalf("%d patients wait on a quiet board", n)
	}
	send(188, 106, time.Now())
	tab.Until("the alert arrives by itself", `document.querySelector('article.case.red') !== null && document.body.innerText.includes('188/106')`)
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("article.case.red button[id^=take-]").click()`)) // in one step: the list lives
	tab.Until("the alert is taken", `document.querySelector('section.taken article.case') !== null`)
	tab.Do(chromedp.Click(`section.taken a[id^="resolve-"]`))
	tab.Until("the alert's page", `location.pathname.startsWith('/alerts/') && document.querySelector('form[action$="/resolve"]') !== null`)
	if text := browser.Eval[string](tab, `document.body.innerText`); !strings.Contains(text, "188/106") || !strings.Contains(text, "180") {
		t.Error("the alert's page shows neither the reading nor the limit")
	}
	tab.Open(told.URL + "/patients/" + k.patient.ID)
	tab.Until("the chart is drawn", `document.querySelector('.uplot canvas') !== null`)
	if said := tab.Complaints(); len(said) != 0 {
		t.Errorf("the browser complains: %v", said)
	}
}

// drawn scrolls through a patient's page until every chart is drawn: they are drawn as they come into view.
func drawn(tab *browser.Tab) {
	tab.Until("the charts are drawn", `(scrollBy(0, 400), document.querySelectorAll('.chart').length > 2 && document.querySelectorAll('.chart').length === document.querySelectorAll('.uplot canvas').length)`)
	browser.Eval[bool](tab, `(scrollTo(0, 0), true)`)
}

// TestScreens takes the pictures of the demo that the documents show; HALE_SCREENS names where they are kept.
func TestScreens(t *testing.T) {
	t.Parallel()
	keep := os.Getenv("HALE_SCREENS")
	if keep == "" {
		keep = t.TempDir()
	}
	p, told := up(t, dataDir(t))
	b := browser.Start(t)
	staff := signIn(t, told)
	eventually(t, 90*time.Second, func() string {
		for number, level := range map[string]string{"DEMO-1": "red", "DEMO-2": "red", "DEMO-4": "yellow"} { // what up promises
			person, _, err := staff.FindPatient(t.Context(), number)
			if err != nil || person.ID == "" {
				return fmt.Sprintf("the demo has not begun: %v", err)
			}
			list, err := staff.Alerts(t.Context(), person.ID)
			if err != nil || !slices.ContainsFunc(list, func(a simulators.Alert) bool { return a.Level == level }) {
				return fmt.Sprintf("%s has no %s alert in the demo's first minute: %v, %v", number, level, list, err)
			}
		}
		return ""
	})
	for name, size := range map[string][2]int{"desktop": {1280, 900}, "phone": {390, 844}} {
		tab := b.Tab(t, size[0], size[1])
		signInAt(tab, told)
		tab.Until("a red alert on the board", `document.querySelector('article.case.red') !== null`)
		tab.Shot(filepath.Join(keep, "board-"+name+".png"))
		alert := browser.Eval[string](tab, `document.querySelector('article.case.red a.reading').href`)
		patient := browser.Eval[string](tab, `document.querySelector('article.case.red h3 a').href`)
		tab.Open(alert)
		tab.Shot(filepath.Join(keep, "alert-"+name+".png"))
		tab.Open(patient)
		drawn(tab)
		tab.Shot(filepath.Join(keep, "patient-"+name+".png"))
		tab.Open(told.URL + "/patients")
		tab.Shot(filepath.Join(keep, "patients-"+name+".png"))
		if wide := browser.Eval[bool](tab, `document.documentElement.scrollWidth > document.documentElement.clientWidth`); wide {
			t.Errorf("the %s page scrolls sideways", name)
		}
	}
	p.end(t, syscall.SIGINT)
}
