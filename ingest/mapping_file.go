package ingest

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Broker is somebody else's MQTT broker from which the bridge takes messages.
type Broker struct {
	Name            string
	Addr            string // host and port
	TLS             bool
	CAFile          string // of the authority that signed the broker's certificate; empty: those of the system
	CredentialsFile string // user name and password, one line each; empty: from the environment, or none
	ClientID        string // under which the broker keeps our session; "{instance}" in it is for the process to fill in
	Device          string // UID of the enrolled device as which the bridge speaks
	Subscriptions   []Subscription
	Mapping         *Mapping
}

// Subscription is a filter of topics. With a share group the broker gives each message to one of the group's members.
type Subscription struct {
	Filter string
	Share  string
}

// Topic returns the filter as it stands in SUBSCRIBE.
func (s Subscription) Topic() string {
	if s.Share == "" {
		return s.Filter
	}
	return "$share/" + s.Share + "/" + s.Filter
}

// InstancePlace is what a client id may hold for the number of the process: two that share one client id would throw
// each other out without end.
const InstancePlace = "{instance}"

// mappingVersion is the version of the mapping file that this Hale reads.
const mappingVersion = "1"

// filePage is a mapping file while it is read.
type filePage struct {
	page
	rules   []*mappingRule
	brokers []*brokerEntry
}

// brokerEntry is a broker with the lines of what is checked when all of the file is known.
type brokerEntry struct {
	Broker
	node   *yaml.Node
	share  string
	chosen []*yaml.Node // names of mappings; empty: all
	topics []*yaml.Node // of the subscriptions
}

// ReadMappings reads a mapping file (docs/bridge.md). The error is fault.Invalid and tells every mistake of the file at
// once, with its line.
func ReadMappings(text []byte) ([]Broker, error) {
	p := &filePage{}
	root, err := p.open(text)
	if err != nil {
		return nil, err
	}
	p.object(root, "the mapping file", fields{
		"version": func(n *yaml.Node) {
			if p.text(n, "version") != mappingVersion {
				p.wrong(n, "this Hale reads version %s of mapping files", mappingVersion)
			}
		},
		"brokers":  func(n *yaml.Node) { p.list(n, "brokers", p.broker) },
		"mappings": func(n *yaml.Node) { p.list(n, "mappings", p.rule) },
	}, "version", "brokers", "mappings")
	p.together()
	if err := p.err(); err != nil {
		return nil, err
	}
	brokers := make([]Broker, len(p.brokers))
	for i, b := range p.brokers {
		brokers[i] = b.Broker
	}
	return brokers, nil
}

// nameForm is the form of a broker's and a mapping's name: it stands in metrics, logs and environment variables.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func (p *filePage) name(n *yaml.Node, what string) string {
	name := p.text(n, what)
	if name != "" && !nameForm.MatchString(name) {
		p.wrong(n, "%s %q must be 1 to 32 small letters, digits, dashes or underscores", what, name)
	}
	return name
}

// broker reads one entry of brokers.
func (p *filePage) broker(n *yaml.Node) {
	b := &brokerEntry{node: n}
	const what = "a broker"
	p.object(n, what, fields{
		"name":             func(n *yaml.Node) { b.Name = p.name(n, "the broker's name") },
		"url":              func(n *yaml.Node) { p.address(n, b) },
		"ca_file":          func(n *yaml.Node) { b.CAFile = p.text(n, "ca_file") },
		"credentials_file": func(n *yaml.Node) { b.CredentialsFile = p.text(n, "credentials_file") },
		"client_id":        func(n *yaml.Node) { b.ClientID = p.clientID(n) },
		"device": func(n *yaml.Node) {
			if b.Device = p.text(n, "device"); b.Device != "" && !uidForm.MatchString(b.Device) {
				p.wrong(n, "device %q is no UID of a device: letters, digits, points, dashes, underscores, at most 64", b.Device)
			}
		},
		"share":     func(n *yaml.Node) { b.share = p.share(n) },
		"subscribe": func(n *yaml.Node) { p.list(n, "subscribe", func(n *yaml.Node) { p.subscription(n, b) }) },
		"mappings": func(n *yaml.Node) {
			p.list(n, "the broker's mappings", func(n *yaml.Node) { b.chosen = append(b.chosen, n) })
		},
	}, "name", "url", "client_id", "device", "subscribe")
	if b.CAFile != "" && !b.TLS && b.Addr != "" {
		p.wrong(n, "broker %s has a ca_file, but its url is not encrypted; write mqtts://", b.Name)
	}
	p.brokers = append(p.brokers, b)
}

// Ports of MQTT, without and with TLS.
const (
	plainPort = "1883"
	tlsPort   = "8883"
)

