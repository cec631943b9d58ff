package bridge

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"hale/ingest"
)

// lying is a connection that brings what it is given and then ends.
type lying struct {
	deaf
	io.Reader
}

func (l *lying) Read(p []byte) (int, error)  { return l.Reader.Read(p) }
func (l *lying) Write(p []byte) (int, error) { return len(p), nil }

// measured notes the largest piece that is asked for at once: paho asks for a whole packet, in the room that it has made.
type measured struct {
	io.Reader
	most int
}

func (m *measured) Read(p []byte) (int, error) {
	m.most = max(m.most, len(p))
	return m.Reader.Read(p)
}

// greeting is a CONNACK that accepts us.
const greeting = "\x20\x02\x00\x00"

// heard reads the packets that paho makes of what comes, until the connection ends.
func heard(t *testing.T, from io.Reader, s seal, prepare func(*conn)) (all []packets.ControlPacket, most int, err error) {
	t.Helper()
	c := newConn(&lying{deaf{closed: make(chan struct{})}, from}, ingest.LargestForeign, s, func(byte, bool) {})
	if prepare != nil {
		prepare(c)
	}
	in := &measured{Reader: c}
	for {
		p, err := packets.ReadPacket(in)
		if err != nil {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			return all, in.most, err
		}
		all = append(all, p)
	}
}

// published is a PUBLISH as it goes over the line.
func published(t *testing.T, qos byte, id uint16, topic string, payload []byte) string {
	t.Helper()
	var b bytes.Buffer
	p := packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: qos, Dup: qos > 0, Retain: true}, TopicName: topic, MessageID: id, Payload: payload,
	}
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestNoRoomIsMadeForWhatABrokerClaims(t *testing.T) {
	t.Parallel()
	const claim = "\xff\xff\xff\x7f" // 256 MiB
	for name, c := range map[string]struct{ sent, wrong string }{
		"a PUBLISH of 256 MiB of which nothing comes":        {greeting + "\x32" + claim, ""},
		"a PUBLISH of 256 MiB of which the topic comes":      {greeting + "\x32" + claim + "\x00\x01v\x00\x07", ""},
		"a PUBLISH of 256 MiB of which a little comes":       {greeting + "\x32" + claim + "\x00\x01v\x00\x07" + strings.Repeat("x", 300_000), ""},
		"a PUBLISH as large as is taken, and nothing comes":  {greeting + "\x32\xff\xff\x0f\x00\x01v\x00\x07", ""},
		"a PUBLISH whose topic is longer than the packet":    {greeting + "\x32\x81\x80\x04\xff\xff", "a PUBLISH of 65537 bytes that ends within its topic"},
		"a SUBACK of 256 MiB":                                {greeting + "\x90" + claim, "a SUBACK of 268435455 bytes, which none has"},
		"a PINGRESP of 256 MiB":                              {greeting + "\xd0" + claim, "a PINGRESP of 268435455 bytes, which none has"},
		"a PUBACK of 256 MiB":                                {greeting + "\x40" + claim, "a PUBACK of 268435455 bytes, which none has"},
		"a kind that does not exist":                         {greeting + "\xf0" + claim, "a packet of kind 15 of 268435455 bytes, which none has"},
		"a CONNACK of 256 MiB":                               {"\x20" + claim, "a CONNACK of 268435455 bytes, which none has"},
		"a PUBLISH of 256 MiB first of all":                  {"\x32" + claim, "a PUBLISH of 268435455 bytes before any CONNACK"},
		"a web server":                                       {"HTTP/1.1 400 Bad Request\r\n\r\n", "a PUBACK of 84 bytes before any CONNACK"},
		"a length without an end":                            {greeting + "\x32\xff\xff\xff\xff\x01", "a packet whose length has no end"},
		"a SUBACK without a packet id":                       {greeting + "\x90\x01\x00", "a SUBACK of 1 bytes, which is too short"},
		"a SUBACK to nothing":                                {greeting + "\x90\x03\x00\x07\x01", "a SUBACK to no SUBSCRIBE of ours"},
		"a broker that is gone before its CONNACK":           {"\x20", ""},
		"a PUBLISH with a short one's length in a long form": {greeting + "\x30\x84\x80\x00\x00\x01vx", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told error
			_, most, err := heard(t, strings.NewReader(c.sent), newSeal(), func(one *conn) { one.wrong = func(err error) { told = err } })
			if most > readBuffer {
				t.Errorf("paho made room for %d bytes", most)
			}
			var v *violation
			if c.wrong == "" {
				if errors.As(err, &v) || told != nil {
					t.Errorf("it is told as a violation: %v", err)
				}
				return
			}
			if !errors.As(err, &v) || v.what != c.wrong || told == nil || told.Error() != v.Error() {
				t.Errorf("it ended with %v, told %v", err, told)
			}
		})
	}
}

