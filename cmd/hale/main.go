// Command hale watches over people at home: `hale up` starts everything on one machine, `hale serve` runs roles apart.
// This package is wiring only: what the house does stands in the packages beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // patients' zones must be known on machines without a zone database

	"github.com/alecthomas/kong"

	"hale/fault"
)

// program is what every command gets.
type program struct {
	ctx context.Context
	in  io.Reader
	out io.Writer // answers: what a script reads
	err io.Writer // progress and log: what a person reads
	env func(string) string
	log *slog.Logger
}

type commands struct {
	LogLevel string `help:"Least severe log line to print." enum:"debug,info,warn,error" default:"warn" env:"HALE_LOG_LEVEL"`

	Up       upCommand           `cmd:"" help:"Start everything on this machine: PostgreSQL, NATS, the device edge, the processor, the API and a living demo."`
	Serve    serveCommand        `cmd:"" help:"Run chosen roles against a PostgreSQL and a NATS that run elsewhere."`
	Migrate  migrateCommand      `cmd:"" help:"Make the database roles and bring the tables to this version."`
	Erase    eraseCommand        `cmd:"" help:"Erasures: list, keep the ledger, replay it after a restore, receipts, scrub the disk."`
	Audit    auditCommand        `cmd:"" help:"Export the audit trail of an organisation, or verify an export offline."`
	Export   exportCommand       `cmd:"" help:"Write a copy of a patient's whole record to a file: FHIR, tables and a page to read."`
	Organise organisationCommand `cmd:"" name:"organisation" help:"Make an organisation with its first administrator, or list them."`
	Staff    staffCommand        `cmd:"" help:"Make a member of staff or set a new password; list and end sessions, reset a second factor, unlock."`
	Keys     keysCommand         `cmd:"" help:"Make, list and revoke the API keys of programs."`
	Broker   brokerCommand       `cmd:"" help:"Write the files by which a broker of your own site knows the devices."`
	Import   importCommand       `cmd:"" help:"Take patients or staff in from a file: first what would become of each row, then, with --commit, exactly that file."`
	Replay   replayCommand       `cmd:"" help:"Replay recorded readings through the front door and score the alerts."`
	Simulate simulateCommand     `cmd:"" help:"Let simulated people with their devices live, for a story or a load."`
	Bench    benchCommand        `cmd:"" help:"Measure this machine: the whole way of a reading against bare COPY, alerts in time, idle devices."`
	Load     loadCommand         `cmd:"" hidden:"" help:"The load generator of bench."`
	Map      mapCommand          `cmd:"" help:"Work with a mapping file, which says how messages of other brokers become readings."`
	Decode   decodeCommand       `cmd:"" help:"Show what Hale reads in a payload of FHIR, Open mHealth, Bluetooth or a maker's JSON, or why it refuses it."`
	Conform  conformanceCommand  `cmd:"" name:"conformance" help:"Hold the decoders against vectors of Bluetooth payloads, Open mHealth bodies or FHIR Observations."`
	Doctor   doctorCommand       `cmd:"" help:"Check what Hale needs on this machine and say how to mend it."`
	Health   healthCommand       `cmd:"" help:"Ask a process on this machine whether it is ready: the health check of a container."`
}

// collectAt is how much the heap may grow, in per cent, before garbage is collected: memory is cheaper for us than the
// tenth of a processor that Go's default costs under load, and than the alerts that wait meanwhile. GOGC stands above it.
const collectAt = 500

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// run is main without the process: tests start it with their own streams.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) int {
	var c commands
	code := -1
	parser, err := kong.New(&c, kong.Name("hale"), kong.Description("Hale watches over people with chronic illness at home. It is no emergency service."),
		kong.Writers(stdout, stderr), kong.Exit(func(n int) { code = n }), kong.UsageOnError(), minus())
	if err != nil {
		fmt.Fprintln(stderr, "hale:", err)
		return 2
	}
	chosen, err := parser.Parse(args)
	if code >= 0 {
		return code // --help
	}
	if err != nil {
		fmt.Fprintln(stderr, "hale:", err)
		return 2
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelWarn
	}
	p := &program{ctx: ctx, in: os.Stdin, out: answers{stdout}, err: stderr, env: env, log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))}
	if env("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if err := chosen.Run(p); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errUnread) {
		fmt.Fprintln(stderr, "hale:", explain(err))
		return 1
	}
	return 0
}

// explain returns the whole of an error for the person at the console: unlike a visitor, they may see causes.
func explain(err error) string {
	if fault.KindOf(err) == fault.Internal {
		return err.Error() + " (this is our own mistake; run again with --log-level=debug and report it)"
	}
	return err.Error()
}
