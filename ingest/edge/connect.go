package edge

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"hale/devices"
	"hale/ingest"
)

// handshake reads the CONNECT of a connection and returns its session, or nil when there is none: the device has then
// been told why, where MQTT has an answer for it.
func (s *Server) handshake(ctx, work context.Context, conn net.Conn) *session {
	// Nobody is waited for who has not said who they are.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	if err := conn.SetReadDeadline(time.Now().Add(s.limits.ConnectWithin)); err != nil {
		return nil
	}
	in := newInflow(conn, func() error { return nil })
	c, err := readConnect(in)
	if err != nil {
		s.metrics.connects.WithLabelValues("none").Inc()
		s.log.Debug("no CONNECT", "error", err)
		return nil
	}
	device, code := s.authenticate(c)
	if code == codeCredentials && !s.holdBack(ctx, conn) {
		s.metrics.connects.WithLabelValues("throttled").Inc()
		return nil
	}
	if code != codeAccepted {
		s.refuse(conn, code)
		return nil
	}
	one := &session{
		server: s, conn: conn, in: in, uid: c.clientID, will: c.will,
		keepAlive: time.Duration(c.keepAlive) * time.Second * 3 / 2, // section 3.1.2.10
		submit: func(m ingest.Message, done func(ingest.Receipt)) {
			s.cfg.Core.Submit(work, m, done)
		},
	}
	one.changed = sync.NewCond(&one.mu)
	one.device.Store(device)
	in.arm = one.arm
	return one
}

// readConnect reads the first packet of a connection, which must be a CONNECT.
func readConnect(in *inflow) (connect, error) {
	first, err := in.peek(1)
	if err != nil {
		return connect{}, err
	}
	if packetType(first[0]>>4) != typeConnect {
		return connect{}, violation("first packet is not CONNECT")
	}
	h, err := readHeader(in)
	if err != nil {
		return connect{}, err
	}
	if h.length > maxControl {
		return connect{}, violation("CONNECT is longer than the limit")
	}
	body, err := in.body(h.length)
	if err != nil {
		return connect{}, err
	}
	return decodeConnect(body)
}

// authenticate says who connects, or the code to refuse with. While the registry cannot be reached a wrong secret may
// be one that was changed a moment ago: the answer is then "not available", since devices give up on the other codes.
func (s *Server) authenticate(c connect) (*devices.Device, connackCode) {
	if c.protocol != "MQTT" || c.level != 4 {
		return nil, codeProtocol
	}
	if c.hasUser && c.user != c.clientID {
		return nil, codeIdentifier
	}
	snapshot, reachable := s.cfg.Snapshot()
	if snapshot != nil && c.hasUser {
		if d := snapshot.Devices[c.user]; d != nil && d.Secret(c.password) {
			return d, codeAccepted
		}
	}
	if snapshot == nil || !reachable {
		return nil, codeUnavailable
	}
	return nil, codeCredentials
}

// holdBack delays the answer to a wrong secret. It returns false when there is to be no answer.
func (s *Server) holdBack(ctx context.Context, conn net.Conn) bool {
	from := origin(conn.RemoteAddr())
	delay, ok := s.throttle.strike(from, s.now())
	if !ok {
		return false
	}
	defer s.throttle.release(from)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(delay):
		return true
	}
}

// refuse answers with a code and closes. What the device has sent behind its CONNECT is read and dropped: closing over
// unread bytes resets the connection, and the answer could be lost.
func (s *Server) refuse(conn net.Conn, code connackCode) {
	s.metrics.connects.WithLabelValues(strconv.Itoa(int(code))).Inc()
	const linger, mostDropped = time.Second, 64 << 10
	deadline := time.Now().Add(linger)
	if conn.SetDeadline(deadline) != nil {
		return
	}
	if _, err := conn.Write(appendConnack(nil, code)); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, conn, mostDropped) // however it ends, the connection closes
	}
}

// welcome makes the session the device's only one and answers its CONNECT. It returns false when the server stops.
func (s *Server) welcome(one *session) bool {
	if !s.register(one) {
		return false
	}
	if s.cfg.Takeover != nil {
		s.cfg.Takeover(one.uid, one.epoch)
	}
	s.metrics.connects.WithLabelValues(strconv.Itoa(int(codeAccepted))).Inc()
	s.log.Info("device connected", "device", one.uid, "epoch", one.epoch)
	one.answer(func(out []byte) []byte { return appendConnack(out, codeAccepted) })
	// The snapshot may have changed between the look at the secret and the entry in sessions, which recheck walks.
	if snapshot, _ := s.cfg.Snapshot(); snapshot != nil {
		one.renew(snapshot)
	}
	return true
}

// register enters the session and ends the one that the device had before. Epochs are nanoseconds of the clock, moved
// on where needed so that each is larger than the one before: so they can be compared with those of other edges.
func (s *Server) register(one *session) bool {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return false
	}
	s.epoch = max(s.epoch+1, s.now().UnixNano())
	one.epoch = s.epoch
	before := s.sessions[one.uid]
	s.sessions[one.uid] = one
	s.mu.Unlock()
	if before != nil {
		before.outlive()
	}
	return true
}

// outlive ends a session whose device has connected again. Its will is of an older epoch and is not told.
func (s *session) outlive() {
	s.outlived.Store(true)
	s.end(causeSuperseded)
}

// forget removes a session that has ended, unless the device has another by now.
func (s *Server) forget(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[one.uid] == one {
		delete(s.sessions, one.uid)
	}
}

// Superseded tells the server that a device has connected to another edge under that epoch: an older session here ends,
// and its will is not told.
func (s *Server) Superseded(device string, epoch int64) {
	s.mu.Lock()
	one := s.sessions[device]
	s.mu.Unlock()
	if one != nil && one.epoch < epoch {
		one.outlive()
	}
}
