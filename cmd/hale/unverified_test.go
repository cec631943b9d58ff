package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hale/internal/browser"
)

// unverifiedRed is one as the API shows it.
type unverifiedRed struct {
	ID, State, Level, Sensor, Metric, Why string
	Version                               int
	Values                                []float64
	Findings                              []string
	Deadline                              time.Time
}

// nurseOf signs in and speaks JSON.
func nurseOf(t *testing.T, told announcement) officer {
	t.Helper()
	p := officer{url: told.URL}
	var in struct{ Token string }
	p.call(t, http.MethodPost, "/v1/session", map[string]string{"login": told.Login, "password": told.Password}, &in)
	p.token = in.Token
	return p
}

func unverifiedReds(t *testing.T, p officer) []unverifiedRed {
	t.Helper()
	var got struct{ Unverified []unverifiedRed }
	p.call(t, http.MethodGet, "/v1/unverified", nil, &got)
	return got.Unverified
}

// TestAnEmergencyOfNobodyIsSeenWithinASecond: an oximeter that nobody holds measures 72 % with a poor signal. It is on the list of a
// nurse within a second of the acknowledgement, on the open board by itself, and once somebody says whose it is, an alert of that patient.
func TestAnEmergencyOfNobodyIsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff := signIn(t, told)
	holder := newKit(t, staff, "cuff-1", time.Now().Add(-48*time.Hour))
	secret, err := staff.Enrol(t.Context(), "oxi-1", "oximeter")
	if err != nil {
		t.Fatal(err)
	}
	spills().plant("a device's secret", secret)
	nurse := asNurse(t, told)
	watching := nurseOf(t, nurse)
	lonely := kit{device: "oxi-1", secret: secret}
	line := lonely.dial(t, told.MQTT)
	b := browser.Start(t)
	tab := b.Tab(t, 1280, 900)
	signInAt(tab, nurse)
	tab.Until("the board is live", `document.querySelector('#live').dataset.state === 'live'`)

	acked := make(chan time.Time, 8)
	send := func(text string) {
		t.Helper()
		if err := line.Publish(t.Context(), lonely.topic(), []byte(text), func(at time.Time) { acked <- at }); err != nil {
			t.Fatal(err)
		}
		if err := line.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	measured := time.Now().UTC().Format(time.RFC3339)
	send(fmt.Sprintf(`{"metric":"oxygen_saturation","value":72,"unit":"%%","time":%q,"findings":["poor_signal"]}`, measured))
	durable := <-acked
	var u unverifiedRed
	eventually(t, 5*time.Second, func() string {
		list := unverifiedReds(t, watching)
		if len(list) != 1 {
			return fmt.Sprintf("%d unverified reds", len(list))
		}
		u = list[0]
		return ""
	})
	if took := time.Since(durable); took > time.Second {
		t.Errorf("it was on the list %s after the acknowledgement", took)
	}
	if u.State != "open" || u.Level != "extreme" || u.Sensor != "oxi-1" || u.Why != "no_owner" || len(u.Values) != 1 || u.Values[0] != 72 || len(u.Findings) != 1 || u.Findings[0] != "poor_signal" || time.Until(u.Deadline) > 10*time.Minute {
		t.Errorf("%+v", u)
	}
	tab.Until("it comes onto the open board", `document.querySelector('li.unverified') !== null && document.body.innerText.includes('72 %')`)
	send(`{"metric":"glucose","value":20}`) // without a unit, red under either
	send(`{"metric":"glucose","value":"LO","unit":"mg/dL"}`)
	tab.Until("what was refused is there too", `document.querySelectorAll('li.unverified').length >= 2`)

	phone := b.Tab(t, 390, 844)
	signInAt(phone, nurse)
	for name, at := range map[string]*browser.Tab{"desktop": tab, "phone": phone} {
		at.Open(told.URL + "/")
		at.Until("the board", `document.querySelector('li.unverified') !== null`)
		at.Keep("unverified-board-" + name)
		at.Open(told.URL + "/unverified/" + u.ID)
		at.Keep("unverified-" + name)
		at.Open(told.URL + "/devices/inbox")
		at.Until("the inbox", `document.body.innerText.includes('oxi-1')`)
		at.Keep("inbox-" + name)
		if wide := browser.Eval[bool](at, `document.documentElement.scrollWidth > document.documentElement.clientWidth`); wide {
			t.Errorf("the inbox scrolls sideways on the %s", name)
		}
	}

	// The nurse says whose it is: it is filed with its measured time, and judged by that patient's limits.
	tab.Open(told.URL + "/unverified/" + u.ID)
	tab.Do(chromedp.SendKeys(`form.stack input[name="who"]`, holder.patient.Number), chromedp.Click(`form.stack:has(input[name="who"]) button`))
	tab.Until("whom the number means", `document.querySelector('input[name="other"]') !== null`)
	tab.Do(chromedp.Click(`input[name="other"]`), chromedp.Click(`form.stack:has(input[name="who"]) button`))
	tab.Until("the patient's page", `location.pathname.startsWith('/patients/')`)
	eventually(t, 10*time.Second, func() string {
		list, err := staff.Alerts(t.Context(), holder.patient.ID)
		if err != nil || len(list) != 1 || list[0].Level != "extreme" {
			return fmt.Sprintf("alerts of whose it was: %+v, %v", list, err)
		}
		return ""
	})
	eventually(t, 10*time.Second, func() string {
		for _, left := range unverifiedReds(t, watching) {
			if left.ID == u.ID {
				return "what was claimed and judged is still on the list"
			}
		}
		return ""
	})
	quarantineIsRetried(t, told, b)
	gatewayGetsASensor(t, told, staff)
}

// quarantineIsRetried: what was refused is shown as it was sent, and decoded again on demand; what cannot be mended is refused again.
func quarantineIsRetried(t *testing.T, told announcement, b *browser.Browser) {
	t.Helper()
	tab := b.Tab(t, 1280, 900)
	signInAt(tab, told)
	tab.Open(told.URL + "/devices/quarantine")
	tab.Until("what was refused", `document.querySelectorAll('pre.raw').length >= 1`)
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('details').forEach(d => d.open = true)`))
	tab.Keep("quarantine-desktop")
	tab.Do(chromedp.Click(`form[action$="/retry"] button`))
	tab.Until("what became of it", `document.querySelector('.notice.bad') !== null && document.body.innerText.includes('Refused again')`)
	phone := b.Tab(t, 390, 844)
	signInAt(phone, told)
	phone.Open(told.URL + "/devices/quarantine")
	phone.Keep("quarantine-phone")
	if wide := browser.Eval[bool](phone, `document.documentElement.scrollWidth > document.documentElement.clientWidth`); wide {
		t.Error("the page scrolls sideways on the phone")
	}
}
