package edge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// Core is the ingest core as the edge needs it.
type Core interface {
	// Submit hands over a message. It blocks while the core has no room, and calls done exactly once, from any
	// goroutine and in any order, when the message is durable or will not be.
	Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt))
}

// Config says what a Server needs. Snapshot and Core are required.
type Config struct {
	// Addr is where to listen for plain MQTT, for example ":1883"; it is not used when there are Listeners.
	Addr string
	// Listeners are where to accept connections. The server closes them.
	Listeners []Listener
	// Snapshot returns the newest registry snapshot, nil when there has been none, and whether the registry can be
	// reached, which is to say whether the snapshot is the truth of this moment.
	Snapshot func() (snapshot *devices.Snapshot, reachable bool)
	Core     Core
	NodeID   string // names this edge in the log
	// Tell, when set, hands a word to every other edge, which calls its Hear with it. Words may be late, in any order,
	// twice or lost. It must not block for long: the device waits for its CONNACK.
	Tell func(word []byte)
	// Renewed, when set, is told of a device that has connected with the secret that takes the place of another, and the hash of
	// that secret: the other is not needed any more. It must not block, and may forget: the old one ends by its time as well.
	Renewed func(d *devices.Device, shown [sha256.Size]byte)
	// Noted, when set, is told of every device that came or left (vital.StatusCame, vital.StatusLeft), with the epoch of its
	// connection. It must not block.
	Noted func(d *devices.Device, kind vital.StatusKind, epoch int64, at time.Time)
	// Subscribed, when set, is told of every device that begins to listen for commands. It must not block.
	Subscribed func(device string)
	Log        *slog.Logger          // nil: no log
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are kept and not shown
	Limits     Limits                // what is zero in it has its default
	Canary     CanaryConfig          // the edge's own canary; the zero value is none
	// Paces are shared with the other doors of the process; nil: they are of this one alone, by its limits.
	Paces *Paces
}

// Listener is a door for devices.
type Listener struct {
	net.Listener
	// TLS, when set, is what connections speak before MQTT. A listener must not do that by itself: an Accept that waits for
	// a handshake would keep everybody out.
	TLS *tls.Config
	// Proxies are the networks of load balancers that say the device's address first (PROXY protocol, version 1 or 2). Who
	// connects from elsewhere is taken as it comes, so an address cannot be made up.
	Proxies []netip.Prefix
}

// Limits bounds what devices can ask of the edge. The zero value of a field means its default.
type Limits struct {
	// Connections is how many there may be at once, those that wait to be let in among them; 20,000. A quarter of it is kept
	// for those that have said who they are: the bounds of the others are lowered to that.
	Connections int
	Handshakes  int // connections at once that are being asked who they are; 1,024
	// AddressHandshakes is how many of these may come from one address (of IPv6, one /64); half of Handshakes.
	AddressHandshakes int
	// Waiting is how many connections may wait in line to be asked; 16,384. One address may have half of them. When the line
	// is full, who has most in it makes place for who has less.
	Waiting int
	// ConnectsPerSecond is how many connections are asked in a second at most, and at once after a quiet second; 2,000.
	ConnectsPerSecond int
	// AddressConnectsPerSecond is the same for one address; 1,000.
	AddressConnectsPerSecond int
	// DeviceMessagesPerSecond is how many messages of one device are read in a second, on and on; 1,000. DeviceMessagesAtOnce may
	// come as fast as they do after a rest; 50,000, some days of a gateway's memory.
	DeviceMessagesPerSecond int
	DeviceMessagesAtOnce    int
	// DeviceBytesPerSecond and DeviceBytesAtOnce are the same in bytes; 4 MiB and 64 MiB.
	DeviceBytesPerSecond int
	DeviceBytesAtOnce    int
	AdmitWithin          time.Duration // from accepting until the connection is asked; 30 s
	Window               int           // messages of one connection with the core and not yet acknowledged; 1,024
	WindowBytes          int           // the same in bytes; 4 MiB
	ReadAhead            int           // bytes read of one connection that wait for the window, so that a PINGREQ behind them is seen; 64 KiB
	HeldBytes            int           // received on all connections and not yet durable; 64 MiB. What has begun to arrive has half of it at most
	Reserve              int           // bytes of one connection that may wait for room in HeldBytes, for the same reason; 8 KiB
	Beyond               int           // bytes of all connections in messages, one of each, that go beyond its Reserve; 8 MiB
	Packet               int           // remaining length of a PUBLISH from which it is drained instead of taken; 256 KiB
	Drained              int           // remaining length of a PUBLISH from which the connection is closed; 16 MiB
	ConnectWithin        time.Duration // from being asked to the end of CONNECT, TLS among it; 10 s
	ChunkWithin          time.Duration // for each 16 KiB of a packet that has begun; 30 s
	WriteWithin          time.Duration // for each write; 30 s, since a long receipt on a slow line takes a while
	DrainWithin          time.Duration // for outstanding acknowledgements when the server stops; 10 s
	WatchEvery           time.Duration // how often credentials of live connections are checked again; 200 ms
	RollCallEvery        time.Duration // how often an edge tells the others again who is connected to it; 30 s
	AnswerWithin         time.Duration // how long the answer of another edge is good; 2 s
	WrongSecretFor       time.Duration // delay of the first CONNACK 4 to an address, doubling up to 64 times; 50 ms
}

