package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hale/fault"
	"hale/simulators"
)

type simulateCommand struct {
	Patients int     `help:"How many people live (default: ${default})." default:"20" placeholder:"N"`
	Scenario string  `help:"Who they are and what goes wrong; --list tells (default: ${default})." default:"mixed" placeholder:"NAME"`
	Seed     uint64  `help:"Another seed is other people; the same seed, scenario and start are the same people with the same readings (default: ${default})." default:"1" placeholder:"K"`
	Days     int     `help:"Length of the story in days (default: the scenario's own)." placeholder:"D"`
	Start    string  `help:"When the story starts, for example 2026-05-04T06:00:00Z (default: so that it ends in this hour; at speed 1: now)." placeholder:"TIME"`
	Speed    float64 `help:"Seconds lived a second while the past is sent; 0 is as fast as it is taken, 1 is real time from now on (default: ${default})." default:"0" placeholder:"X"`
	Live     bool    `help:"Go on living in real time when the present is reached, until Ctrl-C." default:"true" negatable:""`
	Score    bool    `help:"Compare the alerts with what was made to happen, and end."`
	Truth    string  `help:"Write what was made to happen to this file, one JSON object a line." placeholder:"FILE"`
	List     bool    `help:"List the scenarios and end."`
	Print    bool    `help:"Print what the devices would send, one JSON object a line, and end; nothing is sent."`
	JSON     bool    `help:"Print the result as one JSON object."`
	target
}

// Run lets simulated people live against a running Hale.
func (c *simulateCommand) Run(p *program) error {
	if c.List {
		return c.list(p)
	}
	cohort, err := c.cohort(time.Now())
	if err != nil {
		return err
	}
	if c.Print {
		return c.print(p, cohort)
	}
	if err := c.find(p, "simulated-devices.json"); err != nil {
		return err
	}
	f := &simulators.Fleet{
		MQTT: c.MQTT, Credentials: c.Credentials, Cohort: cohort, Most: mostLines(), Speed: c.Speed, Live: c.Live, Score: c.Score,
		Progress: progress(p), Now: time.Now,
	}
	told := false
	if !c.JSON {
		f.Present = func(r simulators.FleetResult) {
			told = true
			_ = c.tell(p, &r) // they live on whether anybody reads it or not
			fmt.Fprintln(p.out, "the present is reached; they live on in real time. Ctrl-C ends it")
		}
	}
	truth, err := c.openTruth()
	if err != nil {
		return err
	}
	defer truth.leave()
	if f.Staff, f.Trust, err = c.signIn(p); err != nil {
		return err
	}
	res, err := f.Run(p.ctx)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the simulation stopped")
	}
	switch {
	case c.JSON:
		err = json.NewEncoder(p.out).Encode(res)
	case told:
		_, err = fmt.Fprintf(p.out, "ended after %d readings acknowledged in %d messages\n", res.Readings, res.Messages)
	default:
		err = c.tell(p, res)
	}
	return errors.Join(err, truth.write(res)) // neither is lost because the other cannot be written
}

// mostLines is how many devices this process can connect at once by the system's limit of open files; 0: not known.
func mostLines() int {
	const others = 50 // files beside them: the API, the credentials, the truth
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return 0
	}
	return max(1, int(limit.Cur)-others)
}

const (
	mostPatients = 200_000
	// What a simulated person needs in this process, measured with 4,000 of them (docs/simulate.md).
	devicesEach    = 2
	bytesOfADevice = 93_000
)

// tooMany says why so many people are refused before anything is drawn: they would take the whole machine with them.
func (c *simulateCommand) tooMany() error {
	devices := devicesEach * float64(c.Patients)
	text := fmt.Sprintf("--patients: 1 to %d; %d people have about %.0f devices, each with an open file and %d KB of memory: %.0f GB in all",
		mostPatients, c.Patients, devices, bytesOfADevice/1000, devices*bytesOfADevice/1e9)
	if most := mostLines(); most > 0 {
		text += fmt.Sprintf("; the limit of open files leaves %d here (ulimit -n)", most)
	}
	return fault.New(fault.Invalid, "%s", text)
}

