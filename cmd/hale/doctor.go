package main

import (
	"fmt"
	"net"
	"path/filepath"

	"hale/fault"
	"hale/postgres/embedded"
	"hale/stream"
)

type doctorCommand struct {
	Data string `help:"Data directory that 'hale up' would use." placeholder:"DIR" env:"HALE_DATA"`
}

// Run checks every prerequisite and says how to mend what is missing. It changes nothing.
func (c *doctorCommand) Run(p *program) error {
	dir, err := (&upCommand{Data: c.Data}).directory(p)
	if err != nil {
		return err
	}
	findings := embedded.Check(databaseConfig(p, dir, false))
	findings = append(findings, checkPort(p, "HTTP port", defaultHTTP), checkPort(p, "MQTT port", defaultMQTT), checkStreamSpace(dir))
	broken := 0
	for _, f := range findings {
		mark := "ok  "
		if !f.OK {
			mark = "MEND"
			broken++
		}
		fmt.Fprintf(p.out, "%s  %-28s %s\n", mark, f.Name, f.Detail)
		if !f.OK && f.Mend != "" {
			fmt.Fprintf(p.out, "      %-28s %s\n", "", f.Mend)
		}
	}
	if broken > 0 {
		return fault.New(fault.Invalid, "%d of %d prerequisites need mending", broken, len(findings))
	}
	_, err = fmt.Fprintln(p.out, "Everything that `hale up` needs is here.")
	return err
}

// checkPort looks whether a default port is free. A busy one is no trouble: `up` moves to the next.
func checkPort(p *program, name, addr string) embedded.Finding {
	var lc net.ListenConfig
	l, err := lc.Listen(p.ctx, "tcp", addr)
	if err != nil {
		return embedded.Finding{Name: name, OK: true, Detail: addr + " is busy; the next free port will be taken"}
	}
	if err := l.Close(); err != nil {
		return embedded.Finding{Name: name, OK: true, Detail: addr + ": " + err.Error()}
	}
	return embedded.Finding{Name: name, OK: true, Detail: addr + " is free"}
}

// leastStreamSpace is what the stream needs to outlast an hour without a database.
const leastStreamSpace = 1 << 30

func checkStreamSpace(dir string) embedded.Finding {
	f := embedded.Finding{Name: "space for the stream", Mend: "free some space, or say --data DIR on a larger disk"}
	free, err := freeSpace(dir)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK = free >= leastStreamSpace
	f.Detail = fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))
	return f
}

// freeSpace asks the nearest directory that is there already.
func freeSpace(dir string) (uint64, error) {
	free, err := stream.FreeSpace(dir)
	for parent := filepath.Dir(dir); err != nil && parent != dir; parent = filepath.Dir(dir) {
		dir = parent
		free, err = stream.FreeSpace(dir)
	}
	return free, err
}
