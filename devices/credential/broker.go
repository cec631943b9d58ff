package credential

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hale/account"
	"hale/devices"
)

// TopicRoot is what every topic of a device begins with; its UID follows.
const TopicRoot = "hale/v1/"

// Topics are those of one device (docs/wire.md).
type Topics struct {
	Readings string
	Status   string
	Receipts string // down
	Commands string // down
}

// TopicsOf returns the topics of a device.
func TopicsOf(uid string) Topics {
	own := TopicRoot + uid + "/"
	return Topics{Readings: own + "readings", Status: own + "status", Receipts: own + "receipts", Commands: own + "commands"}
}

// Login is what somebody shows to a broker that is not ours.
type Login struct {
	ClientID string
	User     string
	Password string
	From     netip.Addr // of the device, as the broker says it; the zero Addr: it does not
}

// Use is what a client wants of a topic at a broker.
type Use string

// The uses.
const (
	Publish   Use = "publish"
	Subscribe Use = "subscribe"
)

// Admit reports whether a broker is to let somebody in: a device of the actor's organisation, by its own name as user and client id,
// so that no device can take over the connection of another, and by its secret. Whoever comes from where too many wrong ones came
// is kept out for a while, but not for showing what they have shown before: that is a device with an old secret, no guesser.
func (c *Credentials) Admit(ctx context.Context, actor account.Actor, l Login) (bool, error) {
	if err := account.Allow(actor, account.CheckDevice, nil); err != nil {
		return false, err
	}
	shown := devices.HashSecret([]byte(l.User + "\x00" + l.ClientID + "\x00" + l.Password))
	guessed := !c.shown.Lately(string(shown[:]), c.now())
	if guessed {
		if c.broker.Begin(l.From, c.now()) > 0 {
			return false, nil
		}
		defer c.broker.Leave(l.From)
	}
	good := l.User == l.ClientID && devices.IsUID(l.User)
	if good {
		var err error
		if good, err = c.door.Prove(ctx, actor, l.User, devices.HashSecret([]byte(l.Password))); err != nil {
			return false, err
		}
	}
	if !good && guessed {
		c.broker.Failed(l.From, c.now())
	}
	c.shown.Note(string(shown[:]), c.now())
	return good, nil
}

// MayUse reports whether a broker is to let a device of the actor's organisation use a topic: to publish below its own, to hear its
// receipts and commands. One that was revoked may do nothing.
func (c *Credentials) MayUse(ctx context.Context, actor account.Actor, uid string, use Use, topic string) (bool, error) {
	if err := account.Allow(actor, account.CheckDevice, nil); err != nil {
		return false, err
	}
	if !devices.IsUID(uid) || !mayUse(uid, use, topic) {
		return false, nil
	}
	return c.door.InUse(ctx, actor, uid)
}

// mayUse decides by names alone.
func mayUse(uid string, use Use, topic string) bool {
	own := TopicRoot + uid + "/"
	rest, below := strings.CutPrefix(topic, own)
	if !below || rest == "" {
		return false
	}
	switch use {
	case Publish:
		return !strings.ContainsAny(rest, "+#\x00")
	case Subscribe:
		return slices.Contains([]string{"receipts", "commands", "+", "#"}, rest)
	}
	return false
}

// BrokerUser is a device as a broker of its own site has to know it.
type BrokerUser struct {
	UID  string
	Hash string // Mosquitto's $7$; empty: the secret was made before such hashes were kept
}

// MosquittoPasswords returns the password file of Mosquitto, by name, and who is not in it for want of a hash.
func MosquittoPasswords(users []BrokerUser) (file string, left []string) {
	var b strings.Builder
	for _, u := range slices.SortedFunc(slices.Values(users), func(x, y BrokerUser) int { return strings.Compare(x.UID, y.UID) }) {
		if u.Hash == "" {
			left = append(left, u.UID)
			continue
		}
		fmt.Fprintf(&b, "%s:%s\n", u.UID, u.Hash)
	}
	return b.String(), left
}

// MosquittoAccess returns Mosquitto's file of who may do what: a device publishes below its own name and hears its receipts and
// commands, and nobody may anything else. %u is the name that somebody has proved; none holds a wildcard (UIDPattern). What a
// device may publish is not told topic by topic: Mosquitto acknowledges what it drops, so that a line which is missing here would
// lose readings, and below the device's own name it reaches nobody but itself and Hale, which looks at each message.
// bridge, when set, is the device as which Hale itself connects; it hears what reads names.
func MosquittoAccess(bridge string, reads []string) string {
	var b strings.Builder
	if bridge != "" {
		b.WriteString("# Hale's bridge\nuser " + bridge + "\n")
		for _, filter := range reads {
			b.WriteString("topic read " + filter + "\n")
		}
		b.WriteString("\n")
	}
	b.WriteString("# Every device, %u being its name\n")
	b.WriteString("pattern write " + TopicRoot + "%u/#\npattern read " + TopicRoot + "%u/receipts\npattern read " + TopicRoot + "%u/commands\n")
	return b.String()
}

// MosquittoLines returns the lines of configuration that make Mosquitto use the two files. The name of the user stands in for the
// client id: two devices can then not have the same, nor can one give itself another's and close its connection. They hold for the
// listener below whose line they stand; in a file that is included Mosquitto counts them for its default listener.
func MosquittoLines(passwords, access string) string {
	return "# Written by `hale broker mosquitto`. Copy these lines into mosquitto.conf, directly below the \"listener\" line of the devices.\n" +
		"# Do not include this file: its lines would open Mosquitto's default listener, and not guard yours.\n" +
		"# If there is another listener, put \"per_listener_settings true\" above all of them: without it devices may come in there too,\n" +
		"# under any client id.\n" +
		"allow_anonymous false\npassword_file " + passwords + "\nacl_file " + access + "\nuse_username_as_clientid true\n"
}