func TestWhatIsKeptGrowsWithWhatHasCome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim string
		come  int
	}{
		"of 256 MiB, 300 kB":              {"\x32\xff\xff\xff\x7f", 300_000},
		"of what is taken whole, 5,000 B": {"\x32\xff\xff\x0f", 5000},
	} {
		in := &inbound{in: bufio.NewReaderSize(strings.NewReader(greeting+c.claim+"\x00\x01v\x00\x07"+strings.Repeat("x", c.come)), readBuffer), largest: ingest.LargestForeign}
		if _, err := io.ReadAll(in); err != nil { // ReadAll ends well at the connection's end
			t.Errorf("%s: %v", name, err)
		}
		if in.coming == nil || cap(in.coming.kept) < 4096 || cap(in.coming.kept) > 4*4096 {
			t.Errorf("%s: it keeps %+v", name, in.coming)
		}
	}
}

func TestOfAMessageThatIsTooLargeTheHeadIsPassedOn(t *testing.T) {
	t.Parallel()
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * i >> 3)
	}
	const small = "v/small"
	for name, c := range map[string]struct {
		qos    byte
		topic  string
		length int
		large  bool
	}{
		"as much as is taken":           {1, "v/s0", ingest.LargestForeign, false},
		"one byte more":                 {1, "v/s0", ingest.LargestForeign + 1, true},
		"as much, with a long topic":    {1, strings.Repeat("t", 65535), ingest.LargestForeign, false},
		"one byte more, and such a one": {1, strings.Repeat("t", 65535), ingest.LargestForeign + 1, true},
		"as much as the buffer holds":   {1, "v/s0", readBuffer - 8, false},
		"a little more":                 {1, "v/s0", readBuffer, false},
		"3 MiB":                         {1, "v/s0", 3 << 20, true},
		"3 MiB without a promise":       {0, "v/s0", 3 << 20, true},
		"3 MiB with two promises":       {2, "v/s0", 3 << 20, true},
	} {
		for way, through := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader,
			"with the end": iotest.DataErrReader, "in odd pieces": func(r io.Reader) io.Reader { return &pieces{r, 997} },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				s := newSeal()
				payload := big[:c.length]
				line := greeting + published(t, c.qos, 41, c.topic, payload) + published(t, 1, 42, small, []byte("n"))
				all, most, err := heard(t, through(strings.NewReader(line)), s, nil)
				if !errors.Is(err, io.EOF) || len(all) != 3 {
					t.Fatalf("%d packets, %v", len(all), err)
				}
				got, ok := all[1].(*packets.PublishPacket)
				if !ok || got.TopicName != c.topic || got.Qos != c.qos || got.Dup != (c.qos > 0) || !got.Retain || c.qos > 0 && got.MessageID != 41 {
					t.Fatalf("it came as %s", all[1])
				}
				kept, o := s.open(got.Payload)
				want := (*ingest.Oversize)(nil)
				if c.large {
					want, payload = &ingest.Oversize{Length: int64(c.length), Hash: sha256.Sum256(payload)}, payload[:headKept]
				}
				if diff := cmp.Diff(want, o); diff != "" || !bytes.Equal(kept, payload) {
					t.Errorf("%d bytes are kept; %s", len(kept), diff)
				}
				if c.large && most > sealedHead+headKept+len(c.topic)+4 {
					t.Errorf("paho made room for %d bytes", most)
				}
				if next, ok := all[2].(*packets.PublishPacket); !ok || next.TopicName != small || next.MessageID != 42 || string(next.Payload) != "n" {
					t.Errorf("behind it came %s", all[2])
				}
			})
		}
	}
}

