package hale_test

import "slices"

// This file is the law as tables; arch_check_test.go reads the module against it, arch_test.go shows that it can fail.
// A change here changes the shape of the house: argue it in an ADR (docs/adr).

// modulePath is the import path of the module, which is also that of its root package.
const modulePath = "hale"

// law is what the checker holds a module against.
type law struct {
	// arrows: package -> the packages of this module that it may import. A package that is not here is not in the house.
	arrows map[string][]string
	// testArrows: what the test files of any package may import besides.
	testArrows []string
	// owners: third-party module -> who may import it.
	owners []owner
	// variables: "package.name" -> why a package-level variable that nothing changes is right there.
	variables map[string]string
}

// owner is a third-party import path, with everything below it, and the packages that may use it.
type owner struct {
	path  string
	by    []string
	tests []string // packages whose test files may use it too; "*" is every package
}

// theHouse is the law of this module.
func theHouse() law {
	accounts := []string{"account", "account/audit", "account/consent", "account/identity"}
	domains := append(slices.Clone(accounts), "vital", "fault", "devices", "devices/credential", "devices/measuring", "devices/downlink", "push", "careplan", "alerts", "safe")
	toPeople := append(slices.Clone(domains), "ingest") // what the API and the screens speak of
	adapters := []string{
		"ingest", "ingest/edge", "ingest/bridge", "stream", "postgres", "push/webpush", "push/webhook",
		"api", "api/session", "api/feed", "web", "simulators",
	}
	all := append(slices.Clone(toPeople),
		"fhir", "alerts/score", "account/guess", "account/signin", "account/signin/oidc", "push/webpush", "push/webhook", "ingest/formats", "ingest/edge", "ingest/bridge", "stream",
		"postgres", "postgres/embedded", "api", "api/session", "api/feed", "api/fhirmap", "web", "simulators", "authority")
	fiber := []string{"api", "api/session", "api/feed", "web"}

	return law{
		arrows: map[string][]string{
			".":                   {},
			"vital":               {},
			"fault":               {},
			"fhir":                {"vital", "fault"},
			"account":             {"vital", "fault"},
			"push":                {"vital", "fault", "account"},
			"account/audit":       {"account", "vital", "fault"},
			"account/consent":     {"account", "vital", "fault"},
			"account/identity":    {"account", "vital", "fault"},
			"account/guess":       {"fault"},
			"account/signin":      {"account", "account/guess", "vital", "fault"},
			"account/signin/oidc": {"account", "account/signin", "vital", "fault"},
			"push/webpush":        {"push", "fault"},
			"push/webhook":        {"push", "vital", "fault"},
			"devices":             {"vital", "fault", "account"},
			"devices/credential":  {"devices", "vital", "fault", "account", "account/guess"},
			"devices/measuring":   {"devices", "vital", "fault", "account"},
			"devices/downlink":    {"devices", "vital", "fault", "account"},
			"careplan":            {"vital", "fault", "account", "push", "devices"},
			"alerts":              {"vital", "fault", "account", "push", "devices", "careplan", "alerts/score"},
			"alerts/score":        {"vital", "fault"},
			"safe":                append(slices.Clone(accounts), "account/guess", "vital", "fault"),
			"ingest":              {"ingest/formats", "vital", "fault", "fhir", "devices"},
			"ingest/formats":      {"vital", "fault", "fhir"},
			"ingest/edge":         {"ingest", "vital", "fault", "devices", "devices/downlink"},
			"ingest/bridge":       {"ingest", "vital", "fault", "devices", "devices/credential"},
			"stream":              {"vital", "fault"},
			"postgres":            append(slices.Clone(domains), "stream"),
			"postgres/embedded":   {"fault"},
			"authority":           {"fault"},
			"api":                 append(slices.Clone(toPeople), "api/fhirmap", "api/session", "api/feed"),
			"api/session":         toPeople,
			"api/feed":            toPeople,
			"api/fhirmap":         append(slices.Clone(domains), "fhir"),
			"web":                 append(slices.Clone(toPeople), "account/guess", "api/session", "api/feed"),
			"simulators":          {"vital"},
			"cmd/hale":            all,
		},
		// Tests run on real parts: a database is the supervisor's, and shared helpers live in internal/.
		testArrows: []string{"internal", "postgres/embedded"},
		owners: []owner{
			{path: "github.com/eclipse/paho.mqtt.golang", by: []string{"ingest/bridge", "simulators"}, tests: []string{"ingest/edge"}},
			{path: "go.yaml.in/yaml/v3", by: []string{"ingest"}},
			{path: "github.com/tidwall/gjson", by: []string{"ingest"}},
			{path: "github.com/nats-io/nats.go", by: []string{"stream"}},
			{path: "github.com/nats-io/nats-server/v2", by: []string{"stream"}, tests: []string{"cmd/hale"}}, // the one of compose.yaml
			{path: "github.com/compose-spec/compose-go/v2", tests: []string{"cmd/hale"}},
			{path: "github.com/jackc/pgx/v5", by: []string{"postgres"}, tests: []string{"*"}},
			{path: "github.com/pressly/goose/v3", by: []string{"postgres"}},
			{path: "github.com/gofiber/fiber/v2", by: fiber},
			{path: "github.com/valyala/fasthttp", by: fiber}, // fiber's stream writer takes its types
			{path: "github.com/danielgtaylor/huma/v2", by: []string{"api", "web"}},
			{path: "github.com/alecthomas/kong", by: []string{"cmd/hale"}},
			{path: "github.com/schollz/progressbar/v3", by: []string{"cmd/hale"}},
			{path: "github.com/gofrs/flock", by: []string{"postgres/embedded"}},
			{path: "github.com/google/uuid", by: []string{"postgres", "cmd/hale"}},
			{path: "github.com/pires/go-proxyproto", by: []string{"ingest/edge"}},
			{path: "github.com/pquerna/otp", by: []string{"account/signin"}, tests: []string{"cmd/hale"}}, // a test is a person's phone
			{path: "github.com/boombuler/barcode", by: []string{"web"}},
			{path: "github.com/standard-webhooks/standard-webhooks", by: []string{"push/webhook"}},
			{path: "golang.org/x/crypto/argon2", by: []string{"account/signin"}},
			{path: "github.com/coreos/go-oidc/v3", by: []string{"account/signin/oidc"}},
			{path: "golang.org/x/oauth2", by: []string{"account/signin/oidc"}},
			{path: "github.com/ory/fosite"},                                                                                                    // of internal/oidcprovider only
			{path: "golang.org/x/text/unicode/norm", by: []string{"cmd/hale"}, tests: []string{"account/identity", "api/fhirmap", "postgres"}}, // domains get it as a function
			{path: "golang.org/x/time/rate", by: []string{"ingest/edge"}},
			{path: "golang.org/x/sync", by: append(slices.Clone(adapters), "cmd/hale")},
			{path: "golang.org/x/sys", by: []string{"postgres/embedded", "stream", "cmd/hale"}}, // the latter two ask for disk space
			{path: "github.com/prometheus", by: append(slices.Clone(adapters), "cmd/hale")},
			{path: "github.com/google/go-cmp", tests: []string{"*"}},
			{path: "pgregory.net/rapid", tests: []string{"*"}},
			{path: "github.com/chromedp", tests: []string{"*"}},
		},
		variables: map[string]string{
			"hale/vital.definitions": "a table that is made once and never changed; every component of every reading is looked up in it",
		},
	}
}

