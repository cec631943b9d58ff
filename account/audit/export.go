package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// exportFormat names the form of an export; another form gets another name.
const exportFormat = "hale-audit-1"

// exportLine is a line of an export: exactly one of its parts.
type exportLine struct {
	Header     *exportHeader `json:"header,omitempty"`
	Row        *sealedRow    `json:"row,omitempty"`
	Checkpoint *Checkpoint   `json:"checkpoint,omitempty"`
	Unsealed   *Row          `json:"unsealed,omitempty"`
	End        *exportEnd    `json:"end,omitempty"`
}

type exportHeader struct {
	Format       string     `json:"format"`
	Organisation string     `json:"organisation"`
	UID          vital.UID  `json:"organisation_uid"`
	ExportedAt   time.Time  `json:"exported_at"`
	Keys         []HexBytes `json:"keys"` // public, of the checkpoints, the oldest first
}

type sealedRow struct {
	Seq int64 `json:"seq"`
	Row
	Hash Hash `json:"hash"`
}

// exportEnd lets a file that was cut off be told from a whole one.
type exportEnd struct {
	Sealed      int64 `json:"sealed"`
	Checkpoints int64 `json:"checkpoints"`
	Unsealed    int64 `json:"unsealed"`
	Head        Hash  `json:"head"`
}

// Export writes an organisation's audit trail as JSON lines: a header, the sealed rows with each checkpoint behind the
// row that it signs, the rows that are not sealed yet, and an end.
type Export struct {
	out         *bufio.Writer
	checkpoints []Checkpoint // not written yet
	end         exportEnd
}

// NewExport returns an Export that writes to w.
func NewExport(w io.Writer) *Export { return &Export{out: bufio.NewWriter(w)} }

// Begin writes the header. The checkpoints are all of the organisation, by number.
func (x *Export) Begin(organisation string, uid vital.UID, now time.Time, checkpoints []Checkpoint) error {
	x.checkpoints, x.end.Head = checkpoints, Genesis(uid)
	h := &exportHeader{Format: exportFormat, Organisation: organisation, UID: uid, ExportedAt: now.UTC(), Keys: []HexBytes{}}
	for _, c := range checkpoints {
		if !slices.ContainsFunc(h.Keys, func(k HexBytes) bool { return bytes.Equal(k, c.Key) }) {
			h.Keys = append(h.Keys, c.Key)
		}
	}
	return x.write(exportLine{Header: h})
}

// Sealed writes the next row of the chain, and the checkpoint that signs it.
func (x *Export) Sealed(r *Row, seq int64, hash Hash) error {
	x.end.Sealed, x.end.Head = x.end.Sealed+1, hash
	err := x.write(exportLine{Row: &sealedRow{Seq: seq, Row: *r, Hash: hash}})
	for err == nil && len(x.checkpoints) > 0 && x.checkpoints[0].Seq <= seq {
		err = x.checkpoint()
	}
	return err
}

// Unsealed writes a row that is in no chain yet.
func (x *Export) Unsealed(r *Row) error {
	x.end.Unsealed++
	return x.write(exportLine{Unsealed: r})
}

// End writes the end, and checkpoints whose rows are missing before it.
func (x *Export) End() error {
	for len(x.checkpoints) > 0 {
		if err := x.checkpoint(); err != nil {
			return err
		}
	}
	if err := x.write(exportLine{End: &x.end}); err != nil {
		return err
	}
	return fault.Wrap(fault.Unavailable, x.out.Flush(), "write the export")
}

func (x *Export) checkpoint() error {
	c := x.checkpoints[0]
	x.checkpoints = x.checkpoints[1:]
	x.end.Checkpoints++
	return x.write(exportLine{Checkpoint: &c})
}

func (x *Export) write(l exportLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write a line of the export: %w", err)
	}
	_, err = x.out.Write(append(b, '\n'))
	return fault.Wrap(fault.Unavailable, err, "write the export")
}

// readLine reads a line that is exactly as Export writes it: whatever reads otherwise was changed.
func readLine(text []byte) (exportLine, error) {
	var l exportLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, fault.Wrap(fault.Invalid, err, "the line is not one of an export")
	}
	again, err := json.Marshal(l)
	if err != nil || !bytes.Equal(again, text) {
		return l, fault.New(fault.Invalid, "the line is not as Hale writes it")
	}
	if l.Row != nil && !exact(l.Row.At) || l.Checkpoint != nil && !exact(l.Checkpoint.At) {
		return l, fault.New(fault.Invalid, "the time is not as Hale writes it")
	}
	parts := 0
	for _, there := range []bool{l.Header != nil, l.Row != nil, l.Checkpoint != nil, l.Unsealed != nil, l.End != nil} {
		if there {
			parts++
		}
	}
	if parts != 1 {
		return l, fault.New(fault.Invalid, "the line is not one of an export")
	}
	return l, nil
}

// exact reports whether a time is one that the chain can hold: in UTC and to the microsecond.
func exact(t time.Time) bool {
	return t.Location() == time.UTC && t.Equal(t.Truncate(time.Microsecond))
}

// longestLine bounds a line of an export, in bytes: the longest that are written are far below.
const longestLine = 16 << 20

// eachLine hands the lines of an export to f until f has had enough. A last line without its end is handed out too.
func eachLine(r io.Reader, f func(number int, text []byte) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), longestLine)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) { // ScanLines would take a carriage return away
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	for number := 1; lines.Scan(); number++ {
		if !f(number, lines.Bytes()) {
			return nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fault.New(fault.Invalid, "a line is longer than %d bytes: this is no export", longestLine)
	}
	return fault.Wrap(fault.Unavailable, lines.Err(), "read the export")
}
