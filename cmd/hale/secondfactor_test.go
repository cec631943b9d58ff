package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"hale/internal/browser"
)

func TestASecondFactorFromTheQRCodeToTheDoor(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	process, told := up(t, dir, "--demo=false")
	if info, err := os.Stat(filepath.Join(dir, "second-factor.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	tab := browser.Start(t).Tab(t, 390, 844)
	look := func(name string) {
		t.Helper()
		tab.Keep(name)
		if browser.Eval[bool](tab, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than the screen", name)
		}
	}
	signInAt(tab, told)
	tab.Do(chromedp.Click(`.who a.name`))
	tab.Until("the own page", `location.pathname === '/me' && document.querySelector('form[action="/me/second-factor"]') !== null`)
	look("me-off")
	tab.Do(chromedp.SendKeys(`main input[name="password"]`, "wrong"), chromedp.Click(`main form button`))
	tab.Until("the wrong password is said, and is no end of the session", `document.querySelector('#why') !== null && location.pathname === '/me/second-factor' &&
		performance.getEntriesByType('navigation')[0].responseStatus === 422 && document.querySelector('form.who') !== null`)
	tab.Do(chromedp.SendKeys(`main input[name="password"]`, told.Password), chromedp.Click(`main form button`))
	tab.Until("the QR code", `document.querySelector('svg.qr path') !== null`)
	look("me-qr")
	secret := browser.Eval[string](tab, `document.querySelector('#secret').textContent`)
	phone := func(ahead time.Duration) string {
		code, err := totp.GenerateCode(secret, time.Now().Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	tab.Do(chromedp.SendKeys(`main input[name="code"]`, "12"), chromedp.Click(`main form button`))
	tab.Until("the wrong code is said, with the same QR code", `document.querySelector('#why') !== null && document.querySelector('#secret').textContent === '`+secret+`'`)
	first := phone(0)
	tab.Do(chromedp.SendKeys(`main input[name="code"]`, first), chromedp.Click(`main form button`))
	tab.Until("the recovery codes", `document.querySelectorAll('#recovery li').length === 10`)
	look("me-codes")
	recovery := browser.Eval[string](tab, `document.querySelector('#recovery code').textContent`)
	tab.Open(told.URL + "/me")
	tab.Until("it is on, and the codes are gone", `document.body.innerText.includes('Recovery codes left: 10') && document.querySelector('#recovery') === null`)
	look("me-on")
	tab.Do(chromedp.Click(`form.who button`))
	tab.Until("signed out", `location.pathname === '/signin'`)

	tab.Do(chromedp.SendKeys(`input[name="login"]`, told.Login), chromedp.SendKeys(`input[name="password"]`, told.Password), chromedp.Click(`main form button`))
	tab.Until("the code is asked for", `document.querySelector('input[name="ticket"]') !== null`)
	look("signin-code")
	if strings.Contains(browser.Eval[string](tab, `document.documentElement.outerHTML`), told.Password) {
		t.Error("the page that asks for the code holds the password")
	}
	tab.Do(chromedp.SendKeys(`input[name="code"]`, first), chromedp.Click(`main form button`))
	tab.Until("the code that turned it on is not taken again", `document.querySelector('#why') !== null && document.querySelector('input[name="ticket"]') !== null`)
	tab.Do(chromedp.SendKeys(`input[name="code"]`, phone(30*time.Second)), chromedp.Click(`main form button`))
	tab.Until("the board", `document.querySelector('#worklist') !== null`)
	for _, complaint := range tab.Complaints() {
		if !strings.Contains(complaint, "status of 4") { // the refusals above
			t.Errorf("the console says: %s", complaint)
		}
	}

	// What was turned on outlives the process, whose new password still wants the code; a recovery code opens the door.
	process.end(t, syscall.SIGTERM)
	_, told = up(t, dir, "--demo=false")
	if _, err := told.signIn(t.Context()); err == nil || !strings.Contains(err.Error(), "second factor") {
		t.Errorf("a program with the password alone: %v", err)
	}
	tab = tab.Another(1280, 900)
	tab.Open(told.URL + "/signin")
	tab.Do(chromedp.SendKeys(`input[name="login"]`, told.Login), chromedp.SendKeys(`input[name="password"]`, told.Password), chromedp.Click(`main form button`))
	tab.Until("the code is asked for", `document.querySelector('input[name="ticket"]') !== null`)
	look("signin-code-wide")
	tab.Do(chromedp.SendKeys(`input[name="code"]`, recovery), chromedp.Click(`main form button`))
	tab.Until("the board", `document.querySelector('#worklist') !== null`)
	tab.Open(told.URL + "/me")
	tab.Until("one recovery code less", `document.body.innerText.includes('Recovery codes left: 9')`)
	look("me-on-wide")
}