// cohort reads the flags. Without a start the story ends in this hour, so that runs within it are the same people.
func (c *simulateCommand) cohort(now time.Time) (simulators.Cohort, error) {
	var none simulators.Cohort
	scenario, err := simulators.FindScenario(c.Scenario)
	if err != nil {
		return none, fault.Wrap(fault.Invalid, err, "--scenario")
	}
	switch {
	case c.Patients < 1:
		return none, fault.New(fault.Invalid, "--patients: at least 1")
	case c.Patients > mostPatients:
		return none, c.tooMany()
	case c.Days < 0 || c.Days > 366:
		return none, fault.New(fault.Invalid, "--days: 1 to 366, or 0 for the scenario's own")
	case c.Speed < 0 || math.IsNaN(c.Speed) || math.IsInf(c.Speed, 0):
		return none, fault.New(fault.Invalid, "--speed: a number from 0 on")
	}
	cohort := simulators.Cohort{Scenario: scenario, Patients: c.Patients, Seed: c.Seed, Days: c.Days}
	switch {
	case c.Start != "":
		if cohort.Start, err = time.Parse(time.RFC3339, c.Start); err != nil {
			return none, fault.New(fault.Invalid, "--start %s: say a time with its offset, for example 2026-05-04T06:00:00Z", c.Start)
		}
		if cohort.Start.After(now) || cohort.Start.UTC().Year() < 2015 {
			return none, fault.New(fault.Invalid, "--start %s: Hale takes readings from 2015 until now", c.Start)
		}
	case c.Speed == 1:
		cohort.Start = now.Truncate(time.Second)
	default:
		cohort.Start = now.Truncate(time.Hour).Add(-cohort.Length())
	}
	return cohort, nil
}

func (c *simulateCommand) list(p *program) error {
	for _, s := range simulators.Scenarios() {
		if _, err := fmt.Fprintf(p.out, "%-20s %3d days  %s\n", s.Name, s.Days, s.Story); err != nil {
			return err
		}
	}
	return nil
}

func (c *simulateCommand) print(p *program, cohort simulators.Cohort) error {
	out := json.NewEncoder(p.out)
	end := cohort.Start.Add(cohort.Length())
	for i := range cohort.Patients {
		l := cohort.Life(i) // one after the other: however many they are, they need no memory
		for !l.Lived().After(end) {
			if err := p.ctx.Err(); err != nil {
				return err
			}
			for _, s := range l.NextDay() {
				if s.At.After(end) {
					continue
				}
				line := struct {
					Sent    time.Time       `json:"sent"`
					Topic   string          `json:"topic"`
					Reading json.RawMessage `json:"reading"`
				}{s.At.UTC(), l.Kits[s.Kit].Topic(s.Sensor), s.Body}
				if err := out.Encode(line); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tell says what happened.
func (c *simulateCommand) tell(p *program, r *simulators.FleetResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d people with %d devices, %s, seed %d, from %s\n", r.Patients, r.Devices, r.Scenario, r.Seed, r.Start.Format(time.RFC3339))
	fmt.Fprintf(&b, "%d readings acknowledged (%d more sent twice) in %d messages; the past took %.1f s\n", r.Readings, r.Again, r.Messages, r.Seconds)
	if s := r.Score; s != nil {
		fmt.Fprintf(&b, "in the record %d, waiting for an owner %d, quarantined %d\n", r.Stored, r.Parked, total(r.Quarantined))
		fmt.Fprintf(&b, "\n%-20s %9s %9s %5s %7s %7s %10s %10s\n", "trouble", "happened", "detected", "red", "missed", "early", "after", "left")
		hours := func(h *float64) string {
			if h == nil {
				return "-"
			}
			return fmt.Sprintf("%.1f h", *h)
		}
		for _, k := range s.Kinds {
			fmt.Fprintf(&b, "%-20s %9d %9d %5d %7d %7d %10s %10s\n", k.Kind, k.Happened, k.Detected, k.Red, k.Missed, k.Early, hours(k.Delay), hours(k.Left))
		}
		fmt.Fprintf(&b, "\n%d alerts: %d tell of a trouble, %d came beside one\n", s.Alerts, s.Telling, s.Beside)
		fmt.Fprintf(&b, "%d are for nothing (%d red, %d from wrong measurements): %.2f a patient-week (red %.2f)\n",
			s.False, s.FalseRed, s.FromMistakes, s.FalseAWeek, s.FalseRedAWeek)
		fmt.Fprintf(&b, "early: not detected yet, but the crisis is still to come; after: median from when it can show to the first reading that tells of it; left: median from there to the crisis\n")
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}
