package bridge

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/ingest"
)

const (
	// headKept is what is kept of a message that is too large to take, as on the edge.
	headKept = 4 << 10
	// aliveEvery is how often paho is told that the broker lives while a large PUBLISH comes. It counts whole packets only,
	// and would close a connection on which a packet takes longer than its patience, at each attempt anew.
	aliveEvery = time.Second
)

// pingresp is a PINGRESP, whole.
const pingresp = "\xd0\x00"

// inbound stands between a broker and paho, which makes room for as much as a packet claims to have (MQTT allows 256 MiB)
// before a byte of it has come. A small packet it passes on as it comes, a larger PUBLISH once all of it is there, and of
// one that is too large to take only head, length and hash: closing the connection instead would have the broker send it
// again for ever. What else is long is no answer of a broker's, and ends the connection.
type inbound struct {
	in      *bufio.Reader
	largest int  // payload that is taken whole
	seal    seal // of those that are not
	// asked returns how many filters the SUBSCRIBE had that is still to be answered; ok is false when there is none.
	asked func(id uint16) (filters int, ok bool)

	greeted bool   // CONNACK has come
	ready   []byte // is read before anything else
	pass    int    // bytes that are passed on as they come
	coming  *arrivingPublish
	alive   time.Time // when paho last heard that the broker lives
	err     error     // how reading has ended
}

// violation is what a broker sent that no broker sends.
type violation struct{ what string }

// Error returns the sentence for a person.
func (v *violation) Error() string {
	return "the broker sent " + v.what + "; we have closed the connection: does an MQTT 3.1.1 broker stand at this url?"
}

func violated(format string, args ...any) error { return &violation{fmt.Sprintf(format, args...)} }

// Read returns what paho may see.
func (r *inbound) Read(p []byte) (int, error) {
	for {
		switch {
		case r.err != nil:
			return 0, r.err
		case len(r.ready) > 0:
			n := copy(p, r.ready)
			if r.ready = r.ready[n:]; len(r.ready) == 0 {
				r.ready = nil
			}
			return n, nil
		case r.pass > 0:
			n, err := r.in.Read(p[:min(len(p), r.pass)])
			r.pass -= n
			return n, err
		case r.coming != nil:
			r.err = r.more()
		default:
			r.err = r.next()
		}
	}
}

// header is how a packet begins.
type header struct {
	first  byte // kind and flags
	size   int  // of the header
	length int  // of what follows, as is claimed
}

func (h header) kind() byte { return h.first >> 4 }

func (h header) String() string {
	name := strings.ToUpper(packets.PacketNames[h.kind()])
	if name == "" {
		name = fmt.Sprintf("packet of kind %d", h.kind())
	}
	return fmt.Sprintf("a %s of %d bytes", name, h.length)
}

// header looks at the next packet's header and leaves it where it is.
func (r *inbound) header() (h header, err error) {
	for h.size = 2; ; h.size++ {
		b, err := r.in.Peek(h.size)
		if err != nil {
			return h, err
		}
		last := b[h.size-1]
		h.first, h.length = b[0], h.length|int(last&0x7f)<<(7*(h.size-2))
		if last&0x80 == 0 {
			return h, nil
		}
		if h.size == 5 {
			return h, violated("a packet whose length has no end")
		}
	}
}

// next begins a packet.
func (r *inbound) next() error {
	h, err := r.header()
	if err != nil {
		return err
	}
	if !r.greeted && h.kind() != packets.Connack {
		return violated("%s before any CONNACK", h)
	}
	r.greeted = true
	switch {
	case h.kind() == packets.Publish && h.length > min(readBuffer, r.largest):
		return r.publish(h)
	case h.length > readBuffer:
		return violated("%s, which none has", h)
	case h.kind() == packets.Suback:
		if err := r.suback(h); err != nil {
			return err
		}
	}
	r.pass = h.size + h.length
	return nil
}

// suback looks whether a SUBACK answers what we asked: with more codes than filters it would end the process in paho, and
// with fewer what is missing would pass for granted.
func (r *inbound) suback(h header) error {
	if h.length < 2 {
		return violated("%s, which is too short", h)
	}
	b, err := r.in.Peek(h.size + 2)
	if err != nil {
		return err
	}
	filters, ok := r.asked(binary.BigEndian.Uint16(b[h.size:]))
	switch {
	case !ok:
		return violated("a SUBACK to no SUBSCRIBE of ours")
	case h.length-2 != filters:
		return violated("a SUBACK with %d codes for %d subscriptions", h.length-2, filters)
	}
	return nil
}

