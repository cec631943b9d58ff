package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hale/account"
	"hale/api"
)

// operation is one operation of the description.
type operation struct {
	method, path, id string
	public           bool
}

// operations reads the served description.
func operations(t *testing.T, s *api.Server) []operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Security    []map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(ask(t, s, "", "GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	var list []operation
	for path, methods := range doc.Paths {
		for method, o := range methods {
			list = append(list, operation{strings.ToUpper(method), path, o.OperationID, len(o.Security) == 0})
		}
	}
	return list
}

// TestEveryOperationHasANameOfItsOwn: which operations there are, and for whom, stands in the table of access (cmd/hale).
func TestEveryOperationHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	ids := map[string]bool{}
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, o := range operations(t, s) {
		if !kebab.MatchString(o.id) || ids[o.id] {
			t.Errorf("%s %s has the id %q", o.method, o.path, o.id)
		}
		ids[o.id] = true
		if o.public != slices.Contains([]string{"sign-in", "redeem-code", "accept-staff-invitation", "get-health", "get-readiness", "pair", "claim-device", "renew-certificate"}, o.id) {
			t.Errorf("%s is public: %v", o.id, o.public)
		}
	}
}

func TestTheDescriptionIsWhole(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	a := ask(t, s, "", "GET", "/openapi.json", "")
	doc := a.json(t)
	if version, _ := doc["openapi"].(string); !strings.HasPrefix(version, "3.1.") {
		t.Errorf("OpenAPI %v", doc["openapi"])
	}
	for ref := range regexpRefs(a.body) {
		var at any = doc
		for _, key := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		if at == nil {
			t.Errorf("%s points nowhere", ref)
		}
	}
	for path, item := range object(t, doc["paths"]) {
		for method, o := range object(t, item) {
			checkOperation(t, method+" "+path, object(t, o))
		}
	}
	if strings.Contains(a.body, `"$schema"`) {
		t.Error("huma's $schema links are in the description")
	}
}

