package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
	"hale/safe"
)

func TestTheScreensOfAnErasure(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	w := wears(t, staff, "scale-9", "Zoran Needleman", "NEEDLE-4711", 831_234_567)
	one := officerOf(t, told, "olga")
	officerOf(t, told, "otto")
	policy := policyOfNothing()
	for _, row := range policy["retention"].([]map[string]any) { //nolint:errcheck,forcetypeassert // we have just made it
		if row["class"] == safe.ClassLooks || row["class"] == safe.ClassConsents {
			row["years"], row["ground"] = 3, "proof of who saw what is kept until claims lapse (GDPR article 17(3)(e))"
		}
	}
	one.call(t, http.MethodPut, "/v1/erasure-policy", policy, nil)

	tab := browser.Start(t).Tab(t, 390, 844)
	look := func(name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
	}
	enter := func(login string) {
		t.Helper()
		tab.Open(told.URL + "/signin")
		tab.Do(chromedp.SendKeys(`input[name="login"]`, login), chromedp.SendKeys(`input[name="password"]`, "a long enough password of "+login), chromedp.Click(`main form button`))
		tab.Until("signed in", `document.querySelector('form.who') !== null`)
	}
	enter("olga")
	tab.Open(told.URL + "/safe/" + w.patient.ID)
	tab.Until("the data safe offers it", `document.querySelector('a[href$="/erasure"]') !== null`)
	tab.Do(chromedp.Click(`a[href$="/erasure"]`))
	tab.Until("the form", `document.querySelector('textarea[name="wish"]') !== null`)
	look("erasure-ask")
	tab.Do(chromedp.SendKeys(`textarea[name="wish"]`, "A letter of 3 March: erase everything."), chromedp.Click(`main form button.main`))
	tab.Until("the request is told", `document.body.innerText.includes('Request 1') && document.querySelector('textarea[name="wish"]') === null`)
	look("erasure-asked")
	tab.Do(chromedp.Click(`nav a[href="/erasures"]`))
	tab.Until("the list", `document.querySelector('td') !== null && document.body.innerText.includes('Waits for the privacy officer')`)
	look("erasures")
	tab.Do(chromedp.Click(`main table a`))
	tab.Until("what the table says", `document.querySelector('input[name="erase-consents"]') !== null`)
	look("erasure-decide")
	tab.Do(chromedp.Click(`input[name="erase-consents"]`), chromedp.Click(`button[value="erase"]`))
	tab.Until("the reason is missing", `document.querySelector('#why') !== null && document.body.innerText.includes('say why it is erased')`)
	tab.Do(chromedp.SendKeys(`textarea[name="answer"]`, "Nothing was agreed to but the programme itself."), chromedp.Click(`input[name="erase-consents"]`), chromedp.Click(`button[value="erase"]`))
	tab.Until("somebody else must confirm", `document.body.innerText.includes('Somebody else must confirm') && document.querySelector('input[name="number"]') === null`)
	look("erasure-decided")

	tab.Do(chromedp.Click(`form.who button`))
	tab.Until("signed out", `location.pathname === '/signin'`)
	tab = tab.Another(1280, 900)
	enter("otto")
	tab.Open(told.URL + "/erasures")
	tab.Until("the list", `document.querySelector('main table a') !== null`)
	look("erasures-wide")
	tab.Do(chromedp.Click(`main table a`))
	tab.Until("the second officer may confirm", `document.querySelector('input[name="number"]') !== null`)
	tab.Do(chromedp.SendKeys(`textarea[name="told"]`, "Otto told her in her kitchen."), chromedp.SendKeys(`input[name="number"]`, "2"), chromedp.Click(`form[action$="/confirm"] button`))
	tab.Until("another number is refused", `document.querySelector('#why') !== null`)
	look("erasure-confirm-wide")
	tab.Do(chromedp.SetValue(`input[name="number"]`, "1"), chromedp.Click(`form[action$="/confirm"] button`))
	tab.Until("it is confirmed", `document.querySelector('#why') === null && document.body.innerText.includes('Confirmed on')`)
	eventually(t, 60*time.Second, func() string {
		tab.Open(told.URL + "/erasures")
		if said := browser.Eval[string](tab, `document.querySelector('main').innerText`); !strings.Contains(said, "but for what the law keeps") || strings.Contains(said, "Zoran") {
			return said
		}
		return ""
	})
	tab.Do(chromedp.Click(`main table a`))
	tab.Until("the receipt", `document.querySelector('a[href$="/receipt"]') !== null`)
	look("erasure-done-wide")
	tab.Do(chromedp.Click(`a[href$="/receipt"]`))
	tab.Until("the receipt tells what is kept", `document.body.innerText.includes('What is kept, and why') && !document.body.innerText.includes('Zoran')`)
	look("erasure-receipt-wide")
	for _, complaint := range tab.Complaints() {
		if !strings.Contains(complaint, "status of 4") { // the refusals above
			t.Errorf("the console says: %s", complaint)
		}
	}
}
