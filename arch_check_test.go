package hale_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// complaint is one breach of the law: where, what, and how to mend it.
type complaint struct {
	file string
	line int
	what string
	mend string
}

// String returns the complaint as a line that an editor can jump to.
func (c complaint) String() string {
	return fmt.Sprintf("%s:%d: %s; mend: %s", c.file, c.line, c.what, c.mend)
}

// verdict is what the checker saw and what it holds against it.
type verdict struct {
	packages   []string
	complaints []complaint
}

// judge reads every Go file of a module, under whatever build tag, and holds it against the law.
func judge(module fs.FS, l law) (verdict, error) {
	var v verdict
	err := fs.WalkDir(module, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && notOurs(name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		source, err := fs.ReadFile(module, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if pkg := path.Dir(name); !slices.Contains(v.packages, pkg) {
			v.packages = append(v.packages, pkg)
		}
		v.complaints = append(v.complaints, judgeFile(name, source, l)...)
		return nil
	})
	return v, err
}

// notOurs reports whether a folder holds no package of this module: what the go tool passes over too.
func notOurs(dir string) bool {
	base := path.Base(dir)
	if dir == "." {
		return false
	}
	return base == "testdata" || base == "vendor" || base == "node_modules" ||
		strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
}

// file is one parsed file with what the rules ask of it.
type file struct {
	law
	name    string
	pkg     string // its folder, "." for the root
	test    bool   // a _test.go file
	helper  bool   // below internal/: code that only tests use
	set     *token.FileSet
	syntax  *ast.File
	imports map[string]string // local name -> import path
	found   []complaint
}

func judgeFile(name string, source []byte, l law) []complaint {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []complaint{{file: name, line: 1, what: "does not parse: " + err.Error(), mend: "make it compile"}}
	}
	pkg := path.Dir(name)
	f := &file{
		law: l, name: name, pkg: pkg, set: set, syntax: syntax, imports: map[string]string{},
		test: strings.HasSuffix(name, "_test.go"), helper: within(pkg, "internal"),
	}
	if _, listed := l.arrows[pkg]; !listed && !f.helper {
		f.complain(syntax.Name, fmt.Sprintf("package %s is not in the house", pkg),
			"put the code where it belongs, or argue a new package in an ADR and list it in arch_rules_test.go")
		return f.found
	}
	f.judgeImports()
	f.judgeCalls()
	f.judgeDeclarations()
	return f.found
}

func (f *file) complain(at ast.Node, what, mend string) {
	f.found = append(f.found, complaint{file: f.name, line: f.set.Position(at.Pos()).Line, what: what, mend: mend})
}

// within reports whether a path is root or lies below it.
func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func (f *file) judgeImports() {
	for _, spec := range f.syntax.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it already
		}
		local := localName(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		f.imports[local] = target
		switch first, _, _ := strings.Cut(target, "/"); {
		case local == ".":
			f.complain(spec, "dot import of "+target, "import it by its name, so that a reader sees whose word it is")
		case within(target, modulePath):
			f.judgeArrow(spec, strings.TrimPrefix(strings.TrimPrefix(target, modulePath), "/"))
		case target == "C":
			f.complain(spec, "uses cgo", "find it in Go: one static binary is a promise to those who install it")
		case strings.Contains(first, "."):
			f.judgeThirdParty(spec, target)
		}
	}
}

// localName is the name under which an import is spoken of when the file gives it none.
func localName(target string) string {
	base := path.Base(target)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(target))
	}
	return base
}

