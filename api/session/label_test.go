package session_test

import (
	"context"
	"net/netip"
	"testing"

	"hale/account"
	"hale/api/session"
)

// labels notes what a session is called.
type labels struct {
	door
	said []string
}

func (l *labels) SignIn(_ context.Context, _ netip.Addr, p account.Proof) (string, account.Session, error) {
	l.said = append(l.said, p.Label)
	return "good", account.Session{}, nil
}

func TestADeviceIsCalledByBrowserAndSystem(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0":                                                                    "Firefox on Android",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":     "Samsung Internet on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.0.0 Mobile/15E148 Safari/604.1":       "Chrome on iPad",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0":           "Edge on Windows",
		"hale-app/1.2 (build 7)": "hale-app",
		"":                       "",
	} {
		l := &labels{}
		send(t, &session.Keeper{SignIn: l}, "POST", "/in", "", map[string]string{"User-Agent": agent})
		if len(l.said) != 1 || l.said[0] != want {
			t.Errorf("%q is called %q, want %q", agent, l.said, want)
		}
	}
}
