package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"hale/account"
	"hale/api/fhirmap"
	"hale/fault"
	"hale/safe"
)

type exportCommand struct {
	recordFlags
	organisationFlag
	Patient string `help:"The patient: the programme's number, or the id that the API and the screens show." required:"" placeholder:"NUMBER|ID"`
	Out     string `help:"File (zip) to write; it must not be there yet." required:"" placeholder:"FILE"`
}

// Run writes the copy of a patient's record: all of it, or no file.
func (c *exportCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	actor, uid, err := operator.FindPatient(p.ctx, c.Organisation, c.Patient)
	if err != nil {
		return err
	}
	app, err := openAs(p, operator)
	if err != nil {
		return err
	}
	defer app.Close()
	patient, err := app.Patient(p.ctx, actor, uid)
	if err != nil {
		return err
	}
	file, err := newFile(c.Out)
	if err != nil {
		return err
	}
	exports := safe.New(app, fhirmap.Exporter{}, &account.Looks{Log: app, Now: time.Now}, time.Now).Exports
	export, err := exports.BeginFor(p.ctx, actor, patient, "zip, at the console")
	if err == nil {
		bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(p.err), progressbar.OptionSetDescription("readings written"),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		err = export.Write(p.ctx, file, func(n int) { _ = bar.Set(n) })
		_ = bar.Finish()
	}
	if err := kept(file, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "The copy is in %s. It holds health data in clear: hand it to the person, and delete it here.\n", c.Out)
	return err
}

// newFile makes a file that only its owner reads; one that is there already is fault.Conflict.
func newFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrExist) {
		return nil, fault.New(fault.Conflict, "%s is there already: choose another name", path)
	}
	return file, fault.Wrap(fault.Invalid, err, "%s cannot be written", path)
}

// kept closes a file that was written, or removes one that was not written to its end.
func kept(file *os.File, err error) error {
	if err == nil {
		err = fault.Wrap(fault.Unavailable, file.Sync(), "write %s", file.Name())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// writeNew writes all of a text to a new file that only its owner reads, or leaves no file.
func writeNew(path string, text []byte) error {
	file, err := newFile(path)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return kept(file, fault.Wrap(fault.Unavailable, err, "write %s", path))
}
