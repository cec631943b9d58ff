package audit_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"hale/account/audit"
)

// blank takes away what rows were about, as erasure does, and returns the entry that accounts for them. Blanking must not
// change a hash, so the rows are sealed as they were.
func blank(rows []audit.Row, name string, which ...int) audit.Row {
	digest := sha256.New()
	for _, i := range which {
		r := &rows[i]
		subject := audit.SubjectOf(r)
		digest.Write(binary.BigEndian.AppendUint64(nil, uint64(r.ID)))
		digest.Write(subject[:])
		r.Subject, r.Blanked, r.Salt, r.Patient, r.Object, r.Detail = &subject, name, nil, 0, "", ""
		if r.Role == "patient" {
			r.Name = ""
		}
	}
	last := rows[len(rows)-1]
	return audit.Row{
		ID: last.ID + 1, At: last.At, Name: "hale", Salt: []byte{1}, Action: audit.BlankingAction, Object: "blanking " + name,
		Detail: fmt.Sprintf("erasure 1: %d rows, %s", len(which), hex.EncodeToString(digest.Sum(nil))),
	}
}

func TestABlankedTrailHoldsAndNothingMoreCanBeBlanked(t *testing.T) {
	t.Parallel()
	key := sealKey(1)
	rows := trail(12)
	rows[3].Role, rows[3].Name = "patient", "Ana Novak"
	before := export(t, home, rows, key, 5, 0)

	blanked := append([]audit.Row(nil), rows...)
	entry := blank(blanked, "b1", 2, 3, 7)
	good := export(t, home, append(blanked, entry), key, 5, 0)
	v, err := verify(good, audit.Expected{Key: public(t, key)})
	if err != nil || v.Broken != nil || v.Blanked != 3 || len(v.Blankings) != 1 {
		t.Fatalf("%+v, %+v, %v", v, v.Broken, err)
	}
	old, err := verify(before, audit.Expected{Key: public(t, key)})
	if err != nil || old.Broken != nil {
		t.Fatal(old.Broken, err)
	}
	if since, err := verify(good, audit.Expected{Seq: old.Sealed, Hash: old.Head}); err != nil || since.Broken != nil {
		t.Errorf("the blanked trail does not continue the one before: %v, %v", since.Broken, err)
	}
	if text := strings.Join(good, ""); strings.Contains(text, "Ana Novak") {
		t.Error("the blanked rows still say whom they are about")
	}

	more := append([]audit.Row(nil), blanked...)
	_ = blank(more, "b1", 4)
	alone := append([]audit.Row(nil), rows...)
	_ = blank(alone, "b9", 4)
	half := append([]audit.Row(nil), blanked...)
	half[2].Detail = "something"
	cases := []struct {
		name string
		rows []audit.Row
		want string
	}{
		{"one more row under the same entry", append(more, entry), "are not those that are blanked"},
		{"a row without an entry", append(alone, entry), "link 5 was blanked, and no erasure accounts for it"},
		{"no entry at all", blanked, "link 3 was blanked, and no erasure accounts for it"},
		{"a row that says something again", append(half, entry), "link 3 is half blanked"},
		{"an entry without its rows", append(append([]audit.Row(nil), rows...), entry), "are not those that are blanked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v, err := verify(export(t, home, c.rows, key, 5, 0), audit.Expected{})
			if err != nil || v.Broken == nil || !strings.Contains(v.Broken.What, c.want) {
				t.Errorf("%+v, %v; want %q", v.Broken, err, c.want)
			}
		})
	}
}