// publish begins a PUBLISH that is not passed on as it comes.
func (r *inbound) publish(h header) error {
	b, err := r.in.Peek(h.size + 2)
	if err != nil {
		return err
	}
	front := 2 + int(binary.BigEndian.Uint16(b[h.size:]))
	if h.first>>1&3 > 0 {
		front += 2
	}
	if front > h.length {
		return violated("%s that ends within its topic", h)
	}
	c := &arrivingPublish{header: h, front: front, left: h.length, keep: h.length}
	if h.length-front > r.largest {
		c.hash, c.keep = sha256.New(), min(h.length, front+headKept)
	}
	r.coming, r.alive = c, time.Now()
	_, err = r.in.Discard(h.size)
	return err
}

// more takes what has arrived of the PUBLISH that is coming.
func (r *inbound) more() error {
	if _, err := r.in.Peek(1); err != nil {
		return err
	}
	b, err := r.in.Peek(min(r.in.Buffered(), r.coming.left))
	if err != nil {
		return err
	}
	r.coming.take(b)
	if _, err := r.in.Discard(len(b)); err != nil {
		return err
	}
	now := time.Now()
	switch {
	case r.coming.left == 0:
		r.ready, r.coming = r.coming.whole(r.seal), nil
	case now.Sub(r.alive) >= aliveEvery:
		r.ready, r.alive = []byte(pingresp), now
	}
	return nil
}

// arrivingPublish is a PUBLISH of which a part has come. What is kept of it grows with what has come.
type arrivingPublish struct {
	header
	front int       // bytes of topic and packet id
	left  int       // bytes that are still to come
	keep  int       // how many of its bytes are kept
	kept  []byte    // the first of them
	hash  hash.Hash // of the payload; nil when all of it is kept
}

func (c *arrivingPublish) take(b []byte) {
	if c.hash != nil {
		before := c.length - c.left                                  // bytes that had come
		_, _ = c.hash.Write(b[min(len(b), max(0, c.front-before)):]) // it never fails
	}
	c.kept = append(c.kept, b[:min(len(b), c.keep-len(c.kept))]...)
	c.left -= len(b)
}

// whole returns the packet for paho: as it came, or with its sealed head in place of the payload. Topic, flags and packet id
// stay, so that paho acknowledges what the broker sent.
func (c *arrivingPublish) whole(s seal) []byte {
	front, payload := c.kept[:c.front], c.kept[c.front:]
	if c.hash != nil {
		payload = s.put(payload, int64(c.length-c.front), c.hash)
	}
	out := make([]byte, 0, 1+binary.MaxVarintLen32+len(front)+len(payload))
	out = binary.AppendUvarint(append(out, c.first), uint64(len(front)+len(payload))) // MQTT writes lengths in that way too
	return append(append(out, front...), payload...)
}

// seal begins the payload that stands for one that was too large. Only this process knows it, so that nobody can send one;
// and it holds for all connections of a broker, because paho may hand a message on when the next one stands already.
type seal [16]byte

func newSeal() (s seal) {
	_, _ = rand.Read(s[:]) // it never fails
	return s
}

// sealedHead is what stands before the head: the seal, the length, the hash.
const sealedHead = len(seal{}) + 8 + sha256.Size

func (s seal) put(head []byte, length int64, whole hash.Hash) []byte {
	out := make([]byte, 0, sealedHead+len(head))
	out = binary.BigEndian.AppendUint64(append(out, s[:]...), uint64(length))
	return append(whole.Sum(out), head...)
}

// open returns a payload as it came, or the head of one that was too large and what is known of the whole.
func (s seal) open(payload []byte) ([]byte, *ingest.Oversize) {
	if len(payload) < sealedHead || seal(payload[:len(s)]) != s {
		return payload, nil
	}
	rest := payload[len(s):]
	o := &ingest.Oversize{Length: int64(binary.BigEndian.Uint64(rest))}
	copy(o.Hash[:], rest[8:])
	return payload[sealedHead:], o
}

// filtersOf returns the packet id of a SUBSCRIBE and how many filters it has; ok is false for any other packet.
func filtersOf(packet []byte) (id uint16, filters int, ok bool) {
	if len(packet) == 0 || packet[0]>>4 != packets.Subscribe {
		return 0, 0, false
	}
	p, err := packets.ReadPacket(bytes.NewReader(packet))
	if err != nil {
		return 0, 0, false
	}
	s, ok := p.(*packets.SubscribePacket)
	if !ok {
		return 0, 0, false
	}
	return s.MessageID, len(s.Topics), true
}