func (f *file) judgeArrow(at ast.Node, target string) {
	if target == "" {
		target = "."
	}
	testHelper := within(target, "internal")
	switch {
	case f.helper: // internal -> anything
		return
	case testHelper && !f.test:
		f.complain(at, f.pkg+" imports "+target+" outside a test file", "internal/ holds test helpers only; move what production needs into the package that owns it")
		return
	case f.test && f.pkg == target: // a package's outside test imports the package
		return
	case slices.Contains(f.arrows[f.pkg], target):
		return
	case f.test && within(f.pkg, "cmd"):
		return
	case f.test && slices.ContainsFunc(f.testArrows, func(root string) bool { return within(target, root) }):
		return
	}
	f.complain(at, fmt.Sprintf("arrow %s -> %s is not allowed", f.pkg, target),
		"declare a small interface where it is used and let cmd/hale join them, or move the code to the other side of the arrow")
}

func (f *file) judgeThirdParty(at ast.Node, target string) {
	i := slices.IndexFunc(f.owners, func(o owner) bool { return within(target, o.path) })
	if i < 0 {
		f.complain(at, "third party "+target+" has no owner", "use the standard library, or argue the dependency in an ADR and give it an owner in arch_rules_test.go")
		return
	}
	o := f.owners[i]
	inTest := f.test && (slices.Contains(o.tests, "*") || slices.Contains(o.tests, f.pkg) || within(f.pkg, "cmd"))
	if f.helper || inTest || slices.Contains(o.by, f.pkg) {
		return
	}
	belongs := "test files only"
	if len(o.by) > 0 {
		belongs = strings.Join(o.by, ", ")
	}
	f.complain(at, fmt.Sprintf("third party %s is imported by %s", target, f.pkg), "it belongs to "+belongs+"; ask its owner through an interface")
}

// judgeCalls refuses what reaches past the process's wiring (environment, exit, signals, global loggers) outside cmd,
// and in tests what hides a failure: a sleep or a skip.
func (f *file) judgeCalls() {
	outer := !f.test && !f.helper && !within(f.pkg, "cmd")
	forbidden := forbiddenCalls()
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		base, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		imported, member := f.imports[base.Name], selector.Sel.Name
		if mend, bad := forbidden[imported][member]; bad && outer {
			f.complain(selector, path.Base(imported)+"."+member+" outside cmd", mend)
		}
		if f.test && imported == "time" && member == "Sleep" {
			f.complain(selector, "time.Sleep in a test", "wait on a ticker for a condition with a deadline, or inject the clock")
		}
		if f.test && slices.Contains([]string{"t", "b", "f", "tb"}, base.Name) && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, member) {
			f.complain(selector, base.Name+"."+member+" hides what was not tested", "fail with what is missing and how to get it")
		}
		return true
	})
}

func (f *file) judgeDeclarations() {
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				f.complain(d, "func init()", "do it in a constructor, so that nothing happens before main says so")
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				f.judgeVariables(d)
			}
		}
	}
}

// judgeVariables refuses package-level variables, but for those that read as constants. What Go cannot declare as a
// constant and is none of these is listed by name with a reason.
func (f *file) judgeVariables(d *ast.GenDecl) {
	for _, s := range d.Specs {
		spec, ok := s.(*ast.ValueSpec)
		if !ok || embeds(d.Doc) || embeds(spec.Doc) {
			continue
		}
		for i, name := range spec.Names {
			_, listed := f.variables[path.Join(modulePath, f.pkg)+"."+name.Name]
			made := len(spec.Values) == len(spec.Names) && f.readOnly(spec.Values[i])
			if name.Name == "_" || listed || made {
				continue
			}
			f.complain(name, "package-level variable "+name.Name,
				"make it a constant, a function that returns it or a field; a table that nothing changes is listed with its reason in arch_rules_test.go")
		}
	}
}

// embeds reports whether a //go:embed directive stands above the declaration.
func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// readOnly reports whether a value comes from a call whose result nobody changes.
func (f *file) readOnly(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	base, ok := selector.X.(*ast.Ident)
	if !ok {
		return false
	}
	maker := f.imports[base.Name] + "." + selector.Sel.Name
	return slices.Contains(readOnlyMakers(), maker) ||
		(f.test || f.helper) && slices.Contains(readOnlyMakersInTests(), maker)
}
