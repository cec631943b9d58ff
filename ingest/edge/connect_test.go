package edge

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// TestWhoIsRevokedWhileConnectingIsHungUpOn: the look at the secret was before, and the watch over who is connected did
// not have the device in its list yet.
func TestWhoIsRevokedWhileConnectingIsHungUpOn(t *testing.T) {
	t.Parallel()
	on := newBus(t)
	h := openOn(t, on, 0, Limits{WatchEvery: time.Hour}, &recorder{})
	on.mu.Lock()
	on.carry = func(*house, []byte) [][]byte { // the claim of the new connection, told before its CONNACK
		h.registry.Store(kit(2, "d2"))
		return nil
	}
	on.mu.Unlock()
	h.connect(t, "d1").closed()
	h.connect(t, "d2").ping()
}

// spoken is a connection with everything on it that a device says; it notes in which order it is used.
type spoken struct {
	net.Conn
	says  io.Reader
	heard bytes.Buffer
	order []string
}

func (s *spoken) SetDeadline(time.Time) error { return nil }

func (s *spoken) Read(b []byte) (int, error) {
	n, err := s.says.Read(b)
	if err != nil {
		s.order = append(s.order, "read to the end")
	}
	return n, err
}

func (s *spoken) Write(b []byte) (int, error) {
	s.order = append(s.order, "answer")
	return s.heard.Write(b)
}

func (s *spoken) CloseWrite() error {
	s.order = append(s.order, "goodbye")
	return nil
}

// TestARefusalIsHeardByWhoGoesOnSending: closing over bytes that were not read resets the connection, and with many a
// system the answer that the device has not read yet is gone.
func TestARefusalIsHeardByWhoGoesOnSending(t *testing.T) {
	t.Parallel()
	s := &spoken{says: strings.NewReader(strings.Repeat("x", 40_000))}
	New(Config{}).refuse(s, codeCredentials)
	if got := strings.Join(s.order, ", "); got != "answer, goodbye, read to the end" || s.heard.String() != "\x20\x02\x00\x04" {
		t.Errorf("it did: %s; and answered %x", got, s.heard.Bytes())
	}
	h := open(t, Limits{WrongSecretFor: time.Millisecond}, &recorder{})
	d := h.dial(t)
	p := hello("d1")
	p.Password = []byte("wrong")
	d.write(string(encodePaho(t, p)) + strings.Repeat("x", 40_000))
	_ = d.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(d); err != nil || string(got) != "\x20\x02\x00\x04" {
		t.Errorf("received %x, %v", got, err)
	}
}

// TestWhoGuessesFromOneAddressIsHungUpOnAndAnotherAddressIsNot: the answers to wrong secrets wait, so many of an address at once.
func TestWhoGuessesFromOneAddressIsHungUpOnAndAnotherAddressIsNot(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{WrongSecretFor: time.Hour}, &recorder{always: accepted})
	wrong := func() *packets.ConnectPacket {
		c := hello("d1")
		c.Password = []byte("wrong")
		return c
	}
	const guesser, other = "127.0.0.2", "127.0.0.1"
	held := make([]raw, strikesWaiting)
	for i := range held {
		held[i] = h.dialFrom(t, guesser)
		held[i].send(wrong())
	}
	waiting := func(address string) int {
		h.throttle.mu.Lock()
		defer h.throttle.mu.Unlock()
		if s := h.throttle.strikes[netip.MustParsePrefix(address+"/32")]; s != nil {
			return s.waiting
		}
		return 0
	}
	eventually(t, "their answers wait", func() bool { return waiting(guesser) == strikesWaiting })
	more := h.dialFrom(t, guesser)
	more.send(wrong())
	more.closed() // without an answer
	there := h.dialFrom(t, other)
	there.send(wrong())
	eventually(t, "its answer waits too, for its own mistake", func() bool { return waiting(other) == 1 })
	for _, address := range []string{other, guesser} { // one of many behind that address may have an old secret
		r := h.dialFrom(t, address)
		if code := r.answered(hello("d2")); code != 0 {
			t.Errorf("the right secret from %s: code %d", address, code)
		}
		r.send(message("hale/v1/d2/readings", 1, 1, "a reading"))
		r.expect(ack("PUBACK", 1))
	}
	held[0].quiet(50 * time.Millisecond)
}