// Limits that are not worth a field.
const (
	maxTopic   = 1 << 10
	maxControl = 8 << 10 // remaining length of CONNECT, SUBSCRIBE and UNSUBSCRIBE
	headKept   = 4 << 10 // of a message that is too large to take
	// messageCost is added to the bytes of a message for what we keep beside them.
	messageCost = 256
	// Answers wait while the device does not read: receipts are then left out, and later the connection is given up.
	maxReceiptsBehind = 64 << 10
	maxAnswersBehind  = 512 << 10
)

func (l Limits) withDefaults() Limits {
	count := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	within := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	count(&l.Connections, 20_000)
	known := (l.Connections + 3) / 4
	count(&l.Handshakes, 1_024)
	l.Handshakes = max(1, min(l.Handshakes, (l.Connections-known)/2))
	count(&l.AddressHandshakes, max(1, l.Handshakes/2))
	count(&l.Waiting, 16_384)
	l.Waiting = max(1, min(l.Waiting, l.Connections-known-l.Handshakes))
	count(&l.ConnectsPerSecond, 2_000)
	count(&l.AddressConnectsPerSecond, 1_000)
	count(&l.DeviceMessagesPerSecond, 1_000)
	count(&l.DeviceMessagesAtOnce, 50_000)
	count(&l.DeviceBytesPerSecond, 4<<20)
	count(&l.DeviceBytesAtOnce, 64<<20)
	count(&l.Window, 1_024)
	count(&l.WindowBytes, 4<<20)
	count(&l.ReadAhead, 64<<10)
	count(&l.HeldBytes, 64<<20)
	count(&l.Reserve, 8<<10)
	count(&l.Beyond, 8<<20)
	count(&l.Packet, 256<<10)
	count(&l.Drained, 16<<20)
	within(&l.AdmitWithin, 30*time.Second)
	within(&l.ConnectWithin, 10*time.Second)
	within(&l.ChunkWithin, 30*time.Second)
	within(&l.WriteWithin, 30*time.Second)
	within(&l.DrainWithin, 10*time.Second)
	within(&l.WatchEvery, 200*time.Millisecond)
	within(&l.RollCallEvery, 30*time.Second)
	within(&l.AnswerWithin, 2*time.Second)
	within(&l.WrongSecretFor, 50*time.Millisecond)
	l.HeldBytes = max(l.HeldBytes, max(l.Packet, headKept)+maxTopic+messageCost) // or the largest message would wait for ever
	return l
}
