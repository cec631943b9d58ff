package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"hale/ingest"
)

// deaf is a connection that cannot be written to, and on which nothing comes until it is closed.
type deaf struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (d *deaf) Read([]byte) (int, error) {
	<-d.closed
	return 0, net.ErrClosed
}
func (d *deaf) Write([]byte) (int, error)        { return 0, os.ErrDeadlineExceeded }
func (d *deaf) SetWriteDeadline(time.Time) error { return nil }
func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

func TestAFailedWriteIsNotTakenForPahosOwnClose(t *testing.T) {
	t.Parallel()
	c := newConn(&deaf{closed: make(chan struct{})}, ingest.LargestForeign, seal{}, func(byte, bool) {})
	if n, err := c.Write([]byte{0x40, 2, 0, 1}); n != 4 || err != nil {
		t.Fatalf("Write waits for nothing: %d, %v", n, err)
	}
	// paho passes over an error with these words without a sound, and would sit there until its next ping is not answered.
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the reader is told %v", err)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a later write is told %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close the reader is told %v", err)
	}
}

func TestWhatGathersIsWrittenTogetherAndBeforeTheEnd(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	var mu sync.Mutex
	var code, present = byte(9), false
	c := newConn(ours, ingest.LargestForeign, seal{}, func(got byte, session bool) {
		mu.Lock()
		code, present = got, session
		mu.Unlock()
	})
	for range 100 {
		if _, err := c.Write([]byte{0x40, 2, 0, 1}); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan int, 1)
	go func() {
		n, reads := 0, 0
		buf := make([]byte, 1024)
		for n < 400 {
			k, err := theirs.Read(buf)
			n, reads = n+k, reads+1
			if err != nil {
				break
			}
		}
		if n != 400 {
			reads = -1
		}
		got <- reads
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if reads := <-got; reads < 1 || reads > 3 {
		t.Errorf("100 acknowledgements were written in %d writes (-1: not all of them)", reads)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close a write is told %v", err)
	}

	ours, theirs = net.Pipe()
	c = newConn(ours, ingest.LargestForeign, seal{}, func(got byte, session bool) { code, present = got, session })
	go func() { _, _ = theirs.Write([]byte{0x20, 2, 1, 0}) }() // CONNACK, session present
	for range 4 {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if code != 0 || !present || !c.accepted.Load() {
		t.Errorf("CONNACK was told as code %d, session %v", code, present)
	}
	_ = theirs.Close()
	_ = c.Close()
}

func TestWhatTheBrokerDoesNotReadIsBounded(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe() // nobody reads theirs
	c := newConn(ours, ingest.LargestForeign, seal{}, nil)
	var err error
	for range 2 * mostUnwritten / 1024 {
		if _, err = c.Write(make([]byte, 1024)); err != nil {
			break
		}
	}
	if !errors.Is(err, errBehind) {
		t.Errorf("what gathers has no bound: %v", err)
	}
	_ = theirs.Close()
	_ = c.Close()
}
