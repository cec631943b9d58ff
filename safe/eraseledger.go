package safe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"time"

	"hale/account/audit"
	"hale/fault"
	"hale/vital"
)

// ledgerForm names the form of a ledger's lines; another form gets another name.
const ledgerForm = "hale-erasures-1"

// LedgerEntry is an execution of an erasure, with what is needed to do it again in a record that was restored from a backup
// and nothing that names the person: the number of their row and a hash of its unguessable uid.
type LedgerEntry struct {
	Form    string          `json:"form"`
	UID     vital.UID       `json:"uid"`
	Org     vital.UID       `json:"organisation"`
	Erasure vital.UID       `json:"erasure"`
	Number  int             `json:"request"`
	Patient vital.PatientID `json:"row"`
	Hash    audit.HexBytes  `json:"hash"`
	Classes []Class         `json:"erased"`
	Kept    []ErasureItem   `json:"kept"`
	Spans   []ErasedSpan    `json:"spans"`
	Also    []ErasedRecord  `json:"also,omitempty"`
	At      time.Time       `json:"at"`
}

// ErasedRecord is another record of the same person, merged into theirs by then: in an older backup it stands by itself.
type ErasedRecord struct {
	Patient vital.PatientID `json:"row"`
	Hash    audit.HexBytes  `json:"hash"`
}

// ErasedSpan is when a sensor was worn by somebody who was erased; without an end: until it is somebody else's.
type ErasedSpan struct {
	Sensor string    `json:"sensor"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to,omitzero"`
}

// WriteLedger appends entries to w, a line each.
func WriteLedger(w io.Writer, entries []LedgerEntry) error {
	var b bytes.Buffer
	for _, e := range entries {
		e.Form = ledgerForm
		line, err := json.Marshal(e)
		if err != nil {
			return fault.Wrap(fault.Internal, err, "write the ledger of erasures")
		}
		b.Write(append(line, '\n'))
	}
	_, err := w.Write(b.Bytes())
	return fault.Wrap(fault.Unavailable, err, "write the ledger of erasures")
}

// ReadLedger reads the entries, each once, in their order. A line that is none is fault.Invalid, unless it is a last one that
// was cut off in the middle of writing: it is told by cut, and its erasure has not begun, or is written again.
func ReadLedger(r io.Reader) (entries []LedgerEntry, cut bool, err error) {
	lines, known := bufio.NewReader(r), map[vital.UID]bool{}
	for number := 1; ; number++ {
		text, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, false, fault.Wrap(fault.Unavailable, err, "read the ledger of erasures")
		}
		if err == io.EOF {
			return entries, len(text) > 0, nil
		}
		var e LedgerEntry
		if err := json.Unmarshal(text, &e); err != nil || e.Form != ledgerForm || e.UID == "" {
			return nil, false, fault.New(fault.Invalid, "line %d is no entry of a ledger of erasures (%s)", number, ledgerForm)
		}
		if !known[e.UID] {
			known[e.UID] = true
			entries = append(entries, e)
		}
	}
}
