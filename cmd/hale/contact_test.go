package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"hale/internal/browser"
)

// TestALateRedThatIsTheLastKnownIsOnTheBoard sends a saturation of seven hours ago on the whole way to the board, and then
// one of now (product.md, section 2, S).
func TestALateRedThatIsTheLastKnownIsOnTheBoard(t *testing.T) {
	t.Parallel()
	p, told := up(t, dataDir(t), "--demo=false")
	k := newKit(t, signIn(t, told), "oximeter-1", time.Now().Add(-24*time.Hour))
	line := k.dial(t, told.MQTT)
	send := func(percent int, at time.Time) {
		t.Helper()
		body := fmt.Sprintf(`{"metric":"oxygen_saturation","value":%d,"unit":"%%","time":%q}`, percent, at.UTC().Format(time.RFC3339))
		if err := line.Publish(t.Context(), k.topic(), []byte(body), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
		if err := line.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	send(81, now.Add(-7*time.Hour-time.Minute))
	tab := browser.Start(t).Tab(t, 390, 844)
	signInAt(tab, told)
	const row = `(document.querySelector(".row .what") || {}).innerText || ""`
	tab.Until("contact is asked for", `(`+row+`).includes("contact now: last known 81 %, 7 h ago")`)
	send(97, now)
	eventually(t, 10*time.Second, func() string {
		tab.Open(told.URL + "/")
		if said := browser.Eval[string](tab, row); !strings.Contains(said, "arrived late") || strings.Contains(said, "contact now") {
			return "after a newer reading the row says " + said
		}
		return ""
	})
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	p.end(t, syscall.SIGINT)
}
