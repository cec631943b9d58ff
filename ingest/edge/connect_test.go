package edge

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
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
