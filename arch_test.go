package hale_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTheHouseKeepsItsLaw holds every Go file of this module against the tables in arch_rules_test.go.
func TestTheHouseKeepsItsLaw(t *testing.T) {
	t.Parallel()
	v, err := judge(os.DirFS("."), theHouse())
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{".", "vital", "fault"} {
		if !slices.Contains(v.packages, pkg) {
			t.Errorf("the checker did not see package %s, so its silence means nothing", pkg)
		}
	}
	for _, c := range v.complaints {
		t.Error(c)
	}
}

// TestTheTablesAgreeWithThemselves catches a table that names a package the house does not have: a typing error there
// would allow an arrow that nobody meant, or refuse one that somebody did.
func TestTheTablesAgreeWithThemselves(t *testing.T) {
	t.Parallel()
	house := theHouse()
	known := func(pkg, where string) {
		if _, ok := house.arrows[pkg]; !ok {
			t.Errorf("%s names %s, which is not a listed package", where, pkg)
		}
	}
	for from, to := range house.arrows {
		for _, pkg := range to {
			known(pkg, "the arrow list of "+from)
			if slices.Contains(house.arrows[pkg], from) {
				t.Errorf("%s and %s may import each other", from, pkg)
			}
		}
	}
	for _, o := range house.owners {
		for _, pkg := range append(slices.Clone(o.by), o.tests...) {
			if pkg != "*" {
				known(pkg, "the owner list of "+o.path)
			}
		}
	}
	for name, reason := range house.variables {
		if len(strings.Fields(reason)) < 4 {
			t.Errorf("the variable %s is listed without a reason", name)
		}
	}
}