// address reads the URL of a broker.
func (p *filePage) address(n *yaml.Node, b *brokerEntry) {
	given := p.text(n, "url")
	if given == "" {
		return
	}
	u, err := url.Parse(given)
	if err != nil {
		p.wrong(n, "the url is none; write mqtt://HOST:1883 or mqtts://HOST:8883") // err would repeat a password in it
		return
	}
	port := plainPort
	switch u.Scheme {
	case "mqtt", "tcp":
	case "mqtts", "ssl", "tls":
		b.TLS, port = true, tlsPort
	default:
		p.wrong(n, "a url begins with mqtt:// or mqtts://, not %q", u.Scheme)
	}
	if u.User != nil {
		p.wrong(n, "user name and password do not belong into the mapping file; put them into a credentials_file or the environment")
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		p.wrong(n, "a url is mqtt://HOST:PORT and nothing more")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	b.Addr = net.JoinHostPort(u.Hostname(), port)
}

// clientID reads the client id. Above 23 characters some brokers refuse it; they say so when we connect.
func (p *filePage) clientID(n *yaml.Node) string {
	id := p.text(n, "client_id")
	if strings.ContainsAny(id, "+#/\x00") || len(id) > 128 {
		p.wrong(n, "client_id must have at most 128 characters and no +, # or /")
	}
	if rest := strings.ReplaceAll(id, InstancePlace, ""); strings.ContainsAny(rest, "{}") {
		p.wrong(n, "client_id may hold %s and no other braces", InstancePlace)
	}
	return id
}

func (p *filePage) share(n *yaml.Node) string {
	group := p.text(n, "share")
	if strings.ContainsAny(group, "+#/") {
		p.wrong(n, "a share group's name has no +, # or /")
	}
	return group
}

// subscription reads a filter, alone or with a share group of its own.
func (p *filePage) subscription(n *yaml.Node, b *brokerEntry) {
	var s Subscription
	if isScalar(n) {
		s.Filter = p.text(n, "a subscription")
	} else {
		p.object(n, "a subscription", fields{
			"topic": func(n *yaml.Node) { s.Filter = p.text(n, "topic") },
			"share": func(n *yaml.Node) { s.Share = p.share(n) },
		}, "topic")
	}
	switch {
	case s.Filter == "":
		return
	case strings.HasPrefix(s.Filter, "$share/"):
		p.wrong(n, "write the share group as share: GROUP, not into the topic")
		return
	case !validFilter(s.Filter):
		p.wrong(n, "%q is no filter of topics: + stands alone on its level, # alone on the last", s.Filter)
		return
	}
	b.Subscriptions, b.topics = append(b.Subscriptions, s), append(b.topics, n)
}

func validFilter(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		if l == "#" && i == len(levels)-1 || l == "+" {
			continue
		}
		if strings.ContainsAny(l, "+#\x00") {
			return false
		}
	}
	return true
}

// together checks what one entry cannot know of itself.
func (p *filePage) together() {
	ids, names := map[string]bool{}, map[string]bool{}
	for _, b := range p.brokers {
		if names[b.Name] && b.Name != "" {
			p.wrong(b.node, "two brokers have the name %q", b.Name)
		}
		id := b.Addr + " " + b.ClientID
		if ids[id] && b.ClientID != "" {
			p.wrong(b.node, "broker %s has the client_id of another entry on the same broker: they would throw each other out", b.Name)
		}
		names[b.Name], ids[id] = true, true
		for i := range b.Subscriptions {
			if b.Subscriptions[i].Share == "" {
				b.Subscriptions[i].Share = b.share
			}
		}
		p.choose(b)
	}
	rules := map[string]bool{}
	for _, r := range p.rules {
		if rules[r.name] && r.name != "" {
			p.mistakes = append(p.mistakes, mistake{r.line, "two mappings have the name " + r.name})
		}
		rules[r.name] = true
	}
}

// choose gives a broker its rules, and sees to it that subscriptions and rules fit each other.
func (p *filePage) choose(b *brokerEntry) {
	m := &Mapping{}
	for _, n := range b.chosen {
		i := slices.IndexFunc(p.rules, func(r *mappingRule) bool { return r.name == n.Value })
		if i < 0 {
			p.wrong(n, "there is no mapping %q", n.Value)
			continue
		}
		m.rules = append(m.rules, p.rules[i])
	}
	if len(b.chosen) == 0 {
		m.rules = slices.Clone(p.rules)
	}
	b.Mapping = m
	for i, s := range b.Subscriptions {
		if !slices.ContainsFunc(m.rules, func(r *mappingRule) bool { return r.topic.meets(s.Filter) }) {
			p.wrong(b.topics[i], "no mapping of broker %s is for what %q brings: all of it would be quarantined", b.Name, s.Filter)
		}
	}
	if len(b.Subscriptions) == 0 {
		return
	}
	for _, r := range m.rules {
		if !slices.ContainsFunc(b.Subscriptions, func(s Subscription) bool { return r.topic.meets(s.Filter) }) {
			p.mistakes = append(p.mistakes, mistake{r.line, "no subscription of broker " + b.Name + " brings messages of mapping " + r.name +
				"; subscribe to its topic, or name the broker's mappings"})
		}
	}
}

// meets reports whether there is a topic that both the pattern and the filter fit.
func (p *topicPattern) meets(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		if l == "#" || i >= len(p.levels) && p.open {
			return true
		}
		if i >= len(p.levels) {
			return false
		}
		if l != "+" && !p.levels[i].open && l != p.levels[i].literal {
			return false
		}
	}
	return len(levels) == len(p.levels) || p.open && len(levels) >= len(p.levels)
}
