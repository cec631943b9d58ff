package edge

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// section is a section of MQTT 3.1.1 and how many numbered normative statements it has, counted from 1.
type section struct {
	name  string
	count int
}

// statements returns the normative statements of MQTT 3.1.1 (OASIS Standard of 29 October 2014, appendix B: 141 of
// them). The appendix prints some numbers, as 3.1.2-7 and 3.8.3-4, with another hyphen or dot.
func statements() []string {
	var all []string
	for _, s := range []section{
		{"1.5.3", 3},
		{"2.2.2", 2}, {"2.3.1", 7},
		{"3.1.0", 2}, {"3.1.2", 24}, {"3.1.3", 11}, {"3.1.4", 5}, {"3.2.0", 1}, {"3.2.2", 6},
		{"3.3.1", 12}, {"3.3.2", 3}, {"3.3.4", 1}, {"3.3.5", 2}, {"3.6.1", 1},
		{"3.8.1", 1}, {"3.8.3", 4}, {"3.8.4", 6}, {"3.9.3", 2}, {"3.10.1", 1}, {"3.10.3", 2}, {"3.10.4", 6},
		{"3.12.4", 1}, {"3.14.1", 1}, {"3.14.4", 3},
		{"4.1.0", 2}, {"4.3.1", 1}, {"4.3.2", 2}, {"4.3.3", 2}, {"4.4.0", 1}, {"4.5.0", 2}, {"4.6.0", 6},
		{"4.7.1", 3}, {"4.7.2", 1}, {"4.7.3", 4}, {"4.8.0", 2},
		{"6.0.0", 4}, {"7.0.0", 2}, {"7.1.1", 1}, {"7.1.2", 1},
	} {
		for n := range s.count {
			all = append(all, fmt.Sprintf("%s-%d", s.name, n+1))
		}
	}
	return all
}

// knownTests returns the tests that the table may name, each with every string that it or a function that it calls
// holds. A test of another package is named with the package in front.
func knownTests(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for prefix, folder := range map[string]string{
		"": ".", "bridge.": "../bridge", "ingest.": "..", "postgres.": "../../postgres", "hale.": "../../cmd/hale",
	} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no tests, %v", folder, err)
		}
		held, called := map[string][]string{}, map[string][]string{}
		for _, file := range files {
			syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range syntax.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					held[f.Name.Name], called[f.Name.Name] = literals(f)
				}
			}
		}
		for name, strs := range held {
			if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			for _, callee := range called[name] {
				strs = append(strs, held[callee]...)
			}
			found[prefix+name] = strs
		}
	}
	return found
}

// literals returns the strings that a function holds and the names of the functions that it calls.
func literals(f *ast.FuncDecl) (strs, calls []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				strs = append(strs, s)
			}
		case *ast.CallExpr:
			if callee, ok := n.Fun.(*ast.Ident); ok {
				calls = append(calls, callee.Name)
			}
		}
		return true
	})
	return strs, calls
}

const statementsHeader = "| statement | in short | here | shown by |\n|---|---|---|---|\n"

var quoted = regexp.MustCompile("`([^`]*)`")

