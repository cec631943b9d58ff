package main

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// instruction is one line of a Dockerfile.
type instruction struct{ word, rest string }

func dockerfile(t *testing.T) (list []instruction) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		list = append(list, instruction{word, strings.TrimSpace(rest)})
	}
	return list
}

// last is what the instruction says that stands last: that of the image.
func last(t *testing.T, list []instruction, word string) string {
	t.Helper()
	for _, i := range slices.Backward(list) {
		if i.word == word {
			return i.rest
		}
	}
	t.Fatalf("the Dockerfile has no %s", word)
	return ""
}

func TestTheImageIsWhatTheComposeFileRuns(t *testing.T) {
	t.Parallel()
	list, project := dockerfile(t), loadCompose(t)
	var entrypoint []string
	if err := json.Unmarshal([]byte(last(t, list, "ENTRYPOINT")), &entrypoint); err != nil || len(entrypoint) != 1 {
		t.Fatalf("ENTRYPOINT %q, %v", last(t, list, "ENTRYPOINT"), err)
	}
	var published []string
	for _, s := range ofHale(project) {
		if len(s.Entrypoint) != 0 {
			t.Errorf("%s has an entrypoint of its own", s.Name)
		}
		if check := s.HealthCheck; !check.Disable && check.Test[1] != entrypoint[0] {
			t.Errorf("the health check of %s runs %s, which is not in the image", s.Name, check.Test[1])
		}
		for _, p := range s.Ports {
			published = append(published, strconv.Itoa(int(p.Target)))
		}
	}
	slices.Sort(published)
	if exposed := strings.Fields(last(t, list, "EXPOSE")); !slices.Equal(exposed, published) {
		t.Errorf("EXPOSE %v, the compose file publishes %v", exposed, published)
	}
	if user := last(t, list, "USER"); !regexp.MustCompile(`^[1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(user) {
		t.Errorf("USER %s: say a number that is not root's", user)
	}
	if from := last(t, list, "FROM"); from != "scratch" && !strings.Contains(from, "distroless/static") {
		t.Errorf("FROM %s: a static program needs no system", from)
	}
	if copied := last(t, list, "COPY"); !strings.HasSuffix(copied, " /out/hale "+entrypoint[0]) {
		t.Errorf("COPY %s does not bring the program to %s", copied, entrypoint[0])
	}
}

func TestTheImagesAreOfTheVersionsThatAreTested(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(string(mod))
		if m == nil {
			t.Fatalf("go.mod has no %s", pattern)
		}
		return m[1]
	}
	from := ""
	for _, i := range dockerfile(t) {
		if i.word == "FROM" {
			from = i.rest
			break
		}
	}
	if want := "golang:" + version(`(?m)^go (\d+\.\d+)`) + "-"; !strings.HasPrefix(from, want) {
		t.Errorf("FROM %s, go.mod asks for %s", from, want)
	}
	project := loadCompose(t)
	if image, want := project.Services["nats"].Image, "nats:"+version(`nats-server/v2 v([0-9.]+)`)+"-alpine"; image != want {
		t.Errorf("the image of NATS is %s, go.mod has %s", image, want)
	}
	m := regexp.MustCompile(`^postgres:(\d+)`).FindStringSubmatch(project.Services["postgres"].Image)
	if m == nil {
		t.Fatalf("the image of PostgreSQL is %s", project.Services["postgres"].Image)
	}
	if major, err := strconv.Atoi(m[1]); err != nil || major < 15 {
		t.Errorf("PostgreSQL %s is too old", m[1])
	}
}

func TestTheDockerfilesOwnLineBuildsAStaticProgram(t *testing.T) {
	t.Parallel()
	line := ""
	for _, i := range dockerfile(t) {
		if i.word == "RUN" && strings.Contains(i.rest, "go build") {
			line = i.rest
		}
	}
	if !strings.Contains(line, " /out/hale ") {
		t.Fatalf("the Dockerfile builds with %q", line)
	}
	program := filepath.Join(t.TempDir(), "hale")
	build := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "/out/hale", program, 1))
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic linker, which the image does not have")
		}
	}
	alone := exec.CommandContext(t.Context(), program, "health", "--admin", "127.0.0.1:1")
	alone.Env = []string{}
	if out, err := alone.CombinedOutput(); err == nil || !strings.Contains(string(out), "nobody answers on 127.0.0.1:1") {
		t.Errorf("hale health without a process: %v %s", err, out)
	}
}