// forbiddenCalls are the standard library's names that only cmd may use: package -> name -> what to do instead.
func forbiddenCalls() map[string]map[string]string {
	const (
		configured = "take it as a field that cmd/hale fills"
		returned   = "return an error and let cmd/hale end the process"
		cancelled  = "take a context that cmd/hale cancels"
		logged     = "log through a *slog.Logger that is passed in as a field"
	)
	return map[string]map[string]string{
		"os": {
			"Getenv": configured, "LookupEnv": configured, "Environ": configured, "ExpandEnv": configured,
			"Setenv": configured, "Unsetenv": configured, "Exit": returned,
		},
		"os/signal": {"Notify": cancelled, "NotifyContext": cancelled, "Ignore": cancelled},
		"log": {
			"Fatal": returned, "Fatalf": returned, "Fatalln": returned, "Panic": returned, "Panicf": returned, "Panicln": returned,
			"Print": logged, "Printf": logged, "Println": logged, "Default": logged, "SetOutput": logged,
		},
		"log/slog": {
			"SetDefault": logged, "Default": logged, "Log": logged, "LogAttrs": logged,
			"Debug": logged, "Info": logged, "Warn": logged, "Error": logged,
			"DebugContext": logged, "InfoContext": logged, "WarnContext": logged, "ErrorContext": logged,
		},
	}
}

// readOnlyMakers are the calls whose result a package-level variable may hold, because nobody changes it afterwards:
// import path and name.
func readOnlyMakers() []string {
	return []string{"errors.New", modulePath + "/fault.New", "regexp.MustCompile", "html/template.Must", "text/template.Must"}
}

// readOnlyMakersInTests are those that test files may use besides: a flag of the test binary, and a real part that is
// started once and shared by the tests of a package.
func readOnlyMakersInTests() []string {
	return []string{
		"flag.Bool", "flag.String", "flag.Int", "flag.Duration",
		"sync.OnceFunc", "sync.OnceValue", "sync.OnceValues",
	}
}
