package audit

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// Broken is the first place where an export does not hold.
type Broken struct {
	Line int    // of the file, from 1
	Seq  int64  // the link of the chain, from 1; 0 when it is no link
	What string // in words
}

// Verdict is what an export proves.
type Verdict struct {
	Organisation string
	UID          vital.UID
	ExportedAt   time.Time
	Sealed       int64      // links that hold
	Head         Hash       // of the last of them
	Checkpoints  int64      // that hold
	Signed       int64      // up to this link by the last of them
	SignedAt     time.Time  // when
	Keys         []HexBytes // by which they are signed
	Unsealed     int64      // rows that are in no chain yet
	Blanked      int64      // rows of which erasure took away what they were about
	Blankings    []string   // what accounts for them: "erasure 3: 12 rows, ..."
	Oldest       time.Time  // when the oldest of them was written
	Broken       *Broken    // nil: everything holds
}

// Expected is what somebody knows of a chain from elsewhere; the zero value is nothing.
type Expected struct {
	Key  ed25519.PublicKey // that must have signed every checkpoint
	Seq  int64             // of a link that was there before, with
	Hash Hash              // this hash
}

// Verify checks an export without anything but the file. The first line or link that does not hold is in the
// verdict and ends the check; an error (fault.Invalid, fault.Unavailable) means that the file cannot be read as an export.
// Without an expected key somebody who has none of Hale's may have written the whole file anew: compare the keys of the
// verdict with what you know.
func Verify(r io.ReadSeeker, expected Expected) (Verdict, error) {
	c := &checker{expected: expected, at: atHeader}
	line := 0
	err := eachLine(r, func(number int, text []byte) bool {
		line = number
		l, err := readLine(text)
		if err != nil {
			c.breakAt("%s", fault.MessageOf(err))
		} else {
			c.take(l)
		}
		if b := c.verdict.Broken; b != nil {
			b.Line = number
			return false
		}
		return true
	})
	if err != nil {
		return c.verdict, err
	}
	if c.verdict.UID == "" && c.verdict.Broken != nil {
		return c.verdict, fault.New(fault.Invalid, "this is no export of an audit trail: its first line is no header")
	}
	if line == 0 {
		return c.verdict, fault.New(fault.Invalid, "the file is empty")
	}
	if c.verdict.Broken == nil {
		c.whole()
		if b := c.verdict.Broken; b != nil {
			b.Line = line
		}
	}
	if c.missing > 0 {
		return c.verdict, c.reordered(r)
	}
	return c.verdict, nil
}

// The parts of an export, in their order.
type exportPart int

const (
	atHeader exportPart = iota
	atRows
	atUnsealed
	atEnd
)

// checker goes along an export.
type checker struct {
	expected Expected
	at       exportPart
	keys     []HexBytes // that the header names
	verdict  Verdict
	missing  int64 // the link that was not where it belongs
	blanks   blanks
}

func (c *checker) breakAt(format string, args ...any) {
	b := &Broken{What: fmt.Sprintf(format, args...)}
	if c.at == atRows {
		b.Seq = c.verdict.Sealed + 1
	}
	c.verdict.Broken = b
}

func (c *checker) take(l exportLine) {
	switch {
	case (l.Header != nil) != (c.at == atHeader) || c.at == atEnd:
		c.breakAt("the line does not belong here")
	case l.Header != nil:
		c.header(l.Header)
	case l.Row != nil:
		c.row(l.Row)
	case l.Checkpoint != nil:
		c.checkpoint(l.Checkpoint)
	case l.Unsealed != nil:
		c.at = atUnsealed
		c.verdict.Unsealed++
		c.blanked(l.Unsealed, 0)
		if c.verdict.Oldest.IsZero() || l.Unsealed.At.Before(c.verdict.Oldest) {
			c.verdict.Oldest = l.Unsealed.At
		}
	case l.End != nil:
		c.end(l.End)
	}
}

func (c *checker) header(h *exportHeader) {
	if h.Format != exportFormat {
		c.breakAt("the form of the export is %q, and this program knows %s", h.Format, exportFormat)
		return
	}
	c.verdict.Organisation, c.verdict.UID, c.verdict.ExportedAt, c.verdict.Head = h.Organisation, h.UID, h.ExportedAt, Genesis(h.UID)
	c.keys, c.at = h.Keys, atRows
}

