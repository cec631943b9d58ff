package ingest

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"hale/vital"
)

// findingSpec says where a finding stands: something that is true or a number other than 0, or that is the text.
type findingSpec struct {
	bit    vital.Finding
	path   jsonPath
	is     string
	worded bool // is counts
}

// in looks for the finding. What cannot be read is no reason to hide a number, and none to take it for clean: the reading
// is marked, and the spec noted.
func (f *findingSpec) in(s *scope) vital.Finding {
	v := s.get(f.path)
	t := tokenOf(v)
	switch {
	case t.kind == absent || t.kind == null:
		return 0
	case t.kind == list || t.kind == object || t.kind == text && !f.worded:
		s.unclear = append(s.unclear, f)
		return vital.FindingUnclear
	case f.worded && v.String() == f.is, !f.worded && (v.Type == gjson.True || v.Type == gjson.Number && v.Num != 0):
		return f.bit
	}
	return 0
}

// doubt says what of the finding cannot be read, and what to mend.
func (f *findingSpec) doubt(s *scope) string {
	name := strings.Join(f.bit.Names(), "")
	stands := tokenOf(s.get(f.path))
	if stands.kind == text {
		return fmt.Sprintf("whether there is %s cannot be read: at %s stands %s, and neither true, false nor a number; say which text means it, as in %s: {path: %s, is: TEXT}",
			name, f.path, stands.shown(), name, f.path)
	}
	return fmt.Sprintf("whether there is %s cannot be read: at %s stands %s; name one value in it", name, f.path, stands.kind)
}
