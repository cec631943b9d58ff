package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"hale/fault"
	"hale/postgres"
	"hale/postgres/embedded"
	"hale/safe"
)

type eraseCommand struct {
	List    eraseListCommand    `cmd:"" help:"List the requests for erasure of an organisation: where each stands, and what is kept until when."`
	Ledger  eraseLedgerCommand  `cmd:"" help:"Write the ledger of erasures to a file, to be kept beside the backups. It names nobody."`
	Replay  eraseReplayCommand  `cmd:"" help:"Carry out the erasures of a ledger again, in a record that was restored from a backup. Nothing may be serving it."`
	Receipt eraseReceiptCommand `cmd:"" help:"Write the receipt of a request, signed, for the person who asked."`
	Verify  eraseVerifyCommand  `cmd:"" name:"verify-receipt" help:"Check a receipt without a database. Ends with 1 when it does not hold."`
	Scrub   eraseScrubCommand   `cmd:"" help:"Overwrite what PostgreSQL itself still holds of deleted rows: every table that erasure touches, statistics, and its log. Each table is locked while it is written anew."`
}

type eraseListCommand struct {
	recordFlags
	organisationFlag
}

// Run prints the requests, without names.
func (c *eraseListCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	list, err := operator.Erasures(p.ctx, c.Organisation)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tSTATE\tASKED\tNEXT\tKEPT")
	for i := range list {
		e := &list[i]
		kept := ""
		for _, item := range e.Items {
			if item.DoneAt.IsZero() && !item.Until.IsZero() {
				kept += fmt.Sprintf("%s until %s; ", item.Class, item.Until.Format(time.DateOnly))
			}
		}
		next := ""
		if !e.DueAt.IsZero() {
			next = e.DueAt.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", e.Number, e.State, e.AskedAt.Format(time.DateOnly), next, kept)
	}
	return w.Flush()
}

type eraseLedgerCommand struct {
	Out string `help:"File to write; entries that it has stay." required:"" placeholder:"FILE"`
	recordFlags
}

// Run adds to the file what it lacks.
func (c *eraseLedgerCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	entries, err := operator.ErasureLedger(p.ctx)
	if err != nil {
		return err
	}
	if err := (&ledgerFile{path: c.Out}).keep(p.ctx, entries); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%d executions of erasures are in %s. Keep it beside the backups, not in them.\n", len(entries), c.Out)
	return err
}

type eraseReplayCommand struct {
	File string `arg:"" help:"The ledger." type:"existingfile"`
	recordFlags
}

// Run replays, on a database that runs or on that of a data directory which nobody serves.
func (c *eraseReplayCommand) Run(p *program) error {
	entries, err := readLedgerFile(c.File)
	if err != nil {
		return err
	}
	if there, err := c.named(p); err != nil {
		return err
	} else if there {
		return replayAll(p.ctx, p.out, c.Database, entries)
	}
	dir, err := (&upCommand{Data: c.Data}).directory(p)
	if err != nil {
		return err
	}
	if _, held := embedded.Holder(dir); held {
		return fault.New(fault.Conflict, "a `hale up` runs on %s: end it, replay, and start it again", dir)
	}
	server, err := embedded.Start(p.ctx, databaseConfig(p, dir, false))
	if err != nil {
		return err
	}
	if _, err = postgres.Migrate(p.ctx, server.SuperURL("hale")); err == nil {
		err = replayAll(p.ctx, p.out, server.SuperURL("hale"), entries)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, server.Stop(stop))
}

func replayAll(ctx context.Context, out io.Writer, url string, entries []safe.LedgerEntry) error {
	operator := postgres.Operator{AdminURL: url}
	for _, e := range entries {
		outcome, err := operator.ReplayErasure(ctx, e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "request %d of %s: %s\n", e.Number, e.At.Format(time.DateOnly), replayWord(outcome)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out, "The ledger is replayed. What the stream and the disk still hold is erased when Hale runs again.")
	return err
}

func replayWord(r postgres.Replayed) string {
	switch r {
	case postgres.ReplayErased:
		return "erased again"
	case postgres.ReplayNobody:
		return "the backup is older than the person; nothing to erase"
	case postgres.ReplayAlready:
		return "erased already"
	case postgres.ReplayNoOrg:
		return "the backup is older than the organisation; nothing to erase"
	}
	return string(r)
}

type eraseReceiptCommand struct {
	recordFlags
	organisationFlag
	Number int    `help:"Number of the request." required:"" placeholder:"N"`
	Out    string `help:"File to write; it must not be there yet." required:"" placeholder:"FILE"`
}

// Run writes the receipt as it was signed.
func (c *eraseReceiptCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	list, err := operator.Erasures(p.ctx, c.Organisation)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Number != c.Number {
			continue
		}
		if list[i].Receipt == nil {
			return fault.New(fault.Conflict, "request %d is %s: there is a receipt when something was carried out", c.Number, list[i].State)
		}
		return writeNew(c.Out, append(list[i].Receipt, '\n'))
	}
	return fault.New(fault.NotFound, "there is no request %d in %s", c.Number, c.Organisation)
}

type eraseVerifyCommand struct {
	File string `arg:"" help:"A receipt." type:"existingfile"`
	Key  string `help:"Public key that must have signed it: the file that Hale wrote beside its audit key, or its 64 hexadecimal digits." placeholder:"KEY"`
}

// Run says what the receipt proves.
func (c *eraseVerifyCommand) Run(p *program) error {
	var expected ed25519.PublicKey
	var err error
	if c.Key != "" {
		if expected, err = publicKey(c.Key); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s cannot be read", c.File)
	}
	receipt, key, err := safe.ReadReceipt(text, expected)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "The receipt holds: %s, request %d, issued %s.\n", receipt.Organisation, receipt.Number, receipt.IssuedAt.Format(time.RFC3339))
	for _, i := range receipt.Erased {
		fmt.Fprintf(p.out, "  erased  %-9s %s\n", i.Class, i.DoneAt.Format(time.RFC3339))
	}
	for _, i := range receipt.Kept {
		fmt.Fprintf(p.out, "  kept    %-9s until %s: %s\n", i.Class, i.Until.Format(time.DateOnly), i.Ground)
	}
	fmt.Fprintf(p.out, "  backups until %s; a restore before repeats the erasure\n", receipt.BackupsUntil.Format(time.DateOnly))
	if expected == nil {
		fmt.Fprintf(p.out, "It is signed by key %x, which stands in the receipt itself: compare it with the organisation's (--key).\n", []byte(key))
	}
	return nil
}

type eraseScrubCommand struct{ recordFlags }

// Run scrubs the database.
func (c *eraseScrubCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	if err := operator.Scrub(p.ctx, true); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.out, "The tables, the statistics and the log of the database hold nothing of what was deleted. Backups, archives and standbys keep what they have.")
	return err
}