// TestTheCheckerSeesABreach plants one fault at a time in a small module and expects the complaint that names it.
// An empty want means that the code is lawful and must be passed in silence.
func TestTheCheckerSeesABreach(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		file, code string
		want       string
	}{
		"an arrow of the list is lawful":        {"alerts/rule.go", `import _ "hale/vital"`, ""},
		"an arrow against the list is refused":  {"vital/x.go", `import _ "hale/alerts"`, "arrow vital -> alerts is not allowed"},
		"an aliased import is an arrow too":     {"alerts/x.go", `import pg "hale/postgres"`, "arrow alerts -> postgres is not allowed"},
		"the screens never import the API":      {"web/x.go", `import _ "hale/api"`, "arrow web -> api is not allowed"},
		"nobody imports the root":               {"cmd/hale/x.go", `import _ "hale"`, "arrow cmd/hale -> . is not allowed"},
		"a build tag hides nothing":             {"vital/x_windows.go", `import _ "hale/alerts"`, "arrow vital -> alerts is not allowed"},
		"an unlisted package is refused":        {"util/x.go", ``, "package util is not in the house"},
		"an unlisted sub-package is refused":    {"alerts/helpers/x.go", ``, "package alerts/helpers is not in the house"},
		"test data is not our code":             {"vital/testdata/x.go", `import _ "hale/alerts"`, ""},
		"a vendored package is not our code":    {"vendor/example.org/x/x.go", ``, ""},
		"a file that does not parse is named":   {"vital/x.go", `func {`, "does not parse"},
		"a dot import is refused":               {"vital/x.go", `import . "strings"`, "dot import of strings"},
		"cgo is refused":                        {"vital/x.go", `import "C"`, "uses cgo"},
		"a third party with its owner is right": {"postgres/x.go", `import _ "github.com/jackc/pgx/v5/pgxpool"`, ""},
		"a third party elsewhere is foreign":    {"alerts/x.go", `import _ "github.com/jackc/pgx/v5"`, "third party github.com/jackc/pgx/v5 is imported by alerts"},
		"a third party without owner":           {"api/x.go", `import _ "example.org/left/pad"`, "third party example.org/left/pad has no owner"},
		"a longer name is another module":       {"stream/x.go", `import _ "github.com/nats-io/nats.gone"`, "third party github.com/nats-io/nats.gone has no owner"},
		"a test tool in production is foreign":  {"alerts/x.go", `import _ "pgregory.net/rapid"`, "it belongs to test files only"},
		"a test tool in a test is right":        {"alerts/x_test.go", `import _ "pgregory.net/rapid"`, ""},
		"a test may ask the database itself":    {"stream/x_test.go", `import _ "github.com/jackc/pgx/v5"`, ""},
		"only the edge's tests may use paho":    {"api/x_test.go", `import _ "github.com/eclipse/paho.mqtt.golang"`, "third party github.com/eclipse/paho.mqtt.golang is imported by api"},
		"the edge's tests may use paho":         {"ingest/edge/x_test.go", `import _ "github.com/eclipse/paho.mqtt.golang/packets"`, ""},

		"internal in production is refused":        {"alerts/x.go", `import _ "hale/internal/pgtest"`, "alerts imports internal/pgtest outside a test file"},
		"internal in a test is right":              {"alerts/x_test.go", `import _ "hale/internal/pgtest"`, ""},
		"internal may import anything":             {"internal/pgtest/x.go", `import _ "hale/postgres"`, ""},
		"a test may start a real database":         {"stream/x_test.go", `import _ "hale/postgres/embedded"`, ""},
		"a test imports the package it tests":      {"vital/x_test.go", `import _ "hale/vital"`, ""},
		"a test is bound by its package's arrows":  {"vital/x_test.go", `import _ "hale/alerts"`, "arrow vital -> alerts is not allowed"},
		"an end-to-end test may import everything": {"cmd/hale/x_test.go", `import _ "hale/vital"`, ""},

		"init is refused":                       {"vital/x.go", `func init() {}`, "func init()"},
		"init is refused in a test":             {"vital/x_test.go", `func init() {}`, "func init()"},
		"a method called init is not one":       {"vital/x.go", "type x int\nfunc (x) init() {}", ""},
		"the environment is cmd's":              {"stream/x.go", "import \"os\"\nfunc x() string { return os.Getenv(\"X\") }", "os.Getenv outside cmd"},
		"an alias does not hide it":             {"stream/x.go", "import sys \"os\"\nvar _ = sys.LookupEnv", "os.LookupEnv outside cmd"},
		"the exit is cmd's":                     {"api/x.go", "import \"os\"\nfunc x() { os.Exit(1) }", "os.Exit outside cmd"},
		"signals are cmd's":                     {"api/x.go", "import \"os/signal\"\nfunc x() { signal.Notify(nil) }", "signal.Notify outside cmd"},
		"log.Fatal is nobody's":                 {"api/x.go", "import \"log\"\nfunc x() { log.Fatal() }", "log.Fatal outside cmd"},
		"the global logger is cmd's":            {"api/x.go", "import \"log/slog\"\nfunc x() { slog.SetDefault(nil) }", "slog.SetDefault outside cmd"},
		"a logger that was passed in is right":  {"api/x.go", "import \"log/slog\"\nfunc x(log *slog.Logger) { log.Info(\"started\") }", ""},
		"cmd may read the environment":          {"cmd/hale/x.go", "import \"os\"\nfunc x() string { return os.Getenv(\"X\") }", ""},
		"a test may read the environment":       {"stream/x_test.go", "import \"os\"\nfunc x() string { return os.Getenv(\"X\") }", ""},
		"a sleep in a test is refused":          {"stream/x_test.go", "import \"time\"\nfunc x() { time.Sleep(1) }", "time.Sleep in a test"},
		"a skip is refused":                     {"stream/x_test.go", "import \"testing\"\nfunc x(t *testing.T) { t.Skip() }", "t.Skip hides what was not tested"},
		"a mutable variable is refused":         {"vital/x.go", `var counter int`, "package-level variable counter"},
		"each of a group is judged":             {"vital/x.go", "var (\n\t_ = 1\n\ttable = map[string]int{}\n)", "package-level variable table"},
		"a variable in a test is refused":       {"vital/x_test.go", `var counter int`, "package-level variable counter"},
		"a listed table is right":               {"vital/x.go", `var listed = [2]int{1, 2}`, ""},
		"a list is by package":                  {"alerts/x.go", `var listed = [2]int{1, 2}`, "package-level variable listed"},
		"an error is right":                     {"vital/x.go", "import \"errors\"\nvar ErrX = errors.New(\"x\")", ""},
		"a fault is right":                      {"alerts/x.go", "import \"hale/fault\"\nvar ErrX = fault.New(fault.Gone, \"x\")", ""},
		"another package's New is not":          {"vital/x.go", "import errors \"container/list\"\nvar x = errors.New()", "package-level variable x"},
		"a pattern is right":                    {"vital/x.go", "import \"regexp\"\nvar x = regexp.MustCompile(`x`)", ""},
		"an embedded file is right":             {"web/x.go", "import \"embed\"\n\n//go:embed x.html\nvar files embed.FS", ""},
		"a file system that embeds nothing":     {"web/x.go", "import \"embed\"\n\nvar files embed.FS", "package-level variable files"},
		"an interface assertion is right":       {"vital/x.go", `var _ error = (*x)(nil)`, ""},
		"a test may share a started part":       {"postgres/x_test.go", "import \"sync\"\nvar server = sync.OnceValue(start)", ""},
		"production has no lazy global":         {"postgres/x.go", "import \"sync\"\nvar server = sync.OnceValue(start)", "package-level variable server"},
		"a variable inside a function is right": {"vital/x.go", `func x() { var n int; n++ }`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house := theHouse()
			house.variables = map[string]string{"hale/vital.listed": "a table for this test"}
			module := fstest.MapFS{
				"doc.go": {Data: []byte("package hale\n")},
				c.file:   {Data: []byte("package x\n" + c.code + "\n")},
			}
			v, err := judge(module, house)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && len(v.complaints) > 0:
				t.Errorf("lawful code is refused: %v", v.complaints)
			case c.want != "" && len(v.complaints) != 1:
				t.Errorf("%d complaints, want the one that says %q: %v", len(v.complaints), c.want, v.complaints)
			case c.want != "":
				said := v.complaints[0].String()
				if !strings.HasPrefix(said, c.file+":") || !strings.Contains(said, c.want) {
					t.Errorf("it says %q, want the file %s and %q", said, c.file, c.want)
				}
			}
		})
	}
}

// TestEveryDecisionIsListed keeps the index of docs/adr and its pages together.
func TestEveryDecisionIsListed(t *testing.T) {
	t.Parallel()
	const dir = "docs/adr"
	index, err := os.ReadFile(dir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, page := range pages {
		written[page.Name()] = true
		if page.Name() != "README.md" && !strings.Contains(string(index), "("+page.Name()+")") {
			t.Errorf("%s is not listed in %s/README.md", page.Name(), dir)
		}
	}
	for _, link := range regexp.MustCompile(`\((\d{4}-[^)]*)\)`).FindAllStringSubmatch(string(index), -1) {
		if !written[link[1]] {
			t.Errorf("%s/README.md links to %s, which is not there", dir, link[1])
		}
	}
}
