package main

import (
	"errors"
	"io/fs"
	"os"

	"hale/fault"
	"hale/simulators"
)

// truthFile is where --truth is written. It is opened before anybody lives, so that a long run does not end with a file
// that cannot be written; what stands in it stays until there is something to write.
type truthFile struct {
	file *os.File // nil: not asked for, or written
	made bool     // it was not there before
}

func (c *simulateCommand) openTruth() (*truthFile, error) {
	if c.Truth == "" {
		return &truthFile{}, nil
	}
	_, err := os.Stat(c.Truth)
	t := &truthFile{made: errors.Is(err, fs.ErrNotExist)}
	if t.file, err = os.OpenFile(c.Truth, os.O_CREATE|os.O_WRONLY, 0o666); err != nil { //nolint:gosec // as any output of a command
		return nil, fault.Wrap(fault.Invalid, err, "--truth")
	}
	return t, nil
}

// write puts what was made to happen in the place of what stood there.
func (t *truthFile) write(r *simulators.FleetResult) error {
	if t.file == nil {
		return nil
	}
	file := t.file
	t.file = nil
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = file.Truncate(0)
	}
	if err == nil {
		err = simulators.WriteTruth(file, r.Lives, r.Until)
	}
	return fault.Wrap(fault.Unavailable, errors.Join(err, file.Close()), "--truth %s", file.Name())
}

// leave closes a file for which there is nothing to write, and leaves none behind that was not there.
func (t *truthFile) leave() {
	if t.file == nil {
		return
	}
	_ = t.file.Close()
	if t.made {
		_ = os.Remove(t.file.Name())
	}
}