// complaints holds the table of statements in a document against the list of statements and the tests there are.
func complaints(document string, tests map[string][]string) []string {
	_, table, found := strings.Cut(document, statementsHeader)
	if !found {
		return []string{"there is no table of statements"}
	}
	var wrong []string
	complain := func(format string, arguments ...any) { wrong = append(wrong, fmt.Sprintf(format, arguments...)) }
	want, got := statements(), []string{}
	count := map[string]int{}
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) == 3 { // the last one is empty
			cells = append(cells, "")
		}
		if len(cells) != 4 || cells[1] == "" {
			complain("this is no row of four cells: %s", row)
			continue
		}
		id, state, shown := cells[0], cells[2], cells[3]
		if slices.Contains(got, id) {
			complain("%s stands twice", id)
		}
		if !slices.Contains(want, id) {
			complain("%s is no statement of MQTT 3.1.1", id)
		}
		got = append(got, id)
		names := quoted.FindAllStringSubmatch(shown, -1)
		word, why, _ := strings.Cut(state, ": ")
		count[word]++
		switch word {
		case "kept", "in part", "not offered":
			if len(names) == 0 {
				complain("%s is %s, and no test shows it", id, word)
			}
		case "binds the client":
		default:
			complain("%s is %q; it can be kept, in part, not offered or binds the client", id, word)
		}
		if (word == "in part" || word == "not offered") && why == "" {
			complain("%s is %s, and nothing says what or why", id, word)
		}
		for _, n := range names {
			test, sentence, with := strings.Cut(n[1], ": ")
			held, there := tests[test]
			if !there {
				complain("%s: there is no test %s", id, test)
			} else if with && !slices.Contains(held, sentence) {
				complain("%s: %s has no case %q", id, test, sentence)
			}
		}
	}
	for _, id := range want {
		if !slices.Contains(got, id) {
			complain("%s is missing", id)
		}
	}
	sum := fmt.Sprintf("%d are kept, %d in part, %d not offered, %d bind the client", count["kept"], count["in part"], count["not offered"], count["binds the client"])
	if len(wrong) == 0 && !strings.Contains(strings.ReplaceAll(document, "\n", " "), sum) {
		complain("the sum should read: %s", sum)
	}
	if len(wrong) == 0 && !slices.Equal(got, want) {
		complain("the statements are not in their order")
	}
	return wrong
}

func TestEveryStatementOfTheStandardIsInTheTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range complaints(string(text), knownTests(t)) {
		t.Errorf("docs/wire.md: %s", c)
	}
}

func TestATableOfStatementsThatIsWrongIsSeen(t *testing.T) {
	t.Parallel()
	const row = "| 3.1.0-2 | a second CONNECT | kept | `TestIt` |\n"
	good := statementsHeader
	for _, id := range statements() {
		good += strings.Replace(row, "3.1.0-2", id, 1)
	}
	good += "\nIn all 141 are kept, 0 in part, 0 not\noffered, 0 bind the client.\n"
	first := strings.Replace(row, "0-2", "0-1", 1)
	tests := map[string][]string{"TestIt": {"a case"}, "postgres.TestIt": nil}
	other := func(state, shown string) string {
		return "| 3.1.0-2 | a second CONNECT | " + state + " |" + shown + "|\n"
	}

	cases := map[string]struct {
		old, new string
		want     []string
	}{
		"nothing is wrong":                       {"", "", nil},
		"a case that there is":                   {row, other("kept", " `TestIt: a case`, `postgres.TestIt` "), nil},
		"a statement that is left out":           {row, "", []string{"3.1.0-2 is missing"}},
		"one that stands twice":                  {row, row + row, []string{"3.1.0-2 stands twice"}},
		"one that is not the standard's":         {"| 3.1.0-2 |", "| 3.1.0-3 |", []string{"3.1.0-3 is no statement of MQTT 3.1.1", "3.1.0-2 is missing"}},
		"two in the wrong order":                 {first + row, row + first, []string{"the statements are not in their order"}},
		"one that is kept without a test":        {row, other("kept", " "), []string{"3.1.0-2 is kept, and no test shows it"}},
		"one that is not offered without a test": {row, other("not offered: why", " "), []string{"3.1.0-2 is not offered, and no test shows it"}},
		"one that is in part without a reason":   {row, other("in part", " `TestIt` "), []string{"3.1.0-2 is in part, and nothing says what or why"}},
		"a test that is not there":               {row, other("kept", " `TestNothing` "), []string{"3.1.0-2: there is no test TestNothing"}},
		"a case that the test does not have":     {row, other("kept", " `TestIt: not so` "), []string{`3.1.0-2: TestIt has no case "not so"`}},
		"a state of its own":                     {row, other("mostly", " `TestIt` "), []string{`3.1.0-2 is "mostly"; it can be kept, in part, not offered or binds the client`}},
		"a row with a cell too few":              {row, "| 3.1.0-2 | kept |\n", []string{"this is no row of four cells: | 3.1.0-2 | kept |", "3.1.0-2 is missing"}},
		"a sum that is not the table's":          {"141 are kept", "140 are kept", []string{"the sum should read: 141 are kept, 0 in part, 0 not offered, 0 bind the client"}},
		"no table":                               {statementsHeader, "", []string{"there is no table of statements"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := complaints(strings.Replace(good, c.old, c.new, 1), tests)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}
