package simulators

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Wire is a raw MQTT 3.1.1 publisher: it counts an acknowledgement only when a PUBACK is read from its own socket.
// Client libraries report success for messages that a reconnect threw away, so a proof of durability cannot be
// built on them. It never reconnects.
type Wire struct {
	conn   net.Conn
	out    *bufio.Writer
	window chan struct{}

	mu     sync.Mutex
	next   uint16
	flight map[uint16]func(at time.Time)
	err    error
	done   chan struct{}
}

// MQTT control packet types (MQTT 3.1.1, section 2.2.1) as far as a publisher needs them.
const (
	packetConnack = 2
	packetPublish = 3
	packetPuback  = 4
)

// Dial connects a device with its credentials to HOST:PORT, or to mqtts://HOST:PORT with a certificate that this machine
// trusts. window is how many messages may be unacknowledged at once.
func Dial(ctx context.Context, addr, device, secret string, window int) (*Wire, error) {
	return DialTrusting(ctx, nil, addr, device, secret, window)
}

// DialTrusting is Dial with an edge whose certificate is of its own authority; trust says whom to believe (see Trusting).
func DialTrusting(ctx context.Context, trust *tls.Config, addr, device, secret string, window int) (*Wire, error) {
	conn, err := dialEdge(ctx, addr, trust)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	w := &Wire{conn: conn, out: bufio.NewWriterSize(conn, 32<<10), window: make(chan struct{}, window), flight: map[uint16]func(time.Time){}, done: make(chan struct{})}
	if err := greet(conn, device, secret); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go w.read()
	return w, nil
}

// greet sends CONNECT and waits for the CONNACK.
func greet(conn net.Conn, device, secret string) error {
	var p []byte
	p = appendText(p, "MQTT")
	p = append(p, 4, 0xc2, 0, 0) // level 4; user name, password, clean session; no keep-alive
	p = appendText(p, device)
	p = appendText(p, device)
	p = appendText(p, secret)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(packet(0x10, p)); err != nil {
		return fmt.Errorf("send CONNECT: %w", err)
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("read CONNACK: %w", err)
	}
	if answer[0]>>4 != packetConnack || answer[3] != 0 {
		return fmt.Errorf("the edge refused device %s with CONNACK code %d", device, answer[3])
	}
	return conn.SetDeadline(time.Time{})
}

// Publish sends one message with QoS 1 and calls acked when its PUBACK has been read. It waits while the window is
// full; messages are flushed to the socket when nothing more is waiting (see Flush).
func (w *Wire) Publish(ctx context.Context, topic string, payload []byte, acked func(at time.Time)) error {
	select {
	case w.window <- struct{}{}:
	default:
		if err := w.Flush(); err != nil {
			return err
		}
		select {
		case w.window <- struct{}{}:
		case <-w.done:
			return w.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	for {
		w.next++
		if w.next != 0 && w.flight[w.next] == nil {
			break
		}
	}
	w.flight[w.next] = acked
	var p []byte
	p = appendText(p, topic)
	p = binary.BigEndian.AppendUint16(p, w.next)
	p = append(p, payload...)
	_, err := w.out.Write(packet(packetPublish<<4|0x02, p))
	return err
}

// Flush puts everything that was published on the wire.
func (w *Wire) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Flush()
}

// Drain waits until every message is acknowledged.
func (w *Wire) Drain(ctx context.Context) error {
	if err := w.Flush(); err != nil {
		return err
	}
	for range cap(w.window) {
		select {
		case w.window <- struct{}{}:
		case <-w.done:
			return w.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for range cap(w.window) {
		<-w.window
	}
	return nil
}

// Err says why the connection ended; nil while it lives.
func (w *Wire) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close ends the connection with a DISCONNECT.
func (w *Wire) Close() error {
	_ = w.Flush()
	_, _ = w.conn.Write([]byte{0xe0, 0}) // the connection may be gone already
	err := w.conn.Close()
	<-w.done
	return err
}

func (w *Wire) read() {
	defer close(w.done)
	in := bufio.NewReader(w.conn)
	for {
		kind, body, err := readPacket(in)
		if err != nil {
			w.mu.Lock()
			w.err = fmt.Errorf("the edge closed the connection: %w", err)
			w.mu.Unlock()
			return
		}
		if kind != packetPuback || len(body) != 2 {
			continue // PINGRESP, a receipt that was not asked for
		}
		at := time.Now()
		id := binary.BigEndian.Uint16(body)
		w.mu.Lock()
		acked := w.flight[id]
		delete(w.flight, id)
		w.mu.Unlock()
		if acked != nil {
			acked(at)
			<-w.window
		}
	}
}

func readPacket(in *bufio.Reader) (kind byte, body []byte, err error) {
	first, err := in.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	length, shift := 0, 0
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if shift += 7; shift > 21 {
			return 0, nil, errors.New("malformed remaining length")
		}
	}
	body = make([]byte, length)
	_, err = io.ReadFull(in, body)
	return first >> 4, body, err
}

func packet(first byte, body []byte) []byte {
	b := append(make([]byte, 0, len(body)+5), first)
	for n := len(body); ; {
		digit := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			b = append(b, digit|0x80)
			continue
		}
		b = append(b, digit)
		break
	}
	return append(b, body...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
