package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"hale/fault"
	"hale/postgres"
	"hale/safe"
	"hale/stream"
	"hale/vital"
)

// ledgerName is the ledger of erasures in the data directory of an `up`.
const ledgerName = "erasures.jsonl"

// eraseFlags say where the ledger of erasures is kept.
type eraseFlags struct {
	ErasureLedger string `name:"erasure-ledger" help:"File in which erasures are noted, without names; keep it beside the backups and not in them. A record that lacks one of them was restored from an older backup and is not served before 'hale erase replay' (docs/erasure.md)." placeholder:"FILE" env:"HALE_ERASURE_LEDGER"`
}

// forgetting is what a house needs to carry out erasures.
type forgetting struct {
	ledger *ledgerFile                     // nil: none is kept here
	scrub  func(ctx context.Context) error // overwrites what the database's log holds; nil: an operator does
}

// ledgerFile is the ledger of erasures beside the backups.
type ledgerFile struct {
	path string

	mu    sync.Mutex
	known map[vital.UID]bool // nil: the file was not read yet
}

// read returns what the file holds; a file that is not there is empty. A last line that was cut off is taken away.
func (l *ledgerFile) read() ([]safe.LedgerEntry, error) {
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the ledger of erasures cannot be read")
	}
	entries, cut, err := safe.ReadLedger(bytes.NewReader(text))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the ledger of erasures %s", l.path)
	}
	if cut {
		whole := int64(bytes.LastIndexByte(text, '\n') + 1)
		if err := os.Truncate(l.path, whole); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the ledger of erasures ends in the middle of a line")
		}
	}
	return entries, nil
}

// keep appends the entries that the file lacks, makes it when it is not there, and syncs it.
func (l *ledgerFile) keep(_ context.Context, entries []safe.LedgerEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := l.known != nil
	if !made {
		there, err := l.read()
		if err != nil {
			return err
		}
		l.known = make(map[vital.UID]bool, len(there))
		for _, e := range there {
			l.known[e.UID] = true
		}
	}
	var fresh []safe.LedgerEntry
	for _, e := range entries {
		if !l.known[e.UID] {
			fresh = append(fresh, e)
		}
	}
	if len(fresh) == 0 && made {
		return nil
	}
	// A file without entries is made too: whoever copies it sees that nothing was erased, and not that something is missing.
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the ledger of erasures cannot be written")
	}
	err = errors.Join(writeLedger(file, fresh), file.Close())
	if err == nil {
		err = syncDirectory(filepath.Dir(l.path))
	}
	if err != nil {
		l.known = nil // look again at what is there
		return err
	}
	for _, e := range fresh {
		l.known[e.UID] = true
	}
	return nil
}

func writeLedger(file *os.File, entries []safe.LedgerEntry) error {
	if err := safe.WriteLedger(file, entries); err != nil {
		return err
	}
	return fault.Wrap(fault.Unavailable, file.Sync(), "write the ledger of erasures")
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the file in it
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "write the ledger of erasures to disk")
	}
	return fault.Wrap(fault.Unavailable, errors.Join(d.Sync(), d.Close()), "write the ledger of erasures to disk")
}

// refuseRestored ends a start on a record that is older than the erasures that were carried out.
func (h *house) refuseRestored(ctx context.Context) error {
	if h.forgets.ledger == nil {
		return nil
	}
	entries, err := h.forgets.ledger.read()
	if err != nil {
		return err
	}
	missing, err := h.work.MissingErasures(ctx, entries)
	if err != nil || len(missing) == 0 {
		return err
	}
	return fault.New(fault.Invalid, "this record was restored from a backup that is older than %d erasure(s) in %s: run `hale erase replay %s` before anybody sees it again (docs/erasure.md)",
		len(missing), h.forgets.ledger.path, h.forgets.ledger.path)
}

// erasing carries out what was decided and confirmed.
func (h *house) erasing() stage {
	done := prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_erasures_total", Help: "Executions of erasures that this process has ended."})
	h.registry.MustRegister(done)
	eraser := &safe.Eraser{Store: h.work, Stream: erasedStream{h.stream}, Key: h.sealKey, Scrub: h.forgets.scrub, Log: h.log, Watch: func(safe.ErasureState) { done.Inc() }}
	if h.forgets.ledger != nil {
		eraser.Keep = h.forgets.ledger.keep
	} else {
		h.log.Warn("erasures are noted in the database only: say --erasure-ledger FILE, or a restore brings people back (docs/erasure.md)")
	}
	return stage{name: "eraser", run: eraser.Run, bound: 0}
}

// erasedStream is the stream as safe.Eraser needs it.
type erasedStream struct{ *stream.Stream }

// Erase takes one person out of what is committed.
func (s erasedStream) Erase(ctx context.Context, upTo uint64, t safe.Traces) error {
	return s.Stream.Erase(ctx, upTo, stream.Traces(t))
}

// kept returns the ledger that the flag names, or that of a directory; nil where there is neither.
func (f eraseFlags) kept(dir string) *ledgerFile {
	switch {
	case f.ErasureLedger != "":
		return &ledgerFile{path: f.ErasureLedger}
	case dir != "":
		return &ledgerFile{path: filepath.Join(dir, ledgerName)}
	}
	return nil
}

// scrubbing overwrites what the log of a database of our own holds.
func scrubbing(adminURL string) func(context.Context) error {
	return func(ctx context.Context) error { return postgres.Operator{AdminURL: adminURL}.Scrub(ctx, false) }
}

// readLedgerFile reads a ledger that an operator names.
func readLedgerFile(path string) ([]safe.LedgerEntry, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s cannot be read", path)
	}
	entries, _, err := safe.ReadLedger(io.Reader(file))
	return entries, errors.Join(err, file.Close())
}
