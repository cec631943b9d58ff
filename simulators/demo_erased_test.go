package simulators

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestTheDemoTakesNobodyInAgainWhoWasErased starts it where one of two has a device and is found no more.
func TestTheDemoTakesNobodyInAgainWhoWasErased(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := ""
		if n := r.URL.Query().Get("q"); n == "DEMO-2" {
			list = fmt.Sprintf(`{"id":"x","number":%q}`, n)
		}
		_, _ = fmt.Fprintf(w, `{"patients":[%s]}`, list)
	}))
	t.Cleanup(server.Close)
	d := &Demo{Staff: &Staff{URL: server.URL, http: server.Client()}, Credentials: t.TempDir() + "/devices.json"}
	if err := WriteCredentials(d.Credentials, map[string]string{"demo-1": "a", "demo-2": "b"}); err != nil {
		t.Fatal(err)
	}
	lives, err := d.remaining(t.Context(), demoLives(noon()))
	if err != nil {
		t.Fatal(err)
	}
	var numbers []string
	for _, l := range lives {
		numbers = append(numbers, l.Number)
	}
	if got := fmt.Sprint(numbers); got != "[DEMO-2 DEMO-3 DEMO-4 DEMO-5]" {
		t.Errorf("living are %s", got)
	}
	if err := d.spare(t.Context(), nil, nil, lives[:1]); err != nil {
		t.Errorf("nobody is left for the device to try: %v", err)
	}
}
