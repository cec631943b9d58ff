package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// BlankingAction is the action of the entry that accounts for rows which an erasure has blanked. Its object is "blanking" and
// a name that each of the rows carries; its detail says how many they are and has a digest over their numbers and subjects, so
// that nobody can blank one more under the same entry.
const BlankingAction = "blank audit rows"

// blanks is what an export holds of erasure.
type blanks struct {
	rows    map[string][]blankRow // by the blanking that accounts for them
	entries map[string]string     // detail of the entry, by its blanking
	order   []string              // of the entries
}

type blankRow struct {
	id, seq int64
	subject Hash
}

// blanked notes a row that was blanked, or the entry that accounts for such rows. A row that is half blanked was not blanked
// by Hale.
func (c *checker) blanked(r *Row, seq int64) {
	b := &c.blanks
	if b.rows == nil {
		b.rows, b.entries = map[string][]blankRow{}, map[string]string{}
	}
	empty := len(r.Salt) == 0 && r.Patient == 0 && r.Object == "" && r.Detail == "" && (!r.personal() || r.Name == "")
	switch {
	case r.Subject == nil && r.Blanked == "":
		name, is := strings.CutPrefix(r.Object, "blanking ")
		if _, twice := b.entries[name]; r.Action == BlankingAction && is && r.Role == "" && !twice {
			b.entries[name] = r.Detail
			b.order = append(b.order, name)
		}
	case r.Subject == nil || r.Blanked == "" || !empty:
		c.breakAt("link %d is half blanked: no erasure does that", seq)
	default:
		c.verdict.Blanked++
		b.rows[r.Blanked] = append(b.rows[r.Blanked], blankRow{r.ID, seq, *r.Subject})
	}
}

// accounted checks that every blanked row is covered by an entry, and every entry by its rows.
func (c *checker) accounted() {
	b := &c.blanks
	first := int64(0)
	for name, rows := range b.rows {
		if _, known := b.entries[name]; !known && (first == 0 || rows[0].seq < first) {
			first = rows[0].seq
		}
	}
	if first > 0 {
		c.breakAt("link %d was blanked, and no erasure accounts for it", first)
		c.verdict.Broken.Seq = first
		return
	}
	for _, name := range b.order {
		rows := b.rows[name]
		slices.SortFunc(rows, func(x, y blankRow) int { return cmp.Compare(x.id, y.id) })
		digest := sha256.New()
		for _, r := range rows {
			_, _ = digest.Write(binary.BigEndian.AppendUint64(nil, uint64(r.id)))
			_, _ = digest.Write(r.subject[:])
		}
		want := fmt.Sprintf(": %d rows, %s", len(rows), hex.EncodeToString(digest.Sum(nil)))
		if !strings.HasSuffix(b.entries[name], want) {
			c.breakAt("the rows that blanking %s accounts for are not those that are blanked: %d are", name, len(rows))
			return
		}
		c.verdict.Blankings = append(c.verdict.Blankings, b.entries[name])
	}
}
