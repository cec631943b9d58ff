package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

type mapCommand struct {
	Try mapTryCommand `cmd:"" help:"Show what a mapping file makes of a message, without any server."`
}

type mapTryCommand struct {
	Mapping string `arg:"" help:"The mapping file (docs/bridge.md)."`
	Sample  string `arg:"" help:"File with the payload of one message; - is standard input."`
	Topic   string `help:"Topic on which the message comes." required:"" placeholder:"TOPIC"`
	Broker  string `help:"Name of the broker in the mapping file; the first whose mappings know the topic when left out." placeholder:"NAME"`
}

// Run prints what the message becomes. That a part of it would be refused, or a finding not read, is an error.
func (c *mapTryCommand) Run(p *program) error {
	brokers, err := readMappings(c.Mapping)
	if err != nil {
		return err
	}
	broker, err := c.choose(brokers)
	if err != nil {
		return err
	}
	payload, err := readSample(c.Sample, p.in)
	if err != nil {
		return err
	}
	if strings.ContainsAny(c.Topic, "+#") {
		fmt.Fprintf(p.err, "hale: warning: no message comes on %s: + and # stand in filters only. Say the topic of this one message\n", c.Topic)
	}
	fmt.Fprintf(p.out, "broker %s, topic %s, %d bytes\n", broker.Name, c.Topic, len(payload))
	tried := broker.Mapping.Try(broker.Device, c.Topic, payload, time.Now())
	refused, doubtful := 0, 0
	for i, t := range tried {
		if t.Refusal != nil {
			refused++
			fmt.Fprintf(p.out, "%3d  REFUSED  element %d: %s: %s\n", i+1, t.Refusal.Index, t.Refusal.Reason, t.Refusal.Detail)
			continue
		}
		fmt.Fprintf(p.out, "%3d  %s\n", i+1, readingWords(t))
		for _, doubt := range t.Doubts {
			fmt.Fprintf(p.out, "     DOUBT    %s\n", doubt)
		}
		doubtful += min(1, len(t.Doubts))
	}
	if len(tried) == 0 {
		fmt.Fprintln(p.out, "     nothing: the mapping ignores this message, or it holds an empty list")
	}
	switch {
	case refused > 0:
		return fault.New(fault.Invalid, "%d of %d would be refused, and kept in quarantine with the reason", refused, len(tried))
	case doubtful > 0:
		return fault.New(fault.Invalid, "%d of %d would be stored with a mark, because a finding beside them cannot be read", doubtful, len(tried))
	}
	return nil
}

func (c *mapTryCommand) choose(brokers []ingest.Broker) (*ingest.Broker, error) {
	var names []string
	for i := range brokers {
		b := &brokers[i]
		if c.Broker == b.Name || c.Broker == "" && b.Mapping.Knows(c.Topic) {
			return b, nil
		}
		names = append(names, b.Name)
	}
	if c.Broker == "" {
		return nil, fault.New(fault.Invalid, "no mapping of any broker in %s is for topic %s", c.Mapping, c.Topic)
	}
	return nil, fault.New(fault.Invalid, "there is no broker %q in %s; there are %s", c.Broker, c.Mapping, strings.Join(names, ", "))
}

// readMappings reads a mapping file. Its mistakes are told with the file's name.
func readMappings(path string) ([]ingest.Broker, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the mapping file cannot be read")
	}
	brokers, err := ingest.ReadMappings(text)
	return brokers, fault.Wrap(fault.Invalid, err, "%s", path)
}

// largestSample is what is read of a sample; the bridge's own limit is far below.
const largestSample = 16 << 20

func readSample(path string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the sample cannot be read")
		}
		defer func() { _ = f.Close() }() // it was only read
		from = f
	}
	payload, err := io.ReadAll(io.LimitReader(from, largestSample+1))
	if len(payload) > largestSample {
		return nil, fault.New(fault.Invalid, "the sample has more than %d bytes; the bridge takes messages of %d at most", largestSample, ingest.LargestForeign)
	}
	return payload, fault.Wrap(fault.Invalid, err, "the sample cannot be read")
}

// readingWords tells a reading on one line: what was sent, and in brackets what it is compared as.
func readingWords(t ingest.Tried) string {
	r := t.Reading
	d, ok := vital.Define(r.Metric)
	if !ok {
		return r.Metric.String()
	}
	var sent, canonical []string
	for i, v := range r.Values() {
		c := d.Components[i]
		sent = append(sent, fmt.Sprintf("%s %s %s", c.Code, r.Sent[i], r.Sent[i].Unit.UCUM()))
		canonical = append(canonical, fmt.Sprintf("%g %s", v, c.Canonical.UCUM()))
	}
	text := fmt.Sprintf("%s: %s (%s), at %s, sensor %s", d.Code, strings.Join(sent, ", "), strings.Join(canonical, ", "),
		r.SentAt.Format(time.RFC3339Nano), t.Sensor)
	if r.HasSequence {
		text += fmt.Sprintf(", sequence %d", r.Tie)
	}
	if names := r.Findings.Names(); len(names) > 0 {
		text += ", " + strings.Join(names, ", ")
	}
	return text
}
