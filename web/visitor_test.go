package web_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
)

// visitor is a browser without scripts: it keeps its cookie and sends forms.
type visitor struct {
	t      *testing.T
	app    *fiber.App
	cookie string
	script bool // asks as htmx does
}

func visit(t *testing.T, app *fiber.App, login string) *visitor {
	t.Helper()
	v := &visitor{t: t, app: app}
	if login == "" {
		return v
	}
	answer, _ := v.post("/signin", url.Values{"login": {login}, "password": {login}})
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in as %s: status %d", login, answer.StatusCode)
	}
	v.cookie = strings.SplitN(answer.Header.Get("Set-Cookie"), ";", 2)[0]
	return v
}

func (v *visitor) get(path string) (*http.Response, string) {
	v.t.Helper()
	return v.send(httptest.NewRequestWithContext(v.t.Context(), http.MethodGet, path, nil))
}

func (v *visitor) post(path string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	r := httptest.NewRequestWithContext(v.t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://example.com")
	return v.send(r)
}

func (v *visitor) send(r *http.Request) (*http.Response, string) {
	v.t.Helper()
	if v.cookie != "" {
		r.Header.Set("Cookie", v.cookie)
	}
	if v.script {
		r.Header.Set("HX-Request", "true")
	}
	answer, err := v.app.Test(r, 10_000)
	if err != nil {
		v.t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer, string(body)
}

// form returns the hidden values that the page's form with this action would send.
func (v *visitor) form(page, action string) url.Values {
	v.t.Helper()
	_, rest, found := strings.Cut(page, `action="`+action+`"`)
	if !found {
		v.t.Fatalf("the page has no form for %s", action)
	}
	rest, _, _ = strings.Cut(rest, "</form>")
	values := url.Values{}
	for _, m := range regexp.MustCompile(`type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		values.Set(m[1], m[2])
	}
	return values
}

var tags = regexp.MustCompile(`<[^>]*>|\s+`)

// words is what a page says, without its tags and with single spaces.
func words(page string) string {
	page = strings.NewReplacer("<b>", "", "</b>", "", "</time>,", ",").Replace(page)
	return html.UnescapeString(strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " "))
}

func wants(t *testing.T, page string, texts ...string) {
	t.Helper()
	said := words(page)
	for _, want := range texts {
		if !strings.Contains(said, want) && !strings.Contains(page, want) {
			t.Errorf("the page lacks %q; it says %s", want, said)
		}
	}
}
