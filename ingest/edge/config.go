package edge

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/devices"
	"hale/ingest"
)

// Core is the ingest core as the edge needs it.
type Core interface {
	// Submit hands over a message. It blocks while the core has no room, and calls done exactly once, from any
	// goroutine and in any order, when the message is durable or will not be.
	Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt))
}

// Config says what a Server needs. Snapshot and Core are required.
type Config struct {
	// Addr is where to listen, for example ":1883"; it is not used when Listener is given.
	Addr string
	// Listener is where to accept connections; a TLS listener does too. The server closes it.
	Listener net.Listener
	// Snapshot returns the newest registry snapshot, nil when there has been none, and whether the registry can be
	// reached, which is to say whether the snapshot is the truth of this moment.
	Snapshot func() (snapshot *devices.Snapshot, reachable bool)
	Core     Core
	NodeID   string // names this edge in the log
	// Takeover, when set, tells the other edges that the device is connected here under that epoch; they answer by
	// calling their Superseded. It must not block for long: the device waits for its CONNACK.
	Takeover   func(device string, epoch int64)
	Log        *slog.Logger          // nil: no log
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are kept and not shown
	Limits     Limits                // what is zero in it has its default
}

// Limits bounds what devices can ask of the edge. The zero value of a field means its default.
type Limits struct {
	Connections    int           // at once; 20,000
	Handshakes     int           // connections at once that have not said who they are; 1,024
	Window         int           // messages of one connection with the core and not yet acknowledged; 1,024
	WindowBytes    int           // the same in bytes; 4 MiB
	ReadAhead      int           // bytes read of one connection that wait for the window, so that a PINGREQ behind them is seen; 64 KiB
	HeldBytes      int           // received on all connections and not yet durable; 64 MiB
	Packet         int           // remaining length of a PUBLISH from which it is drained instead of taken; 256 KiB
	Drained        int           // remaining length of a PUBLISH from which the connection is closed; 16 MiB
	ConnectWithin  time.Duration // from accepting to the end of CONNECT; 10 s
	ChunkWithin    time.Duration // for each 16 KiB of a packet that has begun; 30 s
	WriteWithin    time.Duration // for each write; 30 s, since a long receipt on a slow line takes a while
	DrainWithin    time.Duration // for outstanding acknowledgements when the server stops; 10 s
	WatchEvery     time.Duration // how often credentials of live connections are checked again; 500 ms
	WrongSecretFor time.Duration // delay of the first CONNACK 4 to an address, doubling up to 64 times; 50 ms
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
	count(&l.Handshakes, 1_024)
	count(&l.Window, 1_024)
	count(&l.WindowBytes, 4<<20)
	count(&l.ReadAhead, 64<<10)
	count(&l.HeldBytes, 64<<20)
	count(&l.Packet, 256<<10)
	count(&l.Drained, 16<<20)
	within(&l.ConnectWithin, 10*time.Second)
	within(&l.ChunkWithin, 30*time.Second)
	within(&l.WriteWithin, 30*time.Second)
	within(&l.DrainWithin, 10*time.Second)
	within(&l.WatchEvery, 500*time.Millisecond)
	within(&l.WrongSecretFor, 50*time.Millisecond)
	l.HeldBytes = max(l.HeldBytes, max(l.Packet, headKept)+maxTopic+messageCost) // or the largest message would wait for ever
	return l
}