func regexpRefs(body string) map[string]bool {
	refs := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\$ref":"([^"]+)"`).FindAllStringSubmatch(body, -1) {
		refs[m[1]] = true
	}
	return refs
}

// checkOperation asks of one operation what a reader of the description needs.
func checkOperation(t *testing.T, name string, o map[string]any) {
	t.Helper()
	for _, field := range []string{"operationId", "summary", "tags", "responses"} {
		if o[field] == nil {
			t.Errorf("%s has no %s", name, field)
		}
	}
	inPath := map[string]bool{}
	params, _ := o["parameters"].([]any)
	for _, p := range params {
		if p := object(t, p); p["in"] == "path" {
			inPath[fmt.Sprint(p["name"])] = p["required"] == true
		}
	}
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(name, -1) {
		if !inPath[m[1]] {
			t.Errorf("%s does not describe %s", name, m[1])
		}
	}
	success, problem := false, false
	for status, r := range object(t, o["responses"]) {
		content, _ := object(t, r)["content"].(map[string]any)
		success = success || strings.HasPrefix(status, "2")
		problem = problem || content["application/problem+json"] != nil
	}
	if !success || !problem {
		t.Errorf("%s describes a success: %v, a problem: %v", name, success, problem)
	}
}

func TestTheDocsPageLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	for path, kind := range map[string]string{"/docs": "text/html", "/docs/docs.js": "text/javascript", "/docs/docs.css": "text/css"} {
		a := ask(t, s, "", "GET", path, "")
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, a.status, a.header.Get("Content-Type"))
		}
		if regexp.MustCompile(`(?i)https?://|innerHTML|<script>|style="`).MatchString(a.body) {
			t.Errorf("%s loads from elsewhere, or needs what the content security policy forbids", path)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	checks := []api.Check{{Name: "database", OK: true}, {Name: "partitions", Detail: "3 of 8"}}
	s, _ := server(t, func(c *api.Config) { c.Ready = func(context.Context) []api.Check { return checks } })
	if a := ask(t, s, "", "GET", "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("healthz %d", a.status)
	}
	a := ask(t, s, "", "GET", "/readyz", "")
	if a.status != http.StatusServiceUnavailable || a.json(t)["ready"] != false || !strings.Contains(a.body, "3 of 8") {
		t.Errorf("readyz %d %s", a.status, a.body)
	}
	checks[1].OK = true
	checks = append(checks, api.Check{Name: "broker clinic", Alarm: true, Detail: "it is away"})
	if a := ask(t, s, "", "GET", "/readyz", ""); !strings.Contains(a.body, `{"name":"broker clinic","ok":false,"alarm":true,"detail":"it is away"}`) {
		t.Errorf("readyz %d %s", a.status, a.body)
	}
	checks = append(checks, api.Check{Name: "broker ward", OK: true, Alarm: true})
	if a := ask(t, s, "", "GET", "/readyz", ""); !strings.Contains(a.body, `{"name":"broker ward","ok":true}`) {
		t.Errorf("what is well is an alarm: %s", a.body)
	}
	if a := ask(t, s, "", "GET", "/readyz", ""); a.status != http.StatusOK || a.json(t)["ready"] != true {
		t.Errorf("readyz %d %s", a.status, a.body)
	}
}

func TestTheAdminAddressSaysTheSame(t *testing.T) {
	t.Parallel()
	checks := []api.Check{{Name: "database", OK: true}, {Name: "partitions", Detail: "3 of 8"}}
	ready := func(context.Context) []api.Check { return checks }
	s, _ := server(t, func(c *api.Config) { c.Ready = ready })
	admin := api.Admin(ready, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		return w
	}
	for _, well := range []bool{false, true} {
		checks[1].OK = well
		for _, path := range []string{"/healthz", "/readyz"} {
			want, got := ask(t, s, "", "GET", path, ""), get("GET", path)
			var said map[string]any
			if err := json.Unmarshal(got.Body.Bytes(), &said); err != nil {
				t.Fatal(err)
			}
			expected := want.json(t)
			delete(expected, "$schema")
			if diff := cmp.Diff(expected, said); diff != "" || got.Code != want.status {
				t.Errorf("%s, ready %v: status %d, want %d: %s", path, well, got.Code, want.status, diff)
			}
		}
	}
	if w := get("GET", "/metrics"); w.Code != http.StatusTeapot {
		t.Errorf("metrics %d", w.Code)
	}
	for _, asked := range []string{"POST /readyz", "GET /v1/patients", "GET /"} {
		method, path, _ := strings.Cut(asked, " ")
		if w := get(method, path); w.Code < 400 {
			t.Errorf("%s is answered with %d", asked, w.Code)
		}
	}
}

func TestHeadersKeepBrowsersInBounds(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	for _, path := range []string{"/v1/patients", "/docs", "/nothing"} {
		h := ask(t, s, "nurse", "GET", path, "").header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if !strings.HasPrefix(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if len(h.Get("X-Request-Id")) != 16 {
			t.Errorf("%s: request id %q", path, h.Get("X-Request-Id"))
		}
	}
	if id := ask(t, s, "", "GET", "/healthz", "", "X-Request-Id", "trace-0001").header.Get("X-Request-Id"); id != "trace-0001" {
		t.Errorf("a proxy's request id became %q", id)
	}
	if id := ask(t, s, "", "GET", "/healthz", "", "X-Request-Id", "x\" evil").header.Get("X-Request-Id"); strings.Contains(id, "evil") {
		t.Errorf("a foreign text became the request id %q", id)
	}
}

func TestErrorPagesAreForBrowsersOutsideTheAPI(t *testing.T) {
	t.Parallel()
	s, _ := server(t, func(c *api.Config) {
		c.ErrorPage = func(c *fiber.Ctx, status int, message string) error {
			return c.Status(status).Type("html").SendString("<p>" + message)
		}
		c.Mount = []func(*fiber.App){func(app *fiber.App) {
			app.Get("/board", func(c *fiber.Ctx) error { return c.SendString("board") })
		}}
	})
	if a := ask(t, s, "", "GET", "/board", ""); a.body != "board" {
		t.Errorf("mounted route: %d %s", a.status, a.body)
	}
	if a := ask(t, s, "", "GET", "/nothing", "", "Accept", "text/html"); a.status != http.StatusNotFound || !strings.HasPrefix(a.body, "<p>") {
		t.Errorf("%d %s", a.status, a.body)
	}
	wantProblem(t, ask(t, s, "", "GET", "/nothing", ""), http.StatusNotFound, "")
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/nothing", "", "Accept", "text/html"), http.StatusNotFound, "")
}

// listen runs a server on a port of its own and stops it with the test.
func listen(t *testing.T, s *api.Server) (base string, stop func() error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	stop = func() error { cancel(); return <-ended }
	t.Cleanup(cancel)
	return "http://" + l.Addr().String(), stop
}

func get(t *testing.T, url string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestMetricsAreForThisMachine(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s, _ := server(t, func(c *api.Config) {
		c.Register, c.Metrics = registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	})
	base, stop := listen(t, s)
	get(t, base+"/v1/patients/"+ana, "Authorization", "Bearer nurse").Body.Close()
	res := get(t, base+"/metrics")
	var lines []string
	for scan := bufio.NewScanner(res.Body); scan.Scan(); {
		lines = append(lines, scan.Text())
	}
	if !slices.Contains(lines, `hale_http_requests_total{method="GET",route="/v1/patients/:id",status="200"} 1`) || !slices.Contains(lines, "hale_http_feeds 0") {
		t.Errorf("metrics:\n%s", strings.Join(lines, "\n"))
	}
	if strings.Contains(strings.Join(lines, ""), ana) {
		t.Error("a patient is in the metrics")
	}
	if res := get(t, base+"/metrics", "X-Forwarded-For", "203.0.113.5"); res.StatusCode != http.StatusNotFound {
		t.Errorf("through a proxy: %d", res.StatusCode)
	}
	wantProblem(t, ask(t, s, "", "GET", "/metrics", ""), http.StatusNotFound, "") // the test's own connection comes from 0.0.0.0
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithOpenFeeds(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	base, stop := listen(t, s)
	res := get(t, base+"/v1/feed", "Authorization", "Bearer "+string(account.Nurse))
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	read := bufio.NewReader(res.Body)
	if line, err := read.ReadString('\n'); err != nil || line != "event: reload\n" {
		t.Fatalf("%q, %v", line, err)
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the shutdown took %s", took)
	}
	wantProblem(t, ask(t, s, "nurse", "GET", "/v1/feed", ""), http.StatusServiceUnavailable, "live feed")
	wantProblem(t, ask(t, s, "device_desk", "GET", "/v1/feed", ""), http.StatusForbidden, "see alerts")
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := server(t)
	base, stop := listen(t, s)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/session", strings.NewReader(strings.Repeat("x", 5<<20)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err == nil && res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