func (c *checker) row(r *sealedRow) {
	v := &c.verdict
	want := v.Sealed + 1
	if c.at != atRows {
		c.breakAt("link %d stands behind rows that are not sealed", r.Seq)
		return
	}
	switch {
	case r.Seq > want:
		c.missing = want
		c.breakAt("link %d is missing: link %d stands in its place", want, r.Seq)
	case r.Seq < want:
		c.breakAt("link %d stands where link %d belongs: it is there twice or out of order", r.Seq, want)
	case Link(v.Head, r.Seq, &r.Row) != r.Hash:
		c.breakAt("link %d was changed: its hash is not that of its row and of the link before", r.Seq)
	case c.expected.Seq == r.Seq && c.expected.Hash != r.Hash:
		c.breakAt("link %d has hash %s, and %s is expected: the chain was written anew", r.Seq, r.Hash, c.expected.Hash)
	default:
		c.blanked(&r.Row, r.Seq)
		v.Sealed, v.Head = r.Seq, r.Hash
	}
}

func (c *checker) checkpoint(p *Checkpoint) {
	v := &c.verdict
	switch {
	case c.at != atRows || p.Seq > v.Sealed:
		if p.Seq > v.Sealed {
			c.at = atRows
			c.breakAt("links %d to %d are missing: checkpoint %d signs them", v.Sealed+1, p.Seq, p.Number)
			return
		}
		c.breakAt("checkpoint %d does not belong here", p.Number)
	case p.Number != v.Checkpoints+1:
		c.breakAt("checkpoint %d stands where checkpoint %d belongs", p.Number, v.Checkpoints+1)
	case p.Seq != v.Sealed || p.Hash != v.Head:
		c.breakAt("checkpoint %d signs another chain: link %d with hash %s", p.Number, p.Seq, p.Hash)
	case !p.Signed(v.UID):
		c.breakAt("checkpoint %d is forged: its signature is not by its key", p.Number)
	case c.expected.Key != nil && !bytes.Equal(p.Key, c.expected.Key):
		c.breakAt("checkpoint %d is forged: it is signed by key %x, and %x is expected", p.Number, []byte(p.Key), []byte(c.expected.Key))
	case !slices.ContainsFunc(c.keys, func(k HexBytes) bool { return bytes.Equal(k, p.Key) }):
		c.breakAt("checkpoint %d is signed by a key that the header does not name", p.Number)
	default:
		v.Checkpoints, v.Signed, v.SignedAt = p.Number, p.Seq, p.At
		if !slices.ContainsFunc(v.Keys, func(k HexBytes) bool { return bytes.Equal(k, p.Key) }) {
			v.Keys = append(v.Keys, p.Key)
		}
	}
	if b := v.Broken; b != nil && b.Seq > p.Seq {
		b.Seq = p.Seq // the link that it signs
	}
}

func (c *checker) end(e *exportEnd) {
	v := &c.verdict
	if have := (exportEnd{Sealed: v.Sealed, Checkpoints: v.Checkpoints, Unsealed: v.Unsealed, Head: v.Head}); have != *e {
		c.at = atEnd
		c.breakAt("the end tells of %d links, %d checkpoints and %d unsealed rows, and there are %d, %d and %d", e.Sealed, e.Checkpoints, e.Unsealed, v.Sealed, v.Checkpoints, v.Unsealed)
		return
	}
	c.at = atEnd
	if len(v.Keys) != len(c.keys) {
		c.breakAt("the header names %d keys, and the checkpoints are signed by %d", len(c.keys), len(v.Keys))
	}
}

// whole looks for what a file without a broken line may still lack.
func (c *checker) whole() {
	v := &c.verdict
	switch {
	case c.at != atEnd:
		c.at = atEnd
		c.breakAt("the file has no end: it was cut off")
	case c.expected.Seq > v.Sealed:
		c.at = atRows
		c.breakAt("links %d to %d are missing: link %d was there before", v.Sealed+1, c.expected.Seq, c.expected.Seq)
	case c.expected.Key != nil && v.Checkpoints == 0 && v.Sealed > 0:
		c.breakAt("there is no checkpoint, and one by key %x is expected", []byte(c.expected.Key))
	default:
		c.accounted()
	}
}

// reordered looks whether the missing link stands further on.
func (c *checker) reordered(r io.ReadSeeker) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return fault.Wrap(fault.Unavailable, err, "read the export again")
	}
	return eachLine(r, func(number int, text []byte) bool {
		l, err := readLine(text)
		if err != nil || l.Row == nil || l.Row.Seq != c.missing {
			return true
		}
		c.verdict.Broken.What = fmt.Sprintf("link %d is out of order: it stands in line %d", c.missing, number)
		return false
	})
}
