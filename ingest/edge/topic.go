package edge

import (
	"bytes"
	"strings"
)

// Kind is the last level of a topic on which a device hears from us.
type Kind string

// The kinds of topic that a device may subscribe to.
const (
	Receipts Kind = "receipts"
	Commands Kind = "commands"
)

// topicRoot is the start of every topic of this version of the wire.
const topicRoot = "hale/v1/"

// downTopic returns the topic on which the device hears messages of that kind.
func downTopic(device string, kind Kind) string { return topicRoot + device + "/" + string(kind) }

// publishable reports whether a message can be published to the topic at all; whether it is this device's own is
// for the core to say, which keeps what it refuses.
func publishable(topic []byte) bool {
	return len(topic) > 0 && topic[0] != '$' && !bytes.ContainsAny(topic, "+#")
}

// validFilter reports whether wildcards stand where section 4.7.1 allows them: + alone on its level, # alone on the
// last one.
func validFilter(filter string) bool {
	if filter == "" {
		return false
	}
	for {
		level, rest, more := strings.Cut(filter, "/")
		if level == "#" {
			return !more
		}
		if level != "+" && strings.ContainsAny(level, "+#") {
			return false
		}
		if !more {
			return true
		}
		filter = rest
	}
}

// subscriptions is which of the four filters that a device may have it has.
type subscriptions struct {
	receipts, commands, all, level bool
}

// slot returns the place of a filter of this device, or nil when the filter is not one of the four it may have.
func (s *subscriptions) slot(device, filter string) *bool {
	rest, ok := strings.CutPrefix(filter, topicRoot+device+"/")
	if !ok {
		return nil
	}
	switch rest {
	case string(Receipts):
		return &s.receipts
	case string(Commands):
		return &s.commands
	case "#":
		return &s.all
	case "+":
		return &s.level
	}
	return nil
}

// wants reports whether a message of that kind is to be sent.
func (s *subscriptions) wants(kind Kind) bool {
	switch kind {
	case Receipts:
		return s.receipts || s.all || s.level
	case Commands:
		return s.commands || s.all || s.level
	}
	return false
}
