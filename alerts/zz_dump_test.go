package alerts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hale/alerts"
)

func TestDump(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		header, tt, _ := strings.Cut(string(text), "\n\n")
		s := &scenario{record: newRecord(), decider: alerts.NewDecider(0)}
		for _, line := range withoutBlank(tt) {
			if strings.HasPrefix(line, "  ") {
				continue
			}
			s.said = append(s.said, line)
			if err := s.play(line); err != nil {
				t.Fatal(f, line, err)
			}
		}
		os.WriteFile(f, []byte(header+"\n\n"+strings.Join(s.said, "\n")+"\n"), 0o644)
	}
}