// pieces gives that many bytes at a time.
type pieces struct {
	io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }

func TestOnlyThisProcessSealsAHead(t *testing.T) {
	t.Parallel()
	ours, other := newSeal(), newSeal()
	h := sha256.New()
	for _, payload := range [][]byte{nil, []byte("x"), make([]byte, sealedHead), other.put([]byte("head"), 1<<30, h), ours[:], ours.put(nil, 1<<30, h)[:sealedHead-1]} {
		if got, o := ours.open(payload); o != nil || !bytes.Equal(got, payload) {
			t.Errorf("%x is taken for a head of ours", payload)
		}
	}
}

// TestWhileALargeMessageComesPahoIsToldThatTheBrokerLives: paho closes the connection when its ping is not answered within
// ten seconds, and the answer stands behind the message. The broker would send it again, as slowly.
func TestWhileALargeMessageComesPahoIsToldThatTheBrokerLives(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]int{"drained": 1 << 20, "gathered": ingest.LargestForeign} {
		slow := &aging{line: strings.NewReader(greeting + published(t, 1, 1, "v/s0", make([]byte, length)))}
		all, _, err := heard(t, slow, newSeal(), func(c *conn) { slow.in = c.in })
		if !errors.Is(err, io.EOF) || len(all) < 4 {
			t.Fatalf("%s: %d packets, %v", name, len(all), err)
		}
		for i, p := range all[1 : len(all)-1] {
			if _, ok := p.(*packets.PingrespPacket); !ok {
				t.Errorf("%s: packet %d is %s", name, i+1, p)
			}
		}
		if _, ok := all[len(all)-1].(*packets.PublishPacket); !ok {
			t.Errorf("%s: the last is %s", name, all[len(all)-1])
		}
	}
}

// aging is a line on which a second passes with each piece that comes.
type aging struct {
	line io.Reader
	in   *inbound
}

func (a *aging) Read(p []byte) (int, error) {
	a.in.alive = a.in.alive.Add(-aliveEvery)
	return a.line.Read(p)
}

func TestASubackMustFitItsSubscribe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ codes, wrong string }{
		"as many codes as filters": {"\x01\x80", ""},
		"more":                     {"\x01\x01\x01", "a SUBACK with 3 codes for 2 subscriptions"},
		"fewer":                    {"\x01", "a SUBACK with 1 codes for 2 subscriptions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			c1 := newConn(ours, ingest.LargestForeign, newSeal(), nil)
			t.Cleanup(func() {
				_ = theirs.Close()
				_ = c1.Close()
			})
			ask := packets.SubscribePacket{FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 300, Topics: []string{"v/+", "w"}, Qoss: []byte{1, 1}}
			answered := make(chan error, 1)
			go func() {
				asked, err := packets.ReadPacket(theirs)
				if err == nil {
					answer := binary.BigEndian.AppendUint16([]byte(greeting+"\x90"+string(rune(2+len(c.codes)))), asked.Details().MessageID)
					_, err = theirs.Write(append(answer, c.codes...))
				}
				answered <- err
			}()
			if err := ask.Write(c1); err != nil {
				t.Fatal(err)
			}
			if err := c1.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := packets.ReadPacket(c1); err != nil { // CONNACK
				t.Fatal(err)
			}
			p, err := packets.ReadPacket(c1)
			var v *violation
			if c.wrong == "" {
				if s, ok := p.(*packets.SubackPacket); err != nil || !ok || string(s.ReturnCodes) != c.codes {
					t.Errorf("it came as %v, %v", p, err)
				}
			} else if !errors.As(err, &v) || v.what != c.wrong {
				t.Errorf("it came as %v, %v", p, err)
			}
			if err := <-answered; err != nil {
				t.Error(err)
			}
		})
	}
}
