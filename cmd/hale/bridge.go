package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"hale/api"
	"hale/devices"
	"hale/fault"
	"hale/ingest"
	"hale/ingest/bridge"
)

// bridgeFlags say from which other brokers to take messages.
type bridgeFlags struct {
	Mapping  string `help:"Mapping file: from which other brokers to take messages, and what they mean (docs/bridge.md)." placeholder:"FILE" env:"HALE_MAPPING"`
	Instance string `name:"bridge-instance" help:"Stands for {instance} in the client ids of the mapping file; each process that shares the file needs its own." default:"1" placeholder:"NAME" env:"HALE_BRIDGE_INSTANCE"`
}

// brokers reads the mapping file and returns what the bridge needs of it, with a warning for what travels unencrypted.
func (f *bridgeFlags) brokers(p *program) (*bridge.Config, error) {
	list, err := readMappings(f.Mapping)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(f.Instance, "+#/ ") || len(f.Instance) > 64 {
		return nil, fault.New(fault.Invalid, "--bridge-instance %q: say a short name without spaces, +, # and /", f.Instance)
	}
	for i := range list {
		b := &list[i]
		if open, err := reachesOthers(p.ctx, b.Addr); !b.TLS && (open || err != nil) {
			fmt.Fprintf(p.err, "hale: warning: readings and the password travel unencrypted between Hale and broker %s; write mqtts:// in the mapping file\n", b.Name)
		}
	}
	cfg := &bridge.Config{
		Brokers: list, Instance: f.Instance, Log: p.log,
		Credentials: func(b *ingest.Broker) (user, password string, err error) { return brokerCredentials(p, b) },
	}
	_, err = bridge.New(*cfg) // the files that it names must be good before anything is started
	return cfg, err
}

// brokerCredentials finds user name and password for a broker: in its file, else in the environment, else there are none.
func brokerCredentials(p *program, b *ingest.Broker) (user, password string, err error) {
	if b.CredentialsFile == "" {
		name := "HALE_BRIDGE_" + strings.ToUpper(strings.ReplaceAll(b.Name, "-", "_"))
		return p.env(name + "_USER"), p.env(name + "_PASSWORD"), nil
	}
	text, err := os.ReadFile(b.CredentialsFile)
	if err != nil {
		return "", "", fault.Wrap(fault.Invalid, err, "the credentials_file of broker %s cannot be read", b.Name)
	}
	user, rest, more := strings.Cut(strings.TrimRight(string(text), "\r\n"), "\n")
	password = strings.TrimSuffix(rest, "\r")
	if user = strings.TrimSuffix(user, "\r"); user == "" || !more || strings.Contains(password, "\n") {
		return "", "", fault.New(fault.Invalid, "the credentials_file of broker %s must hold two lines: user name, password", b.Name)
	}
	return user, password, nil
}

// bridging takes messages from other people's brokers.
func (h *house) bridging(core *ingest.Core) ([]stage, error) {
	cfg := *h.others
	cfg.Core, cfg.Snapshot, cfg.Registerer = core, func() *devices.Snapshot { return h.cache.Snapshot() }, h.registry
	var err error
	if h.bridge, err = bridge.New(cfg); err != nil {
		return nil, err
	}
	return []stage{{name: "bridge to other brokers", run: h.bridge.Run, bound: 15 * time.Second}}, nil
}

// troubleOf says what is wrong with a broker; empty when nothing is.
func troubleOf(s bridge.State) string {
	if s.Problem == "" && !s.Well() {
		return "connecting"
	}
	return s.Problem
}

// bridgeTold is what `up` tells of a broker.
type bridgeTold struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	State string `json:"state"` // "subscribed", or what is wrong at this moment
}

// bridgePatience is how long `up` waits for word of the brokers before it tells of them.
const bridgePatience = 2 * time.Second

// tellBridge tells how it stands with each broker when each was tried once; in the order of the mapping file.
func (h *house) tellBridge(ctx context.Context) []bridgeTold {
	if h.bridge == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, bridgePatience)
	defer cancel()
	open := func(s bridge.State) bool { return !s.Tried || s.Problem == "" && !s.Well() }
	states := h.bridge.States()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil && slices.ContainsFunc(states, open); states = h.bridge.States() {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	list := make([]bridgeTold, len(states))
	for i, s := range states {
		b := &h.others.Brokers[i]
		scheme := "mqtt://"
		if b.TLS {
			scheme = "mqtts://"
		}
		list[i] = bridgeTold{Name: s.Broker, URL: scheme + b.Addr, State: "subscribed"}
		if !s.Well() {
			list[i].State = troubleOf(s)
		}
	}
	return list
}

// brokerLines is a line for each broker, for people.
func brokerLines(list []bridgeTold) string {
	var text strings.Builder
	for _, b := range list {
		fmt.Fprintf(&text, "  Broker   %s   (%s: %s)\n", b.URL, b.Name, b.State)
	}
	return text.String()
}

// checkBridge tells how it stands with each broker. A broker that is away is its own trouble, not a reason to send this
// process nothing: the check is an alarm.
func (h *house) checkBridge(context.Context) []api.Check {
	if h.bridge == nil {
		return nil
	}
	var list []api.Check
	for _, s := range h.bridge.States() {
		list = append(list, api.Check{Name: "broker " + s.Broker, OK: s.Well(), Alarm: true, Detail: troubleOf(s)})
	}
	return list
}
