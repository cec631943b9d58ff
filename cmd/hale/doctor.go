package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hale/authority"
	"hale/devices"
	"hale/fault"
	"hale/postgres"
	"hale/postgres/embedded"
	"hale/stream"
)

type doctorCommand struct {
	Data string `help:"Data directory that 'hale up' would use." placeholder:"DIR" env:"HALE_DATA"`
	Cert string `name:"tls-cert" help:"Also check this certificate." placeholder:"FILE" env:"HALE_TLS_CERT"`
	Key  string `name:"tls-key" help:"Its key." placeholder:"FILE" env:"HALE_TLS_KEY"`
}

// Run checks every prerequisite and says how to mend what is missing. It changes nothing.
func (c *doctorCommand) Run(p *program) error {
	dir, err := (&upCommand{Data: c.Data}).directory(p)
	if err != nil {
		return err
	}
	findings := embedded.Check(databaseConfig(p, dir, false))
	findings = append(findings, checkPort(p, "HTTP port", defaultHTTP), checkPort(p, "MQTT port", defaultMQTT), checkPort(p, "MQTTS port", defaultMQTTS), checkStreamSpace(dir))
	findings = append(findings, checkAuthority(dir, time.Now()), checkClocks(p, dir))
	if c.Cert != "" || c.Key != "" {
		findings = append(findings, checkCertificate(c.Cert, c.Key, time.Now()))
	}
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

// checkAuthority looks at the own certificate authority of the data directory.
func checkAuthority(dir string, now time.Time) embedded.Finding {
	f := embedded.Finding{Name: "own certificate authority"}
	ends, made, err := authority.Inspect(dir, now)
	switch {
	case err != nil:
		f.Detail = err.Error()
	case !made:
		f.OK, f.Detail = true, "will be made by `hale up`"
	default:
		f.OK, f.Detail = true, "good until "+ends.Format(time.DateOnly)+", followed by another in time"
	}
	return f
}

// checkClocks tells of the clocks of devices. One that is wrong keeps nothing from starting.
func checkClocks(p *program, dir string) embedded.Finding {
	f := embedded.Finding{Name: "clocks of devices", OK: true}
	running, err := findRunning(p.ctx, dir)
	if err != nil {
		f.Detail = "not known while `hale up` is not running"
		return f
	}
	switch n, err := (postgres.Operator{AdminURL: running.Database}).Clocks(p.ctx); {
	case err != nil:
		f.Detail = "not known: " + err.Error()
	case n == devices.ClockCount{}:
		f.Detail = "none is known to be wrong"
	default:
		f.Detail = fmt.Sprintf("%d off, %d unsure after a change, %d sent times that were refused: see Devices, Problems", n.Off, n.Unsure, n.Refused)
	}
	return f
}

// checkCertificate looks at a certificate and its key as --https and --mqtts would use them.
func checkCertificate(certFile, keyFile string, now time.Time) embedded.Finding {
	f := embedded.Finding{Name: "TLS certificate"}
	if certFile == "" || keyFile == "" {
		f.Detail, f.Mend = "--tls-cert and --tls-key belong together", "say both"
		return f
	}
	given, err := authority.OpenGiven(authority.GivenConfig{CertFile: certFile, KeyFile: keyFile, Now: func() time.Time { return now }})
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK = !given.Late()
	f.Detail = "for " + strings.Join(given.Names(), ", ") + " until " + given.Expires().Format(time.DateTime) + " UTC"
	if !f.OK {
		f.Mend = "renew it: it should have been by now"
	} else if info, err := os.Stat(keyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		f.OK, f.Mend = false, "everybody on this machine can read its key: chmod 600 "+keyFile
	}
	return f
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
